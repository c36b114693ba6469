"""The verbs that compute and train nothing: predict, gain, activation."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fathom.cli.options import Allow, Json
from fathom.cli.pictures import check_picture, save_picture
from fathom.cli.run import allow_modules, own_output_only
from fathom.errors import FathomError

_WRITTEN = "a name, MODULE:FUNCTION with --allow, or '{name: leaky_relu, slope: 0.1}'"
ActivationName = Annotated[
    str | None, typer.Argument(metavar="ACTIVATION", help=_WRITTEN, show_default=False)
]
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

    if picture is not None:
        check_picture(picture, "--picture")
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
        save_picture(found.figure(), picture)
    if json_:
        print(json.dumps(found.to_plain()))
        return
    from fathom.cli.theory_tables import print_prediction

    print_prediction(found)


def gain(
    activation: ActivationName = None,
    option: Annotated[
        str | None, typer.Option("--activation", "-a", help="The same, as `predict` takes it.")
    ] = None,
    bias_variance: Annotated[
        float, typer.Option("--bias-variance", help="Wanted variance of the biases.")
    ] = 0.05,
    allow: Allow = None,
    json_: Json = False,
) -> None:
    """Tell the initialisation that keeps signal and gradient, or why there is none.

    Raises:
        FathomError: If there is no activation, or two.
    """
    from fathom import api

    if (activation is None) == (option is None):
        raise FathomError("gain: give one activation: fathom gain gelu, or --activation gelu")
    allow_modules(allow)
    with own_output_only(json_):
        found = api.gain(_written("activation", activation or option), bias_variance=bias_variance)
    print(json.dumps(found.to_plain()) if json_ else found)


def activation(
    activations: Annotated[list[str], typer.Argument(metavar="ACTIVATION...", help=_WRITTEN)],
    allow: Allow = None,
    picture: Picture = None,
    grid: Annotated[
        Path | None,
        typer.Option(
            "--grid",
            metavar="FILE",
            help="Only draw the curves of one or several, side by side: a .png, .svg or .pdf file.",
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Examine an activation: shape, moments, gains, faults at the edges, gradient, speed.

    With --grid, draw several.

    Raises:
        FathomError: If there are several and no --grid, or both --grid and --picture.
    """
    allow_modules(allow)
    if grid is not None:
        _draw_grid(activations, grid, picture, json_)
        return
    if len(activations) > 1:
        raise FathomError(
            f"activation: got {len(activations)} activations; one is examined at a time, and "
            "several are drawn side by side with --grid FILE"
        )
    from fathom import api

    if picture is not None:
        check_picture(picture, "--picture")
    with own_output_only(json_):
        found = api.examine(_written("activation", activations[0]))
    if picture is not None:
        save_picture(found.figure(), picture)
    print(json.dumps(found.to_plain()) if json_ else found)


def _draw_grid(activations: list[str], grid: Path, picture: Path | None, json_: bool) -> None:
    if picture is not None:
        raise FathomError("activation: --grid and --picture are two pictures; give one of them")
    from fathom import api

    check_picture(grid, "--grid")
    with own_output_only(json_):
        figure = api.draw_activations([_written("activation", text) for text in activations])
    save_picture(figure, grid)
    print(json.dumps({"grid": str(grid)}) if json_ else grid)


def _written(key: str, text: str | None) -> Any:  # noqa: ANN401 - whatever a study may say there
    """Read what a study file would have behind a key: a name or a mapping."""
    from fathom.spec.reader import read_yaml

    return read_yaml(text or "", f"--{key}", path=key, places=False).plain()
