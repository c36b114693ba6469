"""Names to components: the one mechanism behind activations, initializers, losses and the rest.

A component is built by a *factory*: a function whose name is the component's name, whose keyword
parameters are the component's parameters, and whose docstring's first line describes it. A family file
lists its factories in one tuple; the registry is made from these tuples. A `Choice` is the written
form of a component: a name and the parameters that differ from the defaults.
"""

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from fathom.errors import ComponentError, suggestion

T = TypeVar("T")
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


class Registry(Generic[T]):
    """The components of one kind.

    Args:
        kind: Singular noun for messages, such as `activation`.
        factories: One function for each component.
        aliases: Other names of components.
        group: Entry-point group through which installed packages add factories.
        wrap: Turns what an import path names (any callable) into a factory; None forbids such paths.
    """

    def __init__(
        self,
        kind: str,
        factories: Iterable[Callable[..., T]],
        *,
        aliases: Mapping[str, str] | None = None,
        group: str | None = None,
        wrap: Callable[[Callable[..., Any]], Callable[..., T]] | None = None,
    ) -> None:
        self.kind = kind
        self._factories = {factory.__name__: factory for factory in factories}
        self._aliases = dict(aliases or {})
        self._group = group
        self._wrap = wrap
        self._allowed: set[str] = set()

    def names(self) -> tuple[str, ...]:
        """Return all names in alphabetic order, those of installed packages included."""
        return tuple(sorted({*self._factories, *self._entry_points()}))

    def canonical(self, name: str) -> str:
        """Resolve an alias; any other text is returned as it is."""
        return self._aliases.get(name, name)

    def add(self, name: str, factory: Callable[..., T]) -> None:
        """Register a component for this process, replacing one that was added before.

        Raises:
            ComponentError: If the name belongs to a built-in component.
        """
        known = self._factories.get(name)
        if known is not None and known.__module__.startswith("fathom."):
            raise ComponentError(f"{self.kind} '{name}' is built in; choose another name")
        self._factories[name] = factory

    def allow(self, module: str) -> None:
        """Let import paths into `module` be resolved; only a user says this, never a file."""
        self._allowed.add(module)

    def factory(self, name: str) -> Callable[..., T]:
        """Find the factory of a name.

        Raises:
            ComponentError: If nothing has this name; the message suggests the nearest.
        """
        name = self.canonical(name)
        if name in self._factories:
            return self._factories[name]
        if ":" in name and self._wrap is not None:
            return self._wrap(self._import(name))
        installed = self._entry_points()
        if name in installed:
            return installed[name].load()  # type: ignore[no-any-return]
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
        """Return the first line of a component's description.

        Raises:
            ComponentError: If nothing has this name.
        """
        return (inspect.getdoc(self.factory(name)) or "").partition("\n")[0]

    def build(self, choice: Choice) -> T:
        """Make the component that a choice names.

        Raises:
            ComponentError: If the name or a parameter is unknown, or a value is not allowed.
        """
        known = self.parameters(choice.name)
        for key, _ in choice.params:
            if key not in known:
                allowed = ", ".join(known) or "none"
                raise ComponentError(
                    f"{self.kind} '{choice.name}' has no parameter '{key}'."
                    f"{suggestion(key, known)} Its parameters: {allowed}"
                )
        try:
            return self.factory(choice.name)(**dict(choice.params))
        except (TypeError, ValueError) as error:
            raise ComponentError(f"{self.kind} '{choice.name}': {error}") from error

    def _entry_points(self) -> dict[str, Any]:
        if self._group is None:
            return {}
        return {point.name: point for point in entry_points(group=self._group)}

    def _import(self, path: str) -> Callable[..., Any]:
        module_name, _, attribute = path.partition(":")
        if module_name not in self._allowed:
            raise ComponentError(
                f"{self.kind} '{path}' would import '{module_name}', which you have not allowed. "
                f"If you trust it, add --allow {module_name} (from Python: fathom.allow)"
            )
        try:
            found = getattr(importlib.import_module(module_name), attribute, None)
        except ImportError as error:
            raise ComponentError(f"{self.kind} '{path}': cannot import: {error}") from error
        # The object's own module is checked too: a re-exported name must not reach past the list.
        if not callable(found) or getattr(found, "__module__", None) not in self._allowed:
            raise ComponentError(
                f"{self.kind} '{path}': '{attribute}' is not a function defined in '{module_name}'"
            )
        return found  # type: ignore[no-any-return]
