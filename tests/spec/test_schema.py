"""The JSON schema that editors complete from."""

import json
from typing import Any

import pytest

from fathom.activations import ACTIVATIONS
from fathom.data.datasets import DATASETS
from fathom.spec.keys import LEAVES, SHORTHANDS
from fathom.spec.schema import study_schema


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return study_schema()


def part(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found = schema["properties"][name]
    return found["anyOf"][1] if name in SHORTHANDS else found  # type: ignore[no-any-return]


def test_it_is_json(schema: dict[str, Any]) -> None:
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema


def test_it_knows_every_setting_and_describes_it(schema: dict[str, Any]) -> None:
    for path in LEAVES:
        home, _, name = path.rpartition(".")
        found = (part(schema, home) if home else schema)["properties"][name]
        assert len(found["description"]) > 5
    assert schema["additionalProperties"] is False
    assert {"grid", "exclude", "overrides"} <= {*schema["properties"]}


def test_components_are_listed_by_name_with_their_own_parameters(schema: dict[str, Any]) -> None:
    one = schema["properties"]["activation"]["anyOf"][0]["anyOf"]
    assert one[0] == {"enum": [*ACTIVATIONS.names()]}
    forms = {form["properties"]["name"]["const"]: form for form in one[1:-1]}
    assert {*forms} == {*ACTIVATIONS.names()}
    assert {*forms["leaky_relu"]["properties"]} == {"name", "slope"}
    knots = forms["spline_sigmoid"]["properties"]["knots"]
    assert knots["anyOf"][0] == {"type": "array", "items": {"type": "number"}}
    assert knots["default"] == [-2.0, 0.0, 2.0]
    assert {*one[-1]["properties"]} == {"per_layer"}


def test_data_can_be_a_name_alone(schema: dict[str, Any]) -> None:
    name = schema["properties"]["data"]["anyOf"][0]
    assert name["anyOf"][0] == {"enum": [*DATASETS.names()]}


def test_ranges_and_defaults_are_told(schema: dict[str, Any]) -> None:
    train = part(schema, "train")["properties"]
    assert train["lr"]["anyOf"][0] == {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 1_000_000,
    }
    assert train["lr"]["default"] == 0.01
    assert train["optimizer"]["default"] == "sgd"
    assert train["patience"]["default"] is None
    assert train["patience"]["anyOf"][0]["type"] == ["integer", "null"]
