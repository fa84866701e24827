"""How the weights of PyTorch's and Keras's layers become those of ours.

A layer's weights have roles: the last part of their names, such as ``weight_ih`` or ``kernel``. A
conversion takes them from `Roles` and gives arrays by our attribute paths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .attention import MultiHeadAttention
from .bidirectional import Bidirectional
from .cells import GRUCell, LSTMCell, RNNCell
from .conv import Conv1D, Conv2D
from .conv_cells import ConvLSTMCell
from .conv_transpose import ConvTranspose1D, ConvTranspose2D
from .layers import Dense, Embedding
from .norms import BatchNorm, GroupNorm, LayerNorm
from .recurrent import Recurrent

__all__ = [
    "KERAS_LAYERS",
    "LAYERS",
    "Misfit",
    "Roles",
    "from_keras",
    "from_torch",
    "keras_roles",
    "neutral",
]

Values = dict[str, np.ndarray]

LAYERS = (
    Dense, Embedding, Conv1D, Conv2D, ConvTranspose1D, ConvTranspose2D, LayerNorm, GroupNorm,
    BatchNorm, MultiHeadAttention, Recurrent, Bidirectional, RNNCell, LSTMCell, GRUCell,
)  # fmt: skip
"""The layers whose weights have counterparts elsewhere."""
KERAS_LAYERS = (*LAYERS, ConvLSTMCell)
"""Those that Keras has."""


class Misfit(Exception):
    """A layer computes something else than the one that the weights come from."""


class Roles:
    """The weights of one layer from elsewhere, by their roles; each is taken once."""

    def __init__(
        self, arrays: Mapping[str, np.ndarray], prefix: str = "", suffix: str = ""
    ) -> None:
        self._arrays = dict(arrays)
        self._prefix, self._suffix = prefix, suffix
        self.taken: set[str] = set()

    def within(self, prefix: str = "", suffix: str = "") -> Roles:
        """The same, for roles with this beginning or end."""
        inner = Roles(self._arrays, self._prefix + prefix, suffix + self._suffix)
        inner.taken = self.taken
        return inner

    def take(self, role: str) -> np.ndarray | None:
        """The weights of a role; None where there are none."""
        name = f"{self._prefix}{role}{self._suffix}"
        if name in self._arrays:
            self.taken.add(name)
        return self._arrays.get(name)

    @property
    def surplus(self) -> list[str]:
        """The roles that nobody has taken."""
        return [role for role in self._arrays if role not in self.taken]


def _present(values: Mapping[str, np.ndarray | None]) -> Values:
    return {path: array for path, array in values.items() if array is not None}


def _placed(path: str, values: Values) -> Values:
    return {f"{path}.{name}": array for name, array in values.items()}


def _turned(array: np.ndarray | None, order: Callable[[int], tuple[int, ...]]) -> Any:
    """The array with its axes in another order, given by their number."""
    return None if array is None else np.transpose(array, order(array.ndim))


def neutral(layer: Any) -> Values:
    """By attribute path, what a layer of ours always has and theirs may do without.

    They are values that change nothing: biases and peepholes of 0, gains of 1.
    """
    if isinstance(layer, Bidirectional):
        both = {"forward": layer.forward, "backward": layer.backward}
        return {
            k: v for path, each in both.items() for k, v in _placed(path, neutral(each)).items()
        }
    if isinstance(layer, Recurrent):
        return _placed("cell", neutral(layer.cell))
    if isinstance(layer, (RNNCell, LSTMCell, GRUCell, ConvLSTMCell)):
        own = {name: getattr(layer, name, None) for name in ("b", "c", "p_i", "p_f", "p_o")}
        return {name: np.zeros_like(v.get_value()) for name, v in own.items() if v is not None}
    if isinstance(layer, (LayerNorm, GroupNorm, BatchNorm)):
        gain, bias = layer.gain.get_value(), layer.bias.get_value()
        return {"gain": np.ones_like(gain), "bias": np.zeros_like(bias)}
    return {}


# --- PyTorch ------------------------------------------------------------------------------------


def from_torch(layer: Any, roles: Roles) -> Values:
    """Our values by attribute path; products have the outputs first there."""
    return _TORCH[type(layer)](layer, roles)


def _reversed_axes(n: int) -> tuple[int, ...]:
    return tuple(reversed(range(n)))


def _sizes_in_front(n: int) -> tuple[int, ...]:
    """[outputs, inputs, *sizes] as [*sizes, inputs, outputs]."""
    return (*range(2, n), 1, 0)


def _sizes_in_front_transposed(n: int) -> tuple[int, ...]:
    """[inputs, outputs, *sizes] as [*sizes, inputs, outputs]."""
    return (*range(2, n), 0, 1)


def _torch_weighted(order: Callable[[int], tuple[int, ...]]) -> Callable[[Any, Roles], Values]:
    return lambda layer, roles: _present(
        {"W": _turned(roles.take("weight"), order), "b": roles.take("bias")}
    )


def _torch_norm(layer: Any, roles: Roles) -> Values:
    roles.take("num_batches_tracked")
    return _present({
        "gain": roles.take("weight"), "bias": roles.take("bias"),
        "mean": roles.take("running_mean"), "variance": roles.take("running_var"),
    })  # fmt: skip


def _torch_attention(layer: MultiHeadAttention, roles: Roles) -> Values:
    values: dict[str, np.ndarray | None] = {
        "output.W": _turned(roles.take("out_proj.weight"), _reversed_axes),
        "output.b": roles.take("out_proj.bias"),
    }
    weights, biases = roles.take("in_proj_weight"), roles.take("in_proj_bias")
    for i, part in enumerate(("query", "key", "value")):
        rows = slice(i * layer.n_units, (i + 1) * layer.n_units)
        values[f"{part}.W"] = None if weights is None else weights[rows].T
        values[f"{part}.b"] = None if biases is None else biases[rows]
    return _present(values)


def _torch_cell(cell: Any, roles: Roles) -> Values:
    values = {
        "W": _turned(roles.take("weight_ih"), _reversed_axes),
        "U": _turned(roles.take("weight_hh"), _reversed_axes),
    }
    first, second = roles.take("bias_ih"), roles.take("bias_hh")
    if isinstance(cell, GRUCell):
        if cell.reset == "before":
            raise Misfit("PyTorch's GRU resets after the product: make ours with reset='after'")
        return _present(values) | _gru_biases(cell, first, second)
    values["b"] = first if second is None or first is None else first + second
    return _present(values)


def _gru_biases(cell: GRUCell, first: np.ndarray | None, second: np.ndarray | None) -> Values:
    """The biases before and inside of the reset product; gates r, u, n."""
    if first is None:
        return {}
    if second is None:
        second = np.zeros_like(first)
    outside = first + second
    n = 2 * cell.n_units
    outside[n:] = first[n:]
    if cell.second_bias:
        return {"b": outside, "c": second[n:]}
    if second[n:].any():
        raise Misfit("its second bias stands inside of the reset product: make ours with "
                     "second_bias=True")  # fmt: skip
    return {"b": outside}


def _both(cell_values: Callable[[Any, Roles], Values], first: str, second: str, end: str) -> Any:
    """The conversion of both directions, told apart by the beginning or the end of roles."""

    def convert(layer: Bidirectional[Any, Any], roles: Roles) -> Values:
        backward = roles.within(second, end)
        return {
            **_placed("forward.cell", cell_values(layer.forward.cell, roles.within(first))),
            **_placed("backward.cell", cell_values(layer.backward.cell, backward)),
        }

    return convert


def _one(cell_values: Callable[[Any, Roles], Values]) -> Callable[[Any, Roles], Values]:
    return lambda layer, roles: _placed("cell", cell_values(layer.cell, roles))


_TORCH: dict[type, Callable[[Any, Roles], Values]] = {
    Dense: _torch_weighted(_reversed_axes),
    Embedding: lambda layer, roles: _present({"W": roles.take("weight")}),
    Conv1D: _torch_weighted(_sizes_in_front),
    Conv2D: _torch_weighted(_sizes_in_front),
    ConvTranspose1D: _torch_weighted(_sizes_in_front_transposed),
    ConvTranspose2D: _torch_weighted(_sizes_in_front_transposed),
    LayerNorm: _torch_norm,
    GroupNorm: _torch_norm,
    BatchNorm: _torch_norm,
    MultiHeadAttention: _torch_attention,
    Recurrent: _one(_torch_cell),
    Bidirectional: _both(_torch_cell, "", "", "_reverse"),
    **dict.fromkeys((RNNCell, LSTMCell, GRUCell), _torch_cell),
}


# --- Keras --------------------------------------------------------------------------------------


def from_keras(layer: Any, roles: Roles) -> Values:
    """Our values by attribute path; products have the inputs first there, as here."""
    return _KERAS[type(layer)](layer, roles)


def _keras_weighted(layer: Any, roles: Roles) -> Values:
    return _present({"W": roles.take("kernel"), "b": roles.take("bias")})


def _keras_convolution(layer: Conv1D | Conv2D, roles: Roles) -> Values:
    kernel, depthwise = roles.take("kernel"), roles.take("depthwise_kernel")
    kernel = depthwise if kernel is None else kernel
    inputs = (layer.options["groups"],)
    if kernel is not None and kernel.shape[-2:-1] == inputs == (layer.n_in,):
        # A depthwise layer's, [*sizes, inputs, filters for each]: here each input is a group.
        kernel = kernel.reshape(*kernel.shape[:-2], 1, -1)
    return _present({"W": kernel, "b": roles.take("bias")})


def _keras_transposed(layer: Any, roles: Roles) -> Values:
    kernel = roles.take("kernel")
    swapped = None if kernel is None else kernel.swapaxes(-1, -2)
    return _present({"W": swapped, "b": roles.take("bias")})


def _keras_norm(layer: Any, roles: Roles) -> Values:
    return _present({
        "gain": roles.take("gamma"), "bias": roles.take("beta"),
        "mean": roles.take("moving_mean"), "variance": roles.take("moving_variance"),
    })  # fmt: skip


def _keras_attention(layer: MultiHeadAttention, roles: Roles) -> Values:
    n, values = layer.n_units, {}
    parts = {"query": "query", "key": "key", "value": "value", "output": "attention_output"}
    for ours, theirs in parts.items():
        kernel, bias = (roles.take(f"{theirs}/{role}") for role in ("kernel", "bias"))
        values[f"{ours}.W"] = None if kernel is None else kernel.reshape(n, n)
        values[f"{ours}.b"] = None if bias is None else bias.reshape(n)
    return _present(values)


def _keras_cell(cell: Any, roles: Roles) -> Values:
    kernel, recurrent = roles.take("kernel"), roles.take("recurrent_kernel")
    bias = roles.take("bias")
    if not isinstance(cell, GRUCell):
        return _present({"W": kernel, "U": recurrent, "b": bias})
    values = _present({"W": _reset_first(kernel), "U": _reset_first(recurrent)})
    if bias is None:
        return values
    if cell.reset == "before" and bias.ndim == 1:
        return values | {"b": _reset_first(bias)}
    if cell.reset == "before" or bias.ndim == 1:
        theirs, ours = ("before", "after") if bias.ndim == 1 else ("after", "before")
        raise Misfit(f"it resets {theirs} the product, ours {ours}: make ours with "
                     f"reset={theirs!r}")  # fmt: skip
    first, second = _reset_first(bias)
    return values | _gru_biases(cell, first, second)


def _reset_first(gates: np.ndarray | None) -> Any:
    """The gates z, r, h side by side as r, u, n."""
    if gates is None:
        return None
    update, reset, new = np.split(gates, 3, axis=-1)
    return np.concatenate([reset, update, new], axis=-1)


_KERAS: dict[type, Callable[[Any, Roles], Values]] = {
    Dense: _keras_weighted,
    Embedding: lambda layer, roles: _present({"W": roles.take("embeddings")}),
    Conv1D: _keras_convolution,
    Conv2D: _keras_convolution,
    ConvTranspose1D: _keras_transposed,
    ConvTranspose2D: _keras_transposed,
    LayerNorm: _keras_norm,
    GroupNorm: _keras_norm,
    BatchNorm: _keras_norm,
    MultiHeadAttention: _keras_attention,
    Recurrent: _one(_keras_cell),
    Bidirectional: _both(_keras_cell, "forward/", "backward/", ""),
    **dict.fromkeys((RNNCell, LSTMCell, GRUCell, ConvLSTMCell), _keras_cell),
}


def keras_roles(layer: Any) -> list[str]:
    """The roles of a layer's weights in the order in which Keras lists them."""
    return list(_keras_order(layer))


def _keras_order(layer: Any) -> Iterator[str]:
    if isinstance(layer, Bidirectional):
        yield from (f"forward/{role}" for role in _keras_order(layer.forward))
        yield from (f"backward/{role}" for role in _keras_order(layer.backward))
    elif isinstance(layer, (Recurrent, RNNCell, LSTMCell, GRUCell, ConvLSTMCell)):
        yield from ("kernel", "recurrent_kernel", "bias")
    elif isinstance(layer, Embedding):
        yield "embeddings"
    elif isinstance(layer, (LayerNorm, GroupNorm)):
        yield from ("gamma", "beta")
    elif isinstance(layer, BatchNorm):
        yield from ("gamma", "beta", "moving_mean", "moving_variance")
    elif isinstance(layer, MultiHeadAttention):
        for part in ("query", "key", "value", "attention_output"):
            yield from (f"{part}/kernel", f"{part}/bias")
    else:
        yield "kernel"
        if layer.b is not None:
            yield "bias"
