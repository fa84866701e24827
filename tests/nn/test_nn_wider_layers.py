"""Transposed convolutions, pools, group norms, attention and residuals against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

BACKENDS = ("native", "numpy")


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def value(layer: Any, x: np.ndarray, backend: str, **options: Any) -> np.ndarray:
    """What the layer gives where only the channels are known."""
    symbol = sg.tensor("x", (*(None,) * (x.ndim - 1), x.shape[-1]), x.dtype)
    return sg.compile([symbol], layer(symbol, **options), backend=backend)(x)


def randomised(layer: Any) -> Any:
    for i, param in enumerate(layer.params):
        param.set_value(draw(*param.get_value().shape, seed=i + 1).astype(param.dtype))
    return layer


# --- transposed convolutions --------------------------------------------------------------------


def spread(x: np.ndarray, filters: np.ndarray, stride: int, dilation: int) -> np.ndarray:
    """Each input [batch, time, channels] adds its filter to the outputs."""
    n, length, _ = x.shape
    size, _, n_units = filters.shape
    y = np.zeros((n, (length - 1) * stride + (size - 1) * dilation + 1, n_units))
    for t in range(length):
        for k in range(size):
            y[:, t * stride + k * dilation] += x[:, t] @ filters[k]
    return y


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("size", "stride", "dilation", "padding", "extra"),
    [(3, 1, 1, 0, 0), (3, 2, 1, 0, 0), (4, 2, 1, 1, 0), (3, 2, 1, 1, 1), (3, 1, 2, 2, 0),
     (1, 3, 1, 0, 0), (2, 3, 1, 0, 2), (1, 1, 1, 0, 0)],
)  # fmt: skip
def test_each_input_adds_its_filter(
    size: int, stride: int, dilation: int, padding: int, extra: int, backend: str
) -> None:
    options: Any = {"stride": stride, "dilation": dilation, "padding": padding or "valid"}
    layer = randomised(
        nn.ConvTranspose1D(2, 3, size, output_padding=extra, dtype="float64", **options)
    )
    x = draw(2, 5, 2)
    whole = spread(x, layer.W.get_value(), stride, dilation)
    whole = np.concatenate([whole, np.zeros((2, extra, 3))], axis=1)
    expected = whole[:, padding : whole.shape[1] - padding] + layer.b.get_value()
    np.testing.assert_allclose(value(layer, x, backend), expected, rtol=1e-12)
    image = nn.ConvTranspose2D(2, 3, (1, size), stride=(1, stride), dilation=(1, dilation),
                               dtype="float64", bias=None)  # fmt: skip
    image.W.set_value(layer.W.get_value()[None])
    got = value(image, x[:, None], backend)
    np.testing.assert_allclose(got[:, 0], spread(x, layer.W.get_value(), stride, dilation))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 3, 4])
def test_it_is_the_adjoint_of_the_convolution(size: int, stride: int, backend: str) -> None:
    up = nn.ConvTranspose2D(2, 3, size, stride=stride, padding="same", bias=None, dtype="float64")
    down = nn.Conv2D(3, 2, size, stride=stride, padding="same", bias=None, dtype="float64")
    randomised(up)
    down.W.set_value(up.W.get_value().swapaxes(-1, -2))
    small, large = draw(2, 2, 3, 2), draw(2, 2 * stride, 3 * stride, 3, seed=9)
    grown, shrunk = value(up, small, backend), value(down, large, backend)
    assert grown.shape == large.shape
    np.testing.assert_allclose((grown * large).sum(), (shrunk * small).sum(), rtol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_groups_of_transposed_convolutions_have_filters_of_their_own(backend: str) -> None:
    options: Any = {"stride": (2, 1), "padding": (1, 0), "bias": None, "dtype": "float64"}
    whole = randomised(nn.ConvTranspose2D(4, 6, (3, 2), groups=2, **options))
    assert whole.W.get_value().shape == (3, 2, 4, 3)
    images = draw(2, 5, 4, 4)
    parts = []
    for group in (slice(0, 2), slice(2, 4)):
        part = nn.ConvTranspose2D(2, 3, (3, 2), **options)
        part.W.set_value(whole.W.get_value()[:, :, group])
        parts.append(value(part, images[..., group], backend))
    got = value(whole, images, backend)
    np.testing.assert_allclose(got, np.concatenate(parts, axis=-1))
    assert got.shape == (2, 9, 5, 6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_padding_takes_margins_off_each_axis(backend: str) -> None:
    bare = nn.ConvTranspose2D(2, 3, 4, stride=2, dtype="float64")
    cut = nn.ConvTranspose2D(2, 3, 4, stride=2, padding=(1, 2), dtype="float64")
    cut.W.set_value(bare.W.get_value())
    images = draw(2, 5, 4, 2)
    expected = value(bare, images, backend)[:, 1:-1, 2:-2]
    np.testing.assert_allclose(value(cut, images, backend), expected)


def test_gradients_of_transposed_convolutions() -> None:
    layer = nn.ConvTranspose1D(2, 2, 3, stride=2, padding=1, output_padding=1, dtype="float64")

    def cost(x: sg.Variable, filters: sg.Variable) -> sg.Variable:
        return sg.substitute(sg.sum(layer(x) ** 3), {layer.W: filters})

    sg.testing.check_gradient(cost, draw(1, 3, 2), draw(3, 2, 2, seed=5))


def test_time_major_signals() -> None:
    x = draw(2, 5, 2)
    layer = nn.ConvTranspose1D(2, 3, 3, stride=2, time_major=True, dtype="float64")
    expected = spread(x, layer.W.get_value(), 2, 1)
    np.testing.assert_allclose(value(layer, x.swapaxes(0, 1), "native").swapaxes(0, 1), expected)
    pool = nn.AveragePool1D(2, time_major=True)
    expected = x[:, :4].reshape(2, 2, 2, 2).mean(axis=2)
    np.testing.assert_allclose(value(pool, x.swapaxes(0, 1), "native").swapaxes(0, 1), expected)


def test_wrong_arguments_of_transposed_convolutions() -> None:
    with pytest.raises(sg.SymgraphValueError, match="padding"):
        nn.ConvTranspose1D(1, 1, 2, padding="full")
    with pytest.raises(sg.SymgraphValueError, match="stride"):
        nn.ConvTranspose2D(1, 1, 2, stride=0)
    with pytest.raises(sg.SymgraphValueError, match="among 2 groups"):
        nn.ConvTranspose2D(2, 3, 2, groups=2)
    with pytest.raises(sg.SymgraphValueError, match="padding"):
        nn.ConvTranspose2D(1, 1, 2, padding=(1, -1))
    with pytest.raises(sg.SymgraphValueError, match="output_padding"):
        nn.ConvTranspose2D(1, 1, 2, output_padding=(1, -1))
    with pytest.raises(sg.ShapeError, match="leading axes"):
        nn.ConvTranspose1D(1, 1, 2)(np.ones((3, 1), "float32"))
    with pytest.raises(sg.ShapeError, match="features"):
        nn.ConvTranspose2D(2, 1, 2)(np.ones((1, 3, 3, 1), "float32"))


# --- pools --------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_average_pools(backend: str) -> None:
    x = draw(2, 4, 6, 3)
    expected = x.reshape(2, 2, 2, 3, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(value(nn.AveragePool2D(2), x, backend), expected)
    edges = value(nn.AveragePool1D(3, stride=1, padding="same"), x[:, 0], backend)
    np.testing.assert_allclose(edges[:, 0], x[:, 0, :2].mean(axis=1))
    np.testing.assert_allclose(edges[:, 1], x[:, 0, :3].mean(axis=1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_global_pools_and_their_masks(backend: str) -> None:
    x, mask = draw(5, 3, 2), np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0.0]])
    x[mask == 0] = np.nan
    mean = value(nn.GlobalAveragePool(time_major=True), x, backend, mask=mask)
    largest = value(nn.GlobalMaxPool(time_major=True), x, backend, mask=mask != 0)
    for row in range(2):
        chosen = x[mask[:, row] != 0, row]
        np.testing.assert_allclose(mean[row], chosen.mean(axis=0))
        np.testing.assert_allclose(largest[row], chosen.max(axis=0))
    assert np.isnan(mean[2]).all()
    assert np.isneginf(largest[2]).all()
    image = draw(2, 3, 4, 5)
    np.testing.assert_allclose(
        value(nn.GlobalAveragePool(), image, backend), image.mean(axis=(1, 2))
    )
    np.testing.assert_allclose(value(nn.GlobalMaxPool(), image, backend), image.max(axis=(1, 2)))
    with pytest.raises(sg.ShapeError, match="batch"):
        nn.GlobalMaxPool()(np.ones((2, 3)))
    with pytest.raises(sg.ShapeError, match="mask"):
        nn.GlobalMaxPool()(np.ones((2, 3, 4)), mask=np.ones((3, 2)))


# --- norms and residuals ------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_groups", [1, 2, 6])
def test_group_norm(n_groups: int, backend: str) -> None:
    layer = randomised(nn.GroupNorm(n_groups, 6, dtype="float64"))
    x = draw(2, 3, 4, 6)
    groups = x.reshape(2, 12, n_groups, 6 // n_groups)
    mean = groups.mean(axis=(1, 3), keepdims=True)
    normal = (groups - mean) / np.sqrt(groups.var(axis=(1, 3), keepdims=True) + 1e-5)
    expected = normal.reshape(x.shape) * layer.gain.get_value() + layer.bias.get_value()
    np.testing.assert_allclose(value(layer, x, backend), expected, rtol=1e-10)
    turned = randomised(nn.GroupNorm(n_groups, 6, time_major=True, dtype="float64"))
    flat, expected = x.reshape(2, 12, 6), expected.reshape(2, 12, 6)
    got = value(turned, flat.swapaxes(0, 1), backend)
    np.testing.assert_allclose(got.swapaxes(0, 1), expected, rtol=1e-10)


def test_group_norm_refuses_what_does_not_fit() -> None:
    with pytest.raises(sg.SymgraphValueError, match="groups"):
        nn.GroupNorm(4, 6)
    with pytest.raises(sg.ShapeError, match="units"):
        nn.GroupNorm(2, 6)(np.ones(6))


def test_residual_adds_what_goes_in() -> None:
    inner = randomised(nn.LSTM(3, 3, dtype="float64"))
    block, x, mask = nn.Residual(inner), draw(4, 2, 3), np.array([[1, 1], [1, 0], [1, 0], [0, 0]])
    got = value(block, x, "native", mask=mask)
    np.testing.assert_allclose(got, x + value(inner, x, "native", mask=mask))
    assert block.params == inner.params
    assert nn.Residual(nn.Dropout(0.5))(x, training=True) is not None
    with pytest.raises(sg.ShapeError, match="shapes differ"):
        nn.Residual(nn.Dense(3, 2))(np.ones((1, 3), "float32"))
    with pytest.raises(sg.SymgraphTypeError, match="function"):
        nn.Residual(3)


# --- attention ----------------------------------------------------------------------------------


def attend(layer: Any, query: np.ndarray, memory: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Row by row, head by head; ``visible`` [query time, memory time, batch]."""
    q, k, v = (
        x @ part.W.get_value() + part.b.get_value()
        for part, x in ((layer.query, query), (layer.key, memory), (layer.value, memory))
    )
    width = layer.n_units // layer.n_heads
    heads = np.zeros_like(q)
    for row in range(query.shape[1]):
        for head in range(layer.n_heads):
            columns = slice(head * width, (head + 1) * width)
            for t in range(len(query)):
                seen = np.flatnonzero(visible[t, :, row])
                scores = k[seen, row, columns] @ q[t, row, columns] / np.sqrt(width)
                weights = np.exp(scores - scores.max(initial=-np.inf)) if len(seen) else scores
                heads[t, row, columns] = (
                    weights @ v[seen, row, columns] / max(weights.sum(), 1e-300)
                )
    return heads @ layer.output.W.get_value() + layer.output.b.get_value()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("n_query", "n_memory", "n_heads"), [(4, 5, 2), (1, 1, 1), (3, 2, 6)])
def test_attention(n_query: int, n_memory: int, n_heads: int, backend: str) -> None:
    layer = randomised(nn.MultiHeadAttention(6, n_heads, dtype="float64"))
    query, memory = draw(n_query, 3, 6), draw(n_memory, 3, 6, seed=8)
    mask = np.ones((n_memory, 3), bool)
    mask[-1, 1:] = False  # the last row may see nothing where the memory is short
    memory[~mask] = np.nan
    q, m = (sg.tensor(name, (None, None, 6), "float64") for name in "qm")
    k = sg.matrix("k", "bool")
    f = sg.compile([q, m, k], layer(q, m, mask=k), backend=backend)
    visible = np.broadcast_to(mask, (n_query, n_memory, 3))
    expected = attend(layer, query, memory, visible)
    np.testing.assert_allclose(f(query, memory, mask), expected, rtol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_causal_attention_sees_no_future(backend: str) -> None:
    layer = randomised(nn.MultiHeadAttention(4, 2, dtype="float64"))
    x = draw(5, 2, 4)
    visible = np.broadcast_to(np.tril(np.ones((5, 5)))[:, :, None], (5, 5, 2))
    got = value(layer, x, backend, causal=True)
    np.testing.assert_allclose(got, attend(layer, x, x, visible), rtol=1e-10)


def test_gradient_of_attention_with_a_mask() -> None:
    layer = nn.MultiHeadAttention(4, 2, rng=0, dtype="float64")
    mask = np.array([[1, 0], [1, 0], [0, 0]])
    sg.testing.check_gradient(
        lambda q, m: layer(q, m, mask=mask), draw(2, 2, 4), draw(3, 2, 4, seed=3)
    )


def test_attention_refuses_what_does_not_fit() -> None:
    with pytest.raises(sg.SymgraphValueError, match="heads"):
        nn.MultiHeadAttention(6, 4)
    layer, x = nn.MultiHeadAttention(4, 2), np.ones((3, 2, 4), "float32")
    with pytest.raises(sg.ShapeError, match="size 2"):
        layer(x, np.ones((3, 5, 4), "float32"))
    with pytest.raises(sg.ShapeError, match="mask"):
        layer(x, mask=np.ones(3))
    with pytest.raises(sg.ShapeError, match="sequence"):
        layer(np.ones((2, 4), "float32"))


# --- leading axes and groups --------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_over_images_take_more_leading_axes(backend: str) -> None:
    frames, signals = draw(3, 2, 4, 6, 2), draw(3, 2, 6, 2)
    layers = [
        (randomised(nn.Conv2D(2, 3, 3, padding="same", dtype="float64")), frames),
        (nn.MaxPool2D(2), frames),
        (nn.AveragePool2D((2, 3)), frames),
        (randomised(nn.ConvTranspose2D(2, 3, 2, stride=2, dtype="float64")), frames),
        (randomised(nn.Conv1D(2, 3, 3, dtype="float64")), signals),
        (nn.MaxPool1D(2), signals),
        (nn.AveragePool1D(2), signals),
        (randomised(nn.ConvTranspose1D(2, 3, 2, stride=2, dtype="float64")), signals),
    ]
    for layer, x in layers:
        each = [value(layer, frame, backend) for frame in x]
        np.testing.assert_allclose(value(layer, x, backend), each, rtol=1e-12)
        empty = value(layer, x[:0], backend)
        assert empty.shape == (0, *np.shape(each)[1:])
        with pytest.raises(sg.ShapeError, match="leading axes"):
            layer(x[0, 0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_groups_part_the_channels(backend: str) -> None:
    layer = randomised(nn.Conv2D(4, 6, 3, groups=2, dtype="float64"))
    assert layer.W.get_value().shape == (3, 3, 2, 6)
    x = draw(2, 5, 5, 4)
    halves = []
    for group in range(2):
        one = nn.Conv2D(2, 3, 3, dtype="float64")
        one.W.set_value(layer.W.get_value()[..., 3 * group : 3 * group + 3])
        one.b.set_value(layer.b.get_value()[3 * group : 3 * group + 3])
        halves.append(value(one, x[..., 2 * group : 2 * group + 2], backend))
    np.testing.assert_allclose(value(layer, x, backend), np.concatenate(halves, axis=-1))
    with pytest.raises(sg.SymgraphValueError, match="groups"):
        nn.Conv1D(3, 4, 1, groups=2)


# --- depth to space -------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("shape", "size"), [((2, 3, 4, 12), 2), ((1, 1, 9), 3), ((0, 2, 1, 4), 2)])
def test_depth_to_space_lays_channels_out(shape: tuple[int, ...], size: int, backend: str) -> None:
    x = draw(*shape)
    *leading, height, width, channels = shape
    n = channels // size**2
    expected = np.zeros((*leading, height * size, width * size, n))
    for i in range(size):
        for j in range(size):
            first = (i * size + j) * n
            expected[..., i::size, j::size, :] = x[..., first : first + n]
    np.testing.assert_array_equal(value(nn.DepthToSpace(size), x, backend), expected)


def test_depth_to_space_errors() -> None:
    with pytest.raises(sg.ShapeError, match="no multiple of 4"):
        nn.DepthToSpace(2)(np.ones((1, 2, 2, 6)))
    with pytest.raises(sg.ShapeError, match="height, width, channels"):
        nn.DepthToSpace(2)(np.ones((2, 4)))
    with pytest.raises(sg.SymgraphValueError, match="size is a whole number"):
        nn.DepthToSpace(0)
