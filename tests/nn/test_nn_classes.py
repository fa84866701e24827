"""Labels and symbols: those outside their range, those that do not count, and how they weigh."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

BACKENDS = ["native", "numpy"]
RNG = np.random.default_rng(4)
LOGITS = RNG.normal(0, 3, size=(5, 4, 3))
LABELS = RNG.integers(0, 3, size=(5, 4))
MASK = RNG.random((5, 4)) < 0.6
WEIGHTS = np.array([0.5, 2.0, 1.25])


def torch_cross_entropy(logits, labels, mask, ignore, weights, smoothing):
    """What torch.nn.functional.cross_entropy(reduction="mean") does, in loops; the mask weighs."""
    n_classes = logits.shape[-1]
    weights = np.ones(n_classes) if weights is None else weights
    total = divisor = 0.0
    for place in np.ndindex(labels.shape):
        if labels[place] == ignore or (mask is not None and mask[place] == 0):
            continue
        share = 1.0 if mask is None else float(mask[place])
        z = logits[place]
        log_p = z - z.max() - np.log(np.exp(z - z.max()).sum())
        y = labels[place]
        smooth = sum(-weights[c] * log_p[c] for c in range(n_classes)) / n_classes
        total += share * ((1 - smoothing) * -weights[y] * log_p[y] + smoothing * smooth)
        divisor += share * weights[y]
    return total / divisor


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("ignore", [None, -1, 1, 255, -100])
@pytest.mark.parametrize("masked", [None, "bool", "float64"])
def test_options_mean_what_they_mean_in_pytorch(masked, ignore, weights, smoothing, backend):
    labels = LABELS.copy()
    if ignore is not None:
        labels[::2, 1] = ignore
    mask = None
    if masked:
        mask = MASK * RNG.uniform(0.5, 2, MASK.shape) if masked == "float64" else MASK
        labels = np.where(MASK, labels, -7)  # what is masked is not looked at
    z, y = sg.tensor("z", ("T", "B", 3), "float64"), sg.tensor("y", ("T", "B"), "int64")
    loss = nn.cross_entropy(
        z, y, mask, ignore_index=ignore, class_weights=weights, label_smoothing=smoothing
    )
    f = sg.compile([z, y], [loss, sg.grad(loss, z)], backend=backend)
    found, slope = f(LOGITS, labels)
    options = (labels, mask, ignore, weights, smoothing)
    assert found == pytest.approx(torch_cross_entropy(LOGITS, *options), rel=1e-12)
    for place in [(0, 0, 0), (2, 1, 1), (4, 3, 2)]:
        step = np.zeros_like(LOGITS)
        step[place] = 1e-6
        numeric = (
            torch_cross_entropy(LOGITS + step, *options)
            - torch_cross_entropy(LOGITS - step, *options)
        ) / 2e-6
        assert slope[place] == pytest.approx(numeric, abs=1e-8)


def test_values_of_pytorch():
    """torch.nn.functional.cross_entropy of the same, worked out by hand for two classes."""
    z, p = np.array([[0.0, np.log(3)], [np.log(4), 0.0]]), np.array([[0.25, 0.75], [0.8, 0.2]])
    labels, weights = np.array([0, 1]), np.array([1.0, 3.0])
    plain = -np.log(p[[0, 1], labels])
    assert nn.cross_entropy(z, labels).eval() == pytest.approx(plain.mean())
    weighed = nn.cross_entropy(z, labels, class_weights=weights).eval()
    assert weighed == pytest.approx((plain[0] + 3 * plain[1]) / 4)
    smooth = nn.cross_entropy(z, labels, label_smoothing=0.2).eval()
    assert smooth == pytest.approx((0.8 * plain + 0.1 * -np.log(p).sum(axis=1)).mean())
    both = nn.cross_entropy(z, labels, class_weights=weights, label_smoothing=0.2).eval()
    all_classes = (-np.log(p) * weights).sum(axis=1)
    expected = (0.8 * (plain * weights).sum() + 0.1 * all_classes.sum()) / 4
    assert both == pytest.approx(expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_probabilities_weigh_as_in_pytorch(weights, smoothing):
    shares = RNG.dirichlet(np.ones(3), size=(5, 4))
    z, t = sg.tensor("z", (None, None, None)), sg.tensor("t", (None, None, None))
    loss = nn.cross_entropy(z, t, class_weights=weights, label_smoothing=smoothing)
    assert loss.dtype == np.dtype("float32")
    shifted = LOGITS - LOGITS.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    mixed = (1 - smoothing) * shares + smoothing / 3
    expected = -(mixed * log_p * (1 if weights is None else weights)).sum(-1).mean()
    arrays = LOGITS.astype("float32"), shares.astype("float32")
    assert sg.compile([z, t], loss)(*arrays) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loss", [nn.cross_entropy, nn.accuracy])
def test_labels_outside_their_range_name_the_loss_and_the_label(loss, backend):
    z, y = sg.tensor("z", ("B", None)), sg.tensor("y", ("B",), "int64")
    f = sg.compile([z, y], loss(z, y), backend=backend)
    rows = LOGITS[0, :4].astype("float32")
    assert np.isfinite(f(rows, [0, 1, 2, 0]))
    for wrong in (-1, 3, -3, -4, 1 << 40):
        with pytest.raises(sg.IndexRangeError, match=f"{loss.__name__}: label {wrong} is not"):
            f(rows, [0, 1, wrong, 0])
    with pytest.raises(sg.IndexRangeError, match="label -1 is not from 0 to below 3") as caught:
        loss(rows, np.array([0, -1, 2, 2])).eval()
    assert __file__ in str(caught.value)
    mask = sg.tensor("m", ("B",), "bool")
    f = sg.compile([z, y, mask], loss(z, y, mask), backend=backend)
    kept = [True, False, True, False]
    assert f(rows, [0, -1, 2, 9], kept) == f(rows, [0, 1, 2, 0], kept)
    with pytest.raises(sg.IndexRangeError, match="label -1"):
        f(rows, [0, 1, -1, 0], kept)
    f = sg.compile([z, y], loss(z, y, ignore_index=-1), backend=backend)
    assert f(rows, [0, -1, 2, -1]) == sg.compile([z, y], loss(z, y))(rows[[0, 2]], [0, 2])
    assert np.isnan(f(rows, [-1, -1, -1, -1]))
    with pytest.raises(sg.IndexRangeError, match="label -2"):
        f(rows, [0, 1, -2, -1])


def test_accuracy_of_what_counts():
    z = np.eye(3)[[0, 1, 2, 0]]
    assert nn.accuracy(z, np.array([0, 1, 1, 2])).eval() == 0.5
    assert nn.accuracy(z, np.array([0, 1, -1, 2]), ignore_index=-1).eval() == np.float32(2 / 3)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64"])
def test_labels_of_all_dtypes(dtype):
    y = sg.tensor("y", (4,), dtype)
    for ignore in (255, -1, 300):
        f = sg.compile([y], nn.cross_entropy(LOGITS[0], y, ignore_index=ignore))
        labels = np.array([0, 1, 2, 2], dtype)
        if np.iinfo(dtype).min <= ignore <= np.iinfo(dtype).max:
            labels[1] = ignore
        expected = torch_cross_entropy(LOGITS[0], labels.astype("int64"), None, ignore, None, 0)
        assert f(labels) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(sg.IndexRangeError, match="label 127"):
        f(np.array([0, 0, 127, 0], dtype))


def test_options_that_make_no_sense():
    z, y = sg.tensor("z", ("B", 3)), sg.tensor("y", ("B",), "int64")
    for options, kind, text in [
        ({"ignore_index": 1.0}, TypeError, "ignore_index"),
        ({"ignore_index": True}, TypeError, "ignore_index"),
        ({"class_weights": np.ones(4)}, ValueError, "3 classes"),
        ({"class_weights": np.ones((3, 1))}, ValueError, "class_weights"),
        ({"class_weights": "balanced"}, TypeError, "class_weights"),
        ({"label_smoothing": 1.5}, ValueError, "label_smoothing"),
        ({"label_smoothing": float("nan")}, ValueError, "label_smoothing"),
        ({"mask": y is None}, TypeError, "sg.eq"),
        ({"mask": np.bool_(True)}, TypeError, "sg.eq"),
    ]:
        with pytest.raises(kind, match=text) as caught:
            nn.cross_entropy(z, y, **options)
        assert isinstance(caught.value, sg.SymgraphError)
        assert __file__ in str(caught.value)
    with pytest.raises(sg.SymgraphTypeError, match="Give a mask"):
        nn.cross_entropy(z, z, ignore_index=0)
    with pytest.raises(sg.SymgraphTypeError, match=r"sg\.eq"):
        nn.RNN(3, 2)(sg.tensor3("x"), mask=False)


# --- symbols ------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_symbols_outside_their_range_name_the_layer_and_the_symbol(backend):
    layer = nn.Embedding(4, 2, rng=0)
    symbols = sg.matrix("s", "int64")
    f = sg.compile([symbols], layer(symbols), backend=backend)
    np.testing.assert_array_equal(f([[0, 3], [2, 2]]), layer.W.get_value()[[[0, 3], [2, 2]]])
    assert f(np.zeros((0, 2), int)).shape == (0, 2, 2)
    for wrong in (-1, 4, -4):
        with pytest.raises(sg.IndexRangeError, match=rf"Embedding\(4, 2\): symbol {wrong} is not"):
            f([[0, 1], [wrong, 2]])
    in_a_loop = sg.compile([symbols], sg.map(lambda row: layer(row), symbols), backend=backend)
    np.testing.assert_array_equal(in_a_loop([[0, 3], [2, 2]]), f([[0, 3], [2, 2]]))
    with pytest.raises(sg.IndexRangeError, match="symbol -1 is not"):
        in_a_loop([[0, 1], [-1, 2]])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("padding", [0, 2, -1, 7])
def test_padding_is_zeros_without_gradient(padding, backend):
    layer = nn.Embedding(4, 2, padding, rng=0)
    plain = nn.Embedding(4, 2, rng=0).W.get_value()
    if 0 <= padding < 4:
        plain[padding] = 0
    np.testing.assert_array_equal(layer.W.get_value(), plain)
    symbols = sg.vector("s", "int64")
    y = layer(symbols)
    weights = np.arange(1, 13, dtype="float32").reshape(6, 2)
    f = sg.compile([symbols], [y, sg.grad(sg.sum(y * weights), layer.W)], backend=backend)
    layer.W.set_value(np.ones((4, 2), "float32"))  # whatever the row holds
    given = np.array([1, padding, 3, 1, padding, 3])
    found, slope = f(given)
    expected, wanted = np.ones((6, 2)), np.zeros((4, 2))
    for i, symbol in enumerate(given):
        if symbol == padding:
            expected[i] = 0
        else:
            wanted[symbol] += weights[i]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(slope, wanted)
    with pytest.raises(sg.IndexRangeError, match="symbol -2"):
        f([1, -2, 3, 1, 1, 1])


def test_padding_of_other_kinds():
    for wrong in (1.5, "pad", True):
        with pytest.raises(sg.SymgraphTypeError, match="padding_index") as caught:
            nn.Embedding(3, 2, padding_index=wrong)
        assert __file__ in str(caught.value)
    given = np.ones((3, 2), "float32")
    assert nn.Embedding(3, 2, 1, weights=given).W.get_value().tolist() == [[1, 1], [0, 0], [1, 1]]
    assert given.all()
    y = nn.Embedding(3, 2, -1, rng=0)(np.array([1, 2], "uint8"))  # no uint8 is -1
    assert y.eval().all()


# --- widths -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_state_of_another_dtype_names_both(make):
    x = sg.tensor("x", ("T", 2, 3))
    for dtype, other in (("float32", "float64"), ("float64", "float32"), ("float32", "int64")):
        layer = make(3, 4, dtype=dtype)
        state = np.zeros((2, 4), other)
        state = (state, state) if make is nn.LSTM else state
        with pytest.raises(sg.DtypeError, match=rf"(?s){dtype}.*{other}.*astype\('{dtype}'\)"):
            layer(x.astype(dtype), state=state)


class Wide(nn.Module):
    """A cell whose initial state is wider than all that it has."""

    def __init__(self, *, narrows=False):
        self.U = sg.shared(np.eye(2, dtype="float32"))
        self.narrows = narrows

    def initial_state(self, batch):
        return sg.zeros((batch, 2), dtype="float64")

    def step(self, x_t, h):
        h = h + sg.tanh(sg.dot(x_t, self.U))
        return (h.astype("float32") if self.narrows else h), h


def test_an_initial_state_that_would_widen_the_layer():
    x = sg.tensor("x", ("T", "B", 2))
    with pytest.raises(sg.DtypeError, match=r"(?s)float64.*float32.*dtype='float32'") as caught:
        nn.Recurrent(Wide())(x)
    assert __file__ in str(caught.value)
    assert nn.Recurrent(Wide(narrows=True))(x).dtype == np.dtype("float32")
    assert nn.Recurrent(Wide())(x.astype("float64")).dtype == np.dtype("float64")
