"""Rules of rewriting that make graphs of ONNX shorter: turns that meet, products with a bias."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.graph import Graph
from ...core.variable import Variable, node
from ...ops.broadcast import REARRANGE, rearrange
from ...ops.elementwise import ADD
from ...ops.linalg import MATMUL
from ...rewrite.engine import EVERY, Rule, RuleSet, rule
from ...scan.rewrites import rewrite_bodies
from .rebuild import rebuild_into
from .whole_op import whole

__all__ = ["TEMPLATES", "join_products"]


# --- turns of images ----------------------------------------------------------------------------


def _sink(v: Variable) -> Variable | None:
    """op(rearrange(x)) → rearrange(op(x)), for orders of all axes."""
    if v.op.kind != "elementwise" or v.ndim < 3:
        return None
    turned = [x for x in v.inputs if x.op is REARRANGE and x.ndim == v.ndim]
    orders = {x.params[0] for x in turned}
    if len(orders) != 1:
        return None
    (order,) = orders
    if sorted(axis for axis in order if axis is not None) != list(range(v.ndim)):
        return None
    if any(x.ndim == v.ndim for x in v.inputs if x not in turned):
        return None
    back = [order.index(axis) for axis in range(v.ndim)]
    inputs = [x.inputs[0] if x in turned else _turned(x, back) for x in v.inputs]
    return rearrange(node(v.op, inputs, v.params), order)


def _turned(x: Variable, order: Sequence[int]) -> Variable:
    """What has fewer axes, so that it meets the same ones in another order."""
    if x.ndim == 0:
        return x
    missing = len(order) - x.ndim
    return rearrange(x, [None if axis < missing else axis - missing for axis in order])


SINK = Rule("sink turns", (), EVERY, _sink, "op(rearrange(x)) → rearrange(op(x))", ("rearrange",))


# --- products -----------------------------------------------------------------------------------


@rule("prod", of="iu")
def multiply_integers_one_by_one(v: Variable) -> Variable | None:
    """prod(integers) → the last of their running products: onnxruntime multiplies floats."""
    return None if v.op.expand is None else v.op.expand(v)


TEMPLATES = RuleSet(SINK, multiply_integers_one_by_one)
"""Rules for what ONNX says in fewer nodes than other backends, or cannot say as they do."""


def join_products(graph: Graph) -> Graph:
    """``x @ y + b`` of matrices and a vector as one node, in the bodies of loops too."""
    return rewrite_bodies(_joined(graph), _joined)


def _joined(graph: Graph) -> Graph:
    new: dict[Variable, Variable] = {v: v for v in graph.inputs}
    for v in graph.nodes:
        parts = _product_and_bias(v, graph)
        if parts is not None:
            product, bias = parts
            inputs = (*product.inputs, bias)
            rebuild_into(inputs, new)
            new[v] = whole("Gemm", [new[x] for x in inputs], v.type)
    rebuild_into(graph.outputs, new)
    return Graph(graph.inputs, [new[v] for v in graph.outputs])


def _product_and_bias(v: Variable, graph: Graph) -> tuple[Variable, Variable] | None:
    """The product that nothing else reads, and the row that is added to it."""
    if v.op is not ADD or v.ndim != 2 or v.dtype.kind != "f":
        return None
    for product, bias in (v.inputs, v.inputs[::-1]):
        is_product = product.op is MATMUL and product.type is v.type
        if is_product and bias.ndim == 1 and len(graph.users[product]) == 1:
            return product, bias
    return None
