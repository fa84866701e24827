"""`fit` on batches that come ready, on constant inputs, shares of rows and memory-mapped arrays."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

RNG = np.random.default_rng(3)
X = RNG.normal(size=(10, 2)).astype("float32")
Y = (X @ np.array([1.0, -2.0])).astype("float32")
BOTH = pytest.mark.parametrize("backend", ["native", "numpy"])


class Line:
    """A linear fit, and its gradient descent in NumPy as the reference."""

    def __init__(self):
        self.w = sg.shared(np.zeros(2, "float32"), "w")
        self.inputs = [sg.tensor("x", ("B", 2)), sg.tensor("y", ("B",))]
        x, y = self.inputs
        self.loss = nn.squared_error(x @ self.w, y)
        self.updates = nn.sgd(self.loss, [self.w], 0.1)

    def fit(self, data, **options):
        options = {"progress": False, "epochs": 2, **options}
        return nn.fit([self.w], self.inputs, self.loss, self.updates, data, **options)


def descend(batches, w=None):
    """The weights after these batches, and their losses."""
    w = np.zeros(2) if w is None else w
    losses = []
    for x, y in batches:
        fault = x @ w - y
        losses.append(np.mean(fault**2))
        w = w - 0.1 * 2 * x.T @ fault / len(y)
    return w, losses


class Anew:
    """An object that starts anew each time it is iterated."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


BATCHES = [(X[:4], Y[:4]), (X[4:7], Y[4:7]), (X[7:], Y[7:])]
FORMS = {
    "list of tuples": BATCHES,
    "tuple of tuples": tuple(BATCHES),
    "list of lists": [list(batch) for batch in BATCHES],
    "list of dicts": [{"y": y, "x": x} for x, y in BATCHES],
    "generator function": lambda: (batch for batch in BATCHES),
    "function of the epoch": lambda epoch: BATCHES,
    "object": Anew(BATCHES),
    "lists within": [(x.tolist(), y) for x, y in BATCHES],
}


@BOTH
@pytest.mark.parametrize("form", FORMS)
def test_batches_that_come_ready(form, backend):
    line = Line()
    history = line.fit(FORMS[form], backend=backend)
    w, losses = descend(BATCHES * 2)
    np.testing.assert_allclose(line.w.get_value(), w, rtol=1e-5)
    # A batch counts by its rows.
    means = [np.average(losses[i : i + 3], weights=[4, 3, 3]) for i in (0, 3)]
    np.testing.assert_allclose(history["loss"], means, rtol=1e-5)


def test_a_function_gets_the_number_of_the_epoch():
    numbers = []

    def batches(epoch):
        numbers.append(epoch)
        yield BATCHES[epoch % 3]

    Line().fit(batches, epochs=4)
    assert numbers == [0, 1, 2, 3]


def test_a_part_of_an_endless_generator_is_an_epoch():
    endless = itertools.cycle(BATCHES)
    line = Line()
    line.fit(lambda: itertools.islice(endless, 2), epochs=3)
    np.testing.assert_allclose(line.w.get_value(), descend(BATCHES * 2)[0], rtol=1e-5)


def test_one_input_needs_no_tuple():
    x, w = sg.vector("x"), sg.shared(np.float32(0), "w")
    loss = sg.mean(sg.square(w - x))
    batches = iter([np.ones(3), np.ones(2)])
    history = nn.fit([w], [x], loss, nn.sgd(loss, [w], 0.5), batches, epochs=1, progress=False)
    assert history["loss"] == pytest.approx([(3 * 1 + 2 * 0) / 5])


def test_an_iterator_is_used_up():
    line = Line()
    with pytest.raises(sg.SymgraphValueError, match=r"no batch in epoch 2") as caught:
        line.fit(batch for batch in BATCHES)
    assert "generator function itself" in str(caught.value)
    assert __file__ in str(caught.value)
    np.testing.assert_allclose(line.w.get_value(), descend(BATCHES)[0], rtol=1e-5)
    with pytest.raises(sg.SymgraphValueError, match=r"no batch in epoch 1"):
        Line().fit(Anew([]))


@pytest.mark.parametrize(
    ("batch", "text"),
    [
        ((X,), "2 inputs need as many arrays in batch 2 of data, not 1"),
        ({"x": X}, "y missing"),
        (3, "batch 2 of data is a tuple of arrays"),
        ((X, Y[:3]), "x: 10, y: 3"),
        ((X[:0], Y[:0]), "batch 2 of data.* at least one; found x: 0, y: 0"),
        ((X, X), "batch 2 of data: the array for 'y'"),
        ((np.ma.masked_greater(X, 0), Y), "mask"),
    ],
)
def test_a_batch_that_does_not_fit(batch, text):
    line = Line()
    with pytest.raises(sg.SymgraphError, match=text) as caught:
        line.fit(lambda: [BATCHES[0], batch])
    assert __file__ in str(caught.value)
    np.testing.assert_allclose(line.w.get_value(), descend(BATCHES[:1])[0], rtol=1e-5)


def test_what_is_no_data():
    for data in (3, "text", None, X, lambda: 3, {1, 2}):
        with pytest.raises(sg.SymgraphError) as caught:
            Line().fit(data)
        assert __file__ in str(caught.value)


def test_rows_weigh_where_their_axis_is_known():
    x, w = sg.tensor("x", ("T", "B", 1)), sg.shared(np.float32(0), "w")
    loss = sg.mean(x) + 0 * w
    batches = [(np.full((2, 3, 1), 1.0),), (np.full((5, 1, 1), 2.0),)]
    for axis, mean in ((None, 1.5), ("B", 5 / 4), (0, 12 / 7)):
        history = nn.fit(
            [w], [x], loss, nn.sgd(loss, [w], 0.1), batches, batch_axis=axis, epochs=1,
            progress=False,
        )  # fmt: skip
        assert history["loss"] == pytest.approx([mean])


def test_validation_may_be_an_iterable():
    line = Line()
    history = line.fit([X, Y], validation=Anew(BATCHES), epochs=3, rng=0)
    step = sg.compile(line.inputs, line.loss)
    assert history["validation_loss"][-1] == pytest.approx(float(step(X, Y)), rel=1e-5)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_share_of_the_rows_is_held_out_at_the_end(axis):
    x, w = sg.tensor("x", (None, None)), sg.shared(np.float32(0), "w")
    loss = sg.mean(x) + 0 * w
    rows = np.repeat(np.arange(10.0)[:, None], 3, axis=1)
    history = nn.fit(
        [w], [x], loss, nn.sgd(loss, [w], 0.1), [rows if axis == 0 else rows.T],
        batch_axis=axis, validation=0.2, epochs=2, batch_size=4, progress=False,
    )  # fmt: skip
    assert history["loss"] == pytest.approx([3.5, 3.5])
    assert history["validation_loss"] == pytest.approx([8.5, 8.5])


def test_shares_that_cannot_be():
    for share in (0.0, 1.0, 0.01, -0.5, 1.5, float("nan"), 1, True):
        with pytest.raises(sg.SymgraphValueError, match="validation="):
            Line().fit([X, Y], validation=share)
    with pytest.raises(sg.SymgraphTypeError, match="come ready"):
        Line().fit(BATCHES, validation=0.2)
    with pytest.raises(sg.SymgraphError, match="validation are a list of arrays"):
        Line().fit([X, Y], validation=object())


@BOTH
def test_an_input_that_is_no_batch(backend):
    """Class weights, say: the same array for each call, in the training and in the validation."""
    x, scale = sg.tensor("x", ("B",)), sg.tensor("scale", (None,))
    w = sg.shared(np.float32(0), "w")
    loss = sg.mean(x) * sg.sum(scale) + 0 * w
    data = [np.arange(5.0), np.array([1.0, 2.0])]
    history = nn.fit(
        [w], [x, scale], loss, nn.sgd(loss, [w], 0.1), data, batch_axis=[0, None], batch_size=2,
        epochs=1, validation=[np.ones(4), np.ones(3)], progress=False, backend=backend,
    )  # fmt: skip
    assert history["loss"] == pytest.approx([6.0])
    assert history["validation_loss"] == pytest.approx([3.0])
    ready = [(np.arange(5.0), np.array([1.0, 2.0]))]
    history = nn.fit(
        [w], [x, scale], loss, nn.sgd(loss, [w], 0.1), ready, batch_axis=["B", None], epochs=1,
        progress=False,
    )  # fmt: skip
    assert history["loss"] == pytest.approx([6.0])


def test_memory_mapped_arrays_are_never_copied_whole(tmp_path, monkeypatch):
    rows = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", "float64", (1000, 2))
    rows[:] = 1
    taken = []
    take = np.take

    def watched(array, chosen, axis):
        assert not array.flags.owndata
        taken.append(len(chosen))
        return take(array, chosen, axis)

    monkeypatch.setattr(np, "take", watched)
    line = Line()
    line.fit([rows, np.memmap(tmp_path / "y", "f4", "w+", shape=(1000,))], batch_size=250,
             validation=0.5, epochs=1)  # fmt: skip
    assert taken == [250] * 8  # two arrays, four batches


def test_no_more_than_a_batch_is_copied_of_arrays_whose_rows_are_not_first():
    """Nor of the part of them that validation leaves, which lies in pieces."""
    x, target = sg.tensor("x", (9, "B", 4)), sg.tensor("target", ("B",))
    layer = nn.Dense(4, 1, rng=0)
    loss = nn.squared_error(layer(x)[-1, :, 0], target)
    data = [np.ones((9, 100_000, 4), "float32"), np.zeros(100_000, "float32")]

    def train():
        return nn.fit(layer, [x, target], loss, nn.sgd(loss, layer.params, 0.1), data, epochs=1,
                      batch_size=5000, batch_axis="B", validation=0.2, progress=False)  # fmt: skip

    train()
    tracemalloc.start()
    train()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < data[0].nbytes / 2


def test_resumed_iterables_go_on_to_the_bit(tmp_path):
    def batches(epoch):
        for rows in np.random.default_rng(epoch).permutation(10).reshape(5, 2):
            yield X[rows], Y[rows]

    whole, part = Line(), Line()
    expected = whole.fit(batches, epochs=4)
    part.fit(batches, epochs=2, resume=tmp_path / "last")
    found = part.fit(batches, epochs=4, resume=tmp_path / "last")
    assert part.w.get_value().tolist() == whole.w.get_value().tolist()
    assert found["loss"] == expected["loss"]
