"""Slices and single elements in onnxruntime, and how many nodes they take."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx_checks import check_model, node_counts

import symgraph as sg

x = sg.tensor("x", ("T", "B", 3))
k = sg.scalar("k", dtype="int64")

PARTS: dict[str, tuple[Callable[[], sg.Variable], dict[str, int]]] = {
    "from": (lambda: x[1:], {"Slice": 1}),
    "backwards": (lambda: x[::-1], {"Slice": 1}),
    "every other, backwards": (lambda: x[..., ::-2], {"Slice": 1}),
    "between": (lambda: x[1:-1:2], {"Slice": 1}),
    "several axes": (lambda: x[1:, ::-1, :2], {"Slice": 1}),
    "bounds, then backwards": (lambda: x[1::-1], {"Slice": 2}),
    "last": (lambda: x[-1], {"Gather": 1}),
    "one of the last axis": (lambda: x[:, :, 1], {"Gather": 1}),
    "slice and index": (lambda: x[::2, 1, 1:], {"Slice": 1, "Gather": 1}),
    "a symbol": (lambda: x[k], {"Gather": 1}),
    "up to a symbol": (lambda: x[:k], {"Slice": 1}),
    "from a symbol": (lambda: x[k:, k], {"Slice": 1, "Gather": 1}),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts(name: str) -> None:
    make, expected = PARTS[name]
    part = make()
    inputs = [v for v in (x, k) if v in sg.ancestors(part)]
    rng = np.random.default_rng(0)
    cases = []
    for sizes in ((5, 4), (2, 2), (9, 3)):
        value = rng.normal(size=(*sizes, 3)).astype("f")
        cases += [[value, np.array(at, "int64")][: len(inputs)] for at in (0, 1, -1)]
    counts = node_counts(check_model(inputs, [part], cases, 0))
    assert {op: counts[op] for op in ("Slice", "Gather") if counts[op]} == expected
