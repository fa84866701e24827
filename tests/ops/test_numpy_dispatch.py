"""NumPy's functions on variables, and what those say that do not work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.variable import Variable
from symgraph.ops.numpy_dispatch import NUMPY_FUNCTIONS
from symgraph.testing import evaluate

ARRAY = np.array([[0.5, -1.5, 2.0], [1.25, 3.0, -0.5]])

CALLS: dict[str, Callable[[Any], Any]] = {
    "tanh": np.tanh,
    "add": lambda x: np.add(ARRAY, x),
    "array * x": lambda x: np.ones(3) * x,
    "array @ x": lambda x: ARRAY.T @ x,
    "array < x": lambda x: x > ARRAY,
    "scalar - x": lambda x: np.float64(2) - x,
    "concatenate": lambda x: np.concatenate([x, ARRAY], axis=1),
    "stack": lambda x: np.stack([ARRAY, x]),
    "vstack": lambda x: np.vstack([x, ARRAY[0]]),
    "hstack": lambda x: np.hstack([x, ARRAY]),
    "hstack, vectors": lambda x: np.hstack([x[0], ARRAY[1], x[0, 0]]),
    "sum": lambda x: np.sum(x, axis=0, keepdims=True),
    "sum, positional": lambda x: np.sum(x, 1),
    "mean": np.mean,
    "max": lambda x: np.max(x, axis=1),
    "amax": np.amax,
    "var": np.var,
    "argmax": lambda x: np.argmax(x, axis=0),
    "where": lambda x: np.where(x > 0, x, 0.0),
    "where, one argument": lambda x: np.where(x > 0)[1],
    "einsum": lambda x: np.einsum("ij,kj->ik", x, ARRAY),
    "einsum, optimize": lambda x: np.einsum("ij,kj->ik", x, ARRAY, optimize=True),
    "matmul": lambda x: np.matmul(x, ARRAY.T),
    "dot": lambda x: np.dot(x, ARRAY.T),
    "tensordot": lambda x: np.tensordot(x, ARRAY, 2),
    "reshape": lambda x: np.reshape(x, (3, 2)),
    "transpose": lambda x: np.transpose(x, (1, 0)),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "squeeze": lambda x: np.squeeze(np.expand_dims(x, 0), 0),
    "take": lambda x: np.take(x, [0, 2], axis=1),
    "split": lambda x: np.split(x, 3, axis=1)[1],
    "clip": lambda x: np.clip(x, 0, 1),
    "clip, old names": lambda x: np.clip(x, a_min=0, a_max=1),
    "round": lambda x: np.round(x, 1),
    "zeros_like": np.zeros_like,
    "full_like": lambda x: np.full_like(x, 3),
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "sort": lambda x: np.sort(x, axis=0),
    "argsort": lambda x: np.argsort(x, kind="stable"),
    "flip": lambda x: np.flip(x, 1),
    "roll": lambda x: np.roll(x, 1, axis=0),
    "tile": lambda x: np.tile(x, 2),
    "repeat": lambda x: np.repeat(x, 2),
    "pad": lambda x: np.pad(x, 1),
    "broadcast_to": lambda x: np.broadcast_to(x, (4, 2, 3)),
    "triu": np.triu,
    "diagonal": np.diagonal,
    "isnan": np.isnan,
    "logical_and": lambda x: np.logical_and(x > 0, ARRAY > 1),
    "arctan2": lambda x: np.arctan2(x, ARRAY),
    "square": np.square,
    "out of None": lambda x: np.exp(x, out=None),
}


@pytest.mark.parametrize("name", CALLS)
def test_numpy_functions(name: str) -> None:
    x = sg.tensor("x", ARRAY.shape, "float64")
    made = CALLS[name](x)
    expected = CALLS[name](ARRAY)
    assert isinstance(made, Variable)
    assert made.dtype == expected.dtype
    np.testing.assert_allclose(evaluate(made, {x: ARRAY}), expected, rtol=1e-12)


def test_no_function_of_numpys_name_is_forgotten() -> None:
    ours = {name for name in dir(sg) if not name.startswith("_") and callable(getattr(sg, name))}
    ours = {name for name in ours if callable(getattr(np, name, None))}
    # These make arrays from nothing, or are no functions of arrays.
    others = {
        "arange",
        "broadcast_shapes",
        "compile",
        "eye",
        "full",
        "linspace",
        "matrix",
        "ones",
        "tri",
        "zeros",
    }
    assert ours - others <= set(NUMPY_FUNCTIONS), ours - others - set(NUMPY_FUNCTIONS)


def test_what_is_known_of_a_variable() -> None:
    x = sg.tensor("x", (2, 3))
    assert np.ndim(x) == 2
    assert np.shape(x) == (2, 3)
    assert np.size(x) == 6


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.linalg.svd(x),
        lambda x: np.median(x),
        lambda x: np.add(x, ARRAY, out=ARRAY.copy()),
        lambda x: np.add(x, ARRAY, where=ARRAY > 0),
        lambda x: np.sum(x, where=ARRAY > 0),
        lambda x: np.subtract.reduce(x),
        lambda x: np.multiply.outer(x, ARRAY),
        lambda x: np.array_equiv(x, ARRAY),
        lambda x: np.concatenate([x, x], out=ARRAY.copy()),
        lambda x: np.sort(x, order="field"),
        lambda x: np.reshape(x, (3, 2), order="F"),
    ],
)
def test_what_does_not_work_says_so(call: Callable[[Any], Any]) -> None:
    with pytest.raises(sg.SymgraphTypeError, match=r"np\.|numpy\.") as caught:
        call(sg.tensor("x", ARRAY.shape, "float64"))
    assert "test_numpy_dispatch.py" in str(caught.value)


def test_an_array_is_not_changed_in_place() -> None:
    array = ARRAY.copy()
    with pytest.raises(sg.SymgraphTypeError, match="y = y"):
        array += sg.tensor("x", ARRAY.shape, "float64")
    np.testing.assert_array_equal(array, ARRAY)
