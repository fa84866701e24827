"""`fit`: batches, figures, early stopping, checkpoints, going on after a kill; data sets."""

from __future__ import annotations

import gzip
import json
import struct

import numpy as np
import pytest
import tqdm.auto

import symgraph as sg
import symgraph_nn as nn

RNG = np.random.default_rng(8)
X = RNG.normal(size=(25, 3)).astype("float32")
LABELS = (X @ np.array([1.0, -2.0, 0.5]) > 0).astype("int64")


class Problem:
    """A small classifier with dropout and batch normalisation, and what fit wants of it."""

    def __init__(self, rule=lambda loss, params: nn.nesterov(loss, params, 0.05, 0.9)):
        self.net = nn.Sequential(
            nn.Dense(3, 8, sg.tanh, rng=0),
            nn.BatchNorm(8),
            nn.Dropout(0.2, rng=1),
            nn.Dense(8, 2, rng=2),
        )
        x, labels = sg.tensor("x", ("B", 3)), sg.tensor("labels", ("B",), "int64")
        self.inputs = [x, labels]
        self.loss = nn.cross_entropy(self.net(x, training=True), labels)
        logits = self.net(x)
        hits = sg.eq(sg.argmax(logits, axis=-1), labels)
        self.evaluation = {
            "loss": nn.cross_entropy(logits, labels), "accuracy": sg.mean(hits.astype("float32")),
        }  # fmt: skip
        self.updates = rule(self.loss, self.net.params)

    def fit(self, **options):
        options = {"batch_size": 8, "rng": 0, "progress": False, **options}
        data = options.pop("data", [X, LABELS])
        return nn.fit(self.net, self.inputs, self.loss, self.updates, data, **options)

    def values(self):
        return {path: value.tolist() for path, value in self.net.state().items()}


def test_it_learns_and_reports():
    problem = Problem()
    history = problem.fit(epochs=40, validation=[X, LABELS], evaluation=problem.evaluation)
    assert len(history) == 40
    assert history["epoch"] == list(range(1, 41))
    assert history["validation_accuracy"][-1] > 0.9
    assert history["loss"][-1] < history["loss"][0] / 2
    assert history.names == ["epoch", "loss", "validation_loss", "validation_accuracy", "seconds"]
    assert history.monitored == "validation_loss"
    assert history.best_epoch == 1 + int(np.argmin(history["validation_loss"]))
    assert history.report.nodes > 0
    assert "40 epochs" in repr(history)
    with pytest.raises(sg.SymgraphError, match="no 'precision', but epoch, loss"):
        _ = history["precision"]


def test_every_row_comes_once_an_epoch():
    x = sg.vector("x")
    w = sg.shared(np.float32(0))
    batches = []

    class Module(nn.Module):
        def __init__(self):
            self.w = w

    rows = np.arange(10, dtype="float32")
    for seed in (0, 0, 1):
        history = nn.fit(
            Module(), [x], sg.mean(x) + 0 * w, nn.sgd([sg.sum(x)], [w], 1.0), [rows],
            batch_size=4, epochs=2, rng=seed, progress=False,
        )  # fmt: skip
        # The mean over batches, weighted by their rows, is the mean over rows: the batch of 2 too.
        assert history["loss"] == pytest.approx([4.5, 4.5])
        batches.append(float(w.get_value()))
        w.set_value(np.float32(0))
    assert batches == [-90.0, -90.0, -90.0]


def test_the_order_follows_the_seed():
    results = []
    for seed in (0, 0, 1, np.random.default_rng(0)):
        problem = Problem()
        problem.fit(epochs=2, rng=seed)
        results.append(problem.values())
    assert results[0] == results[1] == results[3]
    assert results[0] != results[2]


def test_early_stopping_keeps_the_best_epoch(tmp_path):
    problem = Problem(lambda loss, params: nn.sgd(loss, params, lambda t: 0.5 * t))
    history = problem.fit(
        epochs=50, patience=3, validation=[X, LABELS], evaluation=problem.evaluation,
        checkpoint=tmp_path / "best.safetensors",
    )  # fmt: skip
    assert len(history) == history.best_epoch + 3
    evaluate = sg.compile(problem.inputs, problem.evaluation["loss"])
    whole = float(evaluate(X, LABELS))
    assert whole == pytest.approx(min(history["validation_loss"]), rel=1e-5)
    kept, loaded = problem.values(), Problem()
    nn.load(loaded.net, tmp_path / "best.safetensors")
    assert loaded.values() == kept


def test_a_figure_that_should_be_high():
    problem = Problem()
    history = problem.fit(
        epochs=6, validation=[X, LABELS], evaluation=problem.evaluation,
        monitor="accuracy", higher_is_better=True,
    )  # fmt: skip
    accuracies = history["validation_accuracy"]
    assert history.best_epoch == 1 + int(np.argmax(accuracies))


RULES = {
    "nesterov": lambda loss, params: nn.nesterov(loss, params, 0.05, lambda t: 0.9 - 0.4 * 0.9**t),
    "adam": lambda loss, params: nn.adam(loss, params, 0.01),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_resumed_training_ends_as_an_uninterrupted_one(tmp_path, rule):
    """Weights, optimiser, dropout's stream, order of rows, history and best epoch."""

    def options(problem):
        return {"validation": [X, LABELS], "evaluation": problem.evaluation, "rng": 3}

    whole = Problem(RULES[rule])
    expected = whole.fit(epochs=5, **options(whole))
    for epochs in (2, 3, 5, 5):
        part = Problem(RULES[rule])
        found = part.fit(epochs=epochs, resume=tmp_path / "last", **options(part))
    assert part.values() == whole.values()
    assert found.best_epoch == expected.best_epoch
    for name in ("loss", "validation_loss", "validation_accuracy"):
        assert found[name] == expected[name]


def test_an_interrupted_epoch_is_begun_again(tmp_path, monkeypatch):
    whole = Problem()
    whole.fit(epochs=3)
    part = Problem()
    record, calls = nn.session.Session.record, []

    def interrupt(self, figures):
        calls.append(figures)
        if len(calls) == 3:
            raise KeyboardInterrupt
        record(self, figures)

    with monkeypatch.context() as patch:
        patch.setattr(nn.session.Session, "record", interrupt)
        history = part.fit(epochs=3, resume=tmp_path / "last")
    assert (len(history), history.ended) == (2, "interrupt")
    again = Problem()
    again.fit(epochs=3, resume=tmp_path / "last")
    assert again.values() == whole.values()


def test_a_file_of_another_module_is_refused(tmp_path):
    problem = Problem()
    problem.fit(epochs=1, resume=tmp_path / "last")
    other = Problem(RULES["adam"])
    before = other.values()
    with pytest.raises(sg.SymgraphValueError, match="nothing was changed"):
        other.fit(epochs=2, resume=tmp_path / "last")
    assert other.values() == before
    nn.save(problem.net, tmp_path / "weights")
    with pytest.raises(sg.SymgraphValueError, match="not written by resume="):
        problem.fit(epochs=2, resume=tmp_path / "weights")


def test_sequences_with_the_batch_on_another_axis():
    x, mask = sg.tensor("x", ("T", "B", 3)), sg.tensor("mask", ("T", "B"))
    labels = sg.tensor("labels", ("B",), "int64")
    arrays = {
        "x": RNG.normal(size=(6, 11, 3)), "mask": np.ones((6, 11)),
        "labels": RNG.integers(0, 2, 11),
    }  # fmt: skip
    losses = []
    for axis in ("B", [1, 1, 0]):
        rnn, out = nn.RNN(3, 4, rng=0), nn.Dense(4, 2, rng=1)
        net = nn.Sequential(rnn, out)
        loss = nn.cross_entropy(net(x, mask=mask)[-1], labels)
        data = arrays if axis == "B" else list(arrays.values())
        history = nn.fit(
            net, [x, mask, labels], loss, nn.sgd(loss, net.params, 0.1), data,
            batch_axis=axis, batch_size=4, epochs=2, rng=0, progress=False,
        )  # fmt: skip
        losses.append(history["loss"])
    assert losses[0] == losses[1]


def test_progress_is_shown_on_standard_error(capsys, monkeypatch):
    problem = Problem()
    problem.fit(epochs=1, progress=True)
    assert "epoch 1" in capsys.readouterr().err

    def missing(name, extra):
        raise nn.progress.MissingPackage(name)

    monkeypatch.setattr(nn.progress, "load_package", missing)
    problem.fit(epochs=2, progress=True)
    error = capsys.readouterr().err
    assert error.count("\n") == 2
    assert error.startswith("epoch 1: loss ")


def test_a_notebook_has_its_own_bar(monkeypatch):
    """The bar is that of tqdm.auto; it learns the length of an iterable from the first epoch."""
    bars = []

    class Bar(tqdm.std.tqdm):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            bars.append((self.total, self))

        def refresh(self, *args, **options):
            totals.append(self.total)
            return super().refresh(*args, **options)

    totals = []
    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    problem = Problem()
    problem.fit(epochs=2, progress=True)
    problem.fit(epochs=3, progress=True, data=lambda: iter([(X, LABELS)] * 5))
    assert [total for total, _ in bars] == [8, None]
    assert [(bar.n, bar.total) for _, bar in bars] == [(8, 8), (15, 15)]
    assert 15 in totals


def test_history_plots(tmp_path):
    problem = Problem()
    history = problem.fit(epochs=2, validation=[X, LABELS], evaluation=problem.evaluation)
    figure = history.plot(tmp_path / "history.png")
    assert len(figure.axes) == 2
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
    assert json.dumps(history.epochs)
    assert nn.History("loss").plot() is not None


def test_a_loss_that_is_no_number_ends_the_training():
    problem = Problem(lambda loss, params: nn.sgd(loss, params, 1e30))
    with pytest.raises(nn.TrainingError, match=r"epoch 1, batch . of 4"):
        problem.fit(epochs=3)


def state_of(problem):
    """All values of the module and of the optimiser."""
    return problem.values(), [v.get_value().tolist() for v in problem.updates]


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_what_a_failed_training_leaves(backend, tmp_path):
    """All values from before the epoch; with patience the module's of the best one."""
    rate = sg.shared(np.float32(0.05))
    problem = Problem(lambda loss, params: nn.nesterov(loss, params, rate, 0.9))
    problem.fit(epochs=1, backend=backend)
    before = state_of(problem)
    rate.set_value(np.float32(1e30))
    files = {"checkpoint": tmp_path / "best", "resume": tmp_path / "all"}
    with pytest.raises(nn.TrainingError, match=r"batch . of 4; .* from before this") as raised:
        problem.fit(epochs=3, backend=backend, **files)
    assert state_of(problem) == before
    assert len(raised.value.history) == 0
    assert not list(tmp_path.iterdir())

    def schedule(step):
        # The third epoch of four batches blows up.
        return sg.where(sg.less(step, 8), 0.05, 1e30)

    patient = Problem(lambda loss, params: nn.sgd(loss, params, schedule))
    with pytest.raises(nn.TrainingError, match=r"epoch 3, .* of the best epoch") as raised:
        patient.fit(epochs=5, backend=backend, patience=9, checkpoint=tmp_path / "kept")
    assert len(raised.value.history) == 2
    kept = Problem()
    nn.load(kept.net, tmp_path / "kept")
    assert patient.values() == kept.values()


def test_an_update_that_breaks_the_values_behind_the_last_loss():
    """No loss of the epoch tells: the module would end with NaN, and without an error."""
    rate = sg.shared(np.float32(np.inf))
    problem = Problem(lambda loss, params: nn.sgd(loss, params, rate))
    before = state_of(problem)
    with pytest.raises(nn.TrainingError, match="the last update of epoch 1 made"):
        problem.fit(epochs=1, batch_size=25)
    assert state_of(problem) == before


def test_arguments_that_do_not_fit():
    problem = Problem()
    for options, text in [
        ({"data": [X]}, "2 inputs need as many arrays"),
        ({"data": [X, LABELS[:-1]]}, "x: 25, labels: 24"),
        ({"data": {"x": X}}, "labels missing"),
        ({"data": {"x": X, "labels": LABELS, "z": X}}, "z not among"),
        ({"data": [X[0], LABELS]}, "1 axes"),
        ({"data": [X[:0], LABELS[:0]]}, "at least one"),
        ({"batch_axis": 1}, "no batch axis 1"),
        ({"batch_axis": "T"}, "'T'"),
        ({"batch_axis": [0]}, "1 axes"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"monitor": "accuracy"}, "to monitor, but loss"),
        ({"metrics": {"loss": problem.loss}}, "hide the loss"),
        ({"validation": [X]}, "arrays in validation"),
    ]:
        with pytest.raises(sg.SymgraphError, match=text) as caught:
            problem.fit(**options)
        assert __file__ in str(caught.value)


# --- data sets ----------------------------------------------------------------------------------


def test_japanese_vowels():
    train, test = nn.datasets.japanese_vowels()
    assert train.x.shape == (29, 270, 12)
    assert test.x.shape == (29, 370, 12)
    assert train.mask.shape == (29, 270)
    assert set(train.labels) == set(test.labels) == set(range(9))
    np.testing.assert_array_equal(np.bincount(train.labels), [30] * 9)
    assert train.mask.sum() + test.mask.sum() == 9961
    lengths = train.mask.sum(axis=0)
    assert lengths.min() == 7
    assert (np.diff(train.mask, axis=0) <= 0).all()
    assert not train.x[train.mask == 0].any()
    assert train.x[train.mask == 1].any(axis=1).all()
    assert [a.dtype.name for a in train] == ["float32", "float32", "int64"]


def test_basic_motions_and_airline():
    train, test = nn.datasets.basic_motions()
    assert train.x.shape == test.x.shape == (100, 40, 6)
    np.testing.assert_array_equal(np.bincount(train.labels), [10] * 4)
    passengers = nn.datasets.airline()
    assert passengers.shape == (144,)
    assert passengers[0] == 112
    assert passengers[-1] == 432


def test_moby_dick_is_plain_text():
    text = nn.datasets.moby_dick()
    assert text.isascii()
    lines = text.split("\n")
    assert sum(line.startswith("CHAPTER ") for line in lines) == 36
    assert all(lines)
    assert lines[1].startswith("Call me Ishmael.")


def test_the_recording_of_an_eeg_has_a_label_for_each_sample():
    recording = nn.datasets.eeg_eye_state()
    assert recording.signal.shape == (14980, 14)
    assert recording.signal.dtype == "float32"
    assert recording.labels.shape == (14980,)
    assert set(recording.labels.tolist()) == {0, 1}
    assert recording.channels[0] == "AF3"
    assert len(recording.channels) == 14


def _write_mnist(folder, *, pack=lambda content: content, ending=""):
    """Files of three and of two pictures of 2×3 pixels, as the original's are made."""
    for part, n in (("train", 3), ("t10k", 2)):
        sizes = struct.pack(">BBBBIII", 0, 0, 8, 3, n, 2, 3)
        (folder / f"{part}-images-idx3-ubyte{ending}").write_bytes(
            pack(sizes + bytes(range(6 * n)))
        )
        (folder / f"{part}-labels-idx1-ubyte{ending}").write_bytes(
            pack(struct.pack(">BBBBI", 0, 0, 8, 1, n) + bytes(range(n)))
        )


@pytest.mark.parametrize(("pack", "ending"), [(bytes, ""), (gzip.compress, ".gz")])
def test_mnist_is_read_from_its_files(tmp_path, pack, ending):
    _write_mnist(tmp_path, pack=pack, ending=ending)
    train, test = nn.datasets.mnist(tmp_path)
    assert train.pixels.dtype == "uint8"
    np.testing.assert_array_equal(train.pixels, np.arange(18).reshape(3, 2, 3))
    np.testing.assert_array_equal(test.pixels, np.arange(12).reshape(2, 2, 3))
    assert (train.labels.dtype, train.labels.tolist()) == (np.int64, [0, 1, 2])
    assert test.labels.tolist() == [0, 1]


def test_mnist_refuses_what_is_missing_or_of_another_form(tmp_path):
    with pytest.raises(sg.SymgraphValueError, match=r"there is no .*train-images-idx3-ubyte"):
        nn.datasets.mnist(tmp_path)
    _write_mnist(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte"
    content = labels.read_bytes()
    for wrong in (content[:-1], b"", content + b"0", b"\1" + content[1:]):
        labels.write_bytes(wrong)
        with pytest.raises(sg.SymgraphValueError, match="no idx file of bytes with 1 axes"):
            nn.datasets.mnist(tmp_path)
    labels.write_bytes((tmp_path / "t10k-labels-idx1-ubyte").read_bytes())
    with pytest.raises(sg.SymgraphValueError, match="3 pictures have 2 labels"):
        nn.datasets.mnist(tmp_path)


def test_what_fit_refuses_before_it_trains():
    problem = Problem()
    net, inputs, loss, updates = problem.net, problem.inputs, problem.loss, problem.updates
    logits = net(inputs[0])

    def fit(loss=loss, inputs=inputs, data=(X, LABELS), **options):
        nn.fit(net, inputs, loss, updates, data, epochs=1, progress=False, **options)

    held = {"validation": 0.25}
    before = net.state()
    for refused, told in (
        (lambda: fit(loss=logits), "loss is a scalar expression"),
        (lambda: fit(loss=None), "loss is a scalar expression"),
        (lambda: fit(metrics={"logits": logits}), "logits is a scalar expression"),
        (lambda: fit(metrics=[loss]), "metrics is a dict of scalar expressions"),
        (lambda: fit(metrics=loss), "metrics is a dict of scalar expressions"),
        (lambda: fit(metrics={1: loss}), "a name is a text, not 1"),
        (lambda: fit(metrics={"loss": loss}), "would hide the loss"),
        (lambda: fit(metrics={"epoch": loss}), "something else under the name 'epoch'"),
        (lambda: fit(metrics={"validation_loss": loss}), "something else under the name"),
        (lambda: fit(evaluation=[loss], **held), "evaluation is a dict of scalar expressions"),
        (lambda: fit(evaluation=loss, **held), "evaluation is a dict of scalar expressions"),
        (lambda: fit(evaluation={"loss": logits}, **held), "loss is a scalar expression"),
        (lambda: fit(inputs=inputs[0]), r"inputs are a list of symbols.*not 'x'(.|\n)*\[x\]"),
        (lambda: fit(inputs=["x", "y"]), "inputs are a list of symbols"),
        (lambda: fit(inputs=dict.fromkeys("xy", loss)), "inputs are a list of symbols"),
        (lambda: fit(batch_size=True), "batch_size is a whole number of at least 1, not True"),
        (lambda: fit(patience=0), "patience is a whole number"),
        (lambda: fit(validation=np.float32(1)), "no share of"),
        (lambda: fit(data=None), "data are a list of arrays"),
        (lambda: fit(data=([[1], [1, 2]], [0, 1])), "are no array"),
        (lambda: fit(rng="a seed"), "rng is a seed"),
    ):
        with pytest.raises(sg.SymgraphError, match=told) as caught:
            refused()
        assert "test_nn_training.py:" in str(caught.value)
    for name, value in net.state().items():
        np.testing.assert_array_equal(value, before[name])


def test_masked_data_are_refused():
    x = sg.matrix("x")
    layer = nn.Dense(3, 1, rng=0)
    loss = sg.square(layer(x)).mean()
    updates = nn.sgd(loss, layer.params, 0.1)
    whole, masked = np.ones((4, 3), "float32"), np.ma.masked_greater(np.ones((4, 3), "float32"), 0)
    before = layer.state()
    for data, held_out in ((masked, whole), (whole, masked)):
        with pytest.raises(sg.SymgraphTypeError, match="would lose its mask"):
            nn.fit(layer, [x], loss, updates, [data], validation=[held_out], progress=False)
    for name, value in layer.state().items():
        np.testing.assert_array_equal(value, before[name])
