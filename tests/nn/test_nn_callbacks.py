"""What `fit` calls at the ends of batches and epochs, and what is left when it ends early."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

X = np.random.default_rng(5).normal(size=(20, 3)).astype("float32")


class Problem:
    """A small regression with dropout, and what fit wants of it."""

    def __init__(self, rate=0.05):
        self.net = nn.Sequential(
            nn.Dense(3, 6, sg.tanh, rng=0), nn.Dropout(0.4, rng=1), nn.Dense(6, 1, rng=2)
        )
        self.x = sg.tensor("x", ("B", 3))
        self.loss = sg.mean(sg.square(self.net(self.x, training=True) - 1))
        self.updates = nn.adam(self.loss, self.net.params, rate)

    def fit(self, **options):
        options = {"batch_size": 5, "rng": 0, "progress": False, "epochs": 3, **options}
        return nn.fit(self.net, [self.x], self.loss, self.updates, [X], **options)

    def values(self):
        return [v.get_value().tolist() for v in (*self.net.params, *self.updates)]


class Watch:
    """A callback that calls a function, under one of the names."""

    def __init__(self, name, function):
        setattr(self, name, function)


def test_what_callbacks_see():
    seen = []

    class Both:
        def batch_end(self, run):
            seen.append(("batch", run.epoch, run.batch, len(run.history), list(run.figures)))

        def epoch_end(self, run):
            seen.append(("epoch", run.epoch, run.batch, len(run.history), list(run.figures)))
            assert run.figures is run.history.epochs[-1]
            assert run.module is problem.net

    problem, plain = Problem(), Problem()
    norm = sg.sqrt(sum(sg.sum(g**2) for g in sg.grad(problem.loss, problem.net.params)))
    options = {"epochs": 2, "batch_size": 10, "validation": [X]}
    history = problem.fit(callbacks=[Both()], metrics={"gradient norm": norm}, **options)
    batch = ["loss", "gradient norm"]
    epoch = ["epoch", *batch, *(f"validation_{n}" for n in batch), "seconds"]
    assert seen == [
        ("batch", 0, 0, 0, batch), ("batch", 0, 1, 0, batch), ("epoch", 0, 1, 1, epoch),
        ("batch", 1, 0, 1, batch), ("batch", 1, 1, 1, batch), ("epoch", 1, 1, 2, epoch),
    ]  # fmt: skip
    assert history.ended == "epochs"
    assert all(n > 0 for n in history["gradient norm"])
    plain.fit(**options)
    assert plain.values() == problem.values()  # watching changes nothing


def test_stop_after_an_epoch_or_a_batch(tmp_path):
    history = Problem().fit(
        callbacks=[Watch("epoch_end", lambda run: run.epoch == 1 and run.stop())], epochs=9
    )
    assert (len(history), history.ended) == (2, "stop")
    problem, whole = Problem(), Problem()
    history = problem.fit(
        callbacks=[Watch("batch_end", lambda run: (run.epoch, run.batch) == (1, 2) and run.stop())],
        resume=tmp_path / "last",
    )
    assert (len(history), history.ended) == (2, "stop")
    # What has only a part of an epoch in it is not gone on from.
    history = problem.fit(resume=tmp_path / "last")
    assert (len(history), history.ended) == (3, "epochs")
    assert whole.fit()["loss"] == history["loss"]
    assert whole.values() == problem.values()


def test_patience_is_told():
    one = {"one": sg.constant(1.0)}
    history = Problem().fit(epochs=40, patience=2, metrics=one, monitor="one")
    assert (len(history), history.ended) == (3, "patience")


@pytest.mark.parametrize("name", ["batch_end", "epoch_end", "begin"])
def test_an_error_in_a_callback_ends_the_training(name, tmp_path):
    def fail(run):
        if run.epoch == 2 or name == "begin":
            raise LookupError("of my own")

    problem, whole = Problem(), Problem()
    with pytest.raises(LookupError, match="of my own"):
        problem.fit(callbacks=[Watch(name, fail)], resume=tmp_path / "last", epochs=5)
    history = problem.fit(resume=tmp_path / "last", epochs=5)
    assert whole.fit(epochs=5)["loss"] == history["loss"]
    assert whole.values() == problem.values()


def test_what_is_no_callback():
    for callbacks in (3, [3], [Watch], [Watch("end", print)], Watch("epoch_end", print)):
        with pytest.raises(sg.SymgraphTypeError, match="callback") as caught:
            Problem().fit(callbacks=callbacks)
        assert __file__ in str(caught.value)


# --- a schedule on the validation ---------------------------------------------------------------


def follow(series, first, factor, patience, least, sign=1):
    """The rate after each epoch, as PyTorch's ReduceLROnPlateau lowers it without a threshold."""
    rates, best, n_bad = [first], np.inf, 0
    for value in series:
        if sign * value < best:
            best, n_bad = sign * value, 0
        else:
            n_bad += 1
        if n_bad >= patience:
            n_bad = 0
            rates.append(max(rates[-1] * factor, least))
        else:
            rates.append(rates[-1])
    return rates[1:]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("patience", [1, 2, 3])
def test_the_rate_goes_down_where_nothing_gets_better(sign, patience):
    series = [5, 4, 4, 3, float("nan"), 6, 6, 6, 2, 2, 2, 2, 2, 1, 9, 9, 9, 9, 9, 9]
    rate = sg.shared(np.float32(1), "rate")
    lower = nn.LowerOnPlateau(
        rate, factor=0.5, patience=patience, least=0.1, monitor="figure",
        higher_is_better=sign == -1,
    )  # fmt: skip
    run, rates = nn.Run(None, nn.History("loss")), []
    for value in series:
        run.history.epochs.append({"figure": sign * value})
        lower.epoch_end(run)
        rates.append(float(rate.get_value()))
    np.testing.assert_allclose(rates, follow(series, 1, 0.5, patience, 0.1))


def test_a_lowered_rate_is_resumed_to_the_bit(tmp_path):
    def train(epochs, **options):
        rate = sg.shared(np.float32(0.3), "rate")
        problem = Problem(rate)
        lower = nn.LowerOnPlateau(rate, factor=0.5, patience=1)
        history = problem.fit(epochs=epochs, callbacks=[lower], **options)
        return problem.values(), history["loss"], float(rate.get_value())

    whole = train(8)
    assert whole[2] < 0.3
    for epochs in (3, 6, 8):
        found = train(epochs, resume=tmp_path / "last")
    assert found == whole


def test_a_second_training_begins_with_the_first_rate():
    rate = sg.shared(np.float32(0.3), "rate")
    problem, rates = Problem(rate), []
    lower = nn.LowerOnPlateau(rate, factor=0.5, patience=1)
    note = Watch("batch_end", lambda run: rates.append(float(rate.get_value())))
    for _ in range(2):
        rates.clear()
        problem.fit(epochs=8, callbacks=[lower, note])
        assert rates[0] == np.float32(0.3)
        assert rates[-1] < 0.3


def test_plateaus_that_make_no_sense():
    rate = sg.shared(np.float32(0.1), "rate")
    for make in (
        lambda: nn.LowerOnPlateau(0.1),
        lambda: nn.LowerOnPlateau(sg.shared(np.ones(2))),
        lambda: nn.LowerOnPlateau(rate, factor=1.5),
        lambda: nn.LowerOnPlateau(rate, factor=0),
        lambda: nn.LowerOnPlateau(rate, patience=0),
        lambda: nn.LowerOnPlateau(rate, least=-1),
    ):
        with pytest.raises(sg.SymgraphError, match="LowerOnPlateau") as caught:
            make()
        assert __file__ in str(caught.value)
    with pytest.raises(sg.SymgraphError, match="no 'accuracy'"):
        Problem().fit(callbacks=[nn.LowerOnPlateau(rate, monitor="accuracy")])


# --- Ctrl-C -------------------------------------------------------------------------------------


def interrupt(run=None):
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("name", ["batch_end", "epoch_end", "begin"])
def test_ctrl_c_in_a_callback_ends_the_training(name):
    problem = Problem()
    hook = Watch(name, lambda run: interrupt() if run.epoch == 2 or name == "begin" else None)
    history = problem.fit(epochs=9, callbacks=[hook])
    assert history.ended == "interrupt"
    assert len(history) == {"batch_end": 2, "epoch_end": 3, "begin": 0}[name]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("place", ["data", "batch"])
def test_ctrl_c_leaves_the_best_values(place, monkeypatch):
    """In the data, and within a batch: that one is finished first."""
    problem, values, calls = Problem(0.5), [], []

    def batches(epoch):
        for i in range(4):
            if place == "data" and (epoch, i) == (4, 2):
                interrupt()
            yield (X[5 * i : 5 * i + 5],)

    def interrupted(self, batch, *, is_first):
        calls.append("begun")
        if place == "batch" and len(calls) == 35:
            interrupt()
        figures = step(self, batch, is_first=is_first)
        calls.append("done")
        return figures

    step = nn.carried.Step.__call__
    monkeypatch.setattr(nn.carried.Step, "__call__", interrupted)
    keep = Watch("epoch_end", lambda run: values.append(problem.values()))
    history = nn.fit(
        problem.net, [problem.x], problem.loss, problem.updates, batches, epochs=9, patience=9,
        callbacks=[keep], progress=False,
    )  # fmt: skip
    assert (len(history), history.ended) == (4, "interrupt")
    assert calls[-1] == "done"
    assert len(calls) == 36
    n = len(problem.net.params)
    assert problem.values()[:n] == values[history.best_epoch - 1][:n]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_that_python_swallows_ends_the_training_all_the_same():
    class Freed:
        def __del__(self):
            interrupt()

    def free(run):
        if (run.epoch, run.batch) == (1, 0):
            Freed()

    seen = []
    hook = Watch("batch_end", lambda run: (free(run), seen.append((run.epoch, run.batch))))
    history = Problem().fit(callbacks=[hook])
    assert history.ended == "interrupt"
    assert seen[-1] == (1, 0)


def test_handlers_of_others_are_left_alone():
    def own(number, frame):
        taken.append(number)

    taken = []
    old = signal.signal(signal.SIGINT, own)
    try:
        history = Problem().fit(callbacks=[Watch("epoch_end", interrupt)])
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, old)
    assert len(taken) == len(history) == 3
    results = []
    thread = threading.Thread(target=lambda: results.append(Problem().fit()))
    thread.start()
    thread.join()
    assert len(results[0]) == 3


SCRIPT = """
    import sys
    import numpy as np, symgraph as sg, symgraph_nn as nn

    seconds, folder = sys.argv[1:]
    rng = np.random.default_rng(0)
    series = rng.normal(size=(40, 3, 2)).astype("float32")
    x, h = sg.tensor("x", ("T", "B", 2)), sg.tensor("h", ("B", 8))
    gru, drop, out = nn.GRU(2, 8, rng=0), nn.Dropout(0.3, rng=1), nn.Dense(8, 2, rng=2)
    y, last = gru(x, state=h, return_state=True)
    loss = nn.squared_error(out(drop(y, training=True)), x)
    module = [gru, drop, out]
    updates = nn.adam(loss, [*gru.params, *out.params], 0.01)

    def slow(run):
        import time
        time.sleep(float(seconds))

    class Told:
        def batch_end(self, run):
            slow(run)
        def epoch_end(self, run):
            print("epoch", run.epoch, flush=True)

    history = nn.fit(
        module, [x], loss, updates, [series], state={h: last}, reset_state="never",
        batch_axis="T", batch_size=10, epochs=12, patience=12, rng=0, progress=False,
        callbacks=[Told()], resume=folder + "/last", checkpoint=folder + "/best",
    )
    print("ended", history.ended, len(history), history["loss"][:3])
    nn.save(module, folder + "/end")
"""


def run_script(folder, *, seconds, send=None, after=0.0):
    """Run it, and send it a signal after its first epoch; what it printed."""
    code = textwrap.dedent(SCRIPT)
    command = [sys.executable, "-c", code, str(seconds), os.fspath(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = [process.stdout.readline()]
        if send is not None:
            time.sleep(after)
            process.send_signal(send)
        lines += process.stdout.readlines()
    return lines


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_killed_process_is_resumed_to_the_bit(tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.mkdir()
    part.mkdir()
    run_script(whole, seconds=0)
    for after in (0.0, 0.06):
        lines = run_script(part, seconds=0.01, send=signal.SIGKILL, after=after)
        assert not any(line.startswith("ended") for line in lines)
    nn.tensors.read_arrays(part / "last")
    lines = run_script(part, seconds=0.01, send=signal.SIGINT, after=0.02)
    assert lines[-1].startswith("ended interrupt")
    lines = run_script(part, seconds=0)
    assert lines[-1].startswith("ended epochs 12")
    for name in ("end", "best"):
        assert (part / name).read_bytes() == (whole / name).read_bytes()
