"""Recurrent layers by the names of their cells."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Unpack

import symgraph as sg
from symgraph.errors import SymgraphTypeError

from .cells import CellOptions, GRUCell, GRUOptions, LSTMCell, LSTMOptions, RNNCell
from .init import generator
from .recurrent import Recurrent, RecurrentOptions
from .typing import Activation

__all__ = ["GRU", "LSTM", "RNN"]


class RNNOptions(CellOptions, RecurrentOptions, total=False):
    """What `RNN` takes by keyword."""


class LSTMLayerOptions(LSTMOptions, RecurrentOptions, total=False):
    """What `LSTM` takes by keyword."""


class GRULayerOptions(GRUOptions, RecurrentOptions, total=False):
    """What `GRU` takes by keyword."""


_OF_LAYERS = RecurrentOptions.__annotations__

_ELSEWHERE = {
    "batch_first": "Sequences are [time, batch, features]: sg.swapaxes(x, 0, 1) turns them.",
    "bidirectional": "Write Bidirectional(LSTM(3, 5), LSTM(3, 5)).",
    "num_layers": "Put layers one after the other: Sequential(LSTM(3, 5), LSTM(5, 5)).",
    "return_sequences": "All steps come back: y[-1] is the last of each row, under a mask too.",
    "return_state": "Ask for it at the call: y, state = layer(x, return_state=True).",
    "stateful": "fit(state=…) carries a state from batch to batch, see stateful.",
}


def _split(
    owner: str, known: Collection[str], options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the layer and those of the cell; one ``rng`` draws for both."""
    for name in options:
        if name not in known:
            raise SymgraphTypeError.here(
                f"{owner}: there is no option {name!r}, but {', '.join(sorted(known))}",
                remedy=_ELSEWHERE.get(name),
            )
    rng = generator(options.get("rng"))
    own = {name: value for name, value in options.items() if name in _OF_LAYERS}
    others = {name: value for name, value in options.items() if name not in _OF_LAYERS}
    return own | {"rng": rng}, others | {"rng": rng}


def RNN(
    n_in: int,
    n_units: int,
    activation: Activation = sg.tanh,
    **options: Unpack[RNNOptions],
) -> Recurrent[sg.Variable]:
    """A plain recurrent layer (Elman 1990): `Recurrent` over an `RNNCell`.

    ``h[t] = activation(x[t] W + h[t-1] U + b)`` from zeros on; the output is h.

    n_in, n_units
        The features of x and of h.
    activation
        A function of a variable; ``sg.tanh`` by default.
    reverse, learn_initial, truncate_gradient, checkpoint_every, memory, dropout, recurrent_dropout
        As in `Recurrent`; none by default.
    input_weights, recurrent_weights, bias
        How ``W`` [n_in, n_units], ``U`` [n_units, n_units] and ``b`` [n_units] begin: initialisers
        or arrays; by default `init.glorot_uniform`, `init.orthogonal` and zeros.
    rng, dtype
        A seed or NumPy Generator for these; the dtype, ``"float32"`` by default.

    ``layer(x, mask=…, state=…, return_state=…)`` takes ``x`` [time, batch, n_in], a mask [time,
    batch] and a state h [batch, n_units], and returns [time, batch, n_units] (with
    ``return_state`` also the last h); see `Recurrent`. The errors are those of the two classes.

    >>> layer = nn.RNN(3, 5, sg.relu, rng=0)
    >>> layer(sg.tensor("x", ("T", "B", 3)))
    <slice: float32[T, B, 5]>
    >>> [p.name for p in layer.params]
    ['cell.W', 'cell.U', 'cell.b']
    """
    own, others = _split("RNN", RNNOptions.__annotations__, options)
    return Recurrent(RNNCell(n_in, n_units, activation, **others), **own)


def LSTM(
    n_in: int, n_units: int, **options: Unpack[LSTMLayerOptions]
) -> Recurrent[tuple[sg.Variable, sg.Variable]]:
    """A layer of long short-term memory: `Recurrent` over an `LSTMCell`.

    With the columns of ``z = x[t] W + h[t-1] U + b`` as the gates i, f, g, o, from zeros on::

        c[t] = σ(f) c[t-1] + σ(i) tanh(g)
        h[t] = σ(o) tanh(c[t])

    (Hochreiter and Schmidhuber 1997, with a forget gate). The output is h, the state (h, c).

    n_in, n_units
        The features of x and of h.
    reverse, learn_initial, truncate_gradient, checkpoint_every, memory, dropout, recurrent_dropout
        As in `Recurrent`; none by default.
    peepholes
        Whether gates see c through weights ``p_i``, ``p_f``, ``p_o`` [n_units], zeros at first
        (Gers and Schmidhuber 2000); no by default.
    forget_bias
        What the forget gate's bias begins as where ``bias`` is not given; 1 by default.
    input_weights, recurrent_weights, bias
        How ``W`` [n_in, 4 n_units], ``U`` [n_units, 4 n_units] and ``b`` [4 n_units] begin:
        initialisers or arrays; by default `init.glorot_uniform`, `init.orthogonal` and zeros.
    rng, dtype
        A seed or NumPy Generator for these; the dtype, ``"float32"`` by default.

    ``layer(x, mask=…, state=…, return_state=…)`` takes ``x`` [time, batch, n_in], a mask [time,
    batch] and a state (h, c), each [batch, n_units], and returns [time, batch, n_units] (with
    ``return_state`` also the last (h, c)); see `Recurrent`. The errors are those of the two
    classes.

    >>> layer = nn.LSTM(3, 5, rng=0)
    >>> y, (h, c) = layer(sg.tensor("x", ("T", "B", 3)), return_state=True)
    >>> print(y.type, h.type)
    float32[T, B, 5] float32[B, 5]
    >>> [p.name for p in layer.params]
    ['cell.W', 'cell.U', 'cell.b']
    """
    own, others = _split("LSTM", LSTMLayerOptions.__annotations__, options)
    return Recurrent(LSTMCell(n_in, n_units, **others), **own)


def GRU(n_in: int, n_units: int, **options: Unpack[GRULayerOptions]) -> Recurrent[sg.Variable]:
    """A layer of gated recurrent units: `Recurrent` over a `GRUCell`.

    With the columns of ``z = x[t] W + b`` and ``y = h[t-1] U`` as r, u, n, from zeros on::

        h[t] = u h[t-1] + (1 - u) tanh(z_n + σ(z_r + y_r) y_n)        u = σ(z_u + y_u)

    (Cho et al. 2014, reset after the product). The output and the state are h.

    n_in, n_units
        The features of x and of h.
    reverse, learn_initial, truncate_gradient, checkpoint_every, memory, dropout, recurrent_dropout
        As in `Recurrent`; none by default.
    reset, second_bias
        ``"after"`` (the default), or ``"before"``: ``tanh(z_n + (σ(z_r + y_r) h[t-1]) U_n)``;
        whether ``c`` [n_units], zeros at first, is added to ``y_n``, which needs ``"after"``.
    input_weights, recurrent_weights, bias
        How ``W`` [n_in, 3 n_units], ``U`` [n_units, 3 n_units] and ``b`` [3 n_units] begin:
        initialisers or arrays; by default `init.glorot_uniform`, `init.orthogonal` and zeros.
    rng, dtype
        A seed or NumPy Generator for these; the dtype, ``"float32"`` by default.

    ``layer(x, mask=…, state=…, return_state=…)`` takes ``x`` [time, batch, n_in], a mask [time,
    batch] and a state h [batch, n_units], and returns [time, batch, n_units] (with
    ``return_state`` also the last h); see `Recurrent`. The errors are those of the two classes.

    >>> layer = nn.GRU(3, 5, reverse=True, rng=0)
    >>> layer(sg.tensor("x", ("T", "B", 3)))
    <slice: float32[T, B, 5]>
    """
    own, others = _split("GRU", GRULayerOptions.__annotations__, options)
    return Recurrent(GRUCell(n_in, n_units, **others), **own)
