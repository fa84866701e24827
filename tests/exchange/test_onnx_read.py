"""ONNX models come in as variables: their ends, parameters, sizes, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper as oh
import onnx.parser
import pytest
from onnx import TensorProto, numpy_helper

import symgraph as sg


def model(text: str, opset: int = 21, functions: str = "") -> onnx.ModelProto:
    head = f'<ir_version: 8, opset_import: ["": {opset}, "own": 1]>\n'
    return onnx.parser.parse_model(head + text + functions)


def read(text: str, opset: int = 21, **options: Any) -> Any:
    return sg.import_onnx(model(text, opset).SerializeToString(), **options)


DENSE = """
g (float[B, 2] x) => (float[B, 3] y)
<float[2, 3] W = {1, 2, 3, 4, 5, 6}, float[3] b = {0.5, 0, -0.5}> { h = MatMul(x, W) y = Add(h, b) }
"""


# --- ends and parameters ------------------------------------------------------------------------


def test_inputs_outputs_and_parameters_have_their_names():
    imported = read(DENSE)
    assert {k: str(v.type) for k, v in imported.inputs.items()} == {"x": "float32[B, 2]"}
    assert {k: str(v.type) for k, v in imported.outputs.items()} == {"y": "float32[B, 3]"}
    assert {k: w.name for k, w in imported.params.items()} == {"W": "W", "b": "b"}
    np.testing.assert_array_equal(imported.params["b"].get_value(), [0.5, 0, -0.5])


def test_a_file_is_read_like_its_bytes(tmp_path: Path):
    path = tmp_path / "dense.onnx"
    onnx.save(model(DENSE), path)
    for place in (path, str(path)):
        assert list(sg.import_onnx(place).params) == ["W", "b"]


def test_it_is_called_like_a_module():
    imported = read(DENSE)
    rows, features = sg.tensor("rows", ("T", 2)), np.ones((3, 2), np.float32)
    for called in (imported(rows), imported(x=rows)):
        assert str(called.type) == "float32[T, 3]"
        np.testing.assert_array_equal(called.eval({rows: features}), [[5.5, 7, 8.5]] * 3)
    np.testing.assert_array_equal(imported(features).eval(), [[5.5, 7, 8.5]] * 3)


def test_several_outputs_are_a_tuple():
    imported = read(
        "g (float[N] x, float[N] z) => (float[N] a, float[N] b) { a = Exp(x) b = Neg(z) }"
    )
    x = sg.vector("x")
    a, b = imported(x, x)
    assert a is sg.exp(x)
    assert b is -x


@pytest.mark.parametrize(
    ("inputs", "by_name"), [((), {}), ((1, 2), {}), ((1,), {"x": 2}), ((), {"z": 1})]
)
def test_other_inputs_are_refused(inputs: tuple[Any, ...], by_name: dict[str, Any]):
    with pytest.raises(sg.ExchangeError, match="called on x"):
        read(DENSE)(*inputs, **by_name)


def test_inputs_of_other_types_are_refused():
    imported = read(DENSE)
    with pytest.raises(sg.DtypeError):
        imported(sg.matrix("x", dtype="float64"))
    with pytest.raises(sg.ShapeError):
        imported(sg.tensor3("x"))
    with pytest.raises(sg.ShapeError):
        imported(sg.tensor("x", ("B", 5)))


def test_parameters_train_on():
    imported = read(DENSE)
    x = imported.inputs["x"]
    cost = sg.square(imported(x) - 1).mean()
    params = list(imported.params.values())
    updates = {w: w - 0.5 * g for w, g in zip(params, sg.grad(cost, params), strict=True)}
    step = sg.compile([x], cost, updates=updates)
    data = np.random.default_rng(0).normal(size=(20, 2)).astype("float32")
    first = step(data)
    for _ in range(200):
        last = step(data)
    assert last < first / 100


def test_floats_are_constants_if_nothing_is_to_be_trained():
    imported = read(DENSE, trainable=False)
    assert imported.params == {}
    np.testing.assert_array_equal(imported(np.ones((1, 2), "float32")).eval(), [[5.5, 7, 8.5]])


def test_integers_scalars_and_what_only_describes_are_no_parameters():
    imported = read(
        "g (float[N] x) => (float[M] y) <int64[1] shape = {-1}, float two = {2},"
        " float[1] scales = {2}, float[4] unused = {1, 2, 3, 4}>"
        " { t = Mul(x, two) r = Reshape(t, shape) y = Resize(r, , scales) }"
    )
    assert imported.params == {}
    assert str(imported.outputs["y"].type) == "float32[2*N]"


def test_a_stored_input_is_a_parameter():
    graph = oh.make_graph(
        [oh.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [oh.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xw"],
        [oh.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(np.ones(2, np.float32), "w")],
    )
    imported = sg.import_onnx(oh.make_model(graph).SerializeToString())
    assert list(imported.inputs) == ["x"]
    assert list(imported.params) == ["w"]


# --- sizes --------------------------------------------------------------------------------------


def test_equal_names_are_equal_sizes():
    imported = read("g (float[T, B] x, float[B] z) => (float[T, B] y) { y = Add(x, z) }")
    x, z = imported.inputs.values()
    assert x.type.shape[1] is z.type.shape[0]
    assert not any(v.op.name == "check_size" for v in sg.ancestors(imported.outputs["y"]))


def test_sizes_named_anew_may_be_equal():
    imported = read("g (float[x_axis] x, float[z_axis] z) => (float[N] y) { y = Add(x, z) }")
    f = sg.compile(list(imported.inputs.values()), imported.outputs["y"])
    np.testing.assert_array_equal(f([1, 2], [3, 4]), [4, 6])
    with pytest.raises(sg.CallError, match=r"Add|add"):
        f([1, 2], [1, 2, 3])


def test_sizes_that_are_numbers_stay_different():
    with pytest.raises(sg.ExchangeError, match=r"Add \(-> y\)"):
        read("g (float[2] x, float[3] z) => (float[N] y) { y = Add(x, z) }")


def test_names_that_are_none_are_equal_to_each_other():
    graph = oh.make_graph(
        [oh.make_node("Mul", ["x", "z"], ["y"])],
        "g",
        [oh.make_tensor_value_info(n, TensorProto.FLOAT, ["2*T + 1", None]) for n in "xz"],
        [oh.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    imported = sg.import_onnx(oh.make_model(graph).SerializeToString())
    x, z = (v.type.shape for v in imported.inputs.values())
    assert x[0] is z[0]
    assert x[1] is not z[1]


# As PyTorch's exporters write views: sizes taken from x, calculated with, and joined to a shape.
VIEW = """
g (float[B, T, 12] x) => (float[P, Q, R, S] y) {
  shape = Shape(x)
  zero = Constant<value = int64 {0}>()
  one = Constant<value = int64 {1}>()
  batch = Gather(shape, zero)
  time = Gather(shape, one)
  three = Constant<value = int64 {3}>()
  heads = Div(time, three)
  axis = Constant<value = int64[1] {0}>()
  a = Unsqueeze(batch, axis)
  b = Unsqueeze(heads, axis)
  c = Constant<value = int64[2] {3, -1}>()
  joined = Concat<axis = 0>(b, a, c)
  y = Reshape(x, joined)
}"""


def test_calculated_sizes_keep_their_names():
    imported = read(VIEW)
    assert str(imported.outputs["y"].type).startswith("float32[T//3, B, 3, ")
    f = sg.compile(list(imported.inputs.values()), imported.outputs["y"])
    assert f(np.zeros((2, 6, 12))).shape == (2, 2, 3, 12)


# How PyTorch expands: sizes that are -1 are those that x has.
EXPAND = """
g (float[1, T] x, float[B, T] z) => (float[P, Q] y) {
  shape = Shape<end = 1>(z)
  rest = Constant<value = int64[1] {-1}>()
  wanted = Concat<axis = 0>(shape, rest)
  n = Shape(wanted)
  ones = ConstantOfShape<value = int64[1] {1}>(n)
  minus = Mul(ones, rest)
  is_own = Equal(wanted, minus)
  sizes = Where(is_own, ones, wanted)
  y = Expand(x, sizes)
}"""


def test_sizes_are_compared_as_far_as_they_tell():
    imported = read(EXPAND)
    assert str(imported.outputs["y"].type) == "float32[B, T]"
    f = sg.compile(list(imported.inputs.values()), imported.outputs["y"])
    assert f(np.ones((1, 3)), np.ones((0, 3))).shape == (0, 3)


def test_sizes_become_values_where_values_are_wanted():
    imported = read(
        "g (float[T, B] x) => (int64[2] y, float z) { y = Shape(x) n = Size(x)"
        " z = Cast<to = 1>(n) }"
    )
    f = sg.compile(list(imported.inputs.values()), list(imported.outputs.values()))
    y, z = f(np.zeros((3, 4)))
    np.testing.assert_array_equal(y, [3, 4])
    assert z == 12.0


def test_numbers_from_data_may_be_sizes():
    imported = read(
        "g (float[4, 6] x, int64 n) => (float[P, Q] y) { a = Constant<value = int64[1] {0}>()"
        " m = Unsqueeze(n, a) r = Constant<value = int64[1] {-1}>() s = Concat<axis = 0>(m, r)"
        " y = Reshape(x, s) }"
    )
    f = sg.compile(list(imported.inputs.values()), imported.outputs["y"])
    assert f(np.zeros((4, 6)), 3).shape == (3, 8)


# --- values that are known ----------------------------------------------------------------------

BY_SHAPE = "g (float[4, 6] x, int64[2] shape) => (float[P, Q] y) { y = Reshape(x, shape) }"


def test_the_refusal_says_which_input_makes_the_shape_known():
    with pytest.raises(sg.ExchangeError, match=r"Reshape \(-> y\).*\n.*\n.*known={'shape': array}"):
        read(BY_SHAPE)
    imported = read(BY_SHAPE, known={"shape": [-1, 8]})
    assert list(imported.inputs) == ["x"]
    assert str(imported.outputs["y"].type) == "float32[3, 8]"


def test_a_variable_may_stand_for_an_input():
    z = sg.tensor("z", ("N", 2))
    imported = read(DENSE, known={"x": sg.exp(z)})
    assert imported.inputs == {}
    assert str(imported().type) == "float32[N, 3]"


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ({"z": 1}, "no input 'z'"),
        ({"W": np.ones((2, 3))}, "no input 'W'"),
        ({"x": np.ones(2)}, "has 2 axes, not 1"),
        ({"x": np.ones((4, 3))}, "axis 1 of input 'x' has size 2, not 3"),
        ({"x": np.ones((1, 2), complex)}, "float32"),
        ({"x": sg.matrix(dtype="float64")}, "is float32, not float64"),
    ],
)
def test_values_that_do_not_fit_are_refused(known: dict[str, Any], text: str):
    with pytest.raises(sg.ExchangeError, match=text):
        read(DENSE, known=known)


def test_known_is_a_dict():
    values: Any = [np.ones((2, 2))]
    with pytest.raises(sg.SymgraphTypeError, match="known is a dict of values by the names"):
        read(DENSE, known=values)


def test_what_is_known_is_evaluated():
    imported = read(
        "g (float[2, 3] x) => (float[N] y) { n = Constant<value = int64 {7}>()"
        " m = Constant<value = int64 {-2}>() q = Div(n, m) a = Abs(q) o = Constant<value = int64[1]"
        " {0}>() s = Unsqueeze(a, o) w = Constant<value = int64[1] {2}>() p = Mul(s, w)"
        " y = Reshape(x, p) }"
    )
    assert str(imported.outputs["y"].type) == "float32[6]"  # |7 / -2| is 3


# --- versions and functions ---------------------------------------------------------------------


def test_axes_are_attributes_or_inputs_by_version():
    old = read(
        "g (float[N, 3] x) => (float[N] y) { y = ReduceSum<axes = [1], keepdims = 0>(x) }", 11
    )
    new = read(
        "g (float[N, 3] x) => (float[N] y) { a = Constant<value = int64[1] {1}>()"
        " y = ReduceSum<keepdims = 0>(x, a) }"
    )
    x = sg.tensor("x", ("N", 3))
    assert old(x) is new(x)


def test_a_local_function_is_opened_with_its_attributes():
    imported = sg.import_onnx(
        model(
            "g (float[N] x) => (float[N] y) { h = own.scaled<factor = 3.0>(x) y = own.scaled(h) }",
            functions="""
            <domain: "own", opset_import: ["": 21]>
            scaled <factor: float = 2.0> (x) => (y) {
              f = Constant<value_float: float = @factor>() y = Mul(x, f)
            }""",
        ).SerializeToString()
    )
    np.testing.assert_array_equal(imported(np.ones(2, "float32")).eval(), [6.0, 6.0])


def test_sequences_within_a_model_are_read():
    imported = read(
        "g (float[6] x) => (float[6] y) { n = Constant<value = int64 {2}>()"
        " s = SplitToSequence(x, n) i = Constant<value = int64 {-1}>() last = SequenceAt(s, i)"
        " t = SequenceInsert(s, last, i) u = SequenceErase(t, i)"
        " y = ConcatFromSequence<axis = 0>(u) }"
    )
    np.testing.assert_array_equal(
        imported(np.arange(6, dtype="float32")).eval(), [0, 1, 2, 3, 4, 5]
    )


def test_random_numbers_are_drawn_at_each_call():
    imported = read(
        "g (float[N] x) => (float[N] y, float[N] z) { r = Constant<value = float {0.5}>()"
        " t = Constant<value = bool {1}>() y = Dropout(x, r, t) z = RandomNormalLike(x) }"
    )
    f = sg.compile(list(imported.inputs.values()), list(imported.outputs.values()))
    ones = np.ones(1000, "float32")
    (y, z), (y_again, z_again) = f(ones), f(ones)
    assert set(np.unique(y)) == {0.0, 2.0}
    assert abs(y.mean() - 1) < 0.2
    assert abs(z.std() - 1) < 0.1
    assert not np.array_equal(y, y_again)
    assert not np.array_equal(z, z_again)


# --- refusals -----------------------------------------------------------------------------------


def test_an_op_that_is_not_read_is_named_with_its_node():
    node = oh.make_node("Det", ["x"], ["y"], name="determinant")
    graph = oh.make_graph(
        [node],
        "g",
        [oh.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2])],
        [oh.make_tensor_value_info("y", TensorProto.FLOAT, [])],
    )
    with pytest.raises(sg.ExchangeError, match=r"ONNX Det \(determinant\): there is no such op"):
        sg.import_onnx(oh.make_model(graph).SerializeToString())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("g (float16[2] x) => (float16[2] y) { y = Abs(x) }", "input 'x'.* float16"),
        ("g (string[2] x) => (string[2] y) { y = Identity(x) }", "input 'x'.* string"),
        ("g (float[2] x) => (float16[2] y) { y = Cast<to = 10>(x) }", r"Cast \(-> y\): .* float16"),
        ("g (float[2] x) => (float[2] y) { y = Softmax<axis = 3>(x) }", "axis 3 is not among 1"),
        ('g (float[2] x) => (float[2] y) { y = Elu<alpha = "a">(x) }', "'alpha' is 'a'"),
        ("g (float[2] x) => (float[2] y) { y = Add(x) }", r"Add \(-> y\): it takes 2 inputs"),
        ("g (seq(float[2]) x) => (int64 y) { y = SequenceLength(x) }", "input 'x'.* sequence"),
    ],
)
def test_what_is_refused_says_why(text: str, reason: str):
    with pytest.raises(sg.ExchangeError, match=f"(?s){reason}"):
        read(text)


def test_an_input_without_axes_may_be_given_as_a_variable():
    graph = oh.make_graph(
        [oh.make_node("Exp", ["x"], ["y"])],
        "g",
        [oh.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [oh.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    data = oh.make_model(graph).SerializeToString()
    with pytest.raises(sg.ExchangeError, match=r"no number of axes[\s\S]*known={'x': sg.matrix"):
        sg.import_onnx(data)
    assert sg.import_onnx(data, known={"x": sg.matrix()}).outputs["y"].ndim == 2
