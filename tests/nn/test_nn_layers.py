"""Layers against formulas in NumPy and PyTorch's results; their derivatives; their errors."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from nn_derivatives import check_two_orders

import symgraph as sg
import symgraph_nn as nn

RNG = np.random.default_rng(2)


def fill(*shape, phase):
    return 0.8 * np.sin(np.arange(math.prod(shape)) * 1.3 + phase).reshape(shape)


def test_dense_on_any_number_of_axes():
    layer = nn.Dense(3, 5, sg.tanh, rng=0, dtype="float64")
    layer.b.set_value(RNG.normal(size=5))
    for shape in [(3,), (4, 3), (2, 4, 3)]:
        x = RNG.normal(size=shape)
        expected = np.tanh(x @ layer.W.get_value() + layer.b.get_value())
        np.testing.assert_allclose(layer(x).eval(), expected, rtol=1e-12)


def test_dense_without_bias_and_with_given_weights():
    weights = np.arange(6.0).reshape(2, 3)
    layer = nn.Dense(2, 3, weights=weights, bias=None)
    assert layer.params == [layer.W]
    assert layer.W.dtype == np.dtype("float32")
    np.testing.assert_array_equal(layer(np.eye(2, dtype="float32")).eval(), weights)
    with pytest.raises(sg.ShapeError, match=r"\(2, 3\)"):
        nn.Dense(2, 3, weights=weights.T)


def test_embedding_picks_rows_and_its_gradient_adds_repeats():
    layer = nn.Embedding(4, 3, rng=0, dtype="float64")
    symbols = sg.matrix("symbols", "int64")
    values = np.array([[0, 3], [3, 3]])
    y = layer(symbols)
    np.testing.assert_array_equal(y.eval({symbols: values}), layer.W.get_value()[values])
    gradient = sg.grad(sg.sum(y), layer.W).eval({symbols: values})
    np.testing.assert_array_equal(gradient, np.repeat([[1.0], [0], [0], [3]], 3, axis=1))
    with pytest.raises(sg.SymgraphError):
        y.eval({symbols: values + 1})


def test_layer_norm_agrees_with_pytorch():
    expected = [
        -0.893399138658, 1.39609784856, -0.5026987099, -0.746917639308, -0.66653031773,
        1.41344795704, 1.18402300449, 0.0777368706911, -1.26175987518, -1.38264823777,
        0.434016870937, 0.948631366837,
    ]  # fmt: skip
    found = nn.LayerNorm(3, dtype="float64")(3 * fill(4, 3, phase=0.2)).eval()
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-10)


def test_batch_norm_agrees_with_pytorch_while_training():
    expected = [
        0.363849900247, 1.15670690217, 0.215551390656, -1.05510760342, -1.52988988438,
        0.3179931083, 1.46710757833, -0.168244612328, -1.62876861201, -0.775849875158,
        0.541427594537, 1.09522411305,
    ]  # fmt: skip
    mean = [-0.014903198752980063, 0.05647550623574123, 0.04511746228106277]
    layer, x = nn.BatchNorm(3, dtype="float64"), 3 * fill(4, 3, phase=0.2)
    y = layer(x, training=True)
    found = sg.compile([], y, updates=nn.buffer_updates(y))()
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-10)
    np.testing.assert_allclose(layer.mean.variable.get_value(), mean, rtol=1e-12)
    np.testing.assert_allclose(layer.variance.variable.get_value(), 0.9 + 0.1 * x.var(axis=0))


@pytest.mark.parametrize("axis", [-1, 1])
def test_batch_norm_learns_the_statistics_that_it_uses_afterwards(axis):
    layer = nn.BatchNorm(3, axis=axis, rate=0.5, dtype="float64")
    x = sg.tensor3("x", "float64")
    loss = sg.mean(sg.square(layer(x, training=True) - 1))
    step = sg.compile([x], loss, updates=nn.sgd(loss, layer.params, 0.0))
    evaluate = sg.compile([x], layer(x, training=False))
    batch = RNG.normal(5, 3, size=(7, 3, 3))
    others = (0, 1) if axis == -1 else (0, 2)
    before = layer.mean.variable.get_value()
    evaluate(batch)
    np.testing.assert_array_equal(layer.mean.variable.get_value(), before)
    for _ in range(60):
        step(batch)
    np.testing.assert_allclose(layer.mean.variable.get_value(), batch.mean(others), rtol=1e-12)
    expected = batch - batch.mean(others, keepdims=True)
    expected /= np.sqrt(batch.var(others, keepdims=True) + 1e-5)
    np.testing.assert_allclose(evaluate(batch), expected, rtol=1e-9, atol=1e-12)
    assert len(layer.params) == len(layer.buffers) == 2


def test_dropout_draws_afresh_keeps_the_mean_and_rests_in_evaluation():
    layer = nn.Dropout(0.25, rng=3)
    x = sg.matrix("x")
    assert layer(x) is x
    assert nn.Dropout(0.0)(x, training=True) is x
    f = sg.compile([x], layer(x, training=True))
    ones = np.ones((200, 50), "float32")
    first, second = f(ones), f(ones)
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(first.mean() - 1) < 0.02
    assert (first != second).any()
    twin = nn.Dropout(0.25, rng=3)
    np.testing.assert_array_equal(sg.compile([x], twin(x, training=True))(ones), first)


def test_dropout_within_a_loop_draws_at_each_step():
    layer = nn.Dropout(0.5, rng=0)
    x = sg.tensor3("x")
    y = sg.map(lambda x_t: layer(x_t, training=True), [x])
    found = sg.compile([x], y)(np.ones((6, 10, 10), "float32"))
    assert len({step.tobytes() for step in found}) == 6


def test_sequential_passes_mask_and_training_to_those_who_take_them():
    net = nn.Sequential(
        nn.Dense(3, 4, rng=0),
        sg.tanh,
        nn.Dropout(0.5, rng=0),
        nn.LSTM(4, 5, rng=1),
        nn.LayerNorm(5),
    )
    x, mask = sg.tensor("x", ("T", "B", 3)), sg.tensor("mask", ("T", "B"))
    by_hand = net.layers[4](net.layers[3](sg.tanh(net.layers[0](x)), mask=mask))
    assert net(x, mask=mask) is by_hand
    assert net(x, mask=mask, training=True) is not by_hand
    assert len(net.params) == 2 + 3 + 2
    with pytest.raises(sg.SymgraphTypeError, match="as arguments"):
        nn.Sequential([nn.Dense(3, 4)])


# --- convolution --------------------------------------------------------------------------------


def correlate(x, W, b):
    """A valid correlation of [batch, …, channels] by the definition."""
    size = W.shape[:-2]
    places = [n - k + 1 for n, k in zip(x.shape[1:-1], size, strict=True)]
    y = np.zeros((x.shape[0], *places, W.shape[-1]))
    for place in np.ndindex(*places):
        window = tuple(slice(p, p + k) for p, k in zip(place, size, strict=True))
        y[(slice(None), *place)] = np.tensordot(x[(slice(None), *window)], W, W.ndim - 1) + b
    return y


@pytest.mark.parametrize("size", [3, (2, 3)])
def test_convolution_is_its_definition(size):
    kind, shape = (nn.Conv1D, (2, 7, 3)) if size == 3 else (nn.Conv2D, (2, 5, 6, 3))
    layer, x = kind(3, 4, size, sg.tanh, rng=0, dtype="float64"), RNG.normal(size=shape)
    layer.b.set_value(RNG.normal(size=4))
    expected = np.tanh(correlate(x, layer.W.get_value(), layer.b.get_value()))
    np.testing.assert_allclose(layer(x).eval(), expected, rtol=1e-10)


def test_time_major_convolution_and_pooling_fit_recurrent_layers():
    x = RNG.normal(size=(8, 2, 3))
    for make in (
        lambda **k: nn.Conv1D(3, 4, 3, padding="causal", rng=0, dtype="float64", **k),
        lambda **k: nn.MaxPool1D(2, **k),
    ):
        ahead = make()(x.swapaxes(0, 1)).eval().swapaxes(0, 1)
        np.testing.assert_array_equal(make(time_major=True)(x).eval(), ahead)
    net = nn.Sequential(
        nn.Conv1D(3, 4, 3, padding="same", time_major=True, rng=0), nn.LSTM(4, 5, rng=1)
    )
    assert net(x.astype("float32")).eval().shape == (8, 2, 5)


def test_causal_convolution_sees_no_future():
    layer = nn.Conv1D(1, 2, 3, padding="causal", rng=0)
    x = np.zeros((1, 6, 1), "float32")
    x[0, 3] = 1
    y = layer(x).eval()
    assert y.shape == (1, 6, 2)
    assert not y[0, :3].any()
    assert y[0, 3:].any()


def test_pooling():
    x = RNG.normal(size=(2, 4, 6, 3))
    expected = x.reshape(2, 2, 2, 2, 3, 3).max(axis=(2, 4))
    np.testing.assert_array_equal(nn.MaxPool2D((2, 3))(x).eval(), expected)
    line = x[:, 0]
    np.testing.assert_array_equal(
        nn.MaxPool1D(2)(line).eval(), line.reshape(2, 3, 2, 3).max(axis=2)
    )
    strided = nn.MaxPool1D(3, stride=1)(line).eval()
    assert strided.shape == (2, 4, 3)


def test_initial_values_of_filters_know_their_fans():
    layer = nn.Conv2D(8, 16, (3, 5), rng=0)
    limit = math.sqrt(6 / (3 * 5 * 8 + 3 * 5 * 16))
    largest = np.abs(layer.W.get_value()).max()
    assert 0.95 * limit < largest <= limit
    he = nn.Conv1D(8, 400, 3, weights=nn.init.he_normal(), rng=0)
    assert he.W.get_value().std() == pytest.approx(math.sqrt(2 / 24), rel=0.03)


# --- initialisers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("initialiser", "deviation"),
    [
        (nn.init.glorot_uniform(), math.sqrt(2 / 500)),
        (nn.init.glorot_normal(2.0), 2 * math.sqrt(2 / 500)),
        (nn.init.he_uniform(), math.sqrt(2 / 300)),
        (nn.init.he_normal(1.0), math.sqrt(1 / 300)),
        (nn.init.normal(0.3), 0.3),
        (nn.init.uniform(-1.0, 1.0), 1 / math.sqrt(3)),
        (nn.init.orthogonal(), math.sqrt(1 / 300)),
    ],
)
def test_initialisers_have_the_deviation_of_their_formula(initialiser, deviation):
    value = initialiser(np.random.default_rng(0), (300, 200), np.dtype("float32"))
    assert value.dtype == np.dtype("float32")
    assert value.shape == (300, 200)
    assert value.std() == pytest.approx(deviation, rel=0.02)
    assert abs(value.mean()) < 0.02


def test_orthogonal_in_every_shape():
    rng = np.random.default_rng(0)
    for shape in [(5, 5), (7, 3), (3, 7), (2, 4, 3)]:
        matrix = nn.init.orthogonal(2.0)(rng, shape, "float64").reshape(-1, shape[-1])
        small = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
        np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)
    with pytest.raises(sg.ShapeError, match="two axes"):
        nn.init.orthogonal()(rng, (3,), "float32")


def test_constants():
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(nn.init.zeros()(rng, (2,), "float32"), np.zeros(2))
    np.testing.assert_array_equal(nn.init.constant(0.5)(rng, (2,), "float32"), [0.5, 0.5])


# --- derivatives --------------------------------------------------------------------------------


LAYERS = {
    "Dense": (lambda: nn.Dense(3, 4, sg.tanh, rng=0, dtype="float64"), (5, 3), {}),
    "LayerNorm": (lambda: nn.LayerNorm(3, dtype="float64"), (5, 3), {}),
    "BatchNorm": (lambda: nn.BatchNorm(3, dtype="float64"), (5, 3), {"training": True}),
    "Conv1D": (lambda: nn.Conv1D(3, 2, 3, sg.tanh, rng=0, dtype="float64"), (2, 5, 3), {}),
    "Conv2D": (lambda: nn.Conv2D(3, 2, 2, sg.tanh, rng=0, dtype="float64"), (1, 3, 4, 3), {}),
    "MaxPool1D": (lambda: nn.MaxPool1D(2), (2, 4, 3), {}),
    "MaxPool2D": (lambda: nn.MaxPool2D(2), (1, 4, 4, 2), {}),
}


@pytest.mark.parametrize("name", LAYERS)
def test_derivatives_of_first_and_second_order(name):
    make, shape, options = LAYERS[name]
    layer, x = make(), sg.tensor("x", shape, "float64")
    y = layer(x, **options)
    weights = fill(*y.shape, phase=0.4)
    cost = sg.sum(y * y * y * weights)
    check_two_orders(
        cost, x, fill(*shape, phase=0.1), layer.params, lambda shape, k: fill(*shape, phase=k)
    )


# --- errors -------------------------------------------------------------------------------------


def test_errors_name_the_layer_and_the_users_line():
    x = sg.tensor("x", ("B", 5))
    for call, kind, text in [
        (lambda: nn.Dense(3, 2)(x), sg.ShapeError, r"Dense\(3, 2\): 3 features .*'x'.* has 5"),
        (lambda: nn.LayerNorm(3)(x), sg.ShapeError, r"LayerNorm\(3\)"),
        (lambda: nn.BatchNorm(3)(x), sg.ShapeError, r"BatchNorm\(3\)"),
        (lambda: nn.Dense(3, 2)(sg.scalar("s")), sg.ShapeError, "scalar 's'"),
        (lambda: nn.Embedding(3, 2)(x), sg.DtypeError, r"Embedding\(3, 2\).*'x'"),
        (lambda: nn.Dropout(1.0), sg.SymgraphValueError, "rate"),
        (lambda: nn.Dropout(0.5)(sg.vector("i", "int64"), training=True), sg.DtypeError, "'i'"),
        (lambda: nn.Conv1D(3, 2, 3)(x), sg.ShapeError, r"\[batch, time, channels\]"),
        (lambda: nn.Conv1D(3, 2, 3)(sg.tensor("x", (1, 9, 4))), sg.ShapeError, "3 features"),
        (lambda: nn.Conv2D(3, 2, (1, 2, 3)), sg.SymgraphValueError, "size"),
        (lambda: nn.MaxPool2D(0), sg.SymgraphValueError, "size"),
        (lambda: nn.Dense(0, 2), sg.SymgraphValueError, "n_in"),
    ]:
        with pytest.raises(kind, match=text) as caught:
            call()
        assert __file__ in str(caught.value)


@pytest.mark.parametrize("wrong", ["tanh", 3])
def test_an_activation_is_a_function(wrong):
    for make in (
        lambda: nn.Dense(2, 3, wrong),
        lambda: nn.RNN(2, 3, activation=wrong),
        lambda: nn.Conv1D(2, 3, 2, wrong),
    ):
        with pytest.raises(TypeError, match=r"activation(.|\n)*test_nn_layers.py:"):
            make()


@pytest.mark.parametrize("wrong", ["a seed", -1, 1.5])
def test_rng_is_a_seed_or_a_generator(wrong):
    with pytest.raises(sg.SymgraphTypeError, match=r"rng(.|\n)*test_nn_layers.py:"):
        nn.Dense(2, 3, rng=wrong)


@pytest.mark.parametrize("size", [None, 1.5, (2,) * 3, "a"])
def test_a_window_has_one_size_for_each_axis(size):
    for make in (
        lambda: nn.Conv1D(2, 3, size),
        lambda: nn.Conv2D(2, 3, size),
        lambda: nn.MaxPool1D(size),
        lambda: nn.MaxPool2D(size),
    ):
        with pytest.raises(sg.SymgraphValueError, match=r"test_nn_layers\.py:"):
            make()


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Dense(6, 4, sg.tanh, rng=0), ("B", 6)),
        (nn.Embedding(7, 4, rng=0), ("T", "B")),
        (nn.LayerNorm(6), ("T", "B", 6)),
        (nn.BatchNorm(6), ("B", 6)),
        (nn.Conv1D(2, 3, 3, rng=0), ("B", 8, 2)),
        (nn.Conv2D(2, 3, 3, rng=0), ("B", 8, 8, 2)),
        (nn.MaxPool1D(2), ("B", 8, 2)),
        (nn.MaxPool2D(2), ("B", 8, 8, 2)),
        (nn.Sequential(nn.Dense(6, 4, rng=0), nn.Dropout(0.5, rng=1)), ("B", 6)),
    ],
    ids=repr,
)
def test_a_batch_of_no_rows(layer, shape, backend):
    x = sg.tensor("x", shape, "int64" if isinstance(layer, nn.Embedding) else "float32")
    y = layer(x)
    wanted = [*layer.params, *([x] if x.dtype.kind == "f" else [])]
    f = sg.compile([x], [y, *sg.grad(y.sum(), wanted)], backend=backend)
    for rows in (0, 2):
        sizes = [size if isinstance(size, int) else rows for size in shape]
        result, *gradients = f(np.ones(sizes, x.dtype))
        assert result.shape == tuple(n if isinstance(n, int) else rows for n in y.type.shape)
        values = [*(p.get_value() for p in layer.params), np.ones(sizes)]
        assert [g.shape for g in gradients] == [v.shape for v in values[: len(wanted)]]
        assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_losses_over_nothing_are_means_over_nothing(backend):
    """No number, as NumPy and PyTorch have it, and a gradient of no elements."""
    logits, labels = sg.tensor("logits", ("B", 5)), sg.tensor("labels", ("B",), "int64")
    target = sg.tensor("target", ("B", 5))
    for loss, other in [
        (nn.cross_entropy(logits, labels), labels),
        (nn.squared_error(logits, target), target),
        (nn.binary_cross_entropy(logits, target), target),
    ]:
        f = sg.compile([logits, other], [loss, sg.grad(loss, logits)], backend=backend)
        empty = np.zeros((0, 5)[: other.ndim], other.dtype)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value, gradient = f(np.zeros((0, 5), "float32"), empty)
        assert np.isnan(value)
        assert gradient.shape == (0, 5)
