"""Want of memory is told with the setting that would take less; nothing is changed by itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fathom.engine.memory import is_out_of_memory, told_by
from fathom.engine.single import Trainer
from fathom.errors import ComponentError
from fathom.execution.base import CohortFailed, Event, Task
from fathom.execution.worker import Trainer as Worker
from fathom.execution.worker import fingerprint
from fathom.spec.grid import RecordConfig, Run
from fathom.store.results import StudyFolder


def allocate() -> None:
    """Ask for more than any machine has."""
    torch.empty(2**58)


def failing_from(num_samples: int) -> Callable[..., tuple[Tensor, Tensor]]:
    """Make the loss of a batch of this many samples, or of more, run out of memory."""
    loss = Trainer.losses_and_hits

    def planted(
        trainer: Trainer, x: Tensor, target: Tensor, **settings: Any
    ) -> tuple[Tensor, Tensor]:
        # Evaluation keeps nothing for a backward, so that it needs less.
        if len(x) >= num_samples and torch.is_grad_enabled():
            allocate()
        return loss(trainer, x, target, **settings)

    return planted


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"batch_size": 48}, "train.batch_size is 48; try --set train.batch_size=32"),
        ({"batch_size": 64}, "train.batch_size is 64; try --set train.batch_size=32"),
        ({"probe_size": 100}, "record.probe_size is 100; try --set record.probe_size=64"),
    ],
)
def test_the_setting_that_needs_memory_is_named(
    sizes: dict[str, int],
    told: str,
    make_run: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    probe = RecordConfig(probe_size=sizes.get("probe_size", 8), histograms=False, weights="none")
    run = make_run(engine="single", batch_size=sizes.get("batch_size", 16), record=probe)
    monkeypatch.setattr(Trainer, "losses_and_hits", failing_from(17))
    folder = StudyFolder.open(
        tmp_path / "made",
        study_yaml="name: made\n",
        study_digest="0" * 16,
        fingerprint=fingerprint(),
    )
    events: list[Event] = []
    Worker()(Task(runs=(run,), folder=folder.path), events.append)
    (failure,) = [event for event in events if isinstance(event, CohortFailed)]
    assert failure.names == (run.name,)
    assert failure.message.startswith("there is not enough memory for it even alone: RuntimeError")
    assert failure.message.endswith(told)


@pytest.mark.parametrize(
    ("size", "least", "suggested"),
    [(128, 1, 64), (127, 1, 64), (129, 1, 128), (3, 2, 2), (2, 1, 1), (2, 2, None), (1, 1, None)],
)
def test_the_largest_power_of_two_below_is_suggested(
    size: int, least: int, suggested: int | None
) -> None:
    with (
        pytest.raises(MemoryError, match=f"x.y is {size}") as one,
        told_by("x.y", size, least=least),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")
    text = f"OutOfMemoryError: CUDA out of memory.; x.y is {size}"
    assert str(one.value) == text + ("" if suggested is None else f"; try --set x.y={suggested}")


def test_other_faults_are_left_as_they_are() -> None:
    with pytest.raises(RuntimeError, match=r"^another$"), told_by("x.y", 8):
        raise RuntimeError("another")


def test_a_users_function_may_be_what_runs_out() -> None:
    try:
        allocate()
    except RuntimeError as error:
        own = ComponentError("activation 'own': its value raised RuntimeError")
        own.__cause__ = error
        assert is_out_of_memory(own)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ComponentError("activation 'own' is random"))
