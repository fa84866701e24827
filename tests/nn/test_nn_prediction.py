"""`predict` and `evaluate`: functions and modules on all rows, in batches."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

RNG = np.random.default_rng(6)
X = RNG.normal(size=(25, 3)).astype("float32")
SERIES = RNG.normal(size=(7, 25, 3)).astype("float32")
W = RNG.normal(size=(3, 2)).astype("float32")
BOTH = pytest.mark.parametrize("backend", ["native", "numpy"])


class Net(nn.Module):
    """A net that asks whether it is trained, and gives a dict with a tuple in it."""

    def __init__(self):
        self.gru = nn.GRU(3, 4, rng=0)
        self.drop = nn.Dropout(0.5, rng=0)

    def __call__(self, x, mask, *, training):
        y, state = self.gru(x, mask=mask, return_state=True)
        return {"all": self.drop(y, training=training), "ends": (state, y[-1])}


def whole(net, arrays):
    """What the net gives for all rows at once."""
    x, mask = sg.tensor("x", ("T", "B", 3)), sg.tensor("mask", ("T", "B"))
    results = net(x, mask, training=False)
    function = sg.compile([x, mask], [results["all"], *results["ends"]])
    return function(*arrays)


@BOTH
@pytest.mark.parametrize("batch_size", [1, 8, 25, 100])
def test_all_forms_of_data_and_results(backend, batch_size):
    mask = (np.arange(7)[:, None] < RNG.integers(1, 8, 25)).astype("float32")
    net = Net()
    expected = whole(net, [SERIES, mask])
    ready = [(SERIES[:, i : i + 5], mask[:, i : i + 5]) for i in range(0, 25, 5)]
    for data in (
        [SERIES, mask],
        {"mask": mask, "x": SERIES},
        ready,
        iter(ready),
        lambda: iter(ready),
        [{"x": x, "mask": m} for x, m in ready],
        [SERIES.astype("float64"), mask],
    ):
        found = nn.predict(net, data, batch_size=batch_size, batch_axis=1, backend=backend)
        assert list(found) == ["all", "ends"]
        assert isinstance(found["ends"], tuple)
        for a, b in zip([found["all"], *found["ends"]], expected, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


@BOTH
@pytest.mark.parametrize("names", [("T", "B"), (None, None)])
def test_functions_give_what_they_give(names, backend):
    x = sg.tensor("x", (*names, 3))
    y = x @ W
    axis = {"batch_axis": "B" if names[1] else 1, "batch_size": 4}
    for outputs, form in ((y, None), ([y, y[-1]], list), ({"y": y, "last": y[-1]}, dict)):
        function = sg.compile([x], outputs, backend=backend)
        found, expected = nn.predict(function, SERIES, **axis), function(SERIES)
        if form is None:
            found, expected = [found], [expected]
        else:
            assert type(found) is form
        if form is dict:
            assert list(found) == ["y", "last"]
            found, expected = list(found.values()), list(expected.values())
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_rows_of_a_result_may_lie_elsewhere():
    """By the name of the size, where several axes are as long as a batch is large."""
    x = sg.tensor("x", ("T", "B", 3))
    function = sg.compile([x], [sg.transpose(x, (2, 1, 0)), sg.transpose(x, (1, 2, 0)), x[:3]])
    for n in (3, 6, 7):
        data = RNG.normal(size=(3, n, 3)).astype("float32")
        for a, b in zip(
            nn.predict(function, [data], batch_size=3, batch_axis="B"), function(data), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    y = sg.tensor("y", (None, None))
    function = sg.compile([y], sg.transpose(y) + sg.transpose(y))
    data = RNG.normal(size=(7, 3)).astype("float32")
    np.testing.assert_array_equal(nn.predict(function, data, batch_size=3), 2 * data.T)


def test_modules_and_functions_of_variables():
    layer = nn.Dense(3, 2, rng=0)
    expected = X @ layer.W.get_value() + layer.b.get_value()
    drop = nn.Sequential(layer, nn.Dropout(0.5, rng=0))
    for what in (
        layer, drop, functools.partial(drop, training=False), lambda x: layer(x), layer.__call__,
    ):  # fmt: skip
        np.testing.assert_allclose(nn.predict(what, X, batch_size=7), expected, rtol=1e-5)
        np.testing.assert_allclose(nn.predict(what, [X], batch_size=7), expected, rtol=1e-5)
    assert nn.predict(layer, [X.tolist()]).dtype == "float32"
    labels = np.arange(20).reshape(5, 4) % 3
    table = nn.Embedding(3, 2, rng=0)
    found = nn.predict(table, labels, batch_axis=0, batch_size=2)
    np.testing.assert_array_equal(found, table.W.get_value()[labels])
    with pytest.raises(sg.SymgraphError, match="batch_axis is not given"):
        nn.predict(table, labels)
    images = RNG.normal(size=(5, 6, 6, 1)).astype("float32")
    conv = nn.Conv2D(1, 2, 3, rng=0)
    assert nn.predict(conv, images, batch_axis=0, batch_size=2).shape[0] == 5


def test_inputs_that_are_no_batch():
    x, scale = sg.tensor("x", ("B", 3)), sg.tensor("scale", (3,))
    function = sg.compile([x, scale], x * scale)
    scales = np.array([1.0, 2.0, 3.0], "float32")
    for what in (function, lambda x, scale: x * scale):
        found = nn.predict(what, [X, scales], batch_axis=[0, None], batch_size=4)
        np.testing.assert_array_equal(found, X * scales)


def test_what_predict_refuses():
    x = sg.tensor("x", ("B", 3))
    square = sg.compile([x], [x * x, x.mean()])
    batches = (X for _ in range(2))
    for call, text in [
        (lambda: nn.predict(square, X), r"shape \(\) for a batch of 25 rows.*\n.*\n?.*evaluate"),
        (lambda: nn.predict(sg.compile([], sg.constant(1.0)), []), "found no array"),
        (lambda: nn.predict(3, X), "a compiled function or a module"),
        (lambda: nn.predict(nn.Dense(3, 2), 3), "an iterable of such batches"),
        (lambda: nn.predict(nn.Dense(3, 2), SERIES), "batch_axis is not given"),
        (lambda: nn.predict(nn.Dense(3, 2), X, batch_size=0), "batch_size"),
        (lambda: nn.predict(nn.Dense(3, 2), X[:0]), "at least one"),
        (lambda: nn.predict(square, [X, X]), "1 inputs need as many arrays in data"),
        (lambda: nn.predict(nn.Dense(3, 2), (b for b in [])), "data gave no batch"),
        (lambda: nn.predict(nn.Dense(4, 2), batches), "has size 4"),
        (lambda: nn.evaluate(nn.Dense(3, 2), X), "a compiled function is expected"),
        (lambda: nn.evaluate(square, X), r"scalars; found shapes \(25, 3\), \(\)"),
    ]:
        with pytest.raises(sg.SymgraphError, match=text) as caught:
            call()
        assert __file__ in str(caught.value)


@BOTH
def test_means_of_figures(backend):
    x, y = sg.tensor("x", ("T", "B", 3)), sg.tensor("y", ("B",))
    figures = {"x": x.mean(), "y": y.mean()}
    targets = RNG.normal(size=25).astype("float32")
    expected = {"x": SERIES.mean(), "y": targets.mean()}
    data = [SERIES, targets]
    found = nn.evaluate(
        sg.compile([x, y], figures, backend=backend), data, batch_size=4, batch_axis="B"
    )
    assert found == pytest.approx(expected, abs=1e-6)
    pair = sg.compile([x, y], list(figures.values()), backend=backend)
    found = nn.evaluate(pair, dict(zip("xy", data, strict=True)), batch_size=7, batch_axis="B")
    assert found == pytest.approx(list(expected.values()), abs=1e-6)
    one = sg.compile([y], y.mean(), backend=backend)
    assert nn.evaluate(one, targets, batch_size=3) == pytest.approx(targets.mean(), abs=1e-6)
    ready = [targets[:3], targets[3:]]
    assert nn.evaluate(one, iter(ready)) == pytest.approx(targets.mean(), abs=1e-6)
