"""What is counted of a study and how it is shown."""

import io
import math
from collections.abc import Callable

import pytest
from rich.console import Console

from fathom.costs import NetworkCost
from fathom.execution.base import (
    CohortBusy,
    CohortDone,
    CohortFailed,
    CohortStarted,
    EpochDone,
    Event,
    Notice,
    RunOutcome,
)
from fathom.execution.progress import (
    LINE_EVERY_S,
    Bar,
    FirstFailure,
    Lines,
    Tally,
    choose_display,
    duration,
)
from fathom.plan import Cohort, Plan
from fathom.spec.grid import Run


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def runs(make_run: Callable[..., Run]) -> tuple[Run, ...]:
    return tuple(make_run(seed=seed, epochs=4) for seed in range(4))


@pytest.fixture
def plan(runs: tuple[Run, ...]) -> Plan:
    """Two cohorts of two runs; an epoch of the second costs three times as much."""
    cohorts = tuple(
        Cohort(
            id=key,
            runs=pair,
            memory_mb=1.0,
            flops=flops,
            estimated_s=flops,
            network=NetworkCost(1, 1, 1.0),
        )
        for key, pair, flops in (("a", runs[:2], 2.0), ("b", runs[2:], 6.0))
    )
    return Plan(cohorts=cohorts, workers=1, rate=1.0)


def started(runs: tuple[Run, ...], epoch: int = 0) -> Event:
    return CohortStarted(cohort_id="x", run_ids=tuple(r.id for r in runs), epoch=epoch)


def epoch_done(runs: tuple[Run, ...], epoch: int) -> Event:
    return EpochDone(
        cohort_id="x",
        run_ids=tuple(run.id for run in runs),
        epoch=epoch,
        epochs=4,
        train_accuracy=0.5,
    )


def done(runs: tuple[Run, ...], outcome: str = "completed") -> Event:
    outcomes = (
        RunOutcome(run_id=run.id, name=run.name, outcome=outcome, reason="") for run in runs
    )
    return CohortDone(cohort_id="x", outcomes=tuple(outcomes))


def test_work_is_weighed_by_its_cost(plan: Plan, runs: tuple[Run, ...]) -> None:
    clock = Clock()
    tally = Tally(plan, (), clock)
    assert (tally.share, tally.remaining_s) == (0, plan.estimated_s)
    tally.add(started(runs[:2]))
    clock.now = 10
    tally.add(epoch_done(runs[:2], 2))
    assert tally.share == pytest.approx(2 * 2 / 32)
    assert tally.remaining_s == pytest.approx(10 * 28 / 4)
    assert tally.epochs_per_s == pytest.approx(4 / 10)
    assert "train accuracy up to 50.0%" in tally.describe()


def test_what_was_done_before_counts_as_done_but_not_as_speed(
    plan: Plan, runs: tuple[Run, ...]
) -> None:
    clock = Clock()
    tally = Tally(plan, [run.id for run in runs[:2]], clock)
    tally.add(started(runs[2:], epoch=2))  # from a saved state
    clock.now = 5
    tally.add(epoch_done(runs[2:], 3))
    assert tally.share == pytest.approx((8 + 18) / 32)
    assert tally.remaining_s == pytest.approx(5)
    assert tally.epochs_per_s == pytest.approx(2 / 5)


def test_events_told_twice_count_once(plan: Plan, runs: tuple[Run, ...]) -> None:
    tally = Tally(plan, ())
    for _ in range(2):
        tally.add(done(runs[:2], "diverged"))
    assert (tally.num_ended, tally.outcomes["diverged"]) == (2, 2)


def test_every_run_is_accounted_for_at_the_end(plan: Plan, runs: tuple[Run, ...]) -> None:
    tally = Tally(plan, ())
    tally.add(done(runs[:2]))
    tally.add(done(runs[2:3], "diverged"))
    last = runs[3]
    tally.add(CohortFailed(cohort_id="x", run_ids=(last.id,), names=("last",), message="no"))
    assert tally.failed == {last.id: "last"}
    assert (tally.num_ended, tally.num_runs) == (4, 4)
    assert math.isclose(tally.share, 1)
    text = tally.describe()
    assert text.startswith("4/4 runs · 100% · 1 diverged · 1 failed")
    assert "left" not in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.1, "1 s"), (89, "89 s"), (120, "2 min"), (3_600, "60 min"), (36_000, "10 h 0 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def show(terminal: bool, plan: Plan, events: list[Event], **settings: bool) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=120)
    display = choose_display(console, quiet=settings.get("quiet", False))
    tally = Tally(plan, ())
    with display:
        for event in events:
            tally.add(event)
            display.show(tally, event)
    return stream.getvalue()


def test_outside_of_a_terminal_there_are_plain_lines(plan: Plan, runs: tuple[Run, ...]) -> None:
    events: list[Event] = [
        epoch_done(runs[:2], 1),
        Notice(message="[bold]a name[/bold] is no markup"),
        CohortBusy(cohort_id="x"),
        done(runs[:2]),
    ]
    lines = show(False, plan, events).splitlines()
    assert lines[0] == "[bold]a name[/bold] is no markup"
    assert lines[1].startswith("cohort x is being trained by another command")
    assert lines[2].startswith("2/4 runs · 25%")
    assert len(lines) == 3


def test_long_cohorts_give_a_sign_of_life(plan: Plan, runs: tuple[Run, ...]) -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(Console(file=stream, width=120), clock)
    tally = Tally(plan, (), clock)
    for epoch, now in ((1, 1.0), (2, LINE_EVERY_S), (3, LINE_EVERY_S + 1), (4, 2 * LINE_EVERY_S)):
        clock.now = now
        tally.add(epoch_done(runs[:2], epoch))
        lines.show(tally, epoch_done(runs[:2], epoch))
    assert [line.split(" · ")[1] for line in stream.getvalue().splitlines()] == ["12%", "25%"]


def test_a_terminal_gets_a_bar_and_news_above_it(plan: Plan, runs: tuple[Run, ...]) -> None:
    text = show(True, plan, [Notice(message="[red]news[/red]"), done(runs)])
    assert "[red]news[/red]" in text
    assert "4/4 runs · 100%" in text


def test_quiet_tells_the_first_failure_only(plan: Plan, runs: tuple[Run, ...]) -> None:
    assert show(True, plan, [Notice(message="news"), done(runs)], quiet=True) == ""
    failures: list[Event] = [
        CohortFailed(cohort_id="c", run_ids=(run.id,), names=("one",), message=message)
        for run, message in zip(runs, ("out of spoons", "out of forks"), strict=False)
    ]
    assert show(False, plan, failures, quiet=True) == "not computed: one: out of spoons\n"


def test_the_display_follows_the_place() -> None:
    kinds = [
        type(choose_display(Console(force_terminal=terminal), quiet=quiet))
        for terminal, quiet in ((True, False), (False, False), (True, True))
    ]
    assert kinds == [Bar, Lines, FirstFailure]
