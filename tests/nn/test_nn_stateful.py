"""`fit` with a state that each batch hands to the next."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

RNG = np.random.default_rng(4)
SERIES = RNG.normal(size=(12, 3, 2)).astype("float32")  # [time, batch, features]
BOTH = pytest.mark.parametrize("backend", ["native", "numpy"])


class Summing:
    """A loop h' = h / 2 + sum(x_t): what it hands on can be followed by hand."""

    def __init__(self, shape=("B",), dtype="float32"):
        self.w = sg.shared(np.float32(0), "w")
        self.x, self.h = sg.tensor("x", ("T", "B", 2)), sg.tensor("h", shape, dtype)
        states = sg.scan(lambda x_t, h: h / 2 + sg.sum(x_t, axis=1), self.x, self.h)
        self.last = states[-1]
        self.loss = sg.mean(states[-1]) + 0 * self.w
        self.updates = nn.sgd(self.loss, [self.w], 0.1)

    def fit(self, data, **options):
        options = {"epochs": 2, "progress": False, "state": {self.h: self.last}, **options}
        return nn.fit([self.w], [self.x], self.loss, self.updates, data, **options)


def follow(h, x):
    for x_t in x:
        h = h / 2 + x_t.sum(axis=1)
    return h


def means(windows, *, epochs, reset):
    """The mean loss of each epoch, in NumPy."""
    h, result = np.zeros(windows[0].shape[1]), []
    for _ in range(epochs):
        h = np.zeros_like(h) if reset else h
        losses = []
        for x in windows:
            h = follow(h, x)
            losses.append(h.mean())
        result.append(np.mean(losses))
    return result


WINDOWS = [SERIES[i : i + 4] for i in (0, 4, 8)]


@BOTH
@pytest.mark.parametrize("reset", ["epoch", "never"])
def test_it_is_what_the_batch_before_gave(reset, backend):
    expected = means(WINDOWS, epochs=3, reset=reset == "epoch")
    options = {"epochs": 3, "reset_state": reset, "backend": backend}
    for data, more in (
        ([SERIES], {"batch_axis": "T", "batch_size": 4}),
        ([(x,) for x in WINDOWS], {}),
        (lambda: iter(WINDOWS), {"batch_axis": "B"}),
    ):
        history = Summing().fit(data, **options, **more)
        np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)


def test_rows_go_on_with_the_rows_before():
    """As a stateful net of Keras has it: row i of batch k + 1 goes on with row i of batch k."""
    rows = np.concatenate(WINDOWS, axis=1)
    history = Summing().fit([rows], batch_axis="B", batch_size=3)
    np.testing.assert_allclose(history["loss"], means(WINDOWS, epochs=2, reset=True), rtol=1e-5)


def test_the_validation_has_its_own():
    problem = Summing()
    half = {problem.h: problem.last / 2}
    for options, windows in (({}, WINDOWS), ({"evaluation_state": half}, None)):
        history = problem.fit(
            [SERIES], validation=[SERIES], batch_axis="T", batch_size=4, **options
        )
        if windows:
            expected = means(windows, epochs=2, reset=True)
        else:
            h, losses = np.zeros(3), []
            for x in WINDOWS:
                h = follow(h, x)
                losses.append(h.mean())
                h = h / 2
            expected = [np.mean(losses)] * 2
        np.testing.assert_allclose(history["validation_loss"], expected, rtol=1e-5)


def test_an_evaluation_that_needs_no_state():
    problem = Summing()
    history = problem.fit(
        [SERIES], validation=[SERIES], batch_axis="T", batch_size=4,
        evaluation={"loss": sg.mean(problem.x)},
    )  # fmt: skip
    np.testing.assert_allclose(history["validation_loss"][0], SERIES.mean(), rtol=1e-4)


def lstm(seed=0):
    """Two layers, dropout, states as a tree."""
    x, target = sg.tensor("x", ("T", "B", 2)), sg.tensor("target", ("T", "B", 2))
    first = tuple(sg.tensor(n, ("B", 5)) for n in "hc")
    second = sg.tensor("g", ("B", 4))
    layers = [nn.LSTM(2, 5, rng=seed), nn.Dropout(0.3, rng=seed), nn.GRU(5, 4, rng=seed)]
    out = nn.Dense(4, 2, rng=seed)
    y, last = layers[0](x, state=first, return_state=True)
    z, end = layers[2](layers[1](y, training=True), state=second, return_state=True)
    loss = nn.squared_error(out(z), target)
    module = [*layers, out]
    params = [p for layer in module for p in layer.params]
    return module, [x, target], loss, nn.adam(loss, params, 0.01), {(first, second): (last, end)}


def values(module):
    return [v.get_value().tolist() for v in nn.walk.variables_of(module).values()]


@BOTH
@pytest.mark.parametrize("reset", ["epoch", "never"])
def test_a_resumed_training_goes_on_to_the_bit(reset, backend, tmp_path):
    def train(epochs, **options):
        module, inputs, loss, updates, state = lstm()
        history = nn.fit(
            module, inputs, loss, updates, [SERIES[:-2], SERIES[2:]], state=state,
            reset_state=reset, batch_axis="T", batch_size=4, epochs=epochs, progress=False, rng=0,
            validation=[SERIES[:-2], SERIES[2:]], backend=backend, **options,
        )  # fmt: skip
        return values(module), history["loss"], history["validation_loss"]

    whole = train(5)
    for epochs in (1, 3, 5):
        found = train(epochs, resume=tmp_path / "last")
    assert found == whole


@BOTH
def test_a_state_that_lies_otherwise_is_resumed_too(backend, tmp_path):
    """Transposed twice over two batches, and a scalar beside it."""

    def train(epochs, **options):
        x, h, n = sg.tensor("x", ("B", 4)), sg.tensor("h", (4, 4)), sg.scalar("n")
        w = sg.shared(np.random.default_rng(0).normal(size=(4, 4)).astype("f4"), "w")
        after = sg.tanh(x.T @ x @ w + h).T
        loss = sg.mean(sg.square(x @ after)) + 0 * n
        return nn.fit(
            [w], [x], loss, nn.sgd(loss, [w], 0.05), [np.sin(np.arange(48)).reshape(12, 4)],
            state={h: after, n: n + 1}, reset_state="never", batch_size=5, epochs=epochs,
            progress=False, backend=backend, metrics={"n": n}, **options,
        )  # fmt: skip

    whole = train(4)
    for epochs in (1, 2, 4):
        part = train(epochs, resume=tmp_path / "last")
    assert part["loss"] == whole["loss"]
    assert part["n"] == whole["n"] == sorted(part["n"])


def test_a_file_of_another_state_is_refused(tmp_path):
    options = {"batch_axis": "T", "batch_size": 4, "resume": tmp_path / "last"}
    Summing().fit([SERIES], reset_state="never", **options)
    with pytest.raises(sg.SymgraphValueError, match="state/0 is not known"):
        Summing().fit([SERIES], **options)
    other = Summing()
    twin = sg.tensor("g", ("B",))
    other.loss = other.loss + sg.mean(twin) * 0
    other.updates = nn.sgd(other.loss, [other.w], 0.1)
    state = {other.h: other.last, twin: other.last}
    with pytest.raises(sg.SymgraphValueError, match="another state"):
        other.fit([SERIES], reset_state="never", **{**options, "state": state})


def test_batches_of_other_numbers_of_rows():
    with pytest.raises(sg.ShapeError, match=r"\(3,\) after one batch, and the next batch needs"):
        Summing().fit(lambda: [SERIES, SERIES[:, :2]])
    problem = Summing()
    with pytest.raises(sg.ShapeError, match=r"batch_size that divides it") as caught:
        problem.fit([SERIES], batch_axis="B", batch_size=2)
    assert __file__ in str(caught.value)
    # At an epoch's start it begins anew.
    sizes = iter([3, 2])

    def batches():
        n = next(sizes)
        return [SERIES[:4, :n], SERIES[4:, :n]]

    history = Summing().fit(batches, reset_state="never")
    expected = [means([SERIES[:4, :n], SERIES[4:, :n]], epochs=1, reset=True)[0] for n in (3, 2)]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)


def test_sizes_of_the_state():
    data = {"batch_axis": "T", "batch_size": 4}
    for shape in ((3,), ("B",)):
        history = Summing(shape).fit([SERIES], **data)
        np.testing.assert_allclose(history["loss"], means(WINDOWS, epochs=2, reset=True), rtol=1e-5)
    history = Summing((None,)).fit([np.concatenate(WINDOWS, axis=1)], batch_axis="B", batch_size=3)
    np.testing.assert_allclose(history["loss"], means(WINDOWS, epochs=2, reset=True), rtol=1e-5)
    problem = Summing()
    g = sg.tensor("g", ("C", 3))
    loss = problem.loss + sg.mean(g)
    with pytest.raises(sg.ShapeError, match="a size that the data do not tell"):
        nn.fit(
            [problem.w], [problem.x], loss, nn.sgd(loss, [problem.w], 0.1), [SERIES],
            state={problem.h: problem.last, g: g}, progress=False, **data,
        )  # fmt: skip


def test_states_that_make_no_sense():
    problem = Summing()
    h, last = problem.h, problem.last
    for state, kind, text in [
        ([h], TypeError, "state is a dict"),
        ({"h": last}, TypeError, "made by sg.tensor"),
        ({h: 3}, TypeError, "gets an expression"),
        ({last: last}, TypeError, "made by sg.tensor"),
        ({(h, h): (last, last)}, ValueError, "stands in it twice"),
        ({(h,): (last, last)}, ValueError, "1 symbols get 2 values"),
        ({problem.x: problem.x}, ValueError, "an input of the data too"),
        ({h: last.astype("float64")}, TypeError, "'h'"),
        ({h: problem.x}, ValueError, "'h'"),
    ]:
        with pytest.raises(kind, match=text) as caught:
            problem.fit([SERIES], state=state, batch_axis="B")
        assert isinstance(caught.value, sg.SymgraphError)
        assert __file__ in str(caught.value)
    with pytest.raises(sg.InputError, match=r"'h' .* not among the inputs") as caught:
        problem.fit([SERIES], state=None, batch_axis="B")
    assert "state={h: …}" in str(caught.value)
    with pytest.raises(sg.SymgraphValueError, match="reset_state is"):
        problem.fit([SERIES], batch_axis="B", reset_state="batch")


def test_what_is_not_stateful_is_named():
    x = sg.tensor("x", ("T", "B", 2))
    for net in (nn.Dense(2, 3), lambda x: sg.exp(x), nn.Sequential(nn.Dense(2, 3))):
        with pytest.raises(sg.SymgraphTypeError, match="has no state"):
            nn.stateful(net, x)
    with pytest.raises(sg.SymgraphTypeError, match="a net is expected"):
        nn.stateful(nn.GRU(2, 3)(x), x)
