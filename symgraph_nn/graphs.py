"""What expressions are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import symgraph as sg

__all__ = ["ancestors", "leaves", "shared_variables"]


def ancestors(outputs: Iterable[Any]) -> list[sg.Variable]:
    """All variables that the outputs are made of, themselves included, inputs before users.

    Numbers and arrays among the outputs, which an update may be, are made of nothing.
    """
    return sg.ancestors([v for v in outputs if isinstance(v, sg.Variable)])


def leaves(outputs: Iterable[Any]) -> list[sg.Variable]:
    """The inputs and shared variables that the outputs are made of, the older ones first."""
    return [v for v in ancestors(outputs) if not v.inputs and v.op.name in ("input", "shared")]


def shared_variables(outputs: Iterable[Any]) -> list[sg.SharedVariable]:
    """The shared variables that the outputs are made of, the older ones first."""
    return [v for v in ancestors(outputs) if isinstance(v, sg.SharedVariable)]
