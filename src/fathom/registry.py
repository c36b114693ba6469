"""Names to components: the one mechanism behind activations, initializers, losses and the rest.

A component is built by a *factory*: a function whose name is the component's name, whose keyword
parameters are the component's parameters, and whose docstring's first line describes it. A family
file lists its factories in one tuple; the registry is made from these tuples. A `Choice` is the
written form of a component: a name and the parameters that differ from the defaults.
"""

import importlib
import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from numbers import Real
from typing import Any, Generic, TypeVar

from fathom.errors import ComponentError, suggestion

T = TypeVar("T")
_KEYS = frozenset({"name", "code"})  # of a choice's plain form, beside its parameters
Value = bool | int | float | str | None | tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """A component by name, as a study writes it.

    Attributes:
        name: Name in its registry, or an import path `package.module:function`.
        params: Parameters that were given, sorted by name; hashable.
        code: Digest of a user's own function, so that a changed function is another run.
    """

    name: str
    params: tuple[tuple[str, Value], ...] = ()
    code: str = ""

    @property
    def label(self) -> str:
        """The readable form.

        >>> Choice("leaky_relu", (("slope", 0.1),)).label
        'leaky_relu(slope=0.1)'
        """
        if not self.params:
            return self.name
        inside = ", ".join(f"{key}={_text(value)}" for key, value in self.params)
        return f"{self.name}({inside})"

    def to_plain(self) -> str | dict[str, Any]:
        """Return the form that YAML and JSON can hold: a name, or a mapping with `name`."""
        if not self.params and not self.code:
            return self.name
        plain: dict[str, Any] = {"name": self.name}
        plain |= {key: list(v) if isinstance(v, tuple) else v for key, v in self.params}
        return plain | ({"code": self.code} if self.code else {})


def _text(value: Value) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def check_number(
    name: str,
    value: object,
    *,
    minimum: float = -math.inf,
    above: float = -math.inf,
    maximum: float = math.inf,
    below: float = math.inf,
    whole: bool = False,
) -> None:
    """Refuse a parameter that is not a finite number in its range.

    Args:
        name: Name of the parameter, for the message.
        value: What was given.
        minimum: Smallest value that is allowed.
        above: The value must be larger than this.
        maximum: Largest value that is allowed.
        below: The value must be smaller than this.
        whole: Allow integers only.

    Raises:
        ValueError: If the value is not such a number; the text says what is allowed.

    >>> check_number("std", -1.0, minimum=0)
    Traceback (most recent call last):
    ...
    ValueError: std: got -1.0; must be a finite number, >= 0
    """
    number: Any = value
    is_number = isinstance(value, int if whole else Real) and not isinstance(value, bool)
    low, high = max(minimum, -sys.float_info.max), min(maximum, sys.float_info.max)
    if is_number and low <= number <= high and above < number < below:
        return
    bounds = [(">=", minimum), (">", above), ("<=", maximum), ("<", below)]
    parts = [f"{sign} {bound:g}" for sign, bound in bounds if math.isfinite(bound)]
    allowed = ", ".join(["an integer" if whole else "a finite number", *parts])
    raise ValueError(f"{name}: got {str(value)[:40]}; must be {allowed}")


class Registry(Generic[T]):
    """The components of one kind.

    Args:
        kind: Singular noun for messages, such as `activation`.
        factories: One function for each component.
        aliases: Other names of components.
        group: Entry-point group through which installed packages add factories.
        wrap: Turns what an import path or an entry point names (a callable of any form, or a
            record) into a factory, or refuses it; None forbids import paths.
    """

    def __init__(
        self,
        kind: str,
        factories: Iterable[Callable[..., T]],
        *,
        aliases: Mapping[str, str] | None = None,
        group: str | None = None,
        wrap: Callable[[object], Callable[..., T]] | None = None,
    ) -> None:
        self.kind = kind
        self._factories = {factory.__name__: factory for factory in factories}
        self._aliases = dict(aliases or {})
        self._built_in = frozenset({*self._factories, *self._aliases})
        self._coded: dict[tuple[str, str], Callable[..., T]] = {}
        self._group = group
        self._wrap = wrap
        self._allowed: set[str] = set()

    def names(self) -> tuple[str, ...]:
        """Return all names in alphabetic order, those of installed packages included."""
        return tuple(sorted({*self._factories, *self._entry_points()}))

    def canonical(self, name: str) -> str:
        """Resolve an alias; any other text is returned as it is."""
        return self._aliases.get(name, name)

    def add(self, name: str, factory: Callable[..., T], *, code: str = "") -> None:
        """Register a component for this process, replacing one that was added before.

        Args:
            name: Its name.
            factory: What makes it.
            code: Digest of a user's own function. A choice with this digest finds this factory even
                after another function took over the name.

        Raises:
            ComponentError: If the name belongs to a built-in component.
        """
        if self.is_built_in(name):
            raise ComponentError(f"{self.kind} '{name}' is built in; choose another name")
        self._factories[name] = factory
        if code:
            self._coded[name, code] = factory

    def is_built_in(self, name: str) -> bool:
        """Whether a name or an alias is taken by a component that comes with the package."""
        return name in self._built_in

    @property
    def allowed(self) -> tuple[str, ...]:
        """Modules that the user has allowed."""
        return tuple(sorted(self._allowed))

    def allow(self, module: str) -> None:
        """Let import paths into `module` be resolved; only a user says this, never a file."""
        self._allowed.add(module)

    def is_foreign(self, name: str) -> bool:
        """Whether a name leads to code of others: an import path, or from an installed package."""
        name = self.canonical(name)
        return ":" in name or (name not in self._factories and name in self._entry_points())

    def factory(self, name: str, code: str = "") -> Callable[..., T]:
        """Find the factory of a name, or of one version of a user's own function.

        Raises:
            ComponentError: If nothing has this name; the message suggests the nearest. Or if a
                function of this name is registered with other code only, or one of others cannot
                be used.
        """
        name = self.canonical(name)
        if code and not self.is_foreign(name):
            return self._version(name, code)
        if name in self._factories:
            return self._factories[name]
        if ":" in name and self._wrap is not None:
            return self._taken(name, self._import(name))
        installed = self._entry_points()
        if name in installed:
            return self._taken(name, self._load(installed[name]))
        known = self.names()
        raise ComponentError(
            f"unknown {self.kind} '{name[:80]}'.{suggestion(name, [*known, *self._aliases])} "
            f"Known: {', '.join(known)}"
        )

    def parameters(self, name: str) -> Mapping[str, inspect.Parameter]:
        """Return the parameters of a component with their defaults and annotations.

        Raises:
            ComponentError: If nothing has this name.
        """
        return inspect.signature(self.factory(name), eval_str=True).parameters

    def describe(self, name: str) -> str:
        """Return the first line of a component's description; a user's own may have none.

        Raises:
            ComponentError: If nothing has this name.
        """
        text = inspect.getdoc(self.factory(name)) or f"A user's own {self.kind}."
        return text.partition("\n")[0]

    def build(self, choice: Choice) -> T:
        """Make the component that a choice names.

        Raises:
            ComponentError: If the name or a parameter is unknown, or a value is not allowed.
        """
        factory = self.factory(choice.name, choice.code)
        known = inspect.signature(factory, eval_str=True).parameters
        for key, _ in choice.params:
            if key not in known:
                allowed = ", ".join(known) or "none"
                raise ComponentError(
                    f"{self.kind} '{choice.name}' has no parameter '{key}'."
                    f"{suggestion(key, known)} Its parameters: {allowed}"
                )
        try:
            return factory(**dict(choice.params))
        except (TypeError, ValueError) as error:
            raise ComponentError(f"{self.kind} '{choice.name}': {error}") from error

    def _version(self, name: str, code: str) -> Callable[..., T]:
        if (name, code) not in self._coded:
            raise ComponentError(
                f"{self.kind} '{name[:80]}' is a function of your own, which this process does not "
                f"know with the code {code[:16]}; register the function as it was then"
            )
        return self._coded[name, code]

    def _entry_points(self) -> dict[str, EntryPoint]:
        if self._group is None:
            return {}
        return {point.name: point for point in entry_points(group=self._group)}

    def _taken(self, name: str, found: Any) -> Callable[..., T]:  # noqa: ANN401 - whatever it is
        """Make what others wrote a factory.

        Raises:
            ComponentError: If it has a parameter that a study could not write.
        """
        factory: Callable[..., T] = found if self._wrap is None else self._wrap(found)
        for key in inspect.signature(factory).parameters:
            if key in _KEYS:
                raise ComponentError(
                    f"{self.kind} '{name}' has a parameter called '{key}', which in a study stands "
                    "for something else; give the parameter another name"
                )
        return factory

    def _load(self, point: EntryPoint) -> object:
        try:
            return point.load()
        except Exception as error:
            raise ComponentError(
                f"{self.kind} '{point.name}' of an installed package: cannot load {point.value}: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _import(self, path: str) -> object:
        module_name, _, attribute = path.partition(":")
        if module_name not in self._allowed:
            raise ComponentError(
                f"{self.kind} '{path}' would import '{module_name}', which you have not allowed. "
                f"If you trust it, add --allow {module_name} (from Python: fathom.allow)"
            )
        try:
            module = importlib.import_module(module_name)
        except Exception as error:  # whatever a user's module does when it runs
            raise ComponentError(
                f"{self.kind} '{path}': cannot import: {type(error).__name__}: {error}"
            ) from error
        found = getattr(module, attribute, None)
        # Its own module is checked too: a re-exported function must not reach past the list.
        elsewhere = callable(found) and getattr(found, "__module__", None) not in self._allowed
        if found is None or elsewhere:
            raise ComponentError(
                f"{self.kind} '{path}': '{attribute}' is not a function defined in '{module_name}'"
            )
        return found
