"""What simplify may do and what it must leave alone; views and casts held against NumPy."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symgraph as sg
from symgraph.core.graph import Graph
from symgraph.core.op import OPS
from symgraph.core.types import DTYPES
from symgraph.core.variable import INPUT, Variable, ancestors, make_constant, node
from symgraph.core.verify import verify
from symgraph.ops.sizes import CHECK_SIZE
from symgraph.rewrite.engine import sweep
from symgraph.rewrite.pattern import uniform
from symgraph.rewrite.simplify import SIMPLIFY
from symgraph.rewrite.specialise import SPECIALISE

SETTINGS = settings(max_examples=200, deadline=None, derandomize=True)


def simplified(*outputs: Variable) -> list[Variable]:
    """The outputs after one sweep, which a second one does not change."""
    graph = Graph([v for v in ancestors(outputs) if v.op is INPUT], outputs)
    result = sweep(graph, SIMPLIFY)
    verify(result)
    assert sweep(result, SIMPLIFY) is result
    return list(result.outputs)


def evaluate(output: Variable, x: Variable, array: np.ndarray) -> np.ndarray:
    """One output for the value of one input, node by node."""
    values = {x: array}
    for v in Graph([x], [output]).nodes:
        if v not in values:
            values[v] = v.op.evaluate([values[s] for s in v.inputs], *v.params)  # type: ignore[misc]
    return values[output]


def ops_of(*outputs: Variable) -> Counter[str]:
    return Counter(v.op.name for v in ancestors(outputs) if v.op is not INPUT)


x = sg.tensor("x", ("T", "B"))
y = sg.tensor("y", ("T", "B"))
row = sg.tensor("row", ("B",))
i = sg.tensor("i", ("B",), dtype="int32")


# --- what stays ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    [
        x * 0.0,  # NaN and infinity
        x - x,
        x / x,
        sg.equal(x, x),
        sg.log(sg.exp(x)),  # stabilise's business
        (x * 2.0) * 3.0,  # overflows elsewhere
        (x + 1.0) - 1.0,
        sg.sqrt(sg.square(x)),
        sg.where(sg.isnan(x), x, y),
        x.astype("int32").astype("float32"),
        sg.sum(sg.broadcast_to(row, x.shape), axis=0),  # T may be 0, and row infinite
    ],
    ids=str,
)
def test_what_nan_infinity_or_rounding_forbid_stays(expression):
    before = ops_of(expression)
    after = ops_of(*simplified(expression))
    before.pop("size", None)
    after.pop("size", None)
    assert after == before


def test_a_failing_fold_is_left_for_the_call():
    wrong = node(OPS["power"], (sg.constant(np.arange(3)), sg.constant(np.int64(-1))))
    (after,) = simplified(wrong)
    assert after is wrong


def test_large_results_are_not_folded():
    wide = sg.constant(np.arange(40.0))[:, None] * sg.constant(np.arange(50.0))
    assert ops_of(*simplified(wide))["multiply"] == 1
    small = sg.constant(np.arange(4.0))[:, None] * sg.constant(np.arange(5.0))
    assert ops_of(*simplified(small)) == {"constant": 1}


def test_constants_of_one_value_become_one_element():
    (after,) = simplified(x + sg.constant(np.zeros((1, 1), "float32")))
    assert after is x
    (after,) = simplified(row[:3] * sg.constant(np.array([2.0, 2.0, 2.0], "float32")))
    assert not [v for v in ancestors([after]) if v.op.name == "constant" and v.ndim]
    negative_zeros = sg.constant(np.array([-0.0, 0.0]))
    assert simplified(negative_zeros) == [negative_zeros]


def test_integers_wrap_in_factors_and_terms_too():
    big = sg.constant(np.int32(2**30))
    assert uniform(*simplified((i * big) * sg.constant(np.int32(4)))) == 0
    (after,) = simplified((i + big) + big)
    assert uniform(after.inputs[1]) == -(2**31)


# --- sizes --------------------------------------------------------------------------------------


def test_no_value_lives_for_its_size():
    (after,) = simplified(sg.zeros(sg.tanh(sg.exp(x) @ sg.ones((x.shape[1], 7)) + 1.0).shape))
    assert set(ops_of(after)) == {"constant", "size", "broadcast_to"}


def test_a_size_of_a_size_is_the_scalar_unless_that_may_be_negative():
    (after,) = simplified(sg.zeros((x.shape[0] * 2,)).shape[0])
    assert ops_of(after) == ops_of(x.shape[0] * 2)
    n = sg.scalar("n", dtype="int64")
    (after,) = simplified(sg.zeros((n,)).shape[0])
    assert after.op.name == "size"


def test_a_check_is_kept_where_only_a_size_is_used():
    unknown = sg.tensor("unknown", (None,))
    (after,) = simplified((unknown + row).shape[0])
    assert CHECK_SIZE in {v.op for v in ancestors([after])}


def test_numbers_take_the_place_of_sizes():
    fixed = sg.tensor("fixed", (3, 4))
    n = make_constant(np.int64(3))
    (after,) = simplified(sg.reshape(fixed * sg.broadcast_to(fixed[:1, :1], (n, 4)), (n * 4,)))
    assert after.op.name == "reshape"
    assert after.params == ((12,),)


# --- views against NumPy ------------------------------------------------------------------------

EDGES = st.none() | st.integers(-4, 4)
STEPS = st.sampled_from([None, 1, -1, 2, -2, 3])
SLICES = st.builds(slice, EDGES, EDGES, STEPS)


@SETTINGS
@given(st.lists(SLICES | st.integers(-3, 3), min_size=2, max_size=3), st.integers(0, 6))
def test_slices_of_slices(entries, length):
    vector = sg.tensor("vector", ("N",), dtype="int64")
    array = np.arange(length)
    expected, part = array, vector
    for entry in entries:
        if expected.ndim == 0:
            break
        if isinstance(entry, int) and not -len(expected) <= entry < len(expected):
            break
        expected, part = expected[entry], part[entry]
    (after,) = simplified(part)
    np.testing.assert_array_equal(evaluate(after, vector, array), expected)


def test_reversing_twice_and_trimming_are_one_slice():
    assert simplified(x[::-1][::-1]) == [x]
    for made in (x[::-1][1:], x[1:][::-1], x[:, ::-1][1:], x[::-1][::-1][2:]):
        assert ops_of(*simplified(made)) == {"slice": 1}


@SETTINGS
@given(
    st.permutations(range(3)),
    st.lists(SLICES | st.integers(0, 1), min_size=3, max_size=3),
)
def test_slices_of_transposes(order, entries):
    cube = sg.tensor("cube", (2, 3, 4), dtype="int64")
    array = np.arange(24).reshape(2, 3, 4)
    made = sg.transpose(cube, order)[tuple(entries)]
    expected = array.transpose(order)[tuple(entries)]
    (after,) = simplified(made)
    np.testing.assert_array_equal(evaluate(after, cube, array), expected)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_parts_of_no_rows_are_checked_too(backend):
    x, y = sg.tensor("x", (None, None)), sg.tensor("y", (0, None))
    f = sg.compile([x, y], sg.concatenate([x, y]), backend=backend)
    rows = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(f(rows, np.ones((0, 3), "float32")), rows)
    with pytest.raises(sg.CallError, match="concatenate"):
        f(rows, np.ones((0, 2), "float32"))


@SETTINGS
@given(st.lists(st.integers(1, 3), min_size=2, max_size=4), SLICES | st.integers(-4, 3))
def test_slices_of_parts_joined(lengths, entry):
    vector = sg.tensor("vector", (3,), dtype="int64")
    array = np.arange(3)
    whole = sg.concatenate([vector[:n] + n for n in lengths])
    expected = np.concatenate([array[:n] + n for n in lengths])
    if isinstance(entry, int) and not -len(expected) <= entry < len(expected):
        return
    (after,) = simplified(whole[entry])
    np.testing.assert_array_equal(evaluate(after, vector, array), expected[entry])


def test_an_element_of_a_stack_is_what_was_stacked():
    parts = [sg.tanh(x), x, y]
    for k in (0, 1, 2, -1):
        assert simplified(sg.stack(parts)[k]) == [parts[k]]
    assert simplified(sg.stack(parts, axis=1)[:, 2]) == [y]


AXES = st.lists(st.integers(0, 3), unique=True, max_size=3).map(tuple)


@SETTINGS
@given(AXES, st.booleans(), st.data())
def test_sums_of_sums(first, keepdims, data):
    shape = (2, 1, 3, 2)
    block = sg.tensor("block", shape, dtype="int64")
    array = np.arange(12).reshape(shape)
    inner = sg.sum(block, axis=first, keepdims=keepdims)
    expected = np.sum(array, axis=first, keepdims=keepdims)
    rest = st.lists(st.integers(0, max(inner.ndim - 1, 0)), unique=True, max_size=inner.ndim)
    second = tuple(data.draw(rest)) if inner.ndim else ()
    again = data.draw(st.booleans())
    made = sg.sum(inner, axis=second, keepdims=again)
    expected = np.sum(expected, axis=second, keepdims=again)
    (after,) = simplified(made)
    np.testing.assert_array_equal(evaluate(after, block, array), expected)
    assert ops_of(after)["sum"] <= 1


@SETTINGS
@given(AXES, st.booleans(), st.sampled_from(["int64", "float32", "int8"]))
def test_sums_of_what_is_repeated(axes, keepdims, dtype):
    small = sg.tensor("small", (3, 1, 2), dtype=dtype)
    array = np.arange(6).astype(dtype).reshape(3, 1, 2) + 100
    array = array.astype(dtype)
    made = sg.sum(sg.broadcast_to(small, (4, 3, 5, 2)), axis=axes, keepdims=keepdims, dtype=dtype)
    wide = np.broadcast_to(array, (4, 3, 5, 2))
    expected = np.sum(wide, axis=axes, keepdims=keepdims, dtype=dtype)
    (after,) = simplified(made)
    np.testing.assert_allclose(evaluate(after, small, array), expected, rtol=1e-6)


def test_gradients_of_parts_are_joined():
    z = sg.tensor("z", ("B", 12))
    gates = sg.split(z, 3, axis=1)
    cost = sum(sg.sum(f(g)) for f, g in zip((sg.tanh, sg.sigmoid, sg.exp), gates, strict=True))
    (after,) = simplified(sg.grad(cost, z))
    assert after.op.name == "concatenate"
    assert "add_slice" not in ops_of(after)


# --- casts --------------------------------------------------------------------------------------


def awkward(dtype: np.dtype) -> np.ndarray:
    """Extreme values of a dtype that every other one can take without being undefined."""
    if dtype.kind == "f":
        return np.array([0.0, 1.0, 0.5, 100.25, 16777216.0 + 2], dtype)
    if dtype.kind == "b":
        return np.array([False, True])
    info = np.iinfo(dtype)
    return np.array([info.min, 0, 1, info.max, info.max // 3], dtype)


@pytest.mark.parametrize("source", DTYPES, ids=str)
def test_casts_of_casts(source):
    array = awkward(source)
    z = sg.tensor("z", array.shape, dtype=source)
    for first, second in itertools.product(DTYPES, DTYPES):
        made = z.astype(first).astype(second)
        with np.errstate(all="ignore"):
            middle = array.astype(first)
            if middle.dtype.kind == "f" and second.kind in "iu":
                info = np.iinfo(second)
                inside = (middle >= info.min) & (middle < float(info.max))
            else:
                inside = np.ones(array.shape, bool)
            (after,) = simplified(made)
            found = evaluate(after, z, array)
            expected = middle.astype(second)
        np.testing.assert_array_equal(found[inside], expected[inside], f"{first} {second}")


# --- specialise ---------------------------------------------------------------------------------


def specialised(output: Variable) -> Sequence[Variable]:
    graph = Graph([v for v in ancestors([output]) if v.op is INPUT], [output])
    return sweep(graph, SIMPLIFY + SPECIALISE).outputs


def test_powers_become_products():
    assert specialised(x**2) == (sg.square(x),)
    assert specialised(x * x) == (sg.square(x),)
    assert "power" not in ops_of(*specialised(x**3 + x**4 + x**-1 + x**-2))
    assert "power" in ops_of(*specialised(x**-0.5))


def test_only_exact_reciprocals_replace_a_division():
    for divisor in (2.0, 0.25, -8.0):
        assert "divide" not in ops_of(*specialised(x / divisor))
    assert "divide" in ops_of(*specialised(x / 3.0))


@pytest.mark.parametrize("divisor", [2.0**127, 2.0**-127, 2.0**-149, np.inf, 0.0])
def test_reciprocals_that_leave_the_normal_numbers_do_not(divisor):
    expression = x / sg.constant(np.float32(divisor))
    (after,) = specialised(expression)
    if after is not expression:
        array = np.array([[1.0, 3.0, 1e30, 1e-30]], "float32")
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(evaluate(after, x, array), array / np.float32(divisor))


def test_an_identity_costs_nothing():
    marked = sg.stop_gradient(sg.clip_gradient(sg.tanh(x), -1.0, 1.0))
    assert simplified(marked) == [sg.tanh(x)]


def test_a_check_that_is_decided_goes():
    assert simplified(node(CHECK_SIZE, (x, y), (0, 0, "add"))) == [x]
