"""Axes, shapes, repeats and positions: as ints, NumPy ints, arrays of no axes, and vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg

A = np.arange(24, dtype="float32").reshape(2, 3, 4)
# Functions of the module, the operand, how one int is written, and how several are.
Build = Callable[[Any, Any, Callable[[int], Any], Callable[..., Any]], Any]
CASES: dict[str, Build] = {
    **{
        name: lambda m, x, one, many, name=name: getattr(m, name)(x, axis=one(-1))
        for name in ("sum", "mean", "max", "prod", "var", "std", "any", "all", "argmax", "argmin")
    },
    **{
        f"{name} line": lambda m, x, one, many, name=name: getattr(m, name)(x, axis=one(1))
        for name in ("cumsum", "cumprod", "sort", "argsort", "flip")
    },
    "sum several": lambda m, x, one, many: m.sum(x, axis=tuple(many(0, -1))),
    "transpose": lambda m, x, one, many: m.transpose(x, many(2, 0, 1)),
    "transpose method": lambda m, x, one, many: x.transpose(many(2, 0, 1)),
    "swapaxes": lambda m, x, one, many: m.swapaxes(x, one(0), one(2)),
    "moveaxis": lambda m, x, one, many: m.moveaxis(x, one(0), one(2)),
    "tensordot": lambda m, x, one, many: m.tensordot(x, x, many(2, 2)),
    "tensordot count": lambda m, x, one, many: m.tensordot(x, x.T, one(1)),
    "expand_dims": lambda m, x, one, many: m.expand_dims(x, one(1)),
    "squeeze": lambda m, x, one, many: m.squeeze(x[:1], axis=one(0)),
    "concatenate": lambda m, x, one, many: m.concatenate([x, x], axis=one(1)),
    "stack": lambda m, x, one, many: m.stack([x, x], axis=one(1)),
    "split": lambda m, x, one, many: m.split(x, one(2), axis=one(2))[1],
    "split at": lambda m, x, one, many: m.split(x, many(1, 3), axis=2)[1],
    "take": lambda m, x, one, many: m.take(x, one(1), axis=one(2)),
    "repeat": lambda m, x, one, many: m.repeat(x, one(2), axis=one(1)),
    "tile": lambda m, x, one, many: m.tile(x, many(2, 1, 2)),
    "roll": lambda m, x, one, many: m.roll(x, one(1), axis=one(2)),
    "roll several": lambda m, x, one, many: m.roll(x, tuple(many(1, 2)), axis=tuple(many(0, 2))),
    "reshape": lambda m, x, one, many: m.reshape(x, tuple(many(4, 6))),
    "reshape method": lambda m, x, one, many: x.reshape(one(-1)),
    "pad": lambda m, x, one, many: m.pad(x, one(1)),
    "diagonal": lambda m, x, one, many: m.diagonal(x, one(1), one(0), one(2)),
    "trace": lambda m, x, one, many: m.trace(x, one(0)),
    "broadcast_to": lambda m, x, one, many: m.broadcast_to(x, tuple(many(2, 2, 3, 4))),
    "zeros": lambda m, x, one, many: x * 0 + m.zeros(tuple(many(3, 4)), dtype="float32"),
    "full": lambda m, x, one, many: x * 0 + m.full(one(4), 2, dtype="float32"),
    "arange": lambda m, x, one, many: x + m.arange(one(1), one(5), dtype="float32"),
    "eye": lambda m, x, one, many: x + m.eye(one(3), one(4), one(1), dtype="float32"),
    "linspace": lambda m, x, one, many: x + m.linspace(0, 1, one(4), dtype="float32"),
    "index": lambda m, x, one, many: x[one(1), one(-1) : one(3)],
}
WRITTEN: dict[str, tuple[Callable[[int], Any], Callable[..., Any]]] = {
    "NumPy ints": (np.int32, lambda *n: [np.uint8(i) if i >= 0 else np.int8(i) for i in n]),
    "arrays": (np.array, lambda *n: np.array(n)),
}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("name", CASES)
def test_ints_of_numpy_are_ints(name: str, written: str) -> None:
    build = CASES[name]
    if written == "arrays" and name in ("linspace", "eye"):
        expected = build(np, A, int, lambda *n: list(n))  # NumPy wants plain ints here
    else:
        expected = build(np, A, int, lambda *n: tuple(n))
    x = sg.tensor("x", A.shape)
    found = sg.compile([x], build(sg, x, *WRITTEN[written]))(A)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "build",
    [
        lambda x: sg.transpose(x, np.array([1.0, 0.0, 2.0])),
        lambda x: sg.transpose(x, np.array([0, 0, 1])),
        lambda x: sg.transpose(x, np.array([[0, 1, 2]])),
        lambda x: sg.transpose(x, np.array([0, 1, 3])),
        lambda x: sg.sum(x, axis=np.array([True])),
        lambda x: sg.sum(x, axis=np.float64(1)),
        lambda x: sg.sum(x, axis="0"),
        lambda x: sg.tensordot(x, x, np.array([0.5])),
        lambda x: sg.tensordot(x, x, np.array([1, 2, 3])),
        lambda x: sg.reshape(x, np.array([4.0, 6.0])),
        lambda x: sg.repeat(x, np.array(1.5), 0),
        lambda x: sg.split(x, np.array(0)),
        lambda x: sg.zeros(np.array(2.0)),
        lambda x: sg.linspace(0, 1, np.array([3])),
        lambda x: sg.tensor("y", np.array(2.0)),
        lambda x: sg.expand_dims(x, np.array([9])),
        lambda x: sg.flatten(x, np.array(9)),
    ],
)
def test_others_are_refused(build: Callable[[sg.Variable], Any]) -> None:
    with pytest.raises(sg.SymgraphError) as caught:
        build(sg.tensor("x", (2, 3, 4)))
    assert "test_axes_and_counts.py" in str(caught.value)
