"""A study's results: tables, figures, the report, weights."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, final

import polars as pl
from torch import Tensor, nn

from fathom.api.description import read_description, read_model
from fathom.api.loss_steps import recorded_steps
from fathom.api.predicted_runs import predict_recorded
from fathom.engine.precision import dtype_of
from fathom.errors import FathomError, StoreError, suggestion
from fathom.figures.frames import Frames, final_metrics
from fathom.figures.metric_tables import class_table, metric_table
from fathom.figures.training_summary import training_summary
from fathom.figures.verdict_table import forecast, verdict_table
from fathom.losses import LossStep
from fathom.models.build import changed_code, is_mlp, rebuilt_network
from fathom.records import RUN_COLUMNS
from fathom.store.integrity import Damage
from fathom.store.results import StudyFolder
from fathom.store.tables import schema
from fathom.surfaces import Surface
from fathom.unit_life import lives

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fathom.api.animations import Animations

Which = Literal["best", "last"]


@final
class Results:
    """What a study's folder holds, read when it is asked for; made by `open` or `Study.run`.

    Attributes:
        folder: Where the results are.
    """

    def __init__(self, store: StudyFolder) -> None:
        self._store = store
        self.folder = store.path

    @classmethod
    def open(cls, folder: str | PathLike[str]) -> Self:
        """Open a folder that `fathom run` or `Study.run` wrote.

        Raises:
            FathomError: If it is no results folder.
        """
        return cls(StudyFolder.read_only(Path(folder)))

    @cached_property
    def runs(self) -> pl.DataFrame:
        """One row for each finished run: settings, how it ended, its metrics.

        Of each metric the last epoch's, such as `test_loss`, the mean over epochs, such as
        `mean_test_loss`, and that of the best epoch (by the validation metric), such as
        `best_epoch_test_loss`; and `converged_epoch`, see `fathom.figures.training_summary`.
        """
        frames = self.frames
        final = final_metrics(frames).drop("epoch", "lr", "epoch_time_s")
        runs = frames.runs
        for metrics in (final, training_summary(frames)):
            runs = runs.join(metrics, on="run_id", how="left", maintain_order="left")
        return runs

    @property
    def epochs(self) -> pl.DataFrame:
        """One row for each run and epoch, see `fathom.records.EPOCH_COLUMNS`."""
        return self.frames.epochs

    @property
    def layers(self) -> pl.DataFrame:
        """One row for each run, epoch and layer, see `fathom.records.LAYER_COLUMNS`."""
        return self.frames.layers

    @cached_property
    def histograms(self) -> pl.DataFrame:
        """One row for each bin; empty unless the study records histograms."""
        return self._store.table("histograms")

    @cached_property
    def units(self) -> pl.DataFrame:
        """One row for each unit and observed epoch, see `fathom.records.UNIT_COLUMNS`.

        Empty unless the study has `record.units`. `fathom.unit_life` sums it up: `lives` by unit,
        `count_states` by layer.
        """
        return self._store.table("units")

    def surfaces(self, runs: Collection[str] | None = None) -> dict[str, Surface]:
        """Return the decision surfaces by run id; empty unless the study has `record.surfaces`.

        Args:
            runs: Ids of the runs that are wanted; all when omitted.

        Raises:
            FathomError: If a file cannot be used.
        """
        return self._store.surfaces(runs)

    @property
    def scores(self) -> pl.DataFrame:
        """What each run's best network answers on the test part; empty unless recorded."""
        return self.frames.scores

    @cached_property
    def metrics(self) -> pl.DataFrame:
        """Accuracy, precision, recall, F1 and average precision of each run that recorded scores.

        See `fathom.figures.metric_tables.metric_table` for the columns.
        """
        return metric_table(self.frames.runs, self.scores)

    @cached_property
    def class_metrics(self) -> pl.DataFrame:
        """The same for each class, see `fathom.figures.metric_tables.class_table`."""
        return class_table(self.frames.runs, self.scores)

    @cached_property
    def frames(self) -> Frames:
        """What figures are drawn from: the finished runs in the study's order."""
        tables = self._store.tables("runs", "epochs", "layers", "scores")
        columns = pl.DataFrame(
            [{"run_id": run["id"], **run["columns"]} for run in self._description["runs"]],
            infer_schema_length=None,
        )
        settings = tuple(self._description["settings"])
        runs = columns.join(tables["runs"], on="run_id", how="inner", maintain_order="left")
        order = [column.name for column in RUN_COLUMNS]
        return Frames(
            runs=runs.select(*order, *(name for name in columns.columns if name != "run_id")),
            epochs=tables["epochs"],
            layers=tables["layers"],
            settings=settings,
            scores=tables["scores"],
            histograms=pl.defer(lambda: self.histograms, schema=schema("histograms")),
            units=pl.defer(lambda: self.units, schema=schema("units")),
            surfaces=self.surfaces,
        )

    @cached_property
    def predicted(self) -> Frames:
        """The frames with what theory says of each run from its settings and its input."""
        if self.frames.runs.is_empty():
            return self.frames
        predictions, obstacles = predict_recorded(self.frames.runs, self._configs)
        return replace(self.frames, predictions=predictions, obstacles=obstacles)

    @cached_property
    def verdicts(self) -> pl.DataFrame:
        """One row for each finished run, prediction beside measurement.

        See `fathom.figures.verdict_table.verdict_table` for its columns.
        """
        if self.frames.runs.is_empty():
            return self.frames.runs.select("run_id")
        return verdict_table(self.predicted)

    @property
    def forecast(self) -> str:
        """How many runs theory expected to train, and how many did, in a sentence."""
        return forecast(self.predicted, self.verdicts).sentence

    @property
    def loss_steps(self) -> tuple[LossStep, ...]:
        """How far each loss steps at its rate, by which losses at one rate differ."""
        return recorded_steps(self.frames.runs, self._configs)

    @property
    def _configs(self) -> dict[str, Any]:
        return {run["id"]: run["config"] for run in self._description["runs"]}

    @property
    def num_runs(self) -> int:
        """Runs of the study, with a result or without."""
        return len(self._description["runs"])

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the runs that have no result (yet)."""
        finished = {key for record in self._store.committed().values() for key in record["runs"]}
        rows = self._description["runs"]
        return tuple(run["name"] for run in rows if run["id"] not in finished)

    @property
    def damages(self) -> tuple[str, ...]:
        """What was found damaged while reading, and is left out."""
        return tuple(str(damage) for damage in self._store.damages)

    @property
    def title(self) -> str:
        """The study's name."""
        return str(self._description["study"])

    @property
    def study_yaml(self) -> str:
        """The study with every setting written out, as text that `fathom run` takes."""
        return self._text("study.yaml")

    @property
    def facts(self) -> dict[str, str]:
        """What the page's head says of the finished runs beside their settings."""
        machine = next(iter(self._store.fingerprints.values()))
        outcomes = self.frames.runs["outcome"].value_counts(sort=True).rows()
        return {
            "runs": ", ".join(f"{count} {outcome}" for outcome, count in outcomes),
            "training time": f"{self.frames.runs['elapsed_s'].sum():.1f} s on one core",
            "fathom": machine["bits"]["fathom"],
            "torch": machine["bits"]["torch"],
            "processor": machine["bits"]["cpu"],
            "digest": self.digest,
        }

    @property
    def digest(self) -> str:
        """A sha256 over every number that a repetition must give again, bit for bit."""
        return self._store.canonical_digest()

    def verify(self) -> list[Damage]:
        """Compare every file with its hash and return what is damaged; nothing is changed."""
        return self._store.verify()

    def figure(self, name: str, **options: Any) -> "Figure":  # noqa: ANN401 - each has its own
        """Draw a figure.

        Args:
            name: One of `fathom list figures`.
            **options: Settings such as `activation="relu"` choose runs; others are the figure's.

        Raises:
            FathomError: If the name or an option is unknown, or it makes no sense for these runs.
        """
        from fathom import figures

        return figures.make(name, self.predicted, **options)

    def report(
        self,
        *,
        formats: Sequence[str] = ("png", "svg", "pdf"),
        to: str | PathLike[str] | None = None,
    ) -> Path:
        """Write the page and the image files.

        Args:
            formats: Of the images: some of `png`, `svg`, `pdf`; none to write the page alone.
            to: Folder; the results folder when omitted.

        Returns:
            The path of the page.

        Raises:
            FathomError: If a format is unknown, no run is finished, or a file cannot be written.
        """
        from fathom.report.page import write_report

        if self.frames.runs.is_empty():
            raise FathomError(f"{self.folder}: no run is finished yet; nothing to report")
        return write_report(
            self.predicted,
            self.folder if to is None else Path(to),
            title=self.title,
            study_yaml=self.study_yaml,
            facts=self.facts,
            loss_steps=self.loss_steps,
            formats=formats,
        )

    def animate(
        self,
        to: str | PathLike[str] | None = None,
        *,
        only: str | None = None,
        replicate: int | None = None,
        formats: Sequence[str] = ("gif",),
    ) -> "Animations":
        """Write how the decision surface of each case changed while it was trained.

        Args:
            to: Folder; `animations` in the results folder when omitted.
            only: Keep the cases whose settings or name contain this text, in capitals or not.
            replicate: Seed of the run that stands for its case; the first when omitted.
            formats: `gif`, `mp4` or both; an MP4 needs the program ffmpeg.

        Raises:
            FathomError: If no run is finished, no surfaces were recorded, no case is left, a format
                is unknown or cannot be written, or a file is there that is no animation of the same
                run.
        """
        from fathom.api.animations import write_animations

        if self.num_runs == len(self.missing):
            raise FathomError(f"{self.folder}: no run is finished yet; nothing to animate")
        folder = self.folder / "animations" if to is None else Path(to)
        return write_animations(
            self.frames, folder, only=only, replicate=replicate, formats=formats
        )

    def export_csv(self, to: str | PathLike[str] | None = None) -> Path:
        """Write the classic layout: `runs.csv`, and `logs/<run>/metrics.csv` with every layer.

        Where scores were recorded, `metrics.csv` and `class_metrics.csv`, too; where units were,
        `units.csv` and `unit_lives.csv`.

        Args:
            to: Folder; `csv` in the results folder when omitted.

        Returns:
            The folder.

        Raises:
            FathomError: If a file cannot be written.
        """
        from fathom.api.export import write_csv

        runs = self.runs.join(self.verdicts, on="run_id", how="left")
        further = {"metrics": self.metrics, "class_metrics": self.class_metrics}
        further |= {"units": self.units, "unit_lives": lives(self.units)}
        folder = self.folder / "csv" if to is None else Path(to)
        return write_csv(runs, self.frames, folder, further=further)

    def weights(self, run: str, which: Which = "best") -> dict[str, Tensor]:
        """Return a run's weights.

        Args:
            run: Name or id.
            which: Of the best epoch (by the validation metric) or the last.

        Returns:
            `layers.<l>.weight [O, I]` and `layers.<l>.bias [O]`; where layers are normalised also
            `norms.<l>.weight [O]`, `norms.<l>.bias [O]` and, of `batch_norm`,
            `norms.<l>.running_mean [O]` and `norms.<l>.running_var [O]`.

        Raises:
            FathomError: If there is no such run or its weights were not kept.
        """
        row = self._row(run)
        # The best weights are not kept twice where the last epoch was the best.
        if which == "best" and row["best_epoch"] == row["epochs_run"]:
            which = "last"
        return self._store.weights(row["run_id"], which)

    def network(self, run: str, which: Which = "best") -> nn.Module:
        """Rebuild a run's network in evaluation mode: `[B, I]` scaled inputs to `[B, K]` logits.

        Args:
            run: Name or id.
            which: Weights of the best epoch or the last.

        Raises:
            FathomError: If there is no such run, its weights were not kept, or an activation is
                unknown here.
        """
        tensors = self.weights(run, which)
        row = self._row(run)
        config = self._configs[row["run_id"]]
        model = read_model(config["model"])
        changed = changed_code(model)
        if changed is not None:
            raise FathomError(
                f"{changed}: its code is not what it was when the run was trained, and with these "
                "weights it would be another network; bring that code back"
            )
        if is_mlp(model):  # an earlier version did not record the shape of samples
            shape = [tensors["layers.0.weight"].shape[1]]
            num_classes = len(tensors[f"layers.{model.depth}.bias"])
        else:
            shape = [int(side) for side in row["sample_shape"].split("x")]
            num_classes = row["num_classes"]
        dtype = dtype_of(config["precision"])
        seeds = (config["study_seed"], config["seed"])
        return rebuilt_network(model, tensors, shape, num_classes, dtype, seeds=seeds)

    @cached_property
    def _description(self) -> Any:  # noqa: ANN401 - JSON
        return read_description(self._text("runs.json"))

    def _text(self, name: str) -> str:
        text = self._store.read_text(name)
        if text is None:
            raise StoreError(
                f"{self.folder / name}: is missing or damaged; running the study writes it anew"
            )
        return text

    def _row(self, run: str) -> dict[str, Any]:
        rows = self.frames.runs.filter((pl.col("run_id") == run) | (pl.col("name") == run))
        if rows.is_empty():
            near = suggestion(run, [*self.frames.runs["name"], *self.frames.runs["run_id"]])
            raise FathomError(f"{self.folder}: no finished run '{run[:80]}'.{near}")
        return rows.row(0, named=True)
