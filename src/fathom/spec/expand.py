"""From a study to its runs: the product of all axes, less what is excluded, plus overrides."""

import functools
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from fathom.activations import ACTIVATIONS
from fathom.architectures import ARCHITECTURES, is_mlp
from fathom.data.config import DataConfig, Source
from fathom.data.datasets import DATASETS, needs_path, takers
from fathom.errors import ComponentError
from fathom.initializers import INITIALIZERS, layer_initializers
from fathom.losses import LOSSES
from fathom.optimizers import OPTIMIZERS
from fathom.registry import Choice, Registry
from fathom.schedules import SCHEDULES
from fathom.spec.checks import Fault, Wrong, refuse
from fathom.spec.grid import PLANE, ModelConfig, RecordConfig, Run, TrainConfig
from fathom.spec.keys import own_name
from fathom.spec.model import StudyModel
from fathom.spec.names import labels, run_names
from fathom.spec.nodes import MAX_PROBLEMS, Plain, listed
from fathom.spec.rules import Cell, Condition, meant_values

MAX_RUNS: Final = 100_000

# Settings whose components engine reference has of its own, beside activations.
_WRITTEN_BY_HAND: Final[dict[str, Registry[Any]]] = {
    "loss": LOSSES,
    "train.optimizer": OPTIMIZERS,
    "train.schedule": SCHEDULES,
}


def expand(study: StudyModel, allow_runs: int | None = None) -> tuple[Run, ...]:
    """Make all runs of a study: cells in the order of their axes, replicates innermost.

    Args:
        study: The study.
        allow_runs: Largest number of runs that the user agreed to, when more than 100,000.

    Returns:
        The runs; equal activations are neighbours.

    Raises:
        Wrong: If there are none or too many, or two are the same, or one makes no sense.
    """
    _check_size(study, allow_runs)
    cells = list(_cells(study))
    if not cells:
        refuse("leaves no run of the grid", ("exclude",))
    faults = dict.fromkeys(fault for cell in cells for fault in _faults(study, cell))
    if faults:
        raise Wrong(itertools.islice(faults, MAX_PROBLEMS))
    varying = _varying(study)
    runs = [
        _run(study, cell, seed, tuple((path, texts[cell[path]]) for path, texts in varying.items()))
        for cell in cells
        for seed in study.replicates
    ]
    return _named(study, runs)


def _check_size(study: StudyModel, allow_runs: int | None) -> None:
    count = study.num_grid_runs
    if count <= max(MAX_RUNS, allow_runs or 0):
        return
    lengths = {path: len(values) for path, values in study.axes().items()}
    lengths["seeds"] = len(study.replicates)
    sizes = listed(f"{path}: {length:,}" for path, length in lengths.items() if length > 1)
    refuse(
        f"the grid has {count:,} runs ({sizes}); more than {MAX_RUNS:,} need your word "
        f"for it: add --yes-run {count} (from Python: allow_runs={count})"
    )


def _cells(study: StudyModel) -> Iterator[Cell]:
    axes = study.axes()
    excluded = [_meant(condition, axes) for condition in study.exclude]
    overrides = [(_meant(rule.where, axes), rule.set) for rule in study.overrides]
    for values in itertools.product(*axes.values()):
        cell = dict(zip(axes, values, strict=True))
        if any(_matches(meant, cell) for meant in excluded):
            continue
        settings = [new for meant, new in overrides if _matches(meant, cell)]
        for new in settings:
            cell.update(new)
        yield cell


def _meant(condition: Condition, axes: dict[str, tuple[Plain, ...]]) -> dict[str, frozenset[Plain]]:
    return {path: meant_values(path, wanted, axes[path]) for path, wanted in condition.items()}


def _matches(meant: dict[str, frozenset[Plain]], cell: Cell) -> bool:
    return all(cell[path] in values for path, values in meant.items())


def _varying(study: StudyModel) -> dict[str, dict[Plain, str]]:
    """Return the settings in which runs differ, each with the readable form of its values."""
    found = {}
    for path, values in study.axes().items():
        new = [rule.set[path] for rule in study.overrides if path in rule.set]
        if len(values) > 1 or new:
            found[path] = labels(path, [*values, *new])
    return found


def _hidden(cell: Cell) -> tuple[int, ...]:
    """Return the widths of an mlp's hidden layers; none of another architecture."""
    if not is_mlp(cell["model.name"]):
        return ()
    hidden: tuple[int, ...] | None = cell.get("model.hidden")
    return (cell["model.width"],) * cell["model.depth"] if hidden is None else hidden


def _faults(study: StudyModel, cell: Cell) -> Iterator[Fault]:
    """Find what is wrong with one run: combinations that the axes allow but training does not."""
    activation, depth = cell["activation"], len(_hidden(cell))
    if not is_mlp(cell["model.name"]):
        yield from _no_mlp(study, cell)
    elif isinstance(activation, tuple) and len(activation) != depth:
        message = f"per_layer names {len(activation)} activations for {depth} hidden layers"
        yield ("activation",), message
    if cell["train.patience"] is not None and cell["data.protocol"] == "train_test":
        message = "needs a validation part, which data.protocol train_test does not have"
        yield ("train", "patience"), message
    what = needs_path(cell["data.name"])
    if what and study.data.path is None:
        yield ("data", "path"), f"data set '{cell['data.name']}' needs data.path, {what}"
    if study.record.surfaces is not None:
        yield from _no_plane(cell["data.name"])
    phis = {*activation} if isinstance(activation, tuple) else {activation}
    if depth == 0 and INITIALIZERS.build(cell["init"]).for_activation is not None:
        message = (
            f"'{cell['init'].name}' follows the activation of a hidden layer, and hidden: [] has "
            "none; use another, such as torch_default"
        )
        yield ("init",), message
    for choice in phis if depth else ():
        message = _obstacle(cell["init"], choice)
        if message:
            yield ("init",), message
    if study.engine == "reference":
        yield from _not_by_hand(phis, cell)


def _no_plane(name: str) -> Iterator[Fault]:
    """Find data that a decision surface cannot lie over, where their size is known beforehand."""
    extent = DATASETS.build(Choice(name)).extent
    if extent is not None and extent.num_features != PLANE:
        message = (
            f"needs data of two features, and a sample of '{name}' has {extent.num_features:,}; "
            "leave it out, or use data such as half_moons"
        )
        yield ("record", "surfaces"), message


def _no_mlp(study: StudyModel, cell: Cell) -> Iterator[Fault]:
    """Find what image networks cannot have."""
    name = cell["model.name"].name
    if study.engine != "single":
        message = f"engine {study.engine} trains mlp alone; for {name} set engine: single"
        yield ("engine",), message
    if isinstance(cell["activation"], tuple):
        yield ("activation",), f"per_layer is for mlp; give {name} one activation"
    elif ACTIVATIONS.build(cell["activation"]).order is not None:
        moves = f"{cell['activation'].name} moves a layer's units, which an mlp alone does here"
        yield ("activation",), f"{moves}; give {name} an elementwise activation"
    for key in ("norm", "skip"):
        if cell[f"model.{key}"] != "none":
            known = ARCHITECTURES.parameters(name)
            way = f"write name: {{name: {name}, norm: ...}}" if key in known else f"{name} has none"
            yield ("model", key), f"model.{key} is for mlp; {way}"


def _not_by_hand(activations: Iterable[Choice], cell: Cell) -> Iterator[Fault]:
    """Find what engine reference cannot have: whatever did not come with the package."""
    chosen = [("activation", ACTIVATIONS, phi) for phi in activations]
    chosen += [(path, registry, cell[path]) for path, registry in _WRITTEN_BY_HAND.items()]
    for path, registry, choice in chosen:
        if not registry.is_built_in(choice.name):
            message = (
                f"{registry.kind} '{choice.name}' is not built in, and engine reference has those "
                "alone, written by hand; use engine: single"
            )
            yield tuple(path.split(".")), message


@functools.lru_cache(maxsize=1024)
def _obstacle(init: Choice, activation: Choice) -> str:
    """Say why an initializer has no weights for an activation; empty if it has."""
    try:
        layer_initializers(INITIALIZERS.build(init), [ACTIVATIONS.build(activation)])
    except ComponentError as error:
        return str(error)
    return ""


def _run(study: StudyModel, cell: Cell, seed: int, written: tuple[tuple[str, str], ...]) -> Run:
    hidden, activation = _hidden(cell), cell["activation"]
    times = len(hidden) if is_mlp(cell["model.name"]) else 1
    per_layer = activation if isinstance(activation, tuple) else (activation,) * times
    data, train = _part(cell, "data"), _part(cell, "train")
    return Run(
        name="",
        seed=seed,
        study_seed=study.seed,
        engine=study.engine,
        precision=study.precision,
        data=DataConfig(
            test_share=study.data.test_share,
            **data,
            **_source(study, data["name"]),
        ),
        model=ModelConfig(
            name=cell["model.name"],
            hidden=hidden,
            activation=per_layer,
            init=cell["init"],
            norm=cell["model.norm"],
            skip=cell["model.skip"],
        ),
        loss=cell["loss"],
        train=TrainConfig(monitor=study.train.monitor, drop_last=study.train.drop_last, **train),
        record=RecordConfig(
            probe_size=study.record.probe_size,
            histograms=study.record.histograms,
            scores=study.record.scores,
            weights=study.record.weights,
            units=study.record.units,
            surfaces=study.record.surfaces,
        ),
        cell=written,
    )


def _source(study: StudyModel, name: str) -> dict[str, Any]:
    """Return what a data set takes of the settings that only some take."""
    no_source = Source()._asdict()
    return {
        setting: getattr(study.data, setting) if name in takers(setting) else default
        for setting, default in no_source.items()
    }


def _part(cell: Cell, part: str) -> dict[str, Plain]:
    return {own_name(path): v for path, v in cell.items() if path.startswith(f"{part}.")}


def _named(study: StudyModel, runs: list[Run]) -> tuple[Run, ...]:
    """Give every run its name, and refuse runs that are the same."""
    ids = [run.id for run in runs]
    first: dict[str, Run] = {}
    for key, run in zip(ids, runs, strict=True):
        twin = first.setdefault(key, run)
        if twin is not run:
            differ = [a for (a, x), (_, y) in zip(twin.cell, run.cell, strict=True) if x != y]
            place = ("overrides",) if study.overrides else tuple(differ[0].split("."))
            cells = f"({_cell_text(twin)}) and ({_cell_text(run)})"
            why = _why_equal(run, differ)
            refuse(f"the cells {cells} come to the same run{why}; keep one", place)
    names = run_names([run.cell for run in runs], [run.seed for run in runs], ids)
    return tuple(replace(run, name=name) for run, name in zip(runs, names, strict=True))


def _why_equal(run: Run, differ: list[str]) -> str:
    """Say why settings make no difference to a run, where it is a property of its model."""
    if run.model.hidden:
        return ""
    if not is_mlp(run.model.name) and any(path.startswith("model.") for path in differ):
        return f": {run.model.name.name} has no {listed(map(own_name, differ))}"
    return ": without hidden layers there is no activation" if "activation" in differ else ""


def _cell_text(run: Run) -> str:
    return listed(f"{path}: {text}" for path, text in run.cell)
