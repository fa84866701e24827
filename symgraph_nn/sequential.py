"""Layers one after the other."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, overload

import symgraph as sg
from symgraph.errors import SymgraphTypeError, SymgraphValueError, check_flags, describe
from symgraph.typing import ArrayLike

from .axes import is_named
from .checks import as_variable
from .module import Module
from .recurrent import Recurrent
from .walk import params_of, parts_of

__all__ = ["Sequential", "accepted", "step_of"]

Layer = Callable[..., Any]


class Sequential(Module):
    """Layers and functions, one after the other: each gets what the one before returns.

    layers
        Modules, or functions of a variable such as ``sg.relu``; something else is a
        `SymgraphTypeError`. Their parameters are named ``layers.0.W``, and so on; ``net[0]`` is a
        layer, ``len(net)`` their number.

    ``mask``, ``training`` and ``constants`` of a call go to those layers that take an argument of
    that name. The state of recurrent layers comes out with ``return_state``, as a tuple of one
    entry for each layer (None for one that has none), and goes in again as ``state``;
    ``net.step(x_t, state)`` takes one step of all.

    >>> net = nn.Sequential(nn.GRU(3, 5, rng=0), nn.Dropout(0.5), nn.Dense(5, 2, rng=1))
    >>> y, state = net(sg.tensor("x", ("T", "B", 3)), training=True, return_state=True)
    >>> print(y.type, [part if part is None else part.type for part in state])
    float32[T, B, 2] [TensorType(float32[B, 5]), None, None]
    >>> [p.name for p in net.params][-2:], len(net)
    (['layers.2.W', 'layers.2.b'], 3)
    """

    layers: list[Layer]

    def __init__(self, *layers: Layer) -> None:
        for layer in layers:
            if not callable(layer):
                raise SymgraphTypeError.here(
                    f"Sequential: a layer or a function is expected, not {layer!r}",
                    remedy="Give the layers as arguments: Sequential(a, b, c).",
                )
        self.layers = list(layers)

    @overload
    def __call__(
        self,
        x: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        training: bool = False,
        constants: Any = None,
        state: Any = None,
        return_state: Literal[False] = False,
    ) -> sg.Variable: ...
    @overload
    def __call__(
        self,
        x: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        training: bool = False,
        constants: Any = None,
        state: Any = None,
        return_state: Literal[True],
    ) -> tuple[sg.Variable, tuple[Any, ...]]: ...
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
        """What the last layer returns; with ``return_state`` also the states of all layers."""
        check_flags(self, return_state=return_state, training=training)
        options = {"mask": mask, "training": training, "constants": constants}
        value: Any = x
        states: list[Any] = []
        for layer, before in zip(self.layers, self._states(state), strict=True):
            own = accepted(layer, **options, state=before, return_state=return_state)
            if before is not None and "state" not in own:
                raise SymgraphTypeError.here(f"{self}: {layer!r} has no state, but is given one")
            value = layer(value, **own)
            after = None
            if return_state and "return_state" in own:
                value, after = value
            states.append(after)
        return (value, tuple(states)) if return_state else value

    def step(
        self,
        x_t: ArrayLike,
        state: Any = None,
        *,
        training: bool = False,
        constants: Any = None,
    ) -> tuple[sg.Variable, tuple[Any, ...]]:
        """What comes out for one step [batch, features], and the states after it.

        ``state`` is that of the step before, None at first. Layers without a ``step`` get a
        sequence of one step; a `SymgraphTypeError` for one that needs the whole of it.

        >>> net = nn.Sequential(nn.LSTM(3, 5), nn.Dense(5, 2))
        >>> y_t, state = net.step(np.zeros((1, 3), "float32"))
        >>> y_t, state = net.step(np.ones((1, 3), "float32"), state)
        >>> y_t.shape, state[1]
        ((1, 2), None)
        """
        check_flags(self, training=training)
        value: sg.Variable = as_variable(x_t, self)
        states: list[Any] = []
        for layer, before in zip(self.layers, self._states(state), strict=True):
            options = {"training": training, "constants": constants}
            value, after = step_of(layer, value, before, options)
            states.append(after)
        return value, tuple(states)

    def _states(self, state: Any) -> list[Any]:
        """The state of each layer, None where it has none."""
        if state is None:
            return [None] * len(self.layers)
        if not isinstance(state, (tuple, list)) or len(state) != len(self.layers):
            raise SymgraphValueError.here(
                f"{self}: a state is a tuple of one entry for each of {len(self.layers)} layers, "
                f"not {state!r}",
                remedy="Give the state as the net returned it.",
            )
        return list(state)

    def summary(self) -> str:
        """A table of the layers with the shapes and numbers of their parameters, as text.

        >>> print(nn.Sequential(nn.LSTM(3, 4), sg.relu, nn.Dense(4, 2)).summary())
        0  Recurrent(LSTMCell(3, 4))  W [3, 16], U [4, 16], b [16]  128
        1  relu                                                       0
        2  Dense(4, 2)                W [4, 2], b [2]                10
           total                                                    138
        """
        rows = [("", "total", "", sum(p.get_value().size for p in params_of(self)))]
        for i, layer in reversed(list(enumerate(self.layers))):
            params = params_of(layer) if hasattr(layer, "params") else []
            shapes = ", ".join(
                f"{str(p.name).rpartition('.')[2]} {list(p.get_value().shape)}" for p in params
            )
            label = getattr(layer, "__name__", None) or repr(layer)
            rows.insert(0, (str(i), label, shapes, sum(p.get_value().size for p in params)))
        widths = [max(len(str(row[column])) for row in rows) for column in range(4)]
        return "\n".join(
            "  ".join(f"{row[i]:<{widths[i]}}" for i in range(3)) + f"  {row[3]:>{widths[3]}}"
            for row in rows
        )

    def __getitem__(self, index: int) -> Any:
        return self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"


def accepted(layer: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """Those of the options that a layer has an argument for."""
    try:
        taken = inspect.signature(layer).parameters
    except ValueError:  # a builtin
        return {}
    return {name: option for name, option in options.items() if name in taken}


def step_of(
    layer: Callable[..., Any], x_t: sg.Variable, state: Any, options: Mapping[str, Any]
) -> tuple[sg.Variable, Any]:
    """What a layer gives for one step, by its ``step`` or as a sequence of one, and its state."""
    step = getattr(layer, "step", None)
    if step is not None:
        return step(x_t, state, **options)
    if accepted(layer, state=None) or any(
        parts_of(layer, lambda part: isinstance(part, Recurrent))
    ):
        raise SymgraphTypeError.here(
            f"{layer!r} has a state, but takes no single steps",
            remedy="A layer in reverse needs the whole sequence; a module of your own has a method "
            "step(x_t, state, *, training, constants).",
        )
    y = layer(sg.expand_dims(x_t, 0), **accepted(layer, **options))
    size = y.type.shape[0] if y.ndim > 1 else 0
    if is_named(size) or (isinstance(size, int) and size != 1):
        raise SymgraphTypeError.here(
            f"{layer!r} gives {describe(y)} for a sequence of one step: not one step again",
            remedy="What looks at all steps, or at the last, comes after the net that takes steps.",
        )
    return y[0], None
