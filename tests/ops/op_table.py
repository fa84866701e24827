"""The op table: one row or more for each op. Its tests are in ``test_op_table.py``."""

from __future__ import annotations

import importlib.util

from op_row import Row
from op_table_elementwise import ROWS as ELEMENTWISE
from op_table_reduce import ROWS as REDUCE

import symgraph.exchange.onnx.fused
import symgraph.exchange.onnx.whole_op  # noqa: F401 (these define ops)

__all__ = ["EXEMPT", "ROWS"]

ROWS: list[Row] = [*ELEMENTWISE, *REDUCE]
if importlib.util.find_spec("op_table_arrays") is not None:
    ROWS += importlib.import_module("op_table_arrays").ROWS

# Ops that no row can call, and where they are tested.
EXEMPT = {
    "input": "a leaf",
    "shared": "a leaf",
    "parameter": "a leaf",
    "constant": "a leaf",
    "item": "one result of an op with several, whose rows read it",
    "scan": "tests/scan",
    "size": "stands for sizes not known when the graph is built: tests/ops/test_sizes.py",
    "check_size": "made where sizes are not known to agree: tests/ops/test_sizes.py",
    "mark_not_finite": "made for calls that are checked: tests/compile/test_finite.py",
    "mark_nan": "made for calls that are checked: tests/compile/test_finite.py",
    "debug_print": "prints: tests/scan/test_looks.py",
    "debug_assert": "may raise: tests/scan/test_looks.py",
    "composite": "opened before all passes: tests/exchange/test_composite.py",
    "recurrent": "made for ONNX alone: tests/exchange/test_onnx_fused.py",
    "whole": "made for ONNX alone: tests/exchange/test_onnx_whole.py",
    "interval": "made by loops with checkpoints: tests/scan/test_checkpoints.py",
    "room": "made by loops with memory=: tests/scan/test_memory.py",
    "in_step": "made in the steps of loops: tests/scan/test_scan_effects.py",
}
