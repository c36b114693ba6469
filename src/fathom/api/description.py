"""What each run of a study is, written beside its results so that these explain themselves.

A JSON object: `study` is its name, `settings` are the columns in which runs differ, and each of
`runs` has `id`, `name`, `columns` (such as `{"activation": "relu", "depth": 5}`) and `config`,
which holds everything that rebuilds the network.
"""

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

from fathom.plan import Plan
from fathom.registry import Choice
from fathom.spec.grid import ModelConfig, Run, to_plain
from fathom.spec.keys import SHORT, SHORTHANDS, own_name
from fathom.spec.names import labels

_ALWAYS: Final = ("activation", "init", "depth", "loss", "seed")


def describe_runs(study: str, runs: Sequence[Run]) -> str:
    """Write a study's runs as JSON.

    Args:
        study: Its name.
        runs: All of them, in the study's order.
    """
    columns = setting_columns(runs)
    rows = [
        {
            "id": run.id,
            "name": run.name,
            "columns": {name: values[index] for name, values in columns.items()},
            "config": to_plain(run),
        }
        for index, run in enumerate(runs)
    ]
    found = {"study": study, "settings": swept(columns), "runs": rows}
    return json.dumps(found, separators=(",", ":"))


def setting_columns(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Return activation, initializer, depth, replicate and whatever else is swept, by run."""
    paths = list(dict.fromkeys(path for run in runs for path, _ in run.cell))
    return _basic_columns(runs) | {
        column_name(path): [_value(run, path) for run in runs]
        for path in paths
        if column_name(path) not in _ALWAYS
    }


def swept(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """Name the columns in which runs differ."""
    return [name for name, values in columns.items() if len(set(values)) > 1]


def column_name(path: str) -> str:
    """Return the column of a setting: its short name where only one setting has it.

    >>> column_name("train.lr"), column_name("data.name"), column_name("data.seed")
    ('lr', 'data', 'data.seed')
    """
    for part, meant in SHORTHANDS.items():
        if path == meant:
            return part
    return own_name(path) if SHORT.get(own_name(path)) == path else path


def _basic_columns(runs: Sequence[Run]) -> dict[str, list[Any]]:
    return {
        "activation": _labelled("activation", [_activation(run) for run in runs]),
        "init": _labelled("init", [run.model.init for run in runs]),
        "depth": [run.model.depth for run in runs],
        "loss": _labelled("loss", [run.loss for run in runs]),
        "seed": [run.seed for run in runs],
    }


def _labelled(path: str, values: Sequence[Hashable]) -> list[str]:
    texts = labels(path, values)
    return [texts[value] for value in values]


def _activation(run: Run) -> Choice | tuple[Choice, ...]:
    """Return one choice where all layers have the same."""
    layers = run.model.activation
    return layers[0] if len(set(layers)) == 1 else layers


def _value(run: Run, path: str) -> Any:  # noqa: ANN401 - a number where the setting is one
    part, _, name = path.rpartition(".")
    home = getattr(run, part) if part else run
    value = getattr(home, name, None)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else dict(run.cell).get(path, "")


def read_description(text: str) -> Mapping[str, Any]:
    """Read what `describe_runs` wrote; the caller has compared its hash."""
    found: Mapping[str, Any] = json.loads(text)
    return found


def read_model(plain: Mapping[str, Any]) -> ModelConfig:
    """Read a network's settings from a run's `config`."""
    return ModelConfig(
        name=read_choice(plain["name"]),
        hidden=tuple(plain["hidden"]),
        activation=tuple(map(read_choice, plain["activation"])),
        init=read_choice(plain["init"]),
        norm=plain.get("norm", "none"),  # an earlier version knew neither
        skip=plain.get("skip", "none"),
    )


def read_choice(plain: str | Mapping[str, Any]) -> Choice:
    """Read a component from a run's `config`, as `Choice.to_plain` wrote it."""
    if isinstance(plain, str):
        return Choice(plain)
    params = {key: value for key, value in plain.items() if key not in {"name", "code"}}
    known = {key: tuple(v) if isinstance(v, list) else v for key, v in params.items()}
    return Choice(plain["name"], tuple(sorted(known.items())), plain.get("code", ""))


def describe_plan(plan: Plan) -> dict[str, Any]:
    """Return a plan as values that JSON can hold."""
    cohorts = [
        {
            "id": cohort.id,
            "runs": [run.name for run in cohort.runs],
            "run_ids": [run.id for run in cohort.runs],
            "epochs": cohort.epochs,
            "memory_mb": round(cohort.memory_mb, 1),
            "flops_per_epoch": cohort.flops,
            "estimated_s": round(cohort.estimated_s, 2),
            "parameters": cohort.network.parameters,
            "flops_per_sample": cohort.network.flops,
            "activation_mb": round(cohort.network.activation_mb, 3),
        }
        for cohort in plan.cohorts
    ]
    return {
        "num_runs": plan.num_runs,
        "num_cohorts": len(cohorts),
        "workers": plan.workers,
        "memory_mb": round(plan.memory_mb, 1),
        "estimated_s": round(plan.estimated_s, 2),
        "warnings": list(plan.warnings),
        "cohorts": cohorts,
    }


def read_grouping(text: str) -> list[list[str]]:
    """Read from a plan's JSON which runs, by their ids, share a cohort."""
    return [cohort["run_ids"] for cohort in json.loads(text)["cohorts"]]
