"""Arguments of functions that are True or False, and names."""

from __future__ import annotations

import numpy as np

from .errors import SymgraphTypeError

__all__ = ["check_flags", "check_name"]


def check_flags(owner: object, **flags: object) -> None:
    """Raise unless each of these arguments of a function is True or False, or 1 or 0 for them."""
    for name, value in flags.items():
        if not isinstance(value, (int, np.integer, np.bool_)) or value not in (0, 1):
            raise SymgraphTypeError.here(
                f"{owner}: {name} is True or False, not {value!r}",
                remedy=f"Write {name}=True or {name}=False.",
            )


def check_name(name: object, of: str, remedy: str | None = None) -> None:
    """Raise unless the name of something is a string, or None."""
    if name is not None and not isinstance(name, str):
        raise SymgraphTypeError.here(f"the name of {of} is a string, not {name!r}", remedy=remedy)
