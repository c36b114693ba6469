"""The verbs that compute and train nothing: predict, gain, activation."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fathom.cli.options import Allow, Json
from fathom.cli.run import allow_modules, own_output_only
from fathom.errors import FathomError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WRITTEN = "a name, MODULE:FUNCTION with --allow, or '{name: leaky_relu, slope: 0.1}'"
ActivationName = Annotated[str, typer.Argument(metavar="ACTIVATION", help=_WRITTEN)]
Picture = Annotated[
    Path | None,
    typer.Option("--picture", metavar="FILE", help="Also draw it: a .png, .svg or .pdf file."),
]


def predict(
    activation: Annotated[str, typer.Option("--activation", "-a", help=_WRITTEN)],
    init: Annotated[str, typer.Option("--init", "-i", help="An initializer.")] = "he_normal",
    depth: Annotated[int, typer.Option("--depth", "-d", help="Hidden layers.")] = 50,
    width: Annotated[int, typer.Option("--width", "-w", help="Units of each.")] = 128,
    num_features: Annotated[
        int | None,
        typer.Option("--features", help="Entries of an input; as many as units if left out."),
    ] = None,
    num_classes: Annotated[int, typer.Option("--classes", help="Of the data.")] = 10,
    input_mean_square: Annotated[
        float, typer.Option("--input-square", help="Mean square of the inputs' entries.")
    ] = 1.0,
    input_cosine: Annotated[
        float, typer.Option("--input-cosine", help="Mean cosine between two inputs.")
    ] = 0.0,
    allow: Allow = None,
    picture: Picture = None,
    json_: Json = False,
) -> None:
    """Predict whether a network can be trained, and say why; nothing is trained."""
    from fathom import api

    allow_modules(allow)
    with own_output_only(json_):
        found = api.predict(
            _written("activation", activation),
            _written("init", init),
            depth=depth,
            width=width,
            num_features=num_features,
            num_classes=num_classes,
            input_mean_square=input_mean_square,
            input_cosine=input_cosine,
        )
    if picture is not None:
        _save(found.figure(), picture)
    if json_:
        print(json.dumps(found.to_plain()))
        return
    from fathom.cli.theory_tables import print_prediction

    print_prediction(found)


def gain(
    activation: ActivationName,
    bias_variance: Annotated[
        float, typer.Option("--bias-variance", help="Wanted variance of the biases.")
    ] = 0.05,
    allow: Allow = None,
    json_: Json = False,
) -> None:
    """Tell the initialisation that keeps signal and gradient, or why there is none."""
    from fathom import api

    allow_modules(allow)
    with own_output_only(json_):
        found = api.gain(_written("activation", activation), bias_variance=bias_variance)
    print(json.dumps(found.to_plain()) if json_ else found)


def activation(
    activation: ActivationName,
    allow: Allow = None,
    picture: Picture = None,
    json_: Json = False,
) -> None:
    """Examine an activation: shape, moments, gains, faults at the edges, gradient, speed."""
    from fathom import api

    allow_modules(allow)
    with own_output_only(json_):
        found = api.examine(_written("activation", activation))
    if picture is not None:
        _save(found.figure(), picture)
    print(json.dumps(found.to_plain()) if json_ else found)


def _written(key: str, text: str) -> Any:  # noqa: ANN401 - whatever a study may say there
    """Read what a study file would have behind a key: a name or a mapping."""
    from fathom.spec.reader import read_yaml

    return read_yaml(text, f"--{key}", path=key, places=False).plain()


def _save(figure: "Figure", path: Path) -> None:
    """Draw a figure into a file.

    Raises:
        FathomError: If the name has no known ending, or the file cannot be written.
    """
    from fathom.figures.draw import FORMATS, save

    ending = path.suffix.removeprefix(".").lower()
    if not path.absolute().parent.is_dir():
        raise FathomError(f"--picture {path}: there is no folder {path.parent}; make it first")
    if ending not in FORMATS:
        raise FathomError(
            f"--picture {path}: must end in one of {', '.join('.' + name for name in FORMATS)}"
        )
    save(figure, path)
