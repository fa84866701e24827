"""Calling compiled functions: outputs, arguments and what happens to the arrays."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import symgraph as sg
from symgraph.backends.base import load_backend


def _affine():
    x = sg.tensor("x", ("B", 3))
    y = sg.tensor("y", ("B", 3))
    return x, y, x * 2 + y


# --- outputs ------------------------------------------------------------------------------------


def test_one_variable_gives_an_array():
    x, y, z = _affine()
    result = sg.compile([x, y], z)(np.ones((2, 3), "float32"), np.ones((2, 3), "float32"))
    assert type(result) is np.ndarray
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, np.full((2, 3), 3.0))


def test_a_list_a_tuple_and_a_dict_give_the_same_of_arrays():
    x, y, z = _affine()
    ones = np.ones((1, 3), "float32")
    as_list = sg.compile([x, y], [z, x + y])(ones, ones)
    as_tuple = sg.compile([x, y], (z, x + y))(ones, ones)
    as_dict = sg.compile([x, y], {"z": z, "sum": x + y})(ones, ones)
    assert isinstance(as_list, list)
    assert isinstance(as_tuple, tuple)
    assert list(as_dict) == ["z", "sum"]
    for results in (as_list, as_tuple, list(as_dict.values())):
        np.testing.assert_array_equal(results[0], 3 * ones)
        np.testing.assert_array_equal(results[1], 2 * ones)


def test_none_and_empty_lists():
    w = sg.shared(1.0, "w")
    assert sg.compile([], None, updates={w: w + 1})() is None
    assert w.get_value() == 2
    assert sg.compile([], [])() == []
    assert sg.compile([], {})() == {}


def test_scalars_come_as_numpy_scalars():
    x = sg.vector("x")
    f = sg.compile([x], [x.sum(), x.astype("int64").sum(), x.sum() > 2, x])
    total, integer, flag, same = f([1, 2])
    assert type(total) is np.float32
    assert type(integer) is np.int64
    assert type(flag) is np.bool_
    assert type(same) is np.ndarray
    assert type(sg.compile([], sg.constant(2.0))()) is np.float32
    assert type(sg.compile([], sg.shared(2.0))()) is np.float32


def test_an_output_twice_and_a_number_as_output():
    x = sg.vector("x")
    first, second, number = sg.compile([x], [x * 2, x * 2, 7])([1, 2])
    np.testing.assert_array_equal(first, second)
    assert not np.shares_memory(first, second)
    assert number == 7


@pytest.mark.parametrize("outputs", ["text", [None], [[1.0, "a"]], object()])
def test_other_outputs_are_refused(outputs):
    with pytest.raises(sg.SymgraphTypeError, match="output"):
        sg.compile([], outputs)


def test_an_inner_variable_may_be_an_input():
    x = sg.vector("x")
    y = sg.exp(x)
    f = sg.compile([y], y * 2)
    np.testing.assert_array_equal(f([3.0]), [6.0])
    g = sg.compile([x, x[1:]], x[1:] * x[:-1])
    np.testing.assert_array_equal(g([1, 2, 3], [5, 7]), [5, 14])
    with pytest.raises(sg.ShapeError, match="axis 0 has size 2"):
        g([1, 2, 3], [5, 7, 9])


# --- fresh results ------------------------------------------------------------------------------


def test_results_share_memory_with_nothing():
    x = sg.matrix("x")
    w = sg.shared(np.ones((2, 2), "float32"), "w")
    c = sg.constant(np.ones((2, 2), "float32"))
    outputs = [x, x.T, x[0], x.reshape((4,)), x.reshape((2, 2)), w, w.T, c, c.T, x + w, x]
    f = sg.compile([x], outputs)
    argument = np.arange(4, dtype="float32").reshape(2, 2)
    results = f(argument)
    others = [argument, w._value, c.params[0].array]
    for i, result in enumerate(results):
        assert result.flags.writeable
        assert result.flags.owndata
        for other in [*others, *results[:i]]:
            assert not np.shares_memory(result, other)
        result[...] = -1  # must change nothing that matters
    np.testing.assert_array_equal(argument, [[0, 1], [2, 3]])
    np.testing.assert_array_equal(w.get_value(), np.ones((2, 2)))
    np.testing.assert_array_equal(f(argument)[7], np.ones((2, 2)))


def test_swapped_shared_variables_do_not_share_storage():
    a = sg.shared(np.zeros(3, "float32"), "a")
    b = sg.shared(np.ones(3, "float32"), "b")
    sg.compile([], None, updates={a: b, b: a})()
    np.testing.assert_array_equal(a.get_value(), np.ones(3))
    np.testing.assert_array_equal(b.get_value(), np.zeros(3))
    sg.compile([], None, updates={a: b})()
    assert not np.shares_memory(a._value, b._value)


# --- what is accepted ---------------------------------------------------------------------------


def _awkward(array: np.ndarray) -> dict[str, object]:
    bytes_ = np.zeros(array.nbytes + 1, "uint8")
    unaligned = bytes_[1:].view(array.dtype).reshape(array.shape)
    unaligned[...] = array
    reversed_ = array[::-1].copy()[::-1]
    read_only = array.copy()
    read_only.flags.writeable = False
    return {
        "list": array.tolist(),
        "tuple": tuple(map(tuple, array.tolist())),
        "Fortran order": np.asfortranarray(array),
        "negative strides": reversed_,
        "step": np.repeat(array, 2, axis=1)[:, ::2],
        "read-only": read_only,
        "unaligned": unaligned,
        "byte-swapped": array.astype(array.dtype.newbyteorder()),
        "wider": array.astype("float64"),
        "integer": array.astype("int32"),
        "broadcast": np.broadcast_to(array[:1], array.shape),
        "list of arrays": list(array),
    }


@pytest.mark.parametrize("kind", list(_awkward(np.zeros((2, 3), "float32"))))
def test_arrays_of_every_kind_are_accepted_and_left_alone(kind):
    x = sg.tensor("x", ("B", 3))
    f = sg.compile([x], x * 2)
    plain = np.arange(6, dtype="float32").reshape(2, 3)
    argument = _awkward(plain)[kind]
    before = np.array(argument, copy=True)
    strides = getattr(argument, "strides", None)
    result = f(argument)
    np.testing.assert_array_equal(result, np.asarray(before, "float32") * 2)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(argument), before)
    assert getattr(argument, "strides", None) == strides


_DOUBLES = sg.matrix("x", dtype="float64")
_PLUS_ONE = sg.compile([_DOUBLES], _DOUBLES + 1)


@given(
    hnp.arrays(
        st.sampled_from(["float32", "float64", "int8", "uint16", "int64", "bool"]),
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=4),
        elements=st.integers(0, 1),
    ),
    st.permutations([0, 1]),
    st.sampled_from([1, -1, 2]),
)
def test_any_layout_gives_what_numpy_gives(array, order, step):
    view = array.transpose(order)[::step]
    np.testing.assert_array_equal(_PLUS_ONE(view), view.astype("float64") + 1)


def test_python_numbers_fit_any_dtype_in_which_they_fit():
    i = sg.scalar("i", dtype="uint8")
    v = sg.vector("v", dtype="int8")
    f = sg.compile([i, v], [i, v])
    assert f(200, [])[0] == 200
    np.testing.assert_array_equal(f(0, [-128, 127])[1], [-128, 127])
    x = sg.scalar("x")
    g = sg.compile([x], x)
    assert g(3) == 3
    assert g(True) == 1
    assert g(np.float64(0.5)) == 0.5
    for bad in (256, -1):
        with pytest.raises(sg.DtypeError, match="i takes uint8"):
            f(bad, [1])
    with pytest.raises(sg.DtypeError, match="v takes int8"):
        f(1, [1, 128])


@pytest.mark.parametrize(
    ("dtype", "argument"),
    [
        ("int64", np.float32(1.5)),
        ("int64", 1.5),
        ("bool", 1),
        ("float32", 1j),
        ("uint8", np.int64(1)),
    ],
)
def test_lossy_conversions_name_both_dtypes(dtype, argument):
    x = sg.scalar("count", dtype=dtype)
    f = sg.compile([x], x, name="f")
    with pytest.raises(sg.DtypeError) as caught:
        f(argument)
    text = str(caught.value)
    assert "count" in text
    assert dtype in text
    assert str(np.asarray(argument).dtype) in text
    assert __file__ in text


@pytest.mark.parametrize(
    "argument",
    [None, "text", object(), [[1, 2], [3]], {"a": 1}, [None], np.array(["a"]), lambda: 1],
)
def test_objects_that_are_no_arrays_are_refused_by_name(argument):
    x = sg.vector("x")
    with pytest.raises(sg.SymgraphTypeError, match="x takes float32"):
        sg.compile([x], x)(argument)


def test_symbols_are_no_arguments():
    x = sg.vector("x")
    f = sg.compile([x], x)
    with pytest.raises(sg.SymbolicValueError, match="the symbol 'y'"):
        f(sg.vector("y"))


# --- shapes -------------------------------------------------------------------------------------


def test_wrong_shapes_are_named():
    x, y, z = _affine()
    f = sg.compile([x, y], z, name="affine")
    ones = np.ones((2, 3))
    with pytest.raises(sg.ShapeError, match=r"affine: x is float32\[B, 3\], of 2 axes; .* \(3,\)"):
        f(np.ones(3), ones)
    with pytest.raises(sg.ShapeError, match=r"x is .* axis 1 has size 3; .*(2, 4)"):
        f(np.ones((2, 4)), ones)
    with pytest.raises(sg.ShapeError, match=r"size B is 4 in x \(axis 0\) but 5 in y \(axis 0\)"):
        f(np.ones((4, 3)), np.ones((5, 3)))


def test_there_is_no_broadcasting_at_run_time():
    x, y, z = _affine()
    f = sg.compile([x, y], z)
    with pytest.raises(sg.ShapeError, match="size B is 1 in x"):
        f(np.ones((1, 3)), np.ones((5, 3)))
    a, b = sg.vector("a"), sg.vector("b")
    g = sg.compile([a, b], a + b)
    with pytest.raises(sg.CallError, match="add"):
        g(np.ones(1), np.ones(5))


def test_a_name_binds_within_one_argument():
    x = sg.tensor("x", ("N", "N"))
    f = sg.compile([x], x)
    f(np.ones((2, 2)))
    with pytest.raises(sg.ShapeError, match=r"size N is 2 in x \(axis 0\) but 3 in x \(axis 1\)"):
        f(np.ones((2, 3)))


def test_names_meet_shared_variables():
    x = sg.tensor("x", ("B", "F"))
    w = sg.shared(np.ones((3, 2), "float32"), "w")
    f = sg.compile([x], x @ w)
    assert f(np.ones((5, 3))).shape == (5, 2)
    with pytest.raises(sg.CallError):
        f(np.ones((5, 4)))


def test_unnamed_inputs_are_counted():
    a, b = sg.vector(), sg.vector()
    f = sg.compile([a, b], a * b)
    with pytest.raises(sg.ShapeError, match="input 2 is"):
        f([1], [[1]])


# --- errors while running -----------------------------------------------------------------------


def test_an_index_out_of_range_names_op_shape_and_line():
    x, i = sg.vector("x"), sg.scalar("i", dtype="int64")
    f = sg.compile([x, i], x[i])
    with pytest.raises(sg.IndexRangeError) as caught:
        f([1, 2, 3], 5)
    text = str(caught.value)
    assert "5" in text
    assert "(3,)" in text
    assert __file__ in text
    assert f([1, 2, 3], -1) == 3


def test_numpy_errors_become_call_errors():
    x = sg.matrix("x")
    f = sg.compile([x], sg.max(x, axis=1))
    with pytest.raises(sg.CallError, match="max"):
        f(np.ones((2, 0)))


def test_no_warnings_of_numbers(recwarn):
    x = sg.vector("x")
    f = sg.compile([x], [1 / x, sg.log(x), sg.exp(x), x.astype("int32")])
    f([0.0, -1.0, 1e30])
    assert not recwarn.list


# --- more on the object -------------------------------------------------------------------------


def test_a_function_tells_what_it_is():
    x, y, z = _affine()
    f = sg.compile([x, y], z, name="affine", backend="numpy")
    assert f.name == "affine"
    assert f.backend == "numpy"
    assert f.inputs == (x, y)
    assert "affine(x float32[B, 3], y float32[B, 3])" in repr(f)
    assert f.graph.inputs[:2] == (x, y)
    assert f.updates == {}
    assert f.profile is None


@pytest.mark.parametrize("backend", ["cuda", None, 3])
def test_an_unknown_backend_lists_those_there_are(backend):
    with pytest.raises(sg.BackendError, match="'native' and 'numpy'"):
        sg.compile([], [], backend=backend)


@pytest.mark.parametrize("threads", [0, -1, "2", 1.5, True])
def test_threads_are_a_positive_number(threads):
    with pytest.raises(sg.SymgraphError, match="threads"):
        sg.compile([], [], threads=threads)
    assert sg.compile([], [], threads=1)() == []


def test_a_deep_chain_compiles_and_runs():
    x = sg.vector("x")
    y = x
    for i in range(50_000):
        y = sg.tanh(y) if i % 2 else y * 1.5
    f = sg.compile([x], y)
    assert np.isfinite(f([0.5])).all()


def test_a_function_goes_with_its_graph_at_once():
    x = sg.vector("x")
    y = sg.scan(lambda x_t, h: sg.tanh(x_t + h), [x], [sg.constant(0.0)])
    f = sg.compile([x], y)
    f([1, 2])
    references = [weakref.ref(v) for v in (y, f, f.graph)]
    del f, y
    assert [reference() is None for reference in references] == [True] * 3


def test_an_input_may_be_named_like_any_python_argument():
    inputs = [sg.scalar(name) for name in ("self", "arguments", "by_name")]
    f = sg.compile(inputs, inputs[0] + inputs[1] * 10 + inputs[2] * 100)
    assert f(arguments=2, self=1, by_name=3) == 321


class Renamed:
    """A user's own backend: the reference under another name, which counts what it prepares."""

    name = "mine"

    def __init__(self) -> None:
        self.prepared = 0
        self._inner: Any = load_backend("numpy")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def prepare(self, graph: Any, **options: Any) -> Any:
        self.prepared += 1
        return self._inner.prepare(graph, **options)


def test_a_backend_may_be_an_object() -> None:
    x, mine = sg.vector("x"), Renamed()
    f = sg.compile([x], sg.exp(x).sum(), backend=mine)
    assert f([0.0, 0.0]) == 2.0
    assert (mine.prepared, f.backend, f.report.backend) == (1, "mine", "mine")
    assert "mine" in repr(f)
    with pytest.raises(sg.BackendError, match="no backend"):
        sg.compile([x], x, backend=object())
