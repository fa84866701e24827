"""Indexing against NumPy: any mixture of slices, elements, arrays, masks, new axes and symbols."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symgraph as sg
from symgraph.core.dims import Dim
from symgraph.core.variable import Variable
from symgraph.ops.sizes import size_of
from symgraph.testing import check_gradient, evaluate

NAMES = ("A", "B", "C")


@st.composite
def indexed(draw: st.DrawFn, repeats: bool = True) -> tuple[np.ndarray, tuple]:
    """An array, and an index that NumPy accepts for it."""
    shape = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=3)))
    common = draw(st.sampled_from([(), (1,), (3,), (2, 3)]))
    items: list[Any] = []
    axis = 0
    while axis < len(shape) and draw(st.integers(0, 6)):
        size = shape[axis]
        kinds = ["slice", "slice", "mask"] + (["int", "array"] if size else [])
        kind = draw(st.sampled_from(kinds))
        if kind == "int":
            items.append(draw(st.integers(-size, size - 1)))
        elif kind == "slice":
            edge = st.none() | st.integers(-6, 6)
            step = draw(st.none() | st.sampled_from([1, 2, 3, -1, -2, -3]))
            items.append(slice(draw(edge), draw(edge), step))
        elif kind == "array":
            own = tuple(draw(st.sampled_from([n, 1])) for n in common)
            own = own[draw(st.integers(0, len(own))) :]
            places = st.integers(-size, size - 1)
            values = [draw(places) for _ in range(int(np.prod(own)))]
            items.append(np.array(values, int).reshape(own))
        else:
            wide = shape[axis : axis + draw(st.integers(1, 2))]
            n_set = common[-1] if common else 1
            flags = np.zeros(int(np.prod(wide)), bool)
            if any(isinstance(i, np.ndarray) for i in items) and len(flags) >= n_set:
                flags[draw(st.permutations(range(len(flags))))[:n_set] if len(flags) else []] = True
            else:
                flags[:] = [draw(st.booleans()) for _ in flags]
            items.append(flags.reshape(wide))
            axis += len(wide) - 1
        axis += 1
        if draw(st.integers(0, 7)) == 0:
            items.append(None)
    if draw(st.booleans()) and Ellipsis not in [i for i in items if i is Ellipsis]:
        items.insert(draw(st.integers(0, len(items))), Ellipsis)
    return np.arange(float(np.prod(shape))).reshape(shape) + 1, tuple(items)


def is_mask(item: Any) -> bool:
    return isinstance(item, np.ndarray) and item.dtype == np.bool_


def numpy_result(x: np.ndarray, index: tuple) -> np.ndarray | None:
    """What NumPy gives, None where it refuses the index (or, some masks of no elements, should)."""
    covered = sum(i.ndim if is_mask(i) else 1 for i in index if i is not None and i is not Ellipsis)
    axis = 0
    for item in index:
        if item is Ellipsis:
            axis += x.ndim - covered
        elif is_mask(item):
            if x.shape[axis : axis + item.ndim] != item.shape:
                return None
            axis += item.ndim
        else:
            axis += item is not None
    try:
        return x[index]
    except IndexError:
        return None


def symbolic(draw: Any, index: tuple) -> tuple[tuple, dict[Variable, np.ndarray]]:
    """The index with some of its numbers and arrays made inputs."""
    values: dict[Variable, np.ndarray] = {}
    # How many elements a mask sets is not known when it is broadcast against other arrays.
    single = sum(isinstance(item, np.ndarray) for item in index) == 1

    def maybe(item: Any) -> Any:
        if item is None or isinstance(item, (bool, type(Ellipsis))) or not draw(st.booleans()):
            return item
        if isinstance(item, slice):
            return slice(maybe(item.start), maybe(item.stop), item.step)
        array = np.asarray(item)
        if array.dtype == bool and not single:
            return item
        shape = [None if n != 1 else 1 for n in array.shape]
        made = sg.tensor(None, shape if array.dtype != bool else array.shape, array.dtype)
        values[made] = array
        return made

    return tuple(maybe(item) for item in index), values


def assert_sizes_hold(result: Variable, found: np.ndarray, x: Variable, values: dict) -> None:
    """What the type says of the sizes is true."""
    known = {n.atom: v for n, v in zip(x.type.shape, values[x].shape, strict=True)}
    for scalar, value in values.items():
        if scalar is not x and scalar.ndim == 0:
            known[size_of(scalar).atom] = int(value)
    assert len(result.type.shape) == found.ndim
    for size, actual in zip(result.type.shape, found.shape, strict=True):
        expected = size.evaluate(known) if isinstance(size, Dim) else size
        assert expected is None or expected == actual, f"{result.type} for {found.shape}"


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_reads_as_numpy_does(data: st.DataObject) -> None:
    array, index = data.draw(indexed())
    expected = numpy_result(array, index)
    if expected is None:
        return
    x = sg.tensor("x", NAMES[: array.ndim], "float64")
    made, values = symbolic(data.draw, index)
    values[x] = array
    result = x[made]
    found = np.asarray(evaluate(result, values))
    np.testing.assert_array_equal(found, expected)
    assert_sizes_hold(result, found, x, values)
    fixed = sg.tensor("x", array.shape, "float64")
    np.testing.assert_array_equal(evaluate(fixed[index], {fixed: array}), expected)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_gradient_goes_where_the_elements_came_from(data: st.DataObject) -> None:
    array, index = data.draw(indexed())
    expected = numpy_result(array, index)
    if expected is None:
        return
    x = sg.tensor("x", NAMES[: array.ndim], "float64")
    made, values = symbolic(data.draw, index)
    weights = np.arange(float(expected.size)).reshape(expected.shape) + 1
    # x[:1] counts as of length 1, so lengths are left unknown where they are formulas.
    sizes = [n if isinstance(n, int) else None for n in x[made].type.shape]
    w = sg.tensor("w", sizes, "float64")
    cotangent = sg.vjp(x[made], x, w)
    wanted = np.zeros_like(array)
    np.add.at(wanted, index, weights)
    np.testing.assert_allclose(evaluate(cotangent, {**values, x: array, w: weights}), wanted)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_writes_as_numpy_does(data: st.DataObject) -> None:
    array, index = data.draw(indexed())
    part = numpy_result(array, index)
    if part is None:
        return
    x = sg.tensor("x", NAMES[: array.ndim], "float64")
    made, values = symbolic(data.draw, index)
    # Broadcasting of what is stored: any trailing part of the shape, with ones.
    shape = [data.draw(st.sampled_from([n, 1])) for n in part.shape]
    shape = shape[data.draw(st.integers(0, len(shape))) :]
    stored = np.arange(float(np.prod(shape))).reshape(shape) - 50
    formulas = x[made].type.shape[len(part.shape) - len(shape) :]
    sizes = [
        n if n == 1 or isinstance(size, int) else None
        for n, size in zip(shape, formulas, strict=True)
    ]
    v = sg.tensor("v", sizes, "float64")
    given_values = {**values, x: array, v: stored}
    expected = array.copy()
    expected[index] = stored
    np.testing.assert_array_equal(evaluate(x.set(made, v), given_values), expected)
    expected = array.copy()
    np.add.at(expected, index, np.broadcast_to(stored, part.shape).copy())
    np.testing.assert_array_equal(evaluate(x.add_at(made, v), given_values), expected)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_gradients_of_writing(data: st.DataObject) -> None:
    array, index = data.draw(indexed())
    part = numpy_result(array, index)
    if part is None or not part.size:
        return
    stored = np.linspace(1, 2, part.size).reshape(part.shape)
    check_gradient(lambda x, v: x.set(index, v) ** 2, array / 10, stored, order=1)
    check_gradient(lambda x, v: x.add_at(index, v) ** 2, array / 10, stored, order=1)


def test_the_last_of_repeated_values_has_the_gradient() -> None:
    x, v = sg.tensor("x", (3,), "float64"), sg.tensor("v", (4,), "float64")
    changed = x.set([1, 0, 1, 1], v)
    gradients = sg.grad((changed * sg.constant([1.0, 10.0, 100.0], "float64")).sum(), [x, v])
    found = evaluate(gradients, {x: np.zeros(3), v: np.arange(4.0)})
    np.testing.assert_array_equal(found[0], [0, 0, 100])
    np.testing.assert_array_equal(found[1], [0, 1, 0, 10])


# --- types --------------------------------------------------------------------------------------


def test_equal_lengths_are_known_to_be_equal() -> None:
    x = sg.tensor("x", ("T", "B"))
    length = x.shape[0]
    assert x[1:].type is x[:-1].type is x[: length - 1].type
    assert x[::-1].type is x.type
    assert x[:length] is x[:] is x[...] is x[0:] is x
    assert str(x[1:].type) == "float32[max(T - 1, 0), B]"
    assert str(x[::2].type) == "float32[(T + 1)//2, B]"
    assert sg.concatenate([x[:3], x[3:]]).type is x.type
    assert sg.concatenate([x[:-2], x[-2:]]).type is x.type
    assert sg.concatenate([x[:1], x[1:4], x[4:]]).type is x.type
    assert x[2:2].type.shape[0] == 0


def test_one_symbol_gives_one_length() -> None:
    x, y = sg.tensor("x", ("T",)), sg.tensor("y", ("T",))
    i = sg.scalar("i", "int64")
    assert x[:i].type is y[:i].type
    assert sg.concatenate([x[:i], x[i:]]).type is x.type
    (x[i:] + y[i:])  # needs no check


def test_known_sizes_give_numbers() -> None:
    x = sg.tensor("x", (10, 4))
    assert x[1:].type.shape == (9, 4)
    assert x[-3:100:2, ::-1].type.shape == (2, 4)
    assert x[5:2].type.shape == (0, 4)
    assert x[np.array([True] * 3 + [False] * 7)].type.shape == (3, 4)


def test_a_mask_has_one_unknown_length() -> None:
    x, y = sg.tensor("x", ("T",)), sg.tensor("y", ("T",))
    mask = x > 0
    total = x[mask] + y[mask]
    values = {x: np.float32([1, -1, 2]), y: np.float32([10, 20, 30])}
    np.testing.assert_array_equal(evaluate(total, values), [11, 32])
    assert x[mask].type is y[mask].type


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [3, -4, (0, 5), [0, 3], (slice(None), [-5]), np.uint8(3)])
def test_known_indices_out_of_range(index: Any) -> None:
    x = sg.tensor("x", (3, 4))
    with pytest.raises(sg.IndexRangeError, match=r"test_index\.py:\d+"):
        x[index]
    with pytest.raises(sg.IndexRangeError):
        x.set(index, 0.0)


def test_indices_out_of_range_at_the_call() -> None:
    x = sg.tensor("x", ("T", 4), "float64")
    i = sg.scalar("i", "int64")
    j = sg.tensor("j", (None,), "int64")
    array = np.zeros((3, 4))
    for result in (x[i], x[j], x[5], x.set(i, 1.0), x.add_at(j, 1.0), sg.take(x, j, axis=0)):
        with pytest.raises(sg.IndexRangeError, match="axis 0"):
            evaluate(result, {x: array, i: np.int64(3), j: np.array([0, -4])})
    with pytest.raises(sg.IndexRangeError):
        evaluate(x[0], {x: np.zeros((0, 4))})


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (1.5, sg.SymgraphTypeError),
        ("a", sg.SymgraphTypeError),
        (True, sg.SymgraphTypeError),
        ([0.5], sg.SymgraphTypeError),
        ((0, 0, 0), sg.IndexRangeError),
        ((..., ...), sg.IndexRangeError),
        (slice(None, None, 0), sg.SymgraphTypeError),
        (slice(0.5, None), sg.SymgraphTypeError),
        (np.ones((2, 2), bool), sg.ShapeError),
    ],
)
def test_bad_indices(index: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        sg.tensor("x", (3, 4))[index]


def test_bad_values() -> None:
    x = sg.tensor("x", (3, 4))
    with pytest.raises(sg.ShapeError):
        x.set(0, sg.tensor("v", (5,)))
    with pytest.raises(sg.ShapeError):
        x.add_at([0, 1], sg.tensor("v", (3, 4)))
    with pytest.raises(sg.DtypeError, match="astype"):
        x.astype("int32").set(0, 1.5)
    with pytest.raises(sg.SymbolicValueError, match="set"):
        x[0] = 1.0
    assert x.set(0, np.float64(2)).dtype == np.float32
