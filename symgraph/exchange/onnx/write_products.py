"""Products of matrices."""

from __future__ import annotations

from ...core.variable import Variable
from .writer import Value, Writer, writes


@writes("matmul")
def _write_matmul(w: Writer, v: Variable) -> Value:
    return w.emit("MatMul", *w.values(v.inputs))
