"""What the backend knows of ops: a record for each that is not computed element by element.

The records stand in files by subject, and come together in `image.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ....core.op import Op
from ....core.variable import Variable
from ..analysis.values import Facts
from .scope import Scope

__all__ = ["LOWERINGS", "Lowering"]


@dataclass(frozen=True, eq=False)
class Lowering(Facts):
    """How an op becomes a program: what is known of it, and what writes its nodes."""

    write: Callable[[Scope, Variable], bool] | None = None
    """Writes what computes the node; False where it cannot. Then Python computes the node, as it
    does all nodes of ops that have no lowering."""


LOWERINGS: dict[Op, Lowering] = {}
