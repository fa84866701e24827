"""Ops of ONNX that stand in graphs as they are."""

from __future__ import annotations

from typing import Any

from ...core.variable import Variable
from .whole_op import WHOLE
from .writer import Value, Writer, writes


@writes(WHOLE.name)
def _write_whole(w: Writer, v: Variable) -> Value:
    op_type, pairs, _ = v.params
    attributes: dict[str, Any] = dict(pairs)
    return w.emit(op_type, *w.values(v.inputs), dtype=v.dtype, **attributes)
