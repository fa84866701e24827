"""Whole matrices of derivatives: a loop over the elements of what is differentiated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as with_fields
from typing import Literal, overload

import numpy as np

from ..autodiff.arguments import Variables, float_variables
from ..autodiff.reverse import check_policy, grad, pull_back, refuse_disconnected
from ..core.graph import graph_of, replace
from ..core.variable import Variable, make_constant, make_input
from ..ops.broadcast import broadcast_to
from ..ops.comparison import eq
from ..ops.promotion import cast_to
from ..ops.ranges import arange
from ..ops.reshape import product_of, reshape
from ..ops.sizes import shape_of
from ..rewrite.engine import sweep
from ..rewrite.simplify import SIMPLIFY
from ..rewrite.stabilise import STABILISE
from .arguments import as_list
from .build import scan
from .op import Loop, make_alike, rebuild_alike

__all__ = ["hessian", "jacobian"]


@overload
def jacobian(
    y: Variable, x: Variable, *, disconnected: Literal["raise", "zero"] = "raise"
) -> Variable: ...
@overload
def jacobian(
    y: Variable, x: Sequence[Variable], *, disconnected: Literal["raise", "zero"] = "raise"
) -> list[Variable]: ...
def jacobian(
    y: Variable,
    x: Variables,
    *,
    disconnected: Literal["raise", "zero"] = "raise",
) -> Variable | list[Variable]:
    """The derivative of each element of ``y`` by each one of ``x``, of shape ``y.shape + x.shape``.

    For a list ``x`` a list; all are computed in one loop over the elements of ``y``. Where ``y``
    does not depend on a variable: a `DisconnectedError`, or zeros with ``disconnected="zero"``.
    Integers are a `GradientError`.

    >>> x = sg.vector("x", dtype="float64")
    >>> sg.jacobian(x**2, x).eval({x: [1.0, 3.0]})
    array([[2., 0.],
           [0., 6.]])
    """
    check_policy(disconnected, "jacobian")
    float_variables([y], "jacobian", "y")
    if y.ndim == 0:
        return grad(y, x, disconnected=disconnected)
    wanted, several = float_variables(x, "jacobian", "x")
    # Linear in the probe, which is at each step another unit vector.
    probe = make_input(y.type)
    pulled = pull_back({y: probe}, wanted)
    for v, cotangent in zip(wanted, pulled, strict=True):
        if cotangent is None and disconnected == "raise":
            refuse_disconnected([y], v, function="jacobian")
    rows = iter(_rows(y, probe, [ct for ct in pulled if ct is not None]))
    results = [
        _zeros(y, v) if ct is None else reshape(next(rows), (*shape_of(y), *shape_of(v)))
        for v, ct in zip(wanted, pulled, strict=True)
    ]
    return results if several else results[0]


@overload
def hessian(cost: Variable, x: Variable) -> Variable: ...
@overload
def hessian(cost: Variable, x: Sequence[Variable]) -> list[Variable]: ...
def hessian(cost: Variable, x: Variables) -> Variable | list[Variable]:
    """The second derivatives of a float scalar, of shape ``x.shape + x.shape``.

    For a list ``x``, a list: for each variable the second derivatives by itself alone. Raises what
    `grad` does.

    >>> x = sg.vector("x", dtype="float64")
    >>> sg.hessian(x.prod(), x).eval({x: [1.0, 3.0]})
    array([[0., 1.],
           [1., 0.]])
    """
    wanted, several = float_variables(x, "hessian", "x")
    results = [
        jacobian(gradient, v, disconnected="zero")
        for gradient, v in zip(grad(cost, wanted), wanted, strict=True)
    ]
    return results if several else results[0]


def _rows(y: Variable, probe: Variable, pulled: list[Variable]) -> list[Variable]:
    """What was pulled back, for each unit vector in place of the probe, along a leading axis."""
    if not pulled:
        return []
    elements = arange(product_of(shape_of(y)))
    stable = _stabilised(pulled)

    def row(element: Variable) -> list[Variable]:
        unit = reshape(cast_to(eq(elements, element), y.dtype), shape_of(y))
        return replace(stable, {probe: unit})

    written = Loop(as_list(scan(row, [elements]))[0].inputs[0])
    layout = with_fields(written.layout, role="jacobian")
    made = make_alike(written.node, written.node.inputs, body=written.body, layout=layout)
    return Loop(made).traces


def _stabilised(pulled: list[Variable]) -> list[Variable]:
    """The same derivatives without overflow on the way.

    The loop's body reads as constants what lies outside of it, so no rule sees its formulas there.
    """
    return list(sweep(graph_of(pulled), SIMPLIFY + STABILISE, rebuild=rebuild_alike).outputs)


def _zeros(y: Variable, x: Variable) -> Variable:
    return broadcast_to(make_constant(np.zeros((), x.dtype)), (*shape_of(y), *shape_of(x)))
