"""Numbers that Python users and the command line give directly, not through a study."""

from typing import Any

from fathom.errors import FathomError
from fathom.registry import check_number


def check(name: str, value: object, **limits: Any) -> None:  # noqa: ANN401 - those of check_number
    """Refuse a number out of its range; the arguments are those of `registry.check_number`.

    Raises:
        FathomError: With the name, what was given and what is allowed.
    """
    try:
        check_number(name, value, **limits)
    except ValueError as error:
        raise FathomError(str(error)) from None
