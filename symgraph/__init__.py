"""Theano's graphs, compiled in milliseconds: symbolic mathematics with scan and gradients."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import errors
from ._version import __version__
from .autodiff import composites as _composites  # noqa: F401  (attaches derivatives)
from .autodiff.explain import explain_grad
from .autodiff.forward import hessian_vector_product, jvp
from .autodiff.reverse import grad, vjp
from .compile import evaluate as _evaluate  # noqa: F401  (attaches eval to Variable)
from .compile.function import Function, assert_compiled, compile
from .compile.program import In
from .compile.replay import Replay, replay
from .compile.state import set_values
from .compile.trace import write_trace
from .core.calls import note_call
from .core.errors import (
    BackendError,
    CallError,
    DebugAssertError,
    DisconnectedError,
    DtypeError,
    ExchangeError,
    FiniteError,
    GradientError,
    GraphError,
    IndexRangeError,
    InputError,
    NumberRangeError,
    ScanError,
    ShapeError,
    SymbolicValueError,
    SymgraphError,
    SymgraphTypeError,
    SymgraphValueError,
    TooLargeError,
    UpdateError,
    VerifyError,
)
from .core.graph import Graph, ancestors, substitute
from .core.provenance import record_lines
from .core.shared import SharedVariable
from .core.tracing import LoopTrace, current_loop
from .core.variable import Variable
from .ops import numpy_dispatch, operators, random  # noqa: F401  (the first two attach methods)
from .ops.activation import elu, gelu, leaky_relu, log_sigmoid, relu, sigmoid, silu, softplus
from .ops.broadcast import broadcast_to
from .ops.comparison import (
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    eq,
    equal,
    greater,
    greater_equal,
    invert,
    isfinite,
    isinf,
    isnan,
    left_shift,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    ne,
    not_equal,
    right_shift,
)
from .ops.composite_functions import composite
from .ops.contractions import dot, einsum, inner, tensordot
from .ops.conv import average_pool, conv1d, conv2d, max_pool
from .ops.create import (
    eye,
    full,
    full_like,
    one_hot,
    ones,
    ones_like,
    tri,
    tril,
    triu,
    zeros,
    zeros_like,
)
from .ops.cumulative import cumprod, cumsum, cumulative_prod, cumulative_sum
from .ops.debug import debug_assert, debug_print
from .ops.diagonals import diag, diagonal, trace
from .ops.differences import allclose, array_equal, average, diff, isclose, ptp
from .ops.elementwise import (
    abs,
    absolute,
    add,
    astype,
    cast,
    clip,
    divide,
    divmod,
    floor_divide,
    ifelse,
    maximum,
    minimum,
    mod,
    multiply,
    nan_to_num,
    negative,
    positive,
    remainder,
    sign,
    square,
    subtract,
    true_divide,
    where,
)
from .ops.extremes import amax, amin, argmax, argmin, max, min
from .ops.gradient import clip_gradient, stop_gradient
from .ops.in_range import in_range
from .ops.inputs import constant, matrix, scalar, shared, tensor, tensor3, tensor4, vector
from .ops.join import column_stack, concatenate, dstack, hstack, split, stack, vstack
from .ops.linalg import matmul, outer, vdot
from .ops.padding import pad
from .ops.positions import flatnonzero, nonzero, take, take_along_axis
from .ops.ranges import arange, linspace
from .ops.reduce import all, any, count_nonzero, mean, prod, std, sum, var
from .ops.repeat import flip, repeat, roll, tile
from .ops.rounding import around, ceil, floor, rint, round, trunc
from .ops.shape import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    expand_dims,
    flatten,
    moveaxis,
    ravel,
    reshape,
    shape,
    size,
    squeeze,
    swapaxes,
    transpose,
)
from .ops.softmax import log_softmax, logaddexp, logsumexp, softmax
from .ops.sort import argsort, searchsorted, sort
from .ops.special_functions import digamma, erf, erfc, erfinv, gammaln, polygamma
from .ops.transcendental import (
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctan2,
    arctanh,
    cos,
    cosh,
    deg2rad,
    degrees,
    exp,
    exp2,
    expm1,
    hypot,
    log,
    log1p,
    log2,
    log10,
    power,
    rad2deg,
    radians,
    reciprocal,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)
from .scan.associative import associative_scan
from .scan.build import foldl, foldr, last_value, map, reduce, scan, until
from .scan.composites import open_composites
from .scan.derivatives import hessian, jacobian
from .viz.text import dprint, listing

if TYPE_CHECKING:
    from .exchange.native.export import export_native
    from .exchange.onnx.read import import_onnx
    from .exchange.onnx.write import export_onnx
    from .exchange.python.export import export_python
    from .exchange.templates.rewrite import rewrite_graph
    from .exchange.templates.template import template
    from .viz.dot import to_dot

# fmt: off
__all__ = [
    "__version__", "abs", "absolute", "add", "all", "allclose", "amax", "amin", "ancestors", "any",
    "arange", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "argmax",
    "argmin", "argsort", "around", "array_equal", "assert_compiled", "associative_scan", "astype",
    "atleast_1d", "atleast_2d", "atleast_3d", "average", "average_pool", "BackendError",
    "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "broadcast_to", "CallError", "cast",
    "ceil", "clip", "clip_gradient", "column_stack", "compile", "composite", "concatenate",
    "constant", "conv1d", "conv2d", "cos", "cosh", "count_nonzero", "cumprod", "cumsum",
    "cumulative_prod", "cumulative_sum", "current_loop", "debug_assert", "debug_print",
    "DebugAssertError", "deg2rad", "degrees", "diag", "diagonal", "diff", "digamma",
    "DisconnectedError", "divide", "divmod", "dot", "dprint", "dstack", "DtypeError", "einsum",
    "elu", "eq", "equal", "erf", "erfc", "erfinv", "errors", "ExchangeError", "exp", "exp2",
    "expand_dims", "explain_grad", "expm1", "export_native", "export_onnx", "export_python", "eye",
    "FiniteError", "flatnonzero", "flatten", "flip", "floor", "floor_divide", "foldl", "foldr",
    "full", "full_like", "Function", "gammaln", "gelu", "grad", "GradientError", "Graph",
    "GraphError", "greater", "greater_equal", "hessian", "hessian_vector_product", "hstack",
    "hypot", "ifelse", "import_onnx", "In", "in_range", "IndexRangeError", "inner", "InputError",
    "invert", "isclose", "isfinite", "isinf", "isnan", "jacobian", "jvp", "last_value",
    "leaky_relu", "left_shift", "less", "less_equal", "linspace", "listing", "log", "log10",
    "log1p", "log2", "log_sigmoid", "log_softmax", "logaddexp", "logical_and", "logical_not",
    "logical_or", "logical_xor", "logsumexp", "LoopTrace", "map", "matmul", "matrix", "max",
    "max_pool", "maximum", "mean", "min", "minimum", "mod", "moveaxis", "multiply", "nan_to_num",
    "ne", "negative", "nonzero", "not_equal", "note_call", "NumberRangeError", "one_hot", "ones",
    "ones_like", "open_composites", "outer", "pad", "polygamma", "positive", "power", "prod", "ptp",
    "rad2deg", "radians", "random", "ravel", "reciprocal", "record_lines", "reduce", "relu",
    "remainder", "repeat", "Replay", "replay", "reshape", "rewrite_graph", "right_shift", "rint",
    "roll", "round", "scalar", "scan", "ScanError", "searchsorted", "set_values", "shape",
    "ShapeError", "shared", "SharedVariable", "sigmoid", "sign", "silu", "sin", "sinh", "size",
    "softmax", "softplus", "sort", "split", "sqrt", "square", "squeeze", "stack", "std",
    "stop_gradient", "substitute", "subtract", "sum", "swapaxes", "SymbolicValueError",
    "SymgraphError", "SymgraphTypeError", "SymgraphValueError", "take", "take_along_axis", "tan",
    "tanh", "template", "tensor", "tensor3", "tensor4", "tensordot", "tile", "to_dot",
    "TooLargeError", "trace", "transpose", "tri", "tril", "triu", "true_divide", "trunc", "until",
    "UpdateError", "var", "Variable", "vdot", "vector", "VerifyError", "vjp", "vstack", "where",
    "write_trace", "zeros", "zeros_like",
]
# fmt: on


# What is slow to import or not always used, and the module that has it.
_LATER = {
    "export_native": ".exchange.native.export",
    "export_onnx": ".exchange.onnx.write",
    "export_python": ".exchange.python.export",
    "import_onnx": ".exchange.onnx.read",
    "rewrite_graph": ".exchange.templates.rewrite",
    "template": ".exchange.templates.template",
    "to_dot": ".viz.dot",  # brings graphviz
}


def __getattr__(name: str) -> Any:
    """What is imported when it is first asked for; `testing` brings its draws."""
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name], __name__), name)
    if name == "testing":
        return importlib.import_module(".testing", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return sorted([*__all__, "testing"])
