"""Arguments that are True or False."""

from __future__ import annotations

import numpy as np

from .errors import SymgraphTypeError

__all__ = ["check_flags"]


def check_flags(owner: object, **flags: object) -> None:
    """Raise unless each of these arguments of a function is True or False, or 1 or 0 for them."""
    for name, value in flags.items():
        if not isinstance(value, (int, np.integer, np.bool_)) or value not in (0, 1):
            raise SymgraphTypeError.here(
                f"{owner}: {name} is True or False, not {value!r}",
                remedy=f"Write {name}=True or {name}=False.",
            )
