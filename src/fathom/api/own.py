"""What a study from Python may hold beyond what a file can say: arrays and functions."""

from typing import Any

from fathom import architectures
from fathom.activations import Activation, register_callable
from fathom.data.npz import arrays_to_npz, npz_name
from fathom.errors import DataError
from fathom.registry import Choice


def without_arrays(settings: dict[str, Any]) -> tuple[dict[str, Any], bytes | None]:
    """Replace arrays by the name of the file that will hold them.

    Args:
        settings: What a study was given.

    Returns:
        The settings that a file could have, and the content of the `.npz` file, or None.

    Raises:
        DataError: If the arrays are not usable.
    """
    data = settings.get("data")
    more: dict[str, Any] = {}
    if isinstance(data, dict) and "arrays" in data:
        more = {key: value for key, value in data.items() if key != "arrays"}
        data = data["arrays"]
    elif not isinstance(data, tuple) or all(isinstance(item, str) for item in data):
        return settings, None
    if not isinstance(data, tuple | list):
        raise DataError(f"data.arrays: got a {type(data).__name__}; must be (x, y)")
    content = arrays_to_npz(*data)
    return settings | {"data": {"name": "arrays", "path": npz_name(content), **more}}, content


def with_choices(value: Any, key: str = "") -> Any:  # noqa: ANN401 - settings of any form
    """Replace a user's own functions by choices that name them: activations, and a model's name.

    Args:
        value: Settings, or a part of them.
        key: The setting that the part belongs to.
    """
    if isinstance(value, dict):
        inside = {"activation": ("per_layer",), "model": ("name",)}.get(key, ())
        return {k: with_choices(v, key if k in inside else str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple) and not isinstance(value, Choice):
        return [with_choices(item, key) for item in value]
    if key == "activation" and (isinstance(value, Activation) or callable(value)):
        return register_callable(value)
    if key in {"model", "model.name"} and callable(value):
        return architectures.register_callable(value)
    return value
