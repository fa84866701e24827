"""Composites are one op until they are compiled, and compute what is in them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from scipy.special import erf

import symgraph as sg
import symgraph_nn as nn
from symgraph.exchange.subject import subject_of
from symgraph.ops.composite import body_of, input_names_of, is_composite, name_of_composite
from symgraph.scan.observers import without_observers
from symgraph.scan.op import is_scan

BACKENDS = ("native", "numpy")
W = sg.shared(np.array([[0.5, -1.0], [0.25, 2.0]], "float32"), "W")


@sg.composite
def gelu(x: Any) -> Any:
    return 0.5 * x * (1 + sg.erf(x / np.float32(np.sqrt(2.0))))


@sg.composite
def swish(x: Any, *, beta: float = 1.0) -> Any:
    return x * sg.sigmoid(beta * x)


@sg.composite
def cell(x: Any, state: Any, *, steps: int = 1) -> Any:
    h, c = state
    for _ in range(steps):
        h = sg.tanh(x @ W + h)
        c = gelu(c) + h
    return h, (h, c)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def ops_of(outputs: Any) -> list[str]:
    return [v.op.title_of(v.params) for v in sg.ancestors(outputs)]


def test_a_call_is_one_node_in_listings_and_pictures() -> None:
    x = sg.tensor("x", ("n",))
    y = gelu(swish(x, beta=2.0))
    assert ops_of(y) == ["input", "swish", "gelu"]
    assert sg.listing(y) == (
        "%0 'x' = input : float32[n]\n"
        "%1 = swish(%0; beta=2.0) : float32[n]\n"
        "%2 = gelu(%1) : float32[n]\n"
        "outputs: %2"
    )
    picture = sg.to_dot(y).source
    assert "swish" in picture
    assert "gelu" in picture
    assert "erf" not in picture
    assert repr(y) == "<gelu: float32[n]>"


def test_equal_calls_are_one_variable_and_have_one_body() -> None:
    x, z = sg.vector("x"), sg.vector("z")
    assert gelu(x) is gelu(x)
    x, z = sg.tensor("x", ("n",)), sg.tensor("z", ("n",))
    assert body_of(gelu(x)) is body_of(gelu(z))
    assert swish(x, beta=1.0) is not swish(x, beta=2.0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [0, 1, 5])
def test_values_and_derivatives_are_those_of_the_formula(backend: Any, n: int) -> None:
    x = sg.tensor("x", ("n",), "float64")
    y = gelu(x)
    (first,) = [sg.grad(y.sum(), x)]
    second = sg.grad((first * first).sum(), x)
    tangent = sg.jvp(y, x, sg.ones_like(x) * 2.0)
    f = sg.compile([x], [y, first, second, tangent], backend=backend)
    a = np.linspace(-2, 3, n)
    cdf, pdf = 0.5 * (1 + erf(a / np.sqrt(2))), np.exp(-a * a / 2) / np.sqrt(2 * np.pi)
    slope, bend = cdf + a * pdf, 2 * pdf - a * a * pdf
    expected = [a * cdf, slope, 2 * slope * bend, 2 * slope]
    for got, want in zip(f(a), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)  # 1/sqrt(2) is float32's


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_results_nested_composites_and_what_is_taken_from_around(backend: Any) -> None:
    x, h, c = (sg.tensor(name, ("B", 2)) for name in "xhc")
    y, (h_new, c_new) = cell(x, (h, c), steps=2)
    assert y is not h_new or y is h_new
    node = y.inputs[0]
    assert is_composite(node)
    assert name_of_composite(node) == "cell"
    assert input_names_of(node) == ("x", "state_0", "state_1", "W")
    assert node.inputs == (x, h, c, W)
    assert "cell(%0, %1, %2, %3; steps=2)" in sg.listing([y, c_new])
    rng = np.random.default_rng(0)
    a, s, t = (rng.normal(size=(3, 2)).astype("float32") for _ in range(3))
    f = sg.compile([x, h, c], [y, c_new, sg.grad(c_new.sum() + y.sum(), W)], backend=backend)
    w = W.get_value()
    want_h, want_c = s, t
    for _ in range(2):
        want_h = np.tanh(a @ w + want_h)
        want_c = 0.5 * want_c * (1 + erf(want_c / np.sqrt(2))) + want_h
    got_h, got_c, gradient = f(a, s, t)
    np.testing.assert_allclose(got_h, want_h, rtol=1e-5)
    np.testing.assert_allclose(got_c, want_c, rtol=1e-4, atol=1e-6)
    plain_c, plain_h = c, h
    for _ in range(2):
        plain_h = sg.tanh(x @ W + plain_h)
        plain_c = 0.5 * plain_c * (1 + sg.erf(plain_c / np.float32(np.sqrt(2.0)))) + plain_h
    plain = sg.compile([x, h, c], sg.grad(plain_c.sum() + plain_h.sum(), W), backend="numpy")
    np.testing.assert_allclose(gradient, plain(a, s, t), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_loops_of_composites_and_composites_of_loops(backend: Any, steps: int) -> None:
    x = sg.tensor("x", ("T", 2), "float64")

    @sg.composite
    def leak(row: Any, total: Any) -> Any:
        return 0.5 * total + row

    @sg.composite
    def leaky(rows: Any) -> Any:
        return sg.scan(leak, rows, np.zeros(2))

    within = sg.scan(lambda row, total: leak(row, total), x, np.zeros(2))
    around = leaky(x)
    assert not any(map(is_scan, sg.ancestors(around)))
    assert around.type is within.type
    g, h = sg.grad(sg.square(within).sum(), x), sg.grad(sg.square(around).sum(), x)
    f = sg.compile([x], [within, around, g, h], backend=backend)
    a = np.arange(steps * 2.0).reshape(steps, 2)
    want = np.zeros((steps, 2))
    for t in range(steps):
        want[t] = a[t] + (0.5 * want[t - 1] if t else 0)
    slope = np.zeros((steps, 2))
    for t in reversed(range(steps)):
        slope[t] = 2 * want[t] + (0.5 * slope[t + 1] if t + 1 < steps else 0)
    for got, expected in zip(f(a), [want, want, slope, slope], strict=True):
        np.testing.assert_allclose(got, expected)
    assert f.report.loops_built == f.report.bodies_built == 2  # opened they are one
    only = sg.compile([x], around, backend=backend)
    assert only.report.loops == only.report.loops_built == 1


def test_a_composite_compiles_to_what_its_formula_does() -> None:
    x = sg.tensor("x", ("n",))
    whole = sg.compile([x], gelu(x))
    plain = sg.compile([x], 0.5 * x * (1 + sg.erf(x / np.float32(np.sqrt(2.0)))))
    assert sg.listing(whole.graph) == sg.listing(plain.graph)
    assert whole.report.nodes_built == plain.report.nodes_built
    assert whole.report.kernels == plain.report.kernels


def test_pickles_and_copies() -> None:
    x = sg.tensor("x", ("B", 2))
    y, (_, c) = cell(x, (x, x))
    for made in (pickle.loads(pickle.dumps(y)), copy.deepcopy(y)):
        assert made.inputs[0].op is y.inputs[0].op
        assert body_of(made.inputs[0]) is body_of(y.inputs[0])
    assert copy.copy(c) is c
    assert copy.deepcopy(gelu(x)) is gelu(x)
    assert pickle.loads(pickle.dumps(gelu)) is gelu
    assert copy.deepcopy(gelu) is gelu
    f = pickle.loads(pickle.dumps(sg.compile([x], c)))
    a = np.ones((1, 2), "float32")
    np.testing.assert_array_equal(f(a), c.eval({x: a}))


def test_substitute_builds_the_body_for_other_types() -> None:
    x, z = sg.tensor("x", ("n",)), sg.tensor("z", (4,))
    y = swish(x, beta=3.0)
    other = sg.substitute(y, {x: z})
    assert other is swish(z, beta=3.0)
    assert other.shape == (4,)
    twice = sg.substitute(y, {x: y})
    a = np.array([-1.0, 0.5], "float32")
    inner = a * sigmoid(3 * a)
    np.testing.assert_allclose(twice.eval({x: a}), inner * sigmoid(3 * inner), rtol=1e-6)


def test_types_follow_the_arguments() -> None:
    for dtype in ("float32", "float64"):
        for shape in ((), ("n",), (2, "n"), (None,), (0,)):
            x = sg.tensor("x", shape, dtype)
            assert gelu(x).type is x.type
    integers = sg.tensor("k", (3,), "int64")
    assert swish(integers).dtype == np.dtype("float64")


@pytest.mark.parametrize("backend", BACKENDS)
def test_sizes_that_are_computed_inside_belong_to_each_call(backend: Any) -> None:
    @sg.composite
    def ramp(n: Any) -> Any:
        return sg.arange(n) * 2

    m, n = sg.scalar("m", dtype="int64"), sg.scalar("n", dtype="int64")
    a, b = ramp(m), ramp(n)
    assert a.type is not b.type
    f = sg.compile([m, n], [a, b, sg.concatenate([a, b])], backend=backend)
    got = f(2, 3)
    assert [x.tolist() for x in got] == [[0, 2], [0, 2, 4], [0, 2, 0, 2, 4]]
    with pytest.raises(sg.CallError):
        sg.compile([m, n], a + b, backend=backend)(2, 3)
    x = sg.tensor("x", ("T",))
    np.testing.assert_array_equal((ramp(x.shape[0]) + x).eval({x: np.ones(2)}), [1, 3])


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_argument_may_be_made_of_another_or_be_given_twice(backend: Any) -> None:
    @sg.composite
    def combine(x: Any, y: Any) -> Any:
        return sg.exp(x) * y

    x = sg.tensor("x", ("n",), "float64")
    cost = combine(x, sg.exp(x)).sum() + combine(x, x).sum()  # exp(2x) + x exp(x)
    a = np.array([0.0, 0.5])
    (gradient,) = sg.compile([x], [sg.grad(cost, x)], backend=backend)(a)
    np.testing.assert_allclose(gradient, 2 * np.exp(2 * a) + (1 + a) * np.exp(a))


def test_what_is_around_becomes_an_input() -> None:
    x, z = sg.tensor("x", ("n",)), sg.tensor("z", ("n",))
    hidden = sg.exp(z)
    key = sg.random.Stream(3)

    @sg.composite(name="mixed")
    def mix(v: Any) -> Any:
        return v * hidden + W.sum() + key.uniform(v.shape)

    y = mix(x)
    assert y.inputs == (x, hidden, W, key.counter)
    f = sg.compile([x, z], y)
    a = np.zeros(3)
    assert not np.array_equal(f(a, a), f(a, a))  # the stream moves on
    again = mix(z)
    assert again.inputs[2:] == y.inputs[2:]


def test_methods_and_lambdas() -> None:
    class Scale:
        def __init__(self, factor: float) -> None:
            self.factor = sg.shared(np.float32(factor), "factor")

        @sg.composite
        def __call__(self, x: Any) -> Any:
            return self.factor * x

    x = sg.tensor("x", ("n",))
    y = Scale(3.0)(x)
    assert name_of_composite(y) == "Scale"
    assert len(y.inputs) == 2
    np.testing.assert_array_equal(y.eval({x: [1, 2]}), [3, 6])
    double = sg.composite(lambda v: {"twice": 2 * v}, name="double")
    assert name_of_composite(double(x)["twice"]) == "double"


def test_gradients_that_are_zero_or_missing_are_told_apart() -> None:
    @sg.composite
    def rounded(x: Any) -> Any:
        return sg.floor(x)

    @sg.composite
    def cut(x: Any, y: Any) -> Any:
        return sg.stop_gradient(x) * y

    x, y = sg.tensor("x", (2,)), sg.tensor("y", (2,))
    np.testing.assert_array_equal(sg.grad(rounded(x).sum(), x).eval(), [0, 0])
    with pytest.raises(sg.DisconnectedError, match="cut by cut"):
        sg.grad(cut(x, y).sum(), x)
    assert sg.explain_grad(cut(x, y).sum(), y).connected


def test_layers_inside_composites_train() -> None:
    layer = nn.LSTM(3, 4, rng=0)
    x = sg.tensor("x", ("T", "B", 3))

    @sg.composite
    def encoder(x: Any) -> Any:
        return layer(x)[-1]

    loss = sg.square(encoder(x)).mean()
    plain = sg.square(layer(x)[-1]).mean()
    a = np.random.default_rng(0).normal(size=(5, 2, 3)).astype("float32")
    f = sg.compile([x], [loss, *sg.grad(loss, layer.params)])
    g = sg.compile([x], [plain, *sg.grad(plain, layer.params)], backend="numpy")
    for got, want in zip(f(a), g(a), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_effects_and_verify_and_names_and_lines() -> None:
    x = sg.tensor("x", ("T",))

    @sg.composite
    def total(x: Any) -> Any:
        return sg.scan(lambda row, so_far: row + so_far, x, 0.0, name="sums")[-1]

    y = total(x)
    y.name = "y"
    f = sg.compile([x], y, verify=True)
    assert f([1, 2, 3]) == 6
    (row,) = f.report.loop_table
    assert "test_composite.py" in str(row)


def test_errors_name_the_line_and_what_was_returned() -> None:
    x = sg.tensor("x", (2, 3))

    @sg.composite
    def wrong(x: Any) -> Any:
        return x @ x

    with pytest.raises(sg.ShapeError, match=r"'x' float32\[2, 3\](.|\n)*test_composite.py"):
        wrong(x)
    with pytest.raises(sg.SymgraphTypeError, match=r"'none' returned None(.|\n)*test_composite.py"):
        sg.composite(lambda x: None, name="none")(x)
    with pytest.raises(sg.SymgraphTypeError, match="'empty' returned no variable"):
        sg.composite(lambda x: (), name="empty")(x)
    with pytest.raises(sg.SymgraphTypeError, match="takes a function, not 3"):
        sg.composite(3)  # type: ignore[call-overload]
    with pytest.raises(sg.SymgraphTypeError, match="an identifier, not 'a b'"):
        sg.composite(wrong, name="a b")


def test_layers_with_buffers_keep_theirs_apart() -> None:
    x = sg.tensor("x", ("B", 3))
    layers = [nn.BatchNorm(3), nn.BatchNorm(3)]

    @sg.composite
    def both(x: Any, layer: Any) -> Any:
        return layer(x, training=True)

    y = both(both(x, layers[0]) * 2 + 1, layers[1])
    updates = nn.buffer_updates(y)
    assert set(updates) == {*layers[0].buffers, *layers[1].buffers}
    plain = layers[1](layers[0](x, training=True) * 2 + 1, training=True)
    a = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    got = sg.compile([x], list(updates.values()))(a)
    want = sg.compile([x], [nn.buffer_updates(plain)[buffer] for buffer in updates])(a)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    again = pickle.loads(pickle.dumps(y))
    assert len(nn.buffer_updates(again)) == 4
    training = nn.sgd(sg.square(y).mean(), [*layers[0].params, *layers[1].params], 0.1)
    assert set(updates) <= set(training)


def test_opened_and_unrolled() -> None:
    x = sg.tensor("x", (3,))
    y = cell(sg.reshape(x[:2], (1, 2)), (sg.zeros((1, 2)), sg.zeros((1, 2))))[1][1]
    opened = sg.open_composites(y)
    assert not any(map(is_composite, sg.ancestors(opened)))
    assert sg.open_composites([x]) == [x]
    with pytest.raises(sg.SymgraphTypeError, match="open_composites takes"):
        sg.open_composites(3)  # type: ignore[call-overload]
    total = sg.composite(lambda v: sg.scan(lambda a, b: a + b, v, 0.0), name="total")
    assert not any(map(is_scan, sg.ancestors(sg.testing.unroll(total(x)))))
    assert sg.testing.unroll(total(x)).eval({x: [1, 2, 3]}).tolist() == [1, 3, 6]


def test_looks_at_values_inside(capsys: Any) -> None:
    x = sg.tensor("x", ("n",))

    @sg.composite
    def noisy(x: Any) -> Any:
        return sg.debug_print(x * 2, "doubled") + 1

    np.testing.assert_array_equal(noisy(x).eval({x: [1, 2]}), [3, 5])
    assert "doubled" in capsys.readouterr().out
    assert without_observers(sg.Graph([x], [noisy(x)])).outputs[0].op is noisy(x).op
    bare = subject_of(noisy(x), [x]).outputs["output"]
    assert is_composite(bare)
    assert "debug_print" not in [v.op.name for v in body_of(bare).nodes]
