"""Every op of the op table, and random programs, as Python: the NumPy backend's bits."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from op_row import Row
from op_table import ROWS
from python_programs import check, load, same

import symgraph as sg
from symgraph.errors import SymgraphError
from symgraph.exchange.python.numpy_table import NUMPY
from symgraph.testing import random_programs
from symgraph.testing.program import Program, quietly, run_symbolically

# What NumPy has no functions for is computed as well as by SciPy, in float64 not to its bits.
_OTHER_BITS = {"erfc", "gammaln", "digamma", "polygamma", "erfinv"}


def test_every_op_of_the_table_is_written() -> None:
    assert {row.op for row in ROWS} - {"constant", "item", "scan"} <= set(NUMPY)


def _cases_that_run(row: Row) -> list[tuple[Any, ...]]:
    """The cases of a row that the NumPy backend computes."""
    cases = []
    for case in row.cases():
        inputs = [sg.tensor(None, array.shape, array.dtype) for array in case]
        try:
            with quietly():
                sg.compile(inputs, row.call(*inputs), backend="numpy", unused="ignore")(*case)
        except SymgraphError:
            continue
        cases.append(case)
    return cases


@pytest.mark.parametrize("part", range(8))
def test_the_op_table_as_python(part: int, tmp_path: Path) -> None:
    for row in ROWS[part::8]:
        inputs: list[sg.Variable] = []
        arrays: list[np.ndarray] = []
        outputs: list[sg.Variable] = []
        for case in _cases_that_run(row):
            shapes = [[1 if n == 1 else f"of_{n}" for n in array.shape] for array in case]
            given = [sg.tensor(None, s, a.dtype) for s, a in zip(shapes, case, strict=True)]
            made = row.call(*given)
            inputs += given
            arrays += [np.asarray(array) for array in case]
            outputs += made if isinstance(made, (list, tuple)) else [made]
        f = sg.compile(inputs, outputs, backend="numpy", unused="ignore")
        with quietly():
            expected = f(*arrays)
            got = load(sg.export_python(f, tmp_path, name="program"))(*arrays)
        nodes = {v.op.name for v in f.graph.nodes}
        for a, b in zip(got, expected, strict=True):
            if nodes & _OTHER_BITS and b.dtype.kind == "f":
                _nearly(row, np.asarray(a), b)
            else:
                same(a, b)
    check(tmp_path / "program.py")


def _nearly(row: Row, got: np.ndarray, expected: np.ndarray) -> None:
    """As accurate as the row asks for; SciPy gives 0 for what is below the normal numbers."""
    room = max(row.tolerance, 8) * np.finfo(expected.dtype).eps
    # Of the least number of all SciPy's gammaln is infinite.
    expected = np.where(np.isinf(expected) & np.isfinite(got), got, expected)
    least = np.finfo(expected.dtype).tiny + row.absolute * np.finfo(expected.dtype).eps
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=room, atol=least)


@pytest.mark.parametrize("loops", [True, False])
def test_random_programs_as_python(loops: bool, tmp_path: Path) -> None:
    for number, program in enumerate(random_programs(17, 40, loops=loops)):
        _compare(program, tmp_path, f"program_{number}")
    check(tmp_path)


def _compare(program: Program, folder: Path, name: str) -> None:
    """Export a program, its gradients and updates included, and run it beside the backend."""
    with quietly():
        try:
            space = run_symbolically(program, sg)
            arguments = [x for x in program.inputs if not x.is_shared]
            outputs = [space[key] for key in program.outputs]
            updates = {space[old]: space[new] for old, new in program.updates}
            for rule in program.rules:
                updates |= space[rule]
            f = sg.compile(
                [space[x.name] for x in arguments], outputs, updates=updates, backend="numpy",
                unused="ignore",
            )  # fmt: skip
        except SymgraphError:
            return
        g = load(sg.export_python(f, folder, name=name))
        arrays = [x.array(program.calls[0]) for x in arguments]
        try:
            expected = f(*arrays)
        except SymgraphError:
            return
        got = g(*arrays)
    if updates:
        got, new = got
        for key, value in zip(new.values(), f.program.updates, strict=True):
            same(key, value.get_value())
    if not any(v.op.name in _OTHER_BITS for v in f.graph.nodes):
        same(got, expected)


def test_sizes_of_nothing_warn_as_numpy_does(tmp_path: Path) -> None:
    x = sg.matrix("x")
    g = load(sg.export_python(x.mean(axis=0), tmp_path, inputs=[x]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert np.isnan(g(np.ones((0, 2)))).all()
