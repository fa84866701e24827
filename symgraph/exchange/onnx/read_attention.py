"""ONNX's attention: products of queries and keys under masks, rotations, and linear recurrences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core.variable import Variable
from ...ops import comparison, create, elementwise, reduce, softmax
from ...ops.broadcast import rearrange
from ...ops.contractions import einsum
from ...ops.join import concatenate
from ...ops.linalg import matmul
from ...ops.padding import pad
from ...ops.positions import take
from ...ops.promotion import cast_to
from ...ops.ranges import iota
from ...ops.repeat import repeat
from ...ops.reshape import reshape
from ...ops.shape import expand_dims, swapaxes
from ...ops.sizes import as_scalar, shape_of
from ...ops.transcendental import exp, sqrt, tanh
from ...scan.build import scan
from .read_node import Node
from .read_registry import reads
from .read_shape import divided, dtype_named
from .read_values import Value, simple_entry

_INT64 = np.dtype("int64")


def _with_heads(node: Node, x: Variable, heads: int) -> Variable:
    """``[batch, heads, time, size]`` for ``[batch, time, heads * size]``."""
    batch, time, width = node.sizes_of(x, "batch", "time", "features")
    return swapaxes(reshape(x, (batch, time, heads, divided(width, heads))), 1, 2)


def _without_heads(x: Variable) -> Variable:
    batch, heads, time, size = shape_of(x)
    return reshape(swapaxes(x, 1, 2), (batch, time, heads * as_scalar(size)))


@reads("Attention")
def _attention(node: Node) -> tuple[Value, ...]:
    queries, keys, values = (node.variable(i) for i in range(3))
    is_flat = queries.ndim == 3
    if is_flat:
        n, m = node.positive("q_num_heads"), node.positive("kv_num_heads")
        queries = _with_heads(node, queries, n)
        keys, values = _with_heads(node, keys, m), _with_heads(node, values, m)
    for x in (queries, keys, values):
        node.sizes_of(x, "batch", "heads", "time", "features")
    past: Any = 0
    if node.has(4):
        past = shape_of(node.variable(4))[2]
        keys = concatenate([node.variable(4), keys], 2)
        values = concatenate([node.variable(5), values], 2)
    scores = _scores(node, queries, _repeated(node, keys, queries))
    bias = _bias(node, queries, keys, past)
    stages = [scores, _capped(node, scores)]
    stages.append(stages[-1] if bias is None else stages[-1] + bias)
    stages.append(cast_to(_shares(node, stages[-1], bias), queries.dtype))
    result = matmul(stages[-1], _repeated(node, values, queries))
    mode = node.attribute("qk_matmul_output_mode", 0)
    if not 0 <= mode < 4:
        raise node.refusal(f"qk_matmul_output_mode is 0 to 3, not {mode}")
    return _without_heads(result) if is_flat else result, keys, values, stages[mode]


def _repeated(node: Node, x: Variable, queries: Variable) -> Variable:
    """Keys or values once for each head of the queries that shares them."""
    ours, theirs = x.type.shape[1], queries.type.shape[1]
    if ours == theirs:
        return x
    if not isinstance(ours, int) or not isinstance(theirs, int):
        return repeat(x, elementwise.floor_divide(shape_of(queries)[1], shape_of(x)[1]), 1)
    if theirs % max(ours, 1):
        raise node.refusal(f"{ours} heads of keys do not fit {theirs} of queries")
    return repeat(x, theirs // max(ours, 1), 1)


def _scores(node: Node, queries: Variable, keys: Variable) -> Variable:
    size = shape_of(queries)[-1]
    scale: Any = node.attribute("scale", 0.0)
    if scale < 0:
        raise node.refusal(f"a scale is not negative, as {scale} is")
    if not scale:
        scale = 1 / math.sqrt(size) if isinstance(size, int) else 1 / sqrt(size)
    scale = sqrt(scale) if isinstance(scale, Variable) else math.sqrt(scale)
    scale = cast_to(scale, queries.dtype) if isinstance(scale, Variable) else scale
    return matmul(queries * scale, swapaxes(keys, 2, 3) * scale)


def _capped(node: Node, scores: Variable) -> Variable:
    cap = node.attribute("softcap", 0.0)
    return cap * tanh(scores / cap) if cap > 0 else scores


def _shares(node: Node, scores: Variable, bias: Variable | None) -> Variable:
    """The softmax of the scores; zeros in rows where the bias leaves no key."""
    number = node.attribute("softmax_precision", 0)
    shares = softmax.softmax(cast_to(scores, dtype_named(node, number)) if number else scores, -1)
    if bias is None:
        return shares
    is_nothing = reduce.all(comparison.eq(bias, -np.inf), -1, keepdims=True)
    return elementwise.where(is_nothing, elementwise.zero_like(shares), shares)


def _bias(node: Node, queries: Variable, keys: Variable, past: Any) -> Variable | None:
    """What is added to the scores: -Inf where a query does not see a key."""
    total = shape_of(keys)[2]
    terms: list[Variable] = []
    if node.has(3):
        mask = _long_enough(node.variable(3), total)
        terms.append(_as_bias(mask, queries.dtype) if mask.dtype.kind == "b" else mask)
    allowed = _visible(node, shape_of(queries)[2], total, past)
    if node.has(6):
        lengths = rearrange(cast_to(node.variable(6), _INT64), [0, None, None, None])
        is_there = comparison.less(iota(total), lengths)
        allowed = is_there if allowed is None else comparison.logical_and(allowed, is_there)
    if allowed is not None:
        terms.append(_as_bias(allowed, queries.dtype))
    return sum(terms[1:], terms[0]) if terms else None


def _as_bias(allowed: Variable, dtype: np.dtype) -> Variable:
    return elementwise.where(allowed, dtype.type(0), dtype.type(-np.inf))


def _long_enough(mask: Variable, total: Any) -> Variable:
    """The mask with what its last axis lacks: keys that are not seen."""
    lacking = simple_entry(as_scalar(total) - shape_of(mask)[-1])
    if not isinstance(lacking, Variable) and lacking <= 0:
        return mask
    if isinstance(lacking, Variable):
        lacking = elementwise.maximum(lacking, 0)
    filler = False if mask.dtype.kind == "b" else -np.inf
    return pad(mask, [(0, 0)] * (mask.ndim - 1) + [(0, lacking)], constant_values=filler)


def _visible(node: Node, rows: Any, columns: Any, past: Any) -> Variable | None:
    """Which key a query sees by its place: none after it, or none outside a window."""
    left, right = node.attribute("left_window_size", -1), node.attribute("right_window_size", -1)
    is_causal = bool(node.attribute("is_causal", 0))
    if not is_causal and left < 0 and right < 0:
        return None
    place: Variable = expand_dims(iota(rows), 1) + past
    if node.has(6) and not node.has(4):
        lengths = rearrange(cast_to(node.variable(6), _INT64), [0, None, None, None])
        place = place + lengths - rows
    distance = iota(columns) - place
    bounds = []
    if is_causal or right >= 0:
        bounds.append(comparison.less_equal(distance, 0 if is_causal else right))
    if left >= 0:
        bounds.append(comparison.greater_equal(distance, -left))
    return bounds[0] if len(bounds) == 1 else comparison.logical_and(*bounds)


@reads("RotaryEmbedding")
def _rotary(node: Node) -> Value:
    """Pairs of features turned by angles that grow with the place."""
    x, cosines, sines = (node.variable(i) for i in range(3))
    original = x
    x = swapaxes(x, 1, 2) if x.ndim == 4 else _split_heads(node, x)
    if node.has(3):
        cosines, sines = (take(v, node.variable(3), 0) for v in (cosines, sines))
    cosines, sines = (expand_dims(v, 2) for v in (cosines, sines))
    n = node.attribute("rotary_embedding_dim", 0)
    turned, rest = (x, None) if not n else (x[..., :n], x[..., n:])
    if node.attribute("interleaved", 0):
        first, second = turned[..., ::2], turned[..., 1::2]
        parts = [first * cosines - second * sines, first * sines + second * cosines]
        result = reshape(concatenate([p[..., None] for p in parts], -1), shape_of(turned))
    else:
        half = divided(shape_of(turned)[-1], 2)
        first, second = turned[..., :half], turned[..., half:]
        result = concatenate(
            [first * cosines - second * sines, first * sines + second * cosines], -1
        )
    if rest is not None:
        result = concatenate([result, rest], -1)
    return swapaxes(result, 1, 2) if original.ndim == 4 else reshape(result, shape_of(original))


def _split_heads(node: Node, x: Variable) -> Variable:
    heads = node.positive("num_heads")
    batch, time, width = node.sizes_of(x, "batch", "time", "features")
    return reshape(x, (batch, time, heads, divided(width, heads)))


# --- attention as a recurrence ------------------------------------------------------------------

_RULES = ("linear", "gated", "delta", "gated_delta")


@reads("LinearAttention")
def _linear_attention(node: Node) -> tuple[Value, Value]:
    """A matrix of values by keys that each step decays, corrects and reads: a loop over time."""
    rule = node.attribute("update_rule", "gated_delta")
    n, m = node.positive("q_num_heads"), node.positive("kv_num_heads")
    if rule not in _RULES or n % m:
        raise node.refusal(f"update_rule={rule!r} with {n} heads of queries and {m} of keys")
    queries, keys, values = (
        rearrange(_with_heads(node, node.variable(i), heads), [2, 0, 1, 3])
        for i, heads in enumerate((n, m, m))
    )
    dtype = queries.dtype
    _, batch, _, width = shape_of(keys)
    state = node.optional(3)
    if state is None:
        state = create.zeros((batch, m, width, shape_of(values)[3]), dtype)
    gates = [_gates(node, node.variable(4), m)] if "gated" in rule else []
    rates = [rearrange(node.variable(5), [1, 0, 2, None])] if "delta" in rule else []
    scale = node.attribute("scale", 0.0) or 1 / sqrt(cast_to(as_scalar(width), dtype))

    def step(query: Variable, key: Variable, value: Variable, *rest: Variable) -> Any:
        *given, old = rest
        if gates:
            old = old * exp(given[0])[..., None]
        if rates:
            value = given[-1] * (value - einsum("bhdm,bhd->bhm", old, key))
        new = old + key[..., :, None] * value[..., None, :]
        return scale * einsum("bhd,bhdm->bhm", query, repeat(new, n // m, 1)), new

    read, states = scan(step, [queries, keys, values, *gates, *rates], [None, state])
    return _without_heads(rearrange(read, [1, 2, 0, 3])), states[-1]


def _gates(node: Node, x: Variable, heads: int) -> Variable:
    """The decay of each step, ``[time, batch, heads, 1 or the size of a key]``."""
    batch, time, size = node.sizes_of(x, "batch", "time", "heads")
    return swapaxes(reshape(x, (batch, time, heads, divided(size, heads))), 0, 1)
