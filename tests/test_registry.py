"""Names to components: building, refusing, suggesting, extending."""

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import fathom.registry
from fathom.errors import ComponentError
from fathom.registry import Choice, Registry, check_number


def circle(radius: float = 1.0, closed: bool = True) -> str:
    """Draw a circle.

    Not the first line.
    """
    if radius < 0:
        raise ValueError(f"radius: got {radius}; must be >= 0")
    return f"circle {radius} {closed}"


def square(side: float) -> str:
    """Draw a square."""
    return f"square {side + 0}"


@pytest.fixture
def shapes() -> Registry[str]:
    return Registry("shape", (circle, square), aliases={"disc": "circle"}, group="fathom.shapes")


def test_a_choice_is_built_with_its_parameters(shapes: Registry[str]) -> None:
    assert shapes.build(Choice("circle")) == "circle 1.0 True"
    assert shapes.build(Choice("disc", (("radius", 2.0),))) == "circle 2.0 True"


def test_names_parameters_and_descriptions(shapes: Registry[str]) -> None:
    assert shapes.names() == ("circle", "square")
    assert shapes.canonical("disc") == "circle"
    assert shapes.canonical("nothing") == "nothing"
    assert shapes.parameters("disc")["radius"].annotation is float
    assert shapes.describe("circle") == "Draw a circle."


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            Choice("circel"),
            r"^unknown shape 'circel'\. Did you mean 'circle'\? Known: circle, square$",
        ),
        (Choice("dics"), "Did you mean 'disc'"),
        (Choice("hexagon"), r"^unknown shape 'hexagon'\. Known: circle, square$"),
        (Choice("x" * 500), f"unknown shape '{'x' * 80}'"),
        (
            Choice("disc", (("radios", 1.0),)),
            r"shape 'disc' has no parameter 'radios'\. Did you mean 'radius'\? "
            "Its parameters: radius, closed",
        ),
        (Choice("circle", (("radius", -1.0),)), "^shape 'circle': radius: got -1.0; must be >= 0$"),
        (Choice("square"), "^shape 'square': .*missing 1 required .*'side'"),
        (Choice("square", (("side", "long"),)), "^shape 'square': can only concatenate str"),
        (Choice("module:function"), "unknown shape 'module:function'"),
    ],
)
def test_what_cannot_be_built_is_told(shapes: Registry[str], choice: Choice, message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        shapes.build(choice)


def test_added_components_may_be_replaced_but_built_in_ones_not(shapes: Registry[str]) -> None:
    shapes.add("dot", lambda: "small dot")
    shapes.add("dot", lambda: "large dot")
    assert shapes.build(Choice("dot")) == "large dot"
    assert "dot" in shapes.names()
    for name in ("circle", "disc"):
        with pytest.raises(ComponentError, match=f"shape '{name}' is built in; choose another"):
            shapes.add(name, lambda: "mine")
    assert shapes.build(Choice("circle")) == "circle 1.0 True"


def test_a_choice_with_code_finds_its_own_version(shapes: Registry[str]) -> None:
    shapes.add("dot", lambda: "small dot", code="aa")
    shapes.add("dot", lambda: "large dot", code="bb")
    assert shapes.build(Choice("dot", code="aa")) == "small dot"
    assert shapes.build(Choice("dot", code="bb")) == "large dot"
    with pytest.raises(ComponentError, match=r"'dot' is a function of your own.*code cc"):
        shapes.build(Choice("dot", code="cc"))


# Choices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "label", "plain"),
    [
        (Choice("relu"), "relu", "relu"),
        (
            Choice("spline", (("knots", (-1, 0.5)), ("open", None))),
            "spline(knots=[-1, 0.5], open=None)",
            {"name": "spline", "knots": [-1, 0.5], "open": None},
        ),
        (Choice("mine", code="ab"), "mine", {"name": "mine", "code": "ab"}),
    ],
)
def test_choices_have_a_readable_and_a_plain_form(
    choice: Choice, label: str, plain: object
) -> None:
    assert choice.label == label
    assert choice.to_plain() == plain
    assert len({choice, Choice(choice.name, choice.params, choice.code)}) == 1


# Installed packages ----------------------------------------------------------------------------


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that a package with these entry points is installed."""

    def pretend(**points: str) -> None:
        found = [EntryPoint(name, value, "fathom.shapes") for name, value in points.items()]
        monkeypatch.setattr(
            fathom.registry, "entry_points", lambda group: found if "shapes" in group else []
        )

    return pretend


def test_installed_components_join(shapes: Registry[str], install: Callable[..., None]) -> None:
    install(joined="os.path:join", circle="os.path:join", broken="no.such.module:shape")
    assert shapes.names() == ("broken", "circle", "joined", "square")
    assert shapes.factory("joined")("a", "b") == str(Path("a") / "b")
    assert shapes.build(Choice("circle")) == "circle 1.0 True"  # built-in names win
    with pytest.raises(
        ComponentError, match=r"'broken' of an installed package: cannot load no\.su"
    ):
        shapes.build(Choice("broken"))


def test_what_is_foreign_passes_through_wrap(install: Callable[..., None]) -> None:
    install(joined="os.path:join")
    shapes: Registry[str] = Registry(
        "shape", (circle,), group="fathom.shapes", wrap=lambda found: lambda: f"wrapped {found!r}"
    )
    assert shapes.build(Choice("joined")).startswith("wrapped <function join")
    with pytest.raises(
        ComponentError, match=r"would import 'os\.path', which you have not allowed"
    ):
        shapes.build(Choice("os.path:join"))
    shapes.allow("posixpath")
    assert shapes.build(Choice("posixpath:join")).startswith("wrapped <function join")
    assert shapes.build(Choice("posixpath:sep")) == "wrapped '/'"
    with pytest.raises(
        ComponentError, match=r"'genericpath\.exists' is not a function defined in 'posi"
    ):
        shapes.build(Choice("posixpath:genericpath.exists"))
    with pytest.raises(ComponentError, match="'commonprefix' is not a function defined in 'posi"):
        shapes.build(Choice("posixpath:commonprefix"))  # it comes from another module


def test_what_is_foreign_is_told_from_what_is_ours(install: Callable[..., None]) -> None:
    install(joined="os.path:join", circle="os.path:join", disc="os.path:join")
    shapes = Registry("shape", (circle,), aliases={"disc": "circle"}, group="fathom.shapes")
    shapes.add("dot", lambda: "dot")
    names = ("circle", "disc", "dot", "none", "joined", "a:b")
    assert [name for name in names if shapes.is_foreign(name)] == ["joined", "a:b"]
    assert shapes.factory("joined", "a digest")("a", "b") == str(Path("a") / "b")


def by_name(size: float = 1.0, name: str = "x") -> str:
    return f"{name} {size}"


def by_code(code: int = 3) -> str:
    return f"{code}"


@pytest.mark.parametrize(("function", "key"), [("by_name", "name"), ("by_code", "code")])
def test_parameters_that_a_study_could_not_write_are_refused(
    install: Callable[..., None], function: str, key: str
) -> None:
    install(point=f"{__name__}:{function}")
    shapes: Registry[str] = Registry(
        "shape",
        (),
        group="fathom.shapes",
        wrap=lambda found: found,  # type: ignore[arg-type,return-value]
    )
    shapes.allow(__name__)
    for name in ("point", f"{__name__}:{function}"):
        with pytest.raises(
            ComponentError, match=f"'{name}' has a parameter called '{key}'.*another"
        ):
            shapes.build(Choice(name))


# Numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 0.5, 1, 1.0])
def test_numbers_in_range_pass(value: float) -> None:
    check_number("share", value, minimum=0, maximum=1)


@pytest.mark.parametrize(
    ("value", "limits", "message"),
    [
        (
            1.5,
            {"minimum": 0, "maximum": 1},
            "^share: got 1.5; must be a finite number, >= 0, <= 1$",
        ),
        (0, {"above": 0}, "must be a finite number, > 0$"),
        (2.0, {"whole": True}, "must be an integer$"),
        (True, {}, "got True; must be a finite number$"),
        ("1", {}, "got 1; must be a finite number"),
        (None, {}, "got None"),
        (float("inf"), {}, "got inf"),
        (float("nan"), {}, "got nan"),
        (10**400, {}, "got 1000"),
    ],
)
def test_other_numbers_are_refused(value: object, limits: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_number("share", value, **limits)  # type: ignore[arg-type]
