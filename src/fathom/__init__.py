"""Fathom tells you how deep your network can train, and why."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fathom.api import *  # noqa: F403 - the names are listed once, below

__all__ = [  # noqa: F405 - see above
    "Activation",
    "FathomError",
    "Plan",
    "Results",
    "Study",
    "agree",
    "allow",
    "count_units",
    "custom",
    "draw_activations",
    "draw_samples",
    "examine",
    "gain",
    "predict",
]


def __getattr__(name: str) -> object:
    """Load torch and the rest when first asked for, so that `fathom --help` is instant.

    Raises:
        AttributeError: If there is no such name.
    """
    if name not in __all__:
        raise AttributeError(f"module 'fathom' has no attribute {name!r}")
    from fathom import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
