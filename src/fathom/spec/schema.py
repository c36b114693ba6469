"""The JSON schema of study files, for editors that complete and check while one types."""

from typing import Final

from pydantic import BaseModel

from fathom.registry import Choice
from fathom.spec.keys import SHORTHANDS, part_model
from fathom.spec.model import StudyModel
from fathom.spec.nodes import Json, Plain

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def study_schema() -> Json:
    """Return the JSON schema of a study file, with the components that this process knows."""
    properties = _properties(StudyModel)
    properties["grid"] = {
        "type": "object",
        "description": "Axes by dotted path or short name, each with a list of values.",
    }
    return {
        "$schema": DIALECT,
        "title": "Fathom study",
        "type": "object",
        "properties": properties,
        # What a grid may give is required nowhere: it can stand in either place.
        "anyOf": [{"required": ["data", "activation"]}, {"required": ["grid"]}],
        "additionalProperties": False,
    }


def _properties(model: type[BaseModel]) -> Json:
    found: Json = {}
    for name, field in model.model_fields.items():
        part = part_model(name) if model is StudyModel else None
        if part is not None:
            found[name] = _part(name, part)
        else:
            found[name] = {**field.metadata[0].schema(), "description": field.description}
            if not field.is_required() and field.default != ():
                found[name]["default"] = _plain(field.default)
    return found


def _part(name: str, model: type[BaseModel]) -> Json:
    properties = _properties(model)
    mapping = {"type": "object", "properties": properties, "additionalProperties": False}
    if name not in SHORTHANDS:
        return mapping
    own = SHORTHANDS[name].rpartition(".")[2]
    return {"anyOf": [properties[own], mapping]}


def _plain(default: Plain) -> Plain:
    if isinstance(default, tuple):
        return _plain(default[0]) if len(default) == 1 else [_plain(item) for item in default]
    return default.to_plain() if isinstance(default, Choice) else default
