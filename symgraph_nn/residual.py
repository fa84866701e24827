"""What goes in, added to what comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import symgraph as sg
from symgraph.errors import ShapeError, SymgraphTypeError, describe
from symgraph.typing import ArrayLike

from .checks import as_variable
from .module import Module
from .sequential import accepted

__all__ = ["Residual"]


class Residual(Module):
    """``x + module(x)`` (He et al. 2015): the module gives what is to be added, in x's shape.

    A `ShapeError` where it gives another. ``mask`` and ``training`` go to a module that takes them.

    >>> block = nn.Residual(nn.Dense(3, 3, sg.tanh, weights=np.zeros((3, 3))))
    >>> block(np.ones((1, 3), "float32")).eval()
    array([[1., 1., 1.]], dtype=float32)
    """

    module: Callable[..., sg.Variable]

    def __init__(self, module: Callable[..., sg.Variable]) -> None:
        if not callable(module):
            raise SymgraphTypeError.here(
                f"Residual: a layer or a function is expected, not {module!r}"
            )
        self.module = module

    def __call__(
        self, x: ArrayLike, *, mask: ArrayLike | None = None, training: bool = False
    ) -> sg.Variable:
        """The sum, of the shape of ``x``; raises `ShapeError` where the module gives another."""
        x = as_variable(x, self)
        options: dict[str, Any] = accepted(self.module, mask=mask, training=training)
        change = self.module(x, **options)
        alike = change.ndim == x.ndim and not any(
            isinstance(a, int) and isinstance(b, int) and a != b
            for a, b in zip(x.shape, change.shape, strict=False)
        )
        if not alike:
            raise ShapeError.here(
                f"{self}: {describe(change)} cannot be added to {describe(x)}: the shapes differ",
                remedy="Let the module keep the shape, or add a product with a matrix instead.",
            )
        return x + change

    def __repr__(self) -> str:
        return f"Residual({self.module!r})"
