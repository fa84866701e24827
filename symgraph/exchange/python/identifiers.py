"""Names that Python takes, and that hide nothing."""

from __future__ import annotations

import builtins
import keyword
import re
import sys
from collections.abc import Collection

__all__ = ["LONGEST", "MODULES", "RESERVED", "as_identifier", "numbered"]

LONGEST = 32
"""How long a name is at most, so that statements fit into lines."""

# Letters that look like digits are no names by themselves.
RESERVED: frozenset[str] = frozenset(
    {*dir(builtins), *keyword.kwlist, *keyword.softkwlist}
    | {"l", "O", "I", "np", "torch", "math", "Path", "params", "constants"}
)
"""What no variable is called."""

MODULES: frozenset[str] = (sys.stdlib_module_names | {"numpy", "torch"}) - {"test"}
"""What no file is called: who runs it would import it where NumPy imports a module of the name."""


def as_identifier(name: str, *, otherwise: str = "value") -> str:
    """The name as an identifier in ASCII that hides no builtin."""
    word = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    word = word[:LONGEST].rstrip("_") or otherwise
    if word[0].isdigit():
        word = f"_{word}"
    return f"{word}_" if word in RESERVED else word


def numbered(name: str, taken: Collection[str]) -> str:
    """The name, with the first number from 2 on with which it is not taken."""
    unique, number = name, 1
    while unique in taken or unique in RESERVED:
        number += 1
        unique = f"{name.rstrip('_')}_{number}"
    return unique
