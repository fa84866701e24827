"""What goes in, added to what comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import symgraph as sg
from symgraph.errors import ShapeError, SymgraphTypeError, check_flags, describe
from symgraph.typing import ArrayLike

from .checks import as_variable
from .module import Module
from .sequential import accepted, step_of

__all__ = ["Residual"]


class Residual(Module):
    """``x + module(x)`` (He et al. 2015): the module gives what is to be added, in x's shape.

    A `ShapeError` where it gives another. ``mask``, ``training`` and ``constants`` go to a module
    that takes them; the state of a recurrent one comes out and goes in again, as of `Sequential`.

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
        self,
        x: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        training: bool = False,
        constants: Any = None,
        state: Any = None,
        return_state: bool = False,
    ) -> Any:
        """The sum, of the shape of ``x``; with ``return_state`` also the module's state."""
        check_flags(self, return_state=return_state, training=training)
        x = as_variable(x, self)
        options = accepted(self.module, mask=mask, training=training, constants=constants)
        own = accepted(self.module, state=state, return_state=return_state)
        if state is not None and "state" not in own:
            raise SymgraphTypeError.here(f"{self}: {self.module!r} has no state, but is given one")
        change, after = self.module(x, **options, **own), None
        if return_state and "return_state" in own:
            change, after = change
        return (self._sum(x, change), after) if return_state else self._sum(x, change)

    def step(
        self, x_t: ArrayLike, state: Any = None, *, training: bool = False, constants: Any = None
    ) -> tuple[sg.Variable, Any]:
        """The sum for one step [batch, features], and the module's state after it.

        >>> layer = nn.Residual(nn.GRU(3, 3))
        >>> y_t, h = layer.step(np.ones((2, 3), "float32"))
        >>> y_t.shape, h.shape
        ((2, 3), (2, 3))
        """
        check_flags(self, training=training)
        x_t = as_variable(x_t, self)
        options = {"training": training, "constants": constants}
        change, after = step_of(self.module, x_t, state, options)
        return self._sum(x_t, change), after

    def _sum(self, x: sg.Variable, change: sg.Variable) -> sg.Variable:
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
