"""Attention: each query looks at all of a memory at once."""

from __future__ import annotations

import math

import numpy as np

import symgraph as sg
from symgraph.errors import ShapeError, SymgraphValueError, check_flags
from symgraph.typing import ArrayLike

from .checks import as_mask, as_variable, check_axes, check_features, check_positive, check_sizes
from .init import generator
from .layers import Dense
from .module import Module
from .typing import Rng

__all__ = ["MultiHeadAttention"]

# The score of what is masked: exp of it is 0, and no difference of two of them is NaN.
_NEVER = -1e30


class MultiHeadAttention(Module):
    """Scaled dot-product attention in several heads (Vaswani et al. 2017).

    For each head, with d = n_units / n_heads columns of each product::

        softmax(q kᵀ / √d) v
        q = query W_q + b_q    k = memory W_k + b_k    v = memory W_v + b_v

    the heads side by side times ``W_o``, plus ``b_o``: `Dense` layers ``query``, ``key``,
    ``value``, ``output`` of [n_units, n_units]. Layout [time, batch, n_units].

    n_units, n_heads
        Whole numbers of at least 1, the first a multiple of the second, else a
        `SymgraphValueError`.
    rng, dtype
        A seed or NumPy Generator for the layers' initial values; their dtype.

    >>> attention = nn.MultiHeadAttention(8, 2, rng=0)
    >>> attention(np.ones((5, 3, 8), "float32"), np.ones((7, 3, 8), "float32")).eval().shape
    (5, 3, 8)
    """

    n_units: int
    n_heads: int
    query: Dense
    key: Dense
    value: Dense
    output: Dense

    def __init__(
        self,
        n_units: int,
        n_heads: int,
        *,
        rng: Rng = None,
        dtype: str = "float32",
    ) -> None:
        check_positive("MultiHeadAttention", n_units=n_units, n_heads=n_heads)
        if n_units % n_heads:
            raise SymgraphValueError.here(
                f"MultiHeadAttention: {n_units} units cannot be shared among {n_heads} heads",
                remedy="Give a number of units that is a multiple of the number of heads.",
            )
        rng = generator(rng)
        self.n_units, self.n_heads = n_units, n_heads
        self.query, self.key, self.value, self.output = (
            Dense(n_units, n_units, rng=rng, dtype=dtype) for _ in range(4)
        )

    def __call__(
        self,
        query: ArrayLike,
        memory: ArrayLike | None = None,
        *,
        mask: ArrayLike | None = None,
        causal: bool = False,
    ) -> sg.Variable:
        """What each query [query time, batch, n_units] takes from the memory, in its shape.

        ``memory`` [memory time, batch, n_units] is the query where there is none. ``mask``
        [memory time, batch], float or bool, is zero where the memory must not be looked at (it may
        be NaN there); who may look at nothing gets ``b_o``. ``causal``: a query sees the memory up
        to its own time alone. Raises `ShapeError` where sizes differ.
        """
        query = self._checked(query)
        memory = query if memory is None else self._checked(memory)
        check_sizes(f"{self}", query, memory, [1])
        check_flags(self, causal=causal)
        visible = self._visible(query, memory, mask, causal=causal)
        if mask is not None:
            memory = sg.where(sg.expand_dims(_as_bool(mask, memory, self), 2), memory, 0)
        q, k, v = (
            self._heads(layer(x))
            for layer, x in ((self.query, query), (self.key, memory), (self.value, memory))
        )
        scores = sg.matmul(q, sg.swapaxes(k, 2, 3)) / math.sqrt(self.n_units // self.n_heads)
        if visible is None:
            weights = sg.softmax(scores, axis=-1)
        else:
            weights = sg.softmax(sg.where(visible, scores, _NEVER), axis=-1)
            weights = sg.where(visible, weights, 0)
        heads = sg.transpose(sg.matmul(weights, v), (2, 0, 1, 3))
        return self.output(sg.reshape(heads, query.shape))

    def _checked(self, x: ArrayLike) -> sg.Variable:
        x = as_variable(x, self)
        check_axes(x, 3, self, "a sequence [time, batch, units]")
        check_features(x, self.n_units, self)
        return x

    def _heads(self, x: sg.Variable) -> sg.Variable:
        """[time, batch, units] as [batch, heads, time, units of a head]."""
        n_steps, n_rows, _ = x.shape
        parts = sg.reshape(x, (n_steps, n_rows, self.n_heads, self.n_units // self.n_heads))
        return sg.transpose(parts, (1, 2, 0, 3))

    def _visible(
        self, query: sg.Variable, memory: sg.Variable, mask: ArrayLike | None, *, causal: bool
    ) -> sg.Variable | None:
        """What may be looked at, to be broadcast with [batch, heads, query time, memory time]."""
        visible = None
        if mask is not None:
            rows = sg.transpose(_as_bool(mask, memory, self))
            visible = sg.expand_dims(rows, (1, 2))
        if causal:
            before = sg.expand_dims(sg.arange(query.shape[0]), 1) >= sg.arange(memory.shape[0])
            visible = before if visible is None else visible & before
        return visible

    def __repr__(self) -> str:
        return f"MultiHeadAttention({self.n_units}, {self.n_heads})"


def _as_bool(mask: ArrayLike, memory: sg.Variable, owner: Module) -> sg.Variable:
    mask = as_mask(mask, owner)
    if mask.ndim != 2:
        raise ShapeError.here(f"{owner}: a mask [memory time, batch] is expected, not {mask.type}")
    check_sizes(f"{owner}: mask", mask, memory, (0, 1))
    return mask if mask.dtype == np.bool_ else sg.ne(mask, 0)
