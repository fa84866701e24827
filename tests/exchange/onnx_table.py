"""The rows of the op table through onnxruntime: a program that prints what differs, line by line.

A line is a JSON list: the number of a row, the number of cases, and what is wrong by case. It is a
child process, since some ops can end onnxruntime's; it begins with the row of the number given.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ops"))

from onnx_runs import run_named
from op_row import Row
from op_table import ROWS

import symgraph as sg

LEAST_TOLERANCE = 16.0
"""In units of epsilon: another library's functions are not those of this one."""


def main(first: int) -> None:
    """Print a line for each row from this one on."""
    for number, row in enumerate(ROWS[first:], first):
        cases = list(row.cases())
        print(json.dumps([number, len(cases), _wrong(row, cases)]), flush=True)


def _wrong(row: Row, cases: Sequence[tuple[np.ndarray, ...]]) -> dict[str, str]:
    """What is wrong, by case: all are one model, or where that fails, each is one."""
    try:
        return _differences(row, dict(enumerate(cases)))
    except Exception:
        wrong: dict[str, str] = {}
        for i, case in enumerate(cases):
            try:
                wrong |= _differences(row, {i: case})
            except Exception as error:
                wrong[str(i)] = f"{type(error).__name__}: {error}"
        return wrong


def _differences(row: Row, cases: dict[int, tuple[np.ndarray, ...]]) -> dict[str, str]:
    inputs: list[sg.Variable] = []
    arrays: dict[str, np.ndarray] = {}
    outputs: list[sg.Variable] = []
    expected: list[tuple[int, np.ndarray]] = []
    for i, case in cases.items():
        for kind in ("known", "open"):
            symbols = []
            for array in case:
                name = f"x{len(inputs) + len(symbols)}"
                shape = [s if kind == "known" or s == 1 else None for s in array.shape]
                symbols.append(sg.tensor(name, shape, array.dtype))
                arrays[name] = array
            inputs += symbols
            made = _as_list(row.call(*symbols))
            outputs += made
            expected += [(i, array) for array in _references(row, case, made)]
    model = sg.export_onnx(outputs, inputs=inputs)
    found = run_named(model, {end.name: arrays[end.name] for end in model.graph.input})
    wrong: dict[str, str] = {}
    for (i, theirs), ours in zip(expected, found, strict=True):
        difference = _difference(row, np.asarray(ours), theirs)
        if difference:
            wrong[str(i)] = difference
    return wrong


def _references(row: Row, case: Sequence[np.ndarray], made: Sequence[Any]) -> list[np.ndarray]:
    """What must come out, computed in float64 where NumPy would take fewer digits."""
    with np.errstate(all="ignore"):
        native = _as_list(row.reference(*case))
        small = any(np.asarray(a).dtype == np.float16 for a in native)
        wide = [
            a.astype(np.float64) if a.dtype == np.float32 or (small and a.itemsize <= 2) else a
            for a in case
        ]
        exact = _as_list(row.reference(*wide))
        return [np.asarray(a).astype(v.dtype) for a, v in zip(exact, made, strict=True)]


def _difference(row: Row, ours: np.ndarray, theirs: np.ndarray) -> str | None:
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return f"{ours.dtype}{ours.shape} for {theirs.dtype}{theirs.shape}"
    if ours.dtype.kind != "f":
        is_same = ours == theirs
    else:
        info = np.finfo(ours.dtype)
        tolerance = max(row.tolerance, LEAST_TOLERANCE) * info.eps
        # Numbers below the normal ones may be taken for 0.
        absolute = row.absolute * info.eps + float(info.tiny)
        is_same = np.isclose(ours, theirs, tolerance, absolute, equal_nan=True)
    if is_same.all():
        return None
    at = int(np.argmin(is_same))
    return f"{ours.ravel()[at]!r} for {theirs.ravel()[at]!r} at {at}"


def _as_list(made: Any) -> list[Any]:
    return list(made) if isinstance(made, (list, tuple)) else [made]


if __name__ == "__main__":
    main(int(sys.argv[1]))
