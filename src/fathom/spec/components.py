"""Components in a study: names and parameters checked against a registry, parameters swept."""

import itertools
import math
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, Final

from fathom.code_digest import digest_code
from fathom.errors import ComponentError, suggestion
from fathom.registry import Choice, Registry, Value
from fathom.spec.checks import MAX_VALUES, Check, Wrong, collect, refuse
from fathom.spec.nodes import Json, Plain, listed, lookalikes, show
from fathom.spec.parameters import Annotation, convert, schema, takes_list

MAX_LAYERS: Final = 1_000

Chosen = Choice | tuple[Choice, ...]  # one for all layers, or one for each hidden layer


@dataclass(frozen=True)
class Component(Check):
    """A component by name, with parameters that may be lists to sweep over.

    Attributes:
        registry: Where its name is looked up.
        per_layer: Whether `{per_layer: [...]}` may give one for each hidden layer.
    """

    registry: Registry[Any]
    per_layer: bool = False

    def one(self, value: Plain) -> Chosen:
        """Return exactly one choice."""
        if isinstance(value, list):
            refuse(f"got {show(value)}; must be {self._forms()}")
        found = self.many(value)
        if len(found) != 1:
            refuse(f"its parameters make {len(found)} values; only one is possible here")
        return found[0]

    def many(self, value: Plain, *, keep_defaults: bool = False) -> tuple[Chosen, ...]:
        """Return all choices: of a list those of its items, of swept parameters all combinations.

        Args:
            value: As it was written.
            keep_defaults: Keep parameters that were given with their default value, for `matches`.
        """

        def variants(item: Plain) -> list[Chosen]:
            return self._variants(item, keep_defaults)

        if not isinstance(value, list):
            return tuple(variants(value))
        if not value:
            refuse("an empty list leaves nothing to train; give at least one value")
        return tuple(itertools.chain.from_iterable(collect(enumerate(value), variants)))

    def matches(self, pattern: Plain, value: Plain) -> bool:
        """Whether a choice has the pattern's name and every parameter that the pattern gives."""
        if not isinstance(pattern, Choice) or not isinstance(value, Choice):
            return bool(pattern == value)
        parameters = self.complete(value) if pattern.params else {}
        return pattern.name == value.name and all(
            key in parameters and parameters[key] == wanted for key, wanted in pattern.params
        )

    def complete(self, choice: Choice) -> dict[str, Value]:
        """Return all parameters of a choice, those with default values included."""
        given = dict(choice.params)
        known = self.registry.parameters(choice.name)
        return {key: given.get(key, p.default) for key, p in known.items()}

    def schema(self) -> Json:
        """Return the JSON schema: a name, or a mapping with a name and its own parameters."""
        forms: list[Json] = [{"enum": list(self.registry.names())}]
        for name in self.registry.names():
            known = self.registry.parameters(name).values()
            forms.append({
                "type": "object",
                "description": self.registry.describe(name),
                "properties": {"name": {"const": name}} | {p.name: schema(p) for p in known},
                "required": ["name", *(p.name for p in known if p.default is p.empty)],
                "additionalProperties": False,
            })
        if self.per_layer:
            layers = {"type": "array", "minItems": 1, "items": {"anyOf": [*forms]}}
            forms.append({
                "type": "object",
                "properties": {"per_layer": layers},
                "required": ["per_layer"],
                "additionalProperties": False,
            })
        return {"anyOf": forms}

    def _variants(self, value: Plain, keep: bool) -> list[Chosen]:
        if isinstance(value, Choice):
            given: dict[str, Plain] = {key: _written(item) for key, item in value.params}
            return self._combinations(value.name, given, value.code, keep)
        if isinstance(value, str):
            return self._combinations(value, {}, "", keep)
        if not isinstance(value, dict) or not value:
            refuse(f"got {show(value)}; must be {self._forms()}")
        if self.per_layer and "per_layer" in value:
            return [self._layers(value)]
        if "per_layer" in value:
            refuse(f"per_layer is for activations; give one {self.registry.kind}")
        if "name" not in value:
            refuse(f"got a mapping without name; must be {self._forms()}")
        if not isinstance(value["name"], str):
            refuse(f"got {show(value['name'])}; must be a name", ("name",))
        given = {key: item for key, item in value.items() if key not in {"name", "code"}}
        code = value.get("code", "")
        if not isinstance(code, str):
            refuse(f"got {show(code)}; must be text", ("code",))
        return self._combinations(value["name"], given, code, keep)

    def _layers(self, value: dict[str, Plain]) -> tuple[Choice, ...]:
        layers = value["per_layer"]
        if len(value) > 1:
            refuse("per_layer stands alone; give each layer's parameters in its list")
        if isinstance(layers, list) and len(layers) > MAX_LAYERS:
            message = f"got {len(layers):,} layers; must be {MAX_LAYERS:,} at most"
            refuse(message, ("per_layer",))
        if not isinstance(layers, list) or not layers:
            message = f"got {show(layers)}; must be a list, one {self.registry.kind} for each layer"
            refuse(message, ("per_layer",))
        single = Component(self.registry)
        try:
            return tuple(collect(enumerate(layers), single.one))  # type: ignore[arg-type]
        except Wrong as wrong:
            raise Wrong((("per_layer", *loc), text) for loc, text in wrong.faults) from None

    def _combinations(
        self, name: str, given: dict[str, Plain], code: str, keep: bool
    ) -> list[Chosen]:
        known = self._parameters(name)
        options = self._options(name, known, given)
        count = math.prod(len(values) for values in options.values())
        if count > MAX_VALUES:
            refuse(f"its parameters make {count:,} values; must be {MAX_VALUES:,} at most")
        name = self.registry.canonical(name)
        if self.registry.is_foreign(name):  # its code is read anew, whatever a file says
            code = digest_code(self.registry.factory(name))
        found: list[Chosen] = []
        for values in itertools.product(*options.values()):
            params = dict(zip(options, values, strict=True))
            kept = {k: v for k, v in params.items() if keep or not _is_default(v, known[k])}
            choice = Choice(name, tuple(sorted(kept.items())), code)
            self._try(choice)
            found.append(choice)
        return found

    def _parameters(self, name: str) -> dict[str, Parameter]:
        try:
            return dict(self.registry.parameters(name))
        except ComponentError as error:
            refuse(_with_lookalikes(error, name))

    def _options(
        self, name: str, known: dict[str, Parameter], given: dict[str, Plain]
    ) -> dict[str, list[Value]]:
        """Turn what was given for each parameter into the list of its values."""
        missing = [k for k, p in known.items() if p.default is p.empty and k not in given]
        if missing:
            refuse(f"{self.registry.kind} '{name}' needs {listed(missing)}")

        def values(item: tuple[str, Plain]) -> tuple[str, list[Value]]:
            key, value = item
            if key not in known:
                allowed = listed(known) or "none"
                refuse(
                    f"{self.registry.kind} '{name}' has no parameter {show(key)}."
                    f"{suggestion(key, known)} Its parameters: {allowed}"
                )
            return key, _sweep(known[key].annotation, value)

        return dict(collect(((key, (key, value)) for key, value in given.items()), values))

    def _try(self, choice: Choice) -> None:
        try:
            self.registry.build(choice)
        except ComponentError as error:
            refuse(str(error))

    def _forms(self) -> str:
        kind = self.registry.kind
        article = "an" if kind[0] in "aeio" else "a"
        return f"the name of {article} {kind}, or a mapping with name and parameters"


def _sweep(annotation: Annotation, value: Plain) -> list[Value]:
    """Return the values of one parameter; one that is itself a list is swept by a list of lists."""
    nested = isinstance(value, list) and any(isinstance(item, list) for item in value)
    if nested if takes_list(annotation) else isinstance(value, list):
        if not value:
            refuse("an empty list leaves nothing to train; give at least one value")
        return collect(enumerate(value), lambda item: convert(annotation, item))
    return [convert(annotation, value)]


def _is_default(value: Value, parameter: Parameter) -> bool:
    default = parameter.default
    # 1 and 1.0 are the same number, True is none.
    return value == default and isinstance(value, bool) == isinstance(default, bool)


def _with_lookalikes(error: ComponentError, name: str) -> str:
    hint = lookalikes(name)
    return f"{error}.{hint}" if hint else str(error)


def _written(value: Value) -> Plain:
    return [_written(item) for item in value] if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Name(Check):
    """The name of a component that a study gives no parameters, such as a data set."""

    registry: Registry[Any]

    def one(self, value: Plain) -> str:
        """Return the canonical name."""
        if not isinstance(value, str):
            refuse(f"got {show(value)}; must be the name of a {self.registry.kind}")
        try:
            self.registry.factory(value)
        except ComponentError as error:
            refuse(_with_lookalikes(error, value))
        return self.registry.canonical(value)

    def schema(self) -> Json:
        """Return the names."""
        return {"enum": list(self.registry.names())}
