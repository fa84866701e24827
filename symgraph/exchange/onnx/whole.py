"""What ONNX has one op for, found in the expressions that symgraph builds for it.

`find_whole_ops` puts a node of `WHOLE` in place of each: convolutions, pooling, padding, means,
activations. It looks at graphs before the passes, and knows what it looks for by identity: an
expression is a convolution if `conv2d` builds the very same one. ONNX has channels before places
and symgraph after them, so images are turned there and back; turns that meet cancel each other in
the passes, which move them past what works element by element.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...core.graph import Graph
from ...core.types import TensorType
from ...core.variable import Variable, make_constant
from ...ops.broadcast import REARRANGE, SUM, rearrange
from ...ops.conv import average_pool, max_pool
from ...ops.padding import pad
from ...ops.reduce import mean
from ...ops.windows import WINDOWS
from ..templates.chains import plain
from ..templates.functions import Call, finder_of
from ..templates.parts import Place, change_everywhere
from .whole_activations import Lowered, find_activation, find_layer_norm
from .whole_op import builds, placed, whole

__all__ = ["find_whole_ops"]

_FLOAT32 = np.dtype("float32")
_POOLED = tuple(map(np.dtype, ("float32", "float64", "int8", "uint8")))


def find_whole_ops(graph: Graph, opset: int, lowered: Lowered = frozenset()) -> Graph:
    """The graph with a node in place of each expression that is one op of ONNX, loops included.

    What the user has lowered (the names of functions) stays as the user has it.
    """

    def find(v: Variable) -> Place | None:
        for finder in _FINDERS.get(v.op.name, ()):
            place = finder(v, lowered)
            if place is not None:
                return place
        return find_activation(v, opset, lowered)

    return Graph(graph.inputs, change_everywhere(graph.outputs, find))


# --- convolution --------------------------------------------------------------------------------


def _channels_first(x: Variable) -> Variable:
    return rearrange(x, [0, x.ndim - 1, *range(1, x.ndim - 1)])


def _channels_last(x: Variable) -> Variable:
    return rearrange(x, [0, *range(2, x.ndim), 1])


def _find_convolution(v: Variable, lowered: Lowered) -> Place | None:
    call = _convolution(v, lowered)
    if call is None:
        return None
    return placed(v, call.inputs, lambda x, filters: _convolve(v, call, x, filters))


def _find_biased_convolution(v: Variable, lowered: Lowered) -> Place | None:
    """``conv2d(x, filters) + bias``, of one number for each filter."""
    for convolved, bias in (v.inputs, v.inputs[::-1]):
        call = _convolution(convolved, lowered)
        filters = call.inputs[1] if call is not None else None
        if call is None or filters is None or bias.ndim != 1:
            continue
        if bias.type.shape[0] == filters.type.shape[-1]:
            return placed(
                v, [*call.inputs, bias], lambda *inputs, call=call: _convolve(v, call, *inputs)
            )
    return None


def _convolution(v: Variable, lowered: Lowered) -> Call | None:
    if v.op.name != "reshape" or v.dtype != _FLOAT32:
        return None
    for name in ("conv1d", "conv2d"):
        find = finder_of(name)
        call = find(v) if find is not None else None
        if call is not None:
            is_padded = call.arguments["padding"] != "valid"
            is_apart = not lowered.isdisjoint((name, "pad"))
            return _with_padding_apart(call) if is_padded and is_apart else call
    return None


def _with_padding_apart(call: Call) -> Call:
    """The same convolution of what was padded before."""
    x, filters = call.inputs
    padded = pad(x, [(0, 0), *call.arguments["padding"], (0, 0)])
    return Call([padded, filters], {**call.arguments, "padding": "valid"})


def _convolve(v: Variable, call: Call, x: Variable, filters: Variable, *bias: Variable) -> Variable:
    n = x.ndim - 2
    kernel = rearrange(filters, [n + 1, n, *range(n)])
    padding, sizes = call.arguments["padding"], filters.type.shape[:n]
    margins = [(0, 0)] * n if padding == "valid" else list(padding)
    result = whole(
        "Conv",
        [_channels_first(x), kernel, *bias],
        _first_type(v.type),
        kernel_shape=sizes,
        strides=_each(call.arguments["stride"], n),
        dilations=_each(call.arguments["dilation"], n),
        group=call.arguments["groups"],
        **_pads(margins),
    )
    return _channels_last(result)


def _first_type(type: TensorType) -> TensorType:
    batch, *places, channels = type.shape
    return type.with_shape((batch, channels, *places))


def _each(number: int | Sequence[int], n: int) -> tuple[int, ...]:
    return (number,) * n if isinstance(number, int) else tuple(number)


def _pads(margins: Sequence[tuple[int, int]]) -> dict[str, tuple[int, ...]]:
    if not any(map(any, margins)):
        return {}
    return {"pads": tuple(before for before, _ in margins) + tuple(after for _, after in margins)}


# --- pooling ------------------------------------------------------------------------------------


def _find_max_pool(v: Variable, lowered: Lowered) -> Place | None:
    if v.dtype not in _POOLED or not lowered.isdisjoint(("max_pool", "pad")):
        return None
    return _find_pool(v, max_pool, "MaxPool", v.inputs[0])


def _find_average_pool(v: Variable, lowered: Lowered) -> Place | None:
    total = plain(v.inputs[0])
    if total.op is not SUM or v.dtype != _FLOAT32:
        return None
    if not lowered.isdisjoint(("average_pool", "pad")):
        return None
    return _find_pool(v, average_pool, "AveragePool", total.inputs[0])


def _find_pool(
    v: Variable, function: Callable[..., Variable], op_type: str, parts: Variable
) -> Place | None:
    """What builds the very same variable on the windows that it is made of."""
    chain: list[Variable] = []
    below = plain(parts)
    while below.op in (WINDOWS, REARRANGE):
        chain += [below] if below.op is WINDOWS else []
        below = plain(below.inputs[0])
    chain.reverse()
    if not chain or below.ndim != len(chain) + 2:
        return None
    sizes, strides = [w.params[1] for w in chain], [w.params[2] for w in chain]
    margins = [(0, 0)] * len(chain)
    find = finder_of("pad")
    padded = find(below) if find is not None else None
    if padded is not None:
        _, *margins, _ = padded.arguments["widths"]
        below = padded.inputs[0]
    if any(max(pair) >= size for pair, size in zip(margins, sizes, strict=True)):
        return None  # which onnxruntime refuses
    padding = "valid" if padded is None else margins
    if not builds(v, function, below, sizes, stride=strides, padding=padding):
        return None
    attributes = {"kernel_shape": tuple(sizes), "strides": tuple(strides), **_pads(margins)}
    return placed(
        v,
        [below],
        lambda x: _channels_last(
            whole(op_type, [_channels_first(x)], _first_type(v.type), **attributes)
        ),
    )


# --- means, padding -------------------------------------------------------------


def _find_mean(v: Variable, lowered: Lowered) -> Place | None:
    total = plain(v.inputs[0])
    if total.op is not SUM or v.dtype.kind != "f" or "mean" in lowered:
        return None
    (x,), (axes, keepdims) = total.inputs, total.params
    # Of nothing NumPy's mean is NaN, which ONNX leaves open.
    if not all(isinstance(x.type.shape[axis], int) and x.type.shape[axis] for axis in axes):
        return None
    if not builds(v, mean, x, axes, keepdims=keepdims):
        return None
    axes_input = make_constant(np.array(axes, np.int64))
    return placed(
        v,
        [x],
        lambda x: whole("ReduceMean", [x, axes_input], v.type, keepdims=int(keepdims)),
    )


def _find_pad(v: Variable, lowered: Lowered) -> Place | None:
    find = finder_of("pad")
    call = find(v) if find is not None and "pad" not in lowered else None
    if call is None:
        return None
    widths = call.arguments["widths"]
    pads = [before for before, _ in widths] + [after for _, after in widths]
    number = call.arguments["constant_values"]
    filler = make_constant(np.asarray(number, v.dtype))
    sizes = make_constant(np.array(pads, np.int64))
    return placed(v, call.inputs, lambda x: whole("Pad", [x, sizes, filler], v.type))


_FINDERS: dict[str, tuple[Callable[[Variable, Lowered], Place | None], ...]] = {
    "add": (_find_biased_convolution, find_layer_norm),
    "concatenate": (_find_pad,),
    "divide": (_find_average_pool, _find_mean),
    "max": (_find_max_pool,),
    "reshape": (_find_convolution,),
}
