"""A net's state as symbols, to be carried from batch to batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import symgraph as sg
from symgraph.errors import SymgraphTypeError
from symgraph.typing import ArrayLike

from .sequential import accepted
from .states import parts_of_state, state_like

__all__ = ["stateful"]


def stateful(
    net: Callable[..., Any], x: ArrayLike, **options: Any
) -> tuple[sg.Variable, dict[sg.Variable, sg.Variable]]:
    """What a net gives for ``x`` from a state that is handed in, and a dict of that state.

    The dict maps a symbol for each part of the state to its value after ``x``: what
    ``fit(state=…)`` carries from batch to batch, and what a function that takes one step after the
    other gets and gives. ``net`` takes ``state`` and ``return_state``, as recurrent layers and
    `Sequential` do, and modules of your own that hand them on; or it is a method ``net.step``.
    ``options``, such as a mask, go to its call.

    >>> net = nn.Sequential(nn.GRU(1, 8, rng=0), nn.LSTM(8, 8, rng=1), nn.Dense(8, 1, rng=2))
    >>> x, target = sg.tensor("x", ("T", "B", 1)), sg.tensor("target", ("T", "B", 1))
    >>> y, state = nn.stateful(net, x)
    >>> loss = nn.squared_error(y, target)
    >>> data = [np.ones((50, 4, 1)), np.ones((50, 4, 1))]
    >>> history = nn.fit(net, [x, target], loss, nn.adam(loss, net.params), data,
    ...                  state=state, batch_axis="T", batch_size=10, progress=False)

    Steps of the same net, one after the other:

    >>> x_t = sg.tensor("x_t", ("B", 1))
    >>> y_t, state = nn.stateful(net.step, x_t)
    >>> step = sg.compile([x_t, *state], [y_t, *state.values()])
    >>> values = [np.zeros((1, 8), "float32") for _ in state]
    >>> for _ in range(3):
    ...     y, *values = step(np.ones((1, 1)), *values)
    """
    if not callable(net):
        raise SymgraphTypeError.here(
            f"stateful: a net is expected, or its step, not what it gives, {net!r}",
            remedy="Write nn.stateful(net, x).",
        )
    returned = accepted(net, return_state=True)
    given = net(x, **returned, **options)
    if not isinstance(given, tuple) or len(given) != 2 or not _parts(given[1]):
        raise SymgraphTypeError.here(
            f"stateful: {net!r} has no state",
            remedy="A net takes state and return_state, and gives a result and its state.",
        )
    model = given[1]
    parts = enumerate(parts_of_state(model))
    symbols = state_like(model, [p if p is None else _symbol_like(p, i) for i, p in parts])
    y, after = net(x, state=symbols, **returned, **options)
    return y, dict(zip(_parts(symbols), _parts(after), strict=True))


def _symbol_like(part: sg.Variable, number: int) -> sg.Variable:
    return sg.tensor(f"state_{number}", part.type.shape, part.dtype)


def _parts(state: Any) -> list[sg.Variable]:
    """The variables of a state; None is that of a layer that has none."""
    return [part for part in parts_of_state(state) if part is not None]
