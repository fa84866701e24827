"""Operations that are the identity, and act on what flows back through them."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import provenance
from ..core.annotations import ArrayLike, ScalarLike
from ..core.errors import ShapeError
from ..core.op import Op
from ..core.types import TensorType
from ..core.variable import Variable, node
from .elementwise import maximum, minimum
from .promotion import as_variable, fill_with

__all__ = ["CLIP_GRADIENT", "STOP_GRADIENT", "clip_gradient", "stop_gradient"]


def _infer_identity(inputs: Sequence[Variable]) -> TensorType:
    return inputs[0].type


# x, as a constant for derivatives.
STOP_GRADIENT = Op(
    "stop_gradient",
    _infer_identity,
    evaluate=lambda arrays: arrays[0],
    expand=lambda stopped: stopped.inputs[0],
    traits=frozenset({"view", "traced"}),
    kind="movement",
)


def stop_gradient(x: ArrayLike) -> Variable:
    """``x``, through which no gradient flows back: it counts as a constant.

    >>> x = sg.scalar("x")
    >>> sg.grad(x * sg.stop_gradient(x), x).eval({x: 3.0})
    np.float32(3.0)
    """
    return node(STOP_GRADIENT, (as_variable(x, "stop_gradient"),))


def _vjp_clip_gradient(clipped: Variable, cotangent: Variable) -> list[Variable | None]:
    _, low, high = clipped.inputs
    return [minimum(maximum(cotangent, low), high), None, None]


# x; its cotangent is clipped to the scalars low and high.
CLIP_GRADIENT = Op(
    "clip_gradient",
    _infer_identity,
    evaluate=lambda arrays: arrays[0],
    vjp=_vjp_clip_gradient,
    expand=lambda clipped: clipped.inputs[0],
    traits=frozenset({"view"}),
    kind="movement",
)


def clip_gradient(x: ArrayLike, low: ScalarLike, high: ScalarLike) -> Variable:
    """``x``; each element of the gradient that flows back through it is clipped to low and high.

    The bounds are numbers or scalars, else a `ShapeError`; no gradient flows to them.

    >>> x = sg.scalar("x")
    >>> sg.grad(sg.clip_gradient(x, -1, 1) ** 2, x).eval({x: 3.0})
    np.float32(1.0)
    """
    x = as_variable(x, "clip_gradient")
    bounds = [fill_with(bound, x.dtype, "clip_gradient") for bound in (low, high)]
    for bound in bounds:
        if bound.ndim:
            raise ShapeError.here(
                f"clip_gradient: a bound is a scalar; found {provenance.describe(bound)}"
            )
    return node(CLIP_GRADIENT, (x, *bounds))
