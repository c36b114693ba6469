"""Fathom's own stacked engine: steps alone, or whole epochs with all that is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from benchmarks.rivals.base import Rival, Training
from benchmarks.setting import (
    BATCH_SIZE,
    LEARNING_RATE,
    NUM_CLASSES,
    NUM_FEATURES,
    WIDTH,
    Samples,
    Setting,
    batches,
    initial_weights,
)

if TYPE_CHECKING:  # at run time torch is imported in a rival's process only
    from fathom.data.splits import PreparedData
    from fathom.engine.stacked import StackedEngine
    from fathom.spec.grid import Run

TEST_SAMPLES = 10_000  # as many as MNIST has
MOST_EPOCHS = 2000  # more than anybody waits for


@dataclass(frozen=True, slots=True)
class FathomEngine(Rival):
    """A cohort of the size that a plan chooses, or the smallest that holds all activations."""

    family: ClassVar[str] = "fathom"

    threads: int = 1

    @property
    def variant(self) -> str:
        """What sets it apart from others of its family."""
        return "planned cohort"

    def prepare(self, setting: Setting, samples: Samples) -> Training:
        """Make a cohort; what is left out of an epoch: sums, evaluation, records (1 to 4 %)."""
        import torch

        from fathom.engine.stacked import StackedEngine
        from fathom.engine.steps import coefficient_table
        from fathom.execution.training import settings_of_workers

        data, runs = _prepared(samples), _runs(setting)
        engine = StackedEngine(runs, data)
        _start_from(engine, setting)
        table = coefficient_table(runs, 1, 1, engine.dtype)
        order = batches(len(samples.labels))
        last = torch.zeros(len(runs))

        def train(steps: int) -> None:
            with settings_of_workers(), torch.inference_mode():
                engine.update.coefficients = {name: rows[0] for name, rows in table.items()}
                for _ in range(steps):
                    batch = engine.batch(data.train, torch.from_numpy(next(order)))
                    loss, _ = engine.train_step(*batch)
                    last.copy_(loss.mean(1))

        return Training(train=train, losses=last.tolist, networks=len(runs))


@dataclass(frozen=True, slots=True)
class FathomEpochs(Rival):
    """The same through whole epochs: every column recorded, and the test part evaluated."""

    family: ClassVar[str] = "fathom-recording"

    threads: int = 1

    @property
    def variant(self) -> str:
        """What sets it apart from others of its family."""
        return "planned cohort"

    def prepare(self, setting: Setting, samples: Samples) -> Training:
        """Make a cohort; a step counts as a batch of an epoch, so that only whole epochs run."""
        from fathom.engine.progress import EPOCH_VALUES
        from fathom.engine.run import CohortTraining
        from fathom.execution.training import settings_of_workers

        training = CohortTraining(_runs(setting), _prepared(samples))
        with settings_of_workers():
            training.start()

        def train(steps: int) -> None:
            with settings_of_workers():
                for _ in range(steps // steps_of_epoch):
                    training.advance()

        def losses() -> list[float]:
            progress = training.progress
            column = progress.epochs[progress.epoch, :, EPOCH_VALUES.index("train_loss")]
            return [float(loss) for loss in column]

        steps_of_epoch = len(samples.labels) // BATCH_SIZE
        return Training(
            train=train,
            losses=losses,
            networks=len(training.runs),
            multiple_of=steps_of_epoch,
        )


def _runs(setting: Setting) -> list[Run]:
    from fathom.costs import cohort_size
    from fathom.data.config import DataConfig
    from fathom.registry import Choice
    from fathom.spec.grid import ModelConfig, RecordConfig, Run, TrainConfig

    def run(activation: str, number: int) -> Run:
        return Run(
            name=f"{activation} {number}",
            seed=number,
            study_seed=0,
            engine="stacked",
            precision="float32",
            data=DataConfig(
                name="mnist",
                path=None,
                scaling="unit",
                protocol="train_test",
                validation_share=0.0,
                test_share=0.0,
                limit=None,
                seed=0,
            ),
            model=ModelConfig(
                name=Choice("mlp"),
                hidden=(WIDTH,) * setting.depth,
                activation=(Choice(activation),) * setting.depth,
                init=Choice("he_normal"),
            ),
            loss=Choice("cross_entropy"),
            train=TrainConfig(
                epochs=MOST_EPOCHS,
                batch_size=BATCH_SIZE,
                drop_last=True,
                lr=LEARNING_RATE,
                optimizer=Choice("sgd"),
                schedule=Choice("constant"),
                clip_norm=None,
                patience=None,
                monitor="validation_accuracy",
            ),
            record=RecordConfig(probe_size=256, histograms=False, weights="none"),
            cell=(),
        )

    kinds = setting.kinds
    size = cohort_size([run(kind, 0) for kind in kinds], NUM_FEATURES, NUM_CLASSES)
    each = max(1, size // len(kinds))
    return [run(kind, number) for kind in kinds for number in range(each)]


def _prepared(samples: Samples) -> PreparedData:
    import torch

    from fathom.data.scaling import Scale
    from fathom.data.splits import Part, PreparedData

    inputs, targets = torch.from_numpy(samples.images), torch.from_numpy(samples.labels)
    train = Part(inputs=inputs, targets=targets)
    test = Part(inputs=inputs[:TEST_SAMPLES], targets=targets[:TEST_SAMPLES])
    return PreparedData(
        train=train,
        validation=None,
        test=test,
        scale=Scale(divisor=255.0),
        num_features=NUM_FEATURES,
        num_classes=NUM_CLASSES,
        sample_shape=(28, 28),
        config=_runs(Setting(1, "relu"))[0].data,
        digest="",
    )


def _start_from(engine: StackedEngine, setting: Setting) -> None:
    """Give every network the weights that the other rivals start from."""
    import torch

    for member, run in enumerate(engine.runs):
        activation = run.model.activation[0].name
        weights = initial_weights(setting, activation, run.seed)
        for affine, layer in zip(engine.affines, weights, strict=True):
            affine.parameter.weight[member].copy_(torch.from_numpy(layer.weight.T.copy()))
            affine.parameter.bias[member].copy_(torch.from_numpy(layer.bias))


def variants(_cores: int) -> list[FathomEngine]:
    """List what is tried: a plan has chosen already."""
    return [FathomEngine()]


def recording_variants(_cores: int) -> list[FathomEpochs]:
    """List what is tried: a plan has chosen already."""
    return [FathomEpochs()]
