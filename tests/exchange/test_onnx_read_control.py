"""Scan, Loop, If and local functions come in and compute what onnxruntime does."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx.helper as oh
import onnx.parser
import onnxruntime
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.exchange.onnx.read import Imported
from symgraph.scan.op import is_scan

_BACKENDS = ("native", "numpy")


def _model(text: str, opset: int = 21, functions: str = "") -> Any:
    head = f'<ir_version: 10, opset_import: ["": {opset}, "own": 1]>\n'
    return onnx.parser.parse_model(head + text + functions)


def _check(
    model: Any, *arrays: Any, rtol: float = 1e-5, known: dict[str, Any] | None = None
) -> Imported:
    """The imported model, whose outputs on the arrays are onnxruntime's on both backends."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [info.name for info in session.get_inputs()]
    expected: Any = session.run(None, dict(zip(names, arrays, strict=True)))
    imported = sg.import_onnx(model.SerializeToString(), known=known)
    given = [a for name, a in zip(names, arrays, strict=True) if name in imported.inputs]
    for backend in _BACKENDS:
        variables = list(imported.inputs.values())
        f = sg.compile(variables, list(imported.outputs.values()), backend=backend, unused="ignore")
        for computed, right in zip(f(*given), expected, strict=True):
            assert computed.shape == right.shape
            assert computed.dtype == right.dtype
            np.testing.assert_allclose(computed, right, rtol=rtol, atol=1e-6)
    return imported


def _draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


# --- Scan ---------------------------------------------------------------------------------------

_CUMULATIVE = """
g (float[N] start, float[T, N] x, float[N] w) => (float[N] last, float[T, N] sums, float[T] means) {
  last, sums, means = Scan <num_scan_inputs = 1, body = step (float[N] s, float[N] row)
    => (float[N] s_out, float[N] copy, float mean) {
      scaled = Mul(row, w)
      s_out = Add(s, scaled)
      copy = Identity(s_out)
      mean = ReduceMean<keepdims = 0>(s_out)
    }> (start, x)
}"""


@pytest.mark.parametrize("n_steps", [1, 2, 7])
def test_a_scan_with_a_state_and_outputs(n_steps: int) -> None:
    _check(_model(_CUMULATIVE), _draw(3), _draw(n_steps, 3), _draw(3, seed=1))


@pytest.mark.parametrize("backend", _BACKENDS)
def test_a_scan_without_a_step_gives_what_it_began_with(backend: str) -> None:
    imported = sg.import_onnx(_model(_CUMULATIVE).SerializeToString())
    f = sg.compile(list(imported.inputs.values()), imported.outputs, backend=backend)
    results = f(_draw(3), np.zeros((0, 3), "float32"), _draw(3))
    np.testing.assert_array_equal(results["last"], _draw(3))
    assert results["sums"].shape == (0, 3)
    assert results["means"].shape == (0,)


def test_a_scan_along_other_axes_and_backwards() -> None:
    model = _model("""
g (float[2] start, float[2, T] x, float[T, 3] z)
=> (float[2] last, float[2, T] sums, float[3, T] y) {
  last, sums, y = Scan <num_scan_inputs = 2, scan_input_axes = [1, -2],
    scan_input_directions = [1, 0], scan_output_axes = [-1, 1], scan_output_directions = [0, 1],
    body = step (float[2] s, float[2] row, float[3] other)
    => (float[2] s_out, float[2] copy, float[3] y_row) {
      s_out = Add(s, row)
      copy = Identity(s_out)
      first = ReduceSum<keepdims = 0>(s)
      y_row = Mul(other, first)
    }> (start, x, z)
}""")
    _check(model, _draw(2), _draw(2, 5), _draw(5, 3))


def test_a_scan_in_a_scan_sees_the_names_around_it() -> None:
    model = _model("""
g (float[N] start, float[T, N] x) => (float[N] last, float[T, N] y) {
  last, y = Scan <num_scan_inputs = 1, body = outer (float[N] s, float[N] row)
    => (float[N] s_out, float[N] y_row) {
      zero = Constant<value = float {0.0}>()
      total, y_row = Scan <num_scan_inputs = 1, body = inner (float a, float e)
        => (float a_out, float e_out) {
          dot = Mul(s, row)
          m = ReduceMax<keepdims = 0>(dot)
          p = Mul(e, m)
          a_out = Add(a, p)
          e_out = Add(a, e)
        }> (zero, row)
      s_out = Add(s, total)
    }> (start, x)
}""")
    _check(model, _draw(3), _draw(4, 3))


@pytest.mark.parametrize("lengths", [None, [3, 1, 4]])
def test_a_scan_of_version_8_runs_over_a_batch(lengths: list[int] | None) -> None:
    given = "" if lengths is None else "int64[B] lengths, "
    first = '""' if lengths is None else "lengths"
    model = _model(
        f"""
g ({given}float[B, 2] start, float[B, T, 2] x) => (float[B, 2] last, float[B, T, 2] sums) {{
  last, sums = Scan <num_scan_inputs = 1, directions = [{int(lengths is None)}],
    body = step (float[2] s, float[2] row) => (float[2] s_out, float[2] copy) {{
      s_out = Add(s, row)
      copy = Identity(s_out)
    }}> ({first}, start, x)
}}""",
        opset=8,
    )
    arrays = [] if lengths is None else [np.array(lengths)]
    _check(model, *arrays, _draw(3, 2), _draw(3, 4, 2))


# --- Loop ---------------------------------------------------------------------------------------

_LOOP = """
g (int64 n, bool go, float[N] x) => (float[N] y, float[K] sums) {
  y, sums = Loop (n, go, x) <body = step (int64 i, bool going, float[N] v)
    => (bool goes_on, float[N] v_out, float total) {
      number = Cast<to = 1>(i)
      grown = Add(v, number)
      v_out = Mul(grown, x)
      total = ReduceSum<keepdims = 0>(v_out)
      limit = Constant<value = float {50.0}>()
      goes_on = GOES_ON
    }>
}"""


@pytest.mark.parametrize("condition", ["Identity(going)", "Less(total, limit)"])
@pytest.mark.parametrize("go", [True, False])
@pytest.mark.parametrize("n", [0, 1, 4, 30])
def test_a_loop_with_a_count_and_a_condition(n: int, go: bool, condition: str) -> None:
    model = _model(_LOOP.replace("GOES_ON", condition))
    arrays = (np.array(n), np.array(go), np.array([1.1, 1.2, 0.3], "float32"))
    _check(model, *arrays)
    _check(model, *arrays, known={"n": np.array(n), "go": np.array(go)})


def test_a_loop_that_its_condition_alone_ends() -> None:
    model = _model("""
g (float[N] x) => (float[N] y, int64 steps) {
  yes = Constant<value = bool {1}>()
  none = Constant<value = int64 {0}>()
  y, steps = Loop ("", yes, x, none) <body = step (int64 i, bool going, float[N] v, int64 k)
    => (bool goes_on, float[N] v_out, int64 k_out) {
      two = Constant<value = float {2.0}>()
      one = Constant<value = int64 {1}>()
      v_out = Mul(v, two)
      k_out = Add(i, one)
      total = ReduceSum<keepdims = 0>(v_out)
      limit = Constant<value = float {1000.0}>()
      goes_on = Less(total, limit)
    }>
}""")
    _check(model, np.ones(3, "float32"))


def test_a_loop_that_never_ends_is_refused() -> None:
    model = _model("""
g (float[N] x) => (float[N] y) {
  y = Loop ("", "", x) <body = step (int64 i, bool going, float[N] v)
    => (bool goes_on, float[N] v_out) { v_out = Abs(v)  goes_on = Identity(going) }>
}""")
    with pytest.raises(sg.ExchangeError, match=r"Loop .* never ends"):
        sg.import_onnx(model.SerializeToString())


def test_a_loop_stays_a_loop() -> None:
    imported = _check(
        _model(_LOOP.replace("GOES_ON", "Identity(going)")),
        np.array(3),
        np.array(True),
        _draw(2),
        known={"n": np.array(3)},
    )
    assert sum(is_scan(v) for v in sg.ancestors(list(imported.outputs.values()))) == 1


def test_a_state_that_grows_is_written_out_where_the_count_is_known() -> None:
    model = _model(
        """
g (float[1, N] x) => (float[M, N] y, float[K, N] rows) {
  n = Constant<value = int64 {3}>()
  y, rows = Loop (n, "", x) <body = step (int64 i, bool going, float[K, N] v)
    => (bool goes_on, float[L, N] v_out, float[N] row) {
      goes_on = Identity(going)
      row = ReduceSum<keepdims = 0>(v, axes)
      line = Unsqueeze(row, axes)
      v_out = Concat<axis = 0>(v, line)
      axes = Constant<value = int64[1] {0}>()
    }>
}""".replace("      axes = Constant<value = int64[1] {0}>()\n", "").replace(
            "      goes_on = Identity(going)\n",
            "      goes_on = Identity(going)\n      axes = Constant<value = int64[1] {0}>()\n",
        )
    )
    _check(model, _draw(1, 2))


def test_a_state_that_changes_its_sizes_is_refused() -> None:
    model = _model("""
g (int64 n, float[1, 2] x) => (float[M, 2] y) {
  y = Loop (n, "", x) <body = step (int64 i, bool going, float[K, 2] v)
    => (bool goes_on, float[L, 2] v_out) {
      goes_on = Identity(going)
      v_out = Concat<axis = 0>(v, v)
    }>
}""")
    with pytest.raises(sg.ExchangeError, match=r"Loop \(-> y\).* sizes 2 and 1 differ"):
        sg.import_onnx(model.SerializeToString())
    _check(model, np.array(3), _draw(1, 2), known={"n": np.array(3)})


# --- If -----------------------------------------------------------------------------------------

_IF = """
g (float[N] x, bool c) => (float[N] y, int64 k) {
  y, k = If (c) <
    then_branch = plus () => (float[N] a, int64 ka) {
      a = Exp(x)  ka = Constant<value = int64 {3}>()
    },
    else_branch = minus () => (float[N] b, int64 kb) {
      b = Neg(x)  kb = Constant<value = int64 {4}>()
    }>
}"""


@pytest.mark.parametrize("condition", [True, False])
def test_a_condition_that_is_known_takes_its_branch(condition: bool) -> None:
    arrays = (_draw(3), np.array(condition))
    imported = _check(_model(_IF), *arrays, known={"c": np.array(condition)})
    ops = {v.op.name for v in sg.ancestors(list(imported.outputs.values()))}
    assert ("exp" in ops) is condition
    assert ("negative" in ops) is not condition
    _check(_model(_IF), *arrays)


def test_branches_of_other_sizes_need_a_condition_that_is_known() -> None:
    model = _model("""
g (float[N] x, bool c) => (float[M] y) {
  y = If (c) <
    then_branch = plus () => (float[L] a) { a = Concat<axis = 0>(x, x) },
    else_branch = minus () => (float[K, 1] b) {
      axes = Constant<value = int64[1] {1}>()
      b = Unsqueeze(x, axes)
    }>
}""")
    with pytest.raises(sg.ExchangeError, match=r"(?s)If \(-> y\).* known="):
        sg.import_onnx(model.SerializeToString())
    for condition in (np.array(True), np.array([False])):
        imported = sg.import_onnx(model.SerializeToString(), known={"c": condition})
        assert imported.outputs["y"].ndim == 2 - condition.all()


def test_sizes_that_a_branch_chooses_are_sizes() -> None:
    model = _model("""
g (float[M, N] x, bool c) => (float[A, B] y) {
  sizes = If (c) <
    then_branch = whole () => (int64[2] a) { a = Shape(x) },
    else_branch = flat () => (int64[2] b) {
      n = Size(x)
      axes = Constant<value = int64[1] {0}>()
      one = Constant<value = int64[1] {1}>()
      m = Unsqueeze(n, axes)
      b = Concat<axis = 0>(one, m)
    }>
  y = Reshape(x, sizes)
}""")
    for condition in (True, False):
        _check(model, _draw(2, 3), np.array(condition))


# --- what bodies and functions have of their own ------------------------------------------------


def test_initialisers_of_bodies_are_parameters_each_by_its_place() -> None:
    branches = {}
    for name, value in (("then_branch", 2.0), ("else_branch", 3.0)):
        branches[name] = oh.make_graph(
            [oh.make_node("Mul", ["x", "w"], ["y_in"])],
            "branch",
            [],
            [oh.make_empty_tensor_value_info("y_in")],
            [oh.make_tensor("w", 1, [2], [value, value])],
        )
    graph = oh.make_graph(
        [oh.make_node("If", ["c"], ["y"], **branches)],
        "net",
        [oh.make_tensor_value_info("x", 1, [2]), oh.make_tensor_value_info("c", 9, [])],
        [oh.make_empty_tensor_value_info("y")],
    )
    model = oh.make_model(graph, opset_imports=[oh.make_opsetid("", 21)], ir_version=10)
    imported = _check(model, _draw(2), np.array(True))
    _check(model, _draw(2), np.array(False))
    assert {n: p.get_value()[0] for n, p in imported.params.items()} == {"w": 2, "w_1": 3}


def test_weights_in_a_loop_train_on() -> None:
    model = oh.make_model(
        oh.make_graph(
            [
                oh.make_node(
                    "Scan",
                    ["h", "x"],
                    ["last", "y"],
                    num_scan_inputs=1,
                    body=oh.make_graph(
                        [
                            oh.make_node("MatMul", ["h_in", "U"], ["hu"]),
                            oh.make_node("Add", ["hu", "row"], ["z"]),
                            oh.make_node("Tanh", ["z"], ["h_out"]),
                            oh.make_node("Identity", ["h_out"], ["y_row"]),
                        ],
                        "step",
                        [oh.make_tensor_value_info(n, 1, ["B", 2]) for n in ("h_in", "row")],
                        [oh.make_tensor_value_info(n, 1, ["B", 2]) for n in ("h_out", "y_row")],
                        [oh.make_tensor("U", 1, [2, 2], [0.1, 0.2, 0.3, 0.4])],
                    ),
                )
            ],
            "net",
            [
                oh.make_tensor_value_info("h", 1, ["B", 2]),
                oh.make_tensor_value_info("x", 1, ["T", "B", 2]),
            ],
            [oh.make_tensor_value_info("last", 1, ["B", 2])],
        ),
        opset_imports=[oh.make_opsetid("", 21)],
        ir_version=10,
    )
    imported = _check(model, _draw(3, 2), _draw(5, 3, 2))
    assert list(imported.params) == ["U"]
    loss = sg.square(imported.outputs["last"]).mean()
    params = list(imported.params.values())
    step = sg.compile(list(imported.inputs.values()), loss, updates=nn.sgd(loss, params, 0.5))
    losses = [step(_draw(3, 2), _draw(5, 3, 2)) for _ in range(5)]
    assert losses[-1] < losses[0]


_FUNCTIONS = """
<opset_import: ["": 21, "own": 1], domain: "own">
scaled <by: float = 2.0> (x, offset) => (y) {
  factor = Constant<value_float: float = @by>()
  z = Mul(x, factor)
  y = own.clipped(z, offset)
}
<opset_import: ["": 21], domain: "own">
clipped (x, low) => (y) { y = Clip(x, low) }
"""


def test_local_functions_have_defaults_and_inputs_that_are_left_out() -> None:
    model = _model(
        """
g (float[N] x, float low) => (float[N] a, float[N] b, float[N] c) {
  a = own.scaled(x, low)
  b = own.scaled<by = 3.0>(x, low)
  c = own.scaled(x)
}""",
        functions=_FUNCTIONS,
    )
    imported = sg.import_onnx(model.SerializeToString())
    x = np.array([-3, -0.5, 2], "float32")
    low = np.float32(-2)
    for backend in _BACKENDS:
        f = sg.compile(list(imported.inputs.values()), imported.outputs, backend=backend)
        results = f(x, low)
        np.testing.assert_array_equal(results["a"], np.maximum(2 * x, low))
        np.testing.assert_array_equal(results["b"], np.maximum(3 * x, low))
        np.testing.assert_array_equal(results["c"], 2 * x)
