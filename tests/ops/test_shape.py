"""What is known of shapes, and what is checked at the call."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.variable import Variable, ancestors
from symgraph.testing import evaluate


def test_reshape_finds_the_missing_size() -> None:
    x = sg.tensor("x", ("T", "B", 40))
    n, b, _ = x.shape
    assert str(x.reshape(-1, 40).type) == "float32[B*T, 40]"
    assert x.reshape(-1, 40).reshape(n, b, 40).type is x.type
    assert x.reshape(n, -1, 40).type is x.type
    assert x.reshape(n, b, 4, -1).type.shape[3] == 10
    assert x.reshape((n, b, 40)) is x
    assert x.reshape(*x.shape) is x
    assert str(x.ravel().type) == "float32[40*B*T]"
    # T = 0 leaves the rest of the shape known.
    flat = x.reshape(n, -1)
    assert evaluate(flat, {x: np.zeros((0, 2, 40))}).shape == (0, 80)


def test_reshape_is_checked_at_the_call() -> None:
    x = sg.tensor("x", ("T",))
    pairs = x.reshape(-1, 2)
    assert evaluate(pairs, {x: np.zeros(6)}).shape == (3, 2)
    with pytest.raises(sg.CallError, match="reshape"):
        evaluate(pairs, {x: np.zeros(5)})
    n = sg.scalar("n", "int64")
    wide = x.reshape(n, 3)
    with pytest.raises(sg.CallError, match="reshape"):
        evaluate(wide, {x: np.zeros(6), n: np.int64(3)})


@pytest.mark.parametrize("shape", [(5, 5), (-1, -1), (-2, 12), (-1, 7), ("T", 4), (2.0, 12)])
def test_bad_shapes(shape: tuple) -> None:
    with pytest.raises((sg.ShapeError, sg.SymgraphTypeError), match=r"test_shape\.py"):
        sg.tensor("x", (4, 6)).reshape(shape)


def test_joining_adds_sizes() -> None:
    x, y = sg.tensor("x", ("T", 3)), sg.tensor("y", ("S", 3))
    joined = sg.concatenate([x, y, x])
    assert str(joined.type) == "float32[S + 2*T, 3]"
    gradients = sg.grad((joined * joined).sum(), [x, y])
    assert [g.type for g in gradients] == [x.type, y.type]
    values = {x: np.ones((2, 3)), y: np.full((1, 3), 5.0)}
    found = evaluate(gradients, values)
    np.testing.assert_array_equal(found[0], np.full((2, 3), 4))
    np.testing.assert_array_equal(found[1], np.full((1, 3), 10))


def test_unknown_sizes_that_are_joined_are_checked() -> None:
    x, y = sg.tensor("x", (None, 3)), sg.tensor("y", (None, 3))
    both = sg.concatenate([x, y], axis=1)
    with pytest.raises(sg.CallError, match="concatenate"):
        evaluate(both, {x: np.zeros((2, 3)), y: np.zeros((3, 3))})
    with pytest.raises(sg.ShapeError, match="'z'"):
        sg.concatenate([x, sg.tensor("z", (2, 4))])


def test_broadcast_to_is_checked() -> None:
    x = sg.tensor("x", ("T", 1))
    n = sg.scalar("n", "int64")
    wide = sg.broadcast_to(x, (n, 4))
    assert evaluate(wide, {x: np.ones((3, 1)), n: np.int64(3)}).shape == (3, 4)
    with pytest.raises(sg.CallError, match="broadcast_to"):
        evaluate(wide, {x: np.ones((2, 1)), n: np.int64(3)})
    # What is not known to be 1 is not repeated.
    with pytest.raises(sg.CallError, match="broadcast_to"):
        evaluate(sg.broadcast_to(x, (3, 4)), {x: np.ones((1, 1))})
    with pytest.raises(sg.ShapeError):
        sg.broadcast_to(sg.tensor("y", (3,)), (4,))


def test_split_of_a_symbolic_axis() -> None:
    x = sg.tensor("x", ("T", "F"))
    parts = sg.split(x, 3, axis=1)
    array = np.arange(12.0).reshape(2, 6)
    for ours, theirs in zip(evaluate(parts, {x: array}), np.split(array, 3, 1), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(sg.CallError):
        evaluate(parts, {x: np.zeros((2, 7))})
    with pytest.raises(sg.ShapeError):
        sg.split(sg.tensor("y", (7,)), 3)
    i = sg.scalar("i", "int64")
    first, second = sg.split(x, [i])
    found = evaluate([first, second], {x: array, i: np.int64(1)})
    np.testing.assert_array_equal(found[1], array[1:])
    assert sg.concatenate([first, second]).type is x.type


def test_parts_of_a_known_axis_are_slices() -> None:
    gates = sg.tensor("gates", ("B", 12))
    parts = sg.split(gates, 4, axis=-1)
    assert [v.op.name for v in parts] == ["slice"] * 4
    assert all(v.type.shape[1] == 3 for v in parts)


def test_symbolic_counts() -> None:
    x = sg.tensor("x", ("T", 2))
    n = sg.scalar("n", "int64")
    array = np.arange(6.0).reshape(3, 2)
    values = {x: array, n: np.int64(2)}
    for ours, theirs in (
        (sg.repeat(x, n, 0), array.repeat(2, 0)),
        (sg.tile(x, (n, 1)), np.tile(array, (2, 1))),
        (sg.roll(x, n, 0), np.roll(array, 2, 0)),
        (sg.roll(x, -n, 0), np.roll(array, -2, 0)),
        (sg.pad(x, ((n, 0), (0, 1))), np.pad(array, ((2, 0), (0, 1)))),
    ):
        np.testing.assert_array_equal(evaluate(ours, values), theirs)
    assert sg.roll(x, n, 0).type is x.type
    assert sg.roll(x, 1, 0).type is x.type
    assert evaluate(sg.roll(x, n, 0), {x: array[:0], n: np.int64(2)}).shape == (0, 2)


def test_an_axis_that_may_be_longer_stays() -> None:
    x = sg.tensor("x", ("T", 1))
    assert sg.squeeze(x).type.shape == x.type.shape[:1]
    with pytest.raises(sg.ShapeError, match="'x'"):
        sg.squeeze(x, 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: sg.transpose(x, (0, 0)),
        lambda x: sg.transpose(x, (0,)),
        lambda x: sg.expand_dims(x, 4),
        lambda x: sg.swapaxes(x, 0, 2),
        lambda x: sg.concatenate([]),
        lambda x: sg.concatenate(x.sum()),
        lambda x: sg.concatenate([x, x.sum()]),
        lambda x: sg.stack([x, x.sum()]),
        lambda x: sg.split(x, 0),
        lambda x: sg.split(x, "a"),
        lambda x: sg.repeat(x, -1),
        lambda x: sg.repeat(x, [1, 2]),
        lambda x: sg.tile(x, 1.5),
        lambda x: sg.roll(x, 1.5, 0),
        lambda x: sg.pad(x, (1, 2, 3)),
        lambda x: sg.pad(x, -1),
        lambda x: sg.pad(x, 1, "mean"),
        lambda x: sg.flip(x, True),
    ],
)
def test_errors_are_our_own_and_name_the_line(call: object) -> None:
    with pytest.raises(sg.SymgraphError, match=r"test_shape\.py"):
        call(sg.tensor("x", (3, 4)))  # type: ignore[operator]


def test_shape_and_size_accept_symbols() -> None:
    x = sg.tensor("x", ("T", 4))
    assert x.shape[1] == 4
    assert isinstance(x.shape[0], Variable)
    assert sg.tensor("y", (2, 3)).size == 6
    assert evaluate(x.size, {x: np.zeros((5, 4))}) == 20
    for made in (sg.zeros(x.shape), sg.ones((x.shape[0], 4)), sg.full(x.shape, 2.0)):
        assert made.type is x.type
    assert not any(v.op.name == "check_size" for v in ancestors([x + sg.zeros(x.shape)]))
