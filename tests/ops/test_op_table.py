"""Every op against its row: values, types, gradients and errors."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from op_row import Row
from op_table import EXEMPT, ROWS

import symgraph as sg
from symgraph.core.graph import Graph
from symgraph.core.op import OPS
from symgraph.core.variable import ancestors
from symgraph.testing import check_gradient, check_op

by_row = pytest.mark.parametrize("row", ROWS, ids=str)


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def test_every_op_has_a_row() -> None:
    own = {name for name, op in OPS.items() if op.is_own}  # other tests define some too
    missing = own - {row.op for row in ROWS} - set(EXEMPT)
    assert not missing, f"ops without a row: {sorted(missing)}"


def test_rows_and_exemptions_are_of_ops() -> None:
    assert {row.op for row in ROWS} | set(EXEMPT) <= set(OPS)


@by_row
def test_row_calls_its_op(row: Row) -> None:
    case = next(iter(row.cases()))
    inputs = [sg.tensor(None, array.shape, array.dtype) for array in case]
    assert row.op in {v.op.name for v in ancestors(as_list(row.call(*inputs)))}


@by_row
def test_values(row: Row) -> None:
    for case in row.cases():
        found = check_op(row.call, *case)
        with np.errstate(all="ignore"):
            native = as_list(row.reference(*case))
            small = any(np.asarray(a).dtype == np.float16 for a in native)
            wide = as_list(row.reference(*(widened(array, small) for array in case)))
        assert len(found) == len(native)
        for ours, theirs, exact in zip(found, native, wide, strict=True):
            compare(row, case, ours, np.asarray(theirs), np.asarray(exact))


def widened(array: np.ndarray, small: bool) -> np.ndarray:
    """The array as float64 where it is float32, so that the reference is exact.

    Small integers too, where NumPy makes them float16.
    """
    if array.dtype == np.float32 or (small and array.dtype.itemsize <= 2):
        return array.astype(np.float64)
    return array


def compare(row: Row, case: tuple, ours: np.ndarray, theirs: np.ndarray, exact: np.ndarray) -> None:
    dtype = np.dtype(np.float32) if theirs.dtype == np.float16 else theirs.dtype
    assert ours.dtype == dtype, f"{ours.dtype} instead of {dtype}, for {case!r}"
    assert ours.shape == theirs.shape
    with np.errstate(all="ignore"):
        expected = exact.astype(ours.dtype)
    if ours.dtype.kind != "f":
        np.testing.assert_array_equal(ours, expected)
        return
    info = np.finfo(ours.dtype)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(
            ours,
            expected,
            rtol=row.tolerance * info.eps,
            atol=row.absolute * info.eps + 4 * info.smallest_subnormal,
            err_msg=f"{row} of {case!r}",
        )


@by_row
def test_equal_programs_are_one_graph(row: Row) -> None:
    """Built twice over inputs of their own, and read back from a pickle."""
    case = next(iter(row.cases()))
    graphs = []
    for _ in range(2):
        inputs = [sg.tensor(None, array.shape, array.dtype) for array in case]
        graphs.append(Graph(inputs, as_list(row.call(*inputs))).canonical())
    assert graphs[0] is graphs[1]
    assert pickle.loads(pickle.dumps(graphs[0])) is graphs[0]


@pytest.mark.parametrize("row", [row for row in ROWS if row.differentiable], ids=str)
def test_gradients(row: Row) -> None:
    for sample in row.samples if row.smooth is None else row.smooth:
        check_gradient(row.call, *sample)


@pytest.mark.parametrize("row", [row for row in ROWS if row.errors], ids=str)
def test_errors(row: Row) -> None:
    for arguments, expected in row.errors:
        with pytest.raises(expected):
            row.call(*(sg.constant(a) if isinstance(a, np.ndarray) else a for a in arguments))
