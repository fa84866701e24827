"""Arguments that are True or False."""

from __future__ import annotations

import numpy as np

from .errors import SymgraphTypeError

__all__ = ["check_flags"]


def check_flags(owner: object, **flags: object) -> None:
    """Raise unless each of these arguments of a function is True or False."""
    for name, value in flags.items():
        if not isinstance(value, (bool, np.bool_)):
            raise SymgraphTypeError.here(
                f"{owner}: {name} is True or False, not {value!r}",
                remedy=f"Write {name}=True or {name}=False.",
            )
