"""How an entry of the elementwise table becomes an op: its type rule, evaluation and derivative.

Operands are promoted to one dtype and broadcast, but only along axes that are *statically* of
size 1 (a missing leading axis counts as 1). Derivatives are written as in a table: one function
for each operand, ``(cotangent, result, *operands) -> cotangent of the operand``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core import provenance
from ..core.errors import DtypeError
from ..core.op import Op
from ..core.types import TensorType, tensor_type
from ..core.variable import CONSTANT, Variable, node
from .broadcast import broadcast_shapes, unbroadcast, unify_shapes
from .formula import numpy_maths
from .promotion import cast_to, promote_arguments, to_float

__all__ = ["BOOL", "Derivative", "elementwise", "infer_elementwise", "vjp_from"]

Derivative = Callable[..., Variable]
BOOL = np.dtype("bool")
_INT8 = np.dtype("int8")
_FLOAT64 = np.dtype("float64")

# The kinds of dtype (NumPy's letters) that each class of operands takes as they are.
_KINDS = {
    "number": "iuf",
    "any": "biuf",
    "float": "f",
    "quotient": "f",
    "bits": "biu",
    "integer": "iu",
}
_WANTED = {"number": "numbers", "bits": "integers or bools", "integer": "integers"}


def elementwise(
    name: str,
    formula: Callable[..., Any],
    derivatives: Sequence[Derivative | None] | None = None,
    *,
    operands: str = "number",
    result: str = "same",
    bools: Callable[..., Variable] | None = None,
    traits: Sequence[str] = (),
    is_cheap: bool = False,
) -> Op:
    """A new elementwise op.

    ``operands``: ``number`` (any dtype but bool), ``any``, ``float`` (integers are converted, the
    small ones to float32), ``quotient`` (integers become float64), ``integer``, ``bits`` (integers
    and bools). ``result``: ``same`` dtype as the operands', or ``bool``. ``bools``: what to build
    instead where all operands are bools. ``derivatives``: one for each operand, None where the
    gradient is cut. ``traits`` and ``is_cheap``: see `Op`.
    """
    kinds = _KINDS[operands]

    def infer(inputs: Sequence[Variable]) -> TensorType:
        type = infer_elementwise(name, inputs)
        return tensor_type(BOOL, type.shape) if result == "bool" else type

    def build(inputs: Sequence[Any]) -> Variable:
        # The fast lane: operands of one and the same type, which is most of every graph.
        common = getattr(inputs[0], "type", None)
        for x in inputs:
            if not isinstance(x, Variable) or x.type is not common:
                break
        else:
            if isinstance(common, TensorType) and common.dtype.kind in kinds:
                return node(op, inputs)
        promoted = promote_arguments(name, inputs)
        if bools is not None and promoted[0].dtype == BOOL:
            return bools(*promoted)
        if promoted[0].dtype.kind not in kinds:
            promoted = [_admit(name, x, operands) for x in promoted]
        return node(op, unify_shapes(promoted, name))

    op = Op(
        name,
        infer,
        evaluate=lambda arrays: formula(numpy_maths, *arrays),
        vjp=None if derivatives is None else vjp_from(derivatives),
        formula=formula,
        build=build,
        traits=frozenset({*traits, *(() if derivatives else ("traced",))}),
        kind="elementwise",
        is_cheap=is_cheap,
    )
    return op


def infer_elementwise(name: str, operands: Sequence[Variable]) -> TensorType:
    """The type of operands of one dtype, broadcast."""
    common = operands[0].type
    for x in operands:
        type = x.type
        if type is common:
            continue
        if type.dtype != common.dtype:
            raise DtypeError(f"{name}: operands of {' and '.join(str(v.dtype) for v in operands)}")
        if not common.shape:
            common = type
        elif type.shape:
            shape = broadcast_shapes([v.type.shape for v in operands], name)
            common = tensor_type(common.dtype, shape)
    return common


def _admit(name: str, x: Variable, operands: str) -> Variable:
    """The operand in a dtype that the op takes, which its own is not."""
    if operands == "float":
        return to_float(x)
    if operands == "quotient":
        return cast_to(x, _FLOAT64)
    raise DtypeError.here(
        f"{name} takes {_WANTED[operands]}; found {provenance.describe(x)}",
        remedy="Convert it with .astype.",
    )


def vjp_from(derivatives: Sequence[Derivative | None]) -> Callable[..., list[Variable | None]]:
    """The vjp rule for a table of derivatives: unbroadcast, and only by floats that vary."""

    def vjp(result: Variable, cotangent: Variable) -> list[Variable | None]:
        return [
            None
            if derivative is None or x.op is CONSTANT or x.dtype.kind != "f"
            else unbroadcast(derivative(cotangent, result, *result.inputs), x.type)
            for derivative, x in zip(derivatives, result.inputs, strict=True)
        ]

    return vjp
