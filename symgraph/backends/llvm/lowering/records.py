"""The lowerings of single nodes, by the names of their ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ....core.variable import Variable

if TYPE_CHECKING:
    from .scope import Scope

__all__ = ["RULES", "rule"]

# By the op's name: a function that lowers the node, or returns False to leave it to Python.
RULES: dict[str, Callable[[Scope, Variable], bool]] = {}


def rule(*names: str) -> Callable[[Callable[[Scope, Variable], bool]], Callable]:
    """A decorator that makes a function the lowering of these ops."""

    def register(function: Callable[[Scope, Variable], bool]) -> Callable:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register
