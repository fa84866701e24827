"""Theano's graphs, compiled in milliseconds: symbolic mathematics with scan and gradients."""

from __future__ import annotations

import importlib
from typing import Any

from ._version import __version__
from .autodiff.explain import explain_grad
from .autodiff.forward import hessian_vector_product, jvp
from .autodiff.reverse import grad, vjp
from .compile.evaluate import evaluate
from .compile.function import Function, assert_compiled, compile
from .compile.program import In
from .compile.trace import write_trace
from .core.errors import (
    BackendError,
    CallError,
    DisconnectedError,
    DtypeError,
    GradientError,
    GraphError,
    IndexRangeError,
    InputError,
    ScanError,
    ShapeError,
    SymbolicValueError,
    SymgraphError,
    SymgraphTypeError,
    SymgraphValueError,
    UpdateError,
)
from . import errors  # noqa: F401
from .core.graph import Graph, substitute
from .core.provenance import record_lines
from .core.variable import SharedVariable, Variable
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
from .ops.conv import average_pool, conv1d, conv2d, max_pool
from .ops.create import (
    arange,
    constant,
    eye,
    full,
    full_like,
    linspace,
    matrix,
    one_hot,
    ones,
    ones_like,
    scalar,
    shared,
    tensor,
    tensor3,
    tensor4,
    tri,
    tril,
    triu,
    vector,
    zeros,
    zeros_like,
)
from .ops.cumulative import cumprod, cumsum
from .ops.elementwise import (
    abs,
    absolute,
    add,
    astype,
    cast,
    clip,
    divide,
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
from .ops.gradient import clip_gradient, stop_gradient
from .ops.index import flatnonzero, nonzero, take, take_along_axis
from .ops.linalg import (
    diag,
    diagonal,
    dot,
    einsum,
    inner,
    matmul,
    outer,
    tensordot,
    trace,
    vdot,
)
from .ops.reduce import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    count_nonzero,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)
from .ops.rounding import ceil, floor, rint, round, trunc
from .ops.shape import (
    atleast_1d,
    atleast_2d,
    concatenate,
    expand_dims,
    flatten,
    flip,
    moveaxis,
    pad,
    ravel,
    repeat,
    reshape,
    roll,
    shape,
    size,
    split,
    squeeze,
    stack,
    swapaxes,
    tile,
    transpose,
)
from .ops.sort import argsort, searchsorted, sort
from .ops.softmax import log_softmax, logaddexp, logsumexp, softmax
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
    reciprocal,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)
from .scan.build import foldl, foldr, map, reduce, scan, until
from .scan.derivatives import hessian, jacobian
from .viz.text import dprint, listing


def __getattr__(name: str) -> Any:
    """`to_dot`, whose import brings graphviz along."""
    if name == "to_dot":
        return importlib.import_module(".viz.dot", __name__).to_dot
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
