"""Modules of the user's own, from which a study may take activations and the like by path."""

from typing import Final

from fathom.activations import ACTIVATIONS
from fathom.architectures import ARCHITECTURES
from fathom.initializers import INITIALIZERS

_OPEN: Final = (ACTIVATIONS, INITIALIZERS, ARCHITECTURES)  # the registries that take import paths


def allow(module: str) -> None:
    """Let import paths into `module` be resolved; only a user says this, never a file.

    Args:
        module: Its full name, such as `my_package.activations`.
    """
    for registry in _OPEN:
        registry.allow(module)


def allowed() -> tuple[str, ...]:
    """Return the modules that the user has allowed."""
    return tuple(sorted({module for registry in _OPEN for module in registry.allowed}))
