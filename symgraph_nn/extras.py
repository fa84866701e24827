"""Packages that are loaded only where they are used, and that an installation may lack."""

from __future__ import annotations

import importlib
from types import ModuleType

from symgraph.errors import SymgraphError, explain

__all__ = ["MissingPackage", "load_package"]


class MissingPackage(SymgraphError, ImportError):
    """A package that the call needs and that is not installed."""


def load_package(name: str, extra: str | None) -> ModuleType:
    """The module of this name; where it is missing, the error names the extra that brings it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        wanted = f"symgraph[{extra}]" if extra else name.split(".")[0]
        raise MissingPackage(
            explain(f"{name} cannot be imported: {error}", remedy=f"pip install '{wanted}'")
        ) from None
