"""The verbs that tell what there is: list, schema."""

import importlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fathom.cli.options import Json
from fathom.errors import FathomError, suggestion

if TYPE_CHECKING:
    from fathom.registry import Registry

Row = dict[str, Any]

REQUIRED: Final = "required"
_REGISTRIES: Final = {
    "activations": ("fathom.activations", "ACTIVATIONS"),
    "initializers": ("fathom.initializers", "INITIALIZERS"),
    "losses": ("fathom.losses", "LOSSES"),
    "optimizers": ("fathom.optimizers", "OPTIMIZERS"),
    "schedules": ("fathom.schedules", "SCHEDULES"),
    "datasets": ("fathom.data.datasets", "DATASETS"),
}
SCALE_CLASSES: Final = 10
SCALE_NOTE: Final = (
    f"gradient_scale: length of dE/dlogits of one sample at logits that are all 0, {SCALE_CLASSES} "
    "classes. At one rate SGD's first steps differ by times_cross_entropy."
)
KINDS: Final = (*_REGISTRIES, "models", "studies", "figures")


def list_components(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=", ".join(KINDS))],
    json_: Json = False,
) -> None:
    """List activations, initializers, ... with their parameters.

    Raises:
        FathomError: If there is no such kind.
    """
    if kind not in KINDS:
        near = suggestion(kind, KINDS)
        raise FathomError(f"list: unknown kind '{kind[:80]}'.{near} Known: {', '.join(KINDS)}")
    rows = rows_of(kind)
    if json_:
        print(json.dumps({kind: rows}, default=str))
        return
    from fathom.cli.tables import print_catalogue

    print_catalogue(rows, notes=(SCALE_NOTE,) if kind == "losses" else ())


def schema() -> None:
    """Print the JSON schema of study files, for editors."""
    from fathom.spec.schema import study_schema

    print(json.dumps(study_schema(), indent=2))


def rows_of(kind: str) -> list[Row]:
    """Return name, parameters with defaults and description of everything of a kind."""
    special = {
        "losses": _losses,
        "models": _models,
        "studies": _studies,
        "figures": _figures,
    }
    if kind in special:
        return special[kind]()
    return _components(kind)


def _components(kind: str) -> list[Row]:
    module, name = _REGISTRIES[kind]
    registry: Registry[Any] = getattr(importlib.import_module(module), name)
    return [_component(registry, name) for name in registry.names()]


def _component(registry: "Registry[Any]", name: str) -> Row:
    parameters = {
        key: REQUIRED if parameter.default is parameter.empty else parameter.default
        for key, parameter in registry.parameters(name).items()
    }
    return {"name": name, "parameters": parameters, "text": registry.describe(name)}


def _losses() -> list[Row]:
    """Say of every loss as it is by default how far it steps; None where it has no default."""
    from fathom.losses import LOSSES, loss_step
    from fathom.registry import Choice

    rows = _components("losses")
    for row in rows:
        row |= dict.fromkeys(("gradient_scale", "times_cross_entropy"))
        if REQUIRED not in row["parameters"].values():
            loss = LOSSES.build(Choice(row["name"]))
            step = loss_step(row["name"], loss, SCALE_CLASSES, "sgd", 1.0)
            row |= {"gradient_scale": step.scale, "times_cross_entropy": step.ratio}
    return rows


def _models() -> list[Row]:
    """List the architectures; an mlp's parameters are settings of the study."""
    from fathom.architectures import ARCHITECTURES
    from fathom.spec.settings import ModelSettings

    fields = {key: f for key, f in ModelSettings.model_fields.items() if key != "name"}
    axes = {key: list(field.default) for key, field in fields.items()}
    settings = {key: values[0] if len(values) == 1 else values for key, values in axes.items()}
    rows = [_component(ARCHITECTURES, name) for name in ARCHITECTURES.names()]
    return [row | {"parameters": settings} if row["name"] == "mlp" else row for row in rows]


def _studies() -> list[Row]:
    from fathom.spec.load import builtin_studies

    return [{"name": n, "parameters": {}, "text": t} for n, t in builtin_studies().items()]


def _figures() -> list[Row]:
    from fathom.figures import FIGURES

    return [
        {"name": f.name, "parameters": dict.fromkeys(f.options), "text": f.description}
        for f in FIGURES.values()
    ]
