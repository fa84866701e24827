"""Handwritten digits read row by row by an LSTM: a trace of its time, and a page to draw digits in.

``symgraph demo digits`` runs this. A picture is a sequence: its rows are the steps, the pixels of a
row the features. Data: scikit-learn's digits (8×8 pixels; UCI "Optical Recognition of Handwritten
Digits", Alpaydin and Kaynak 1998, CC BY 4.0), every fifth one held out to test on. With
``--data FOLDER``, MNIST (28×28; LeCun, Cortes and Burges 1998), from its four idx files there.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import symgraph as sg
import symgraph_nn as nn
from symgraph_nn.datasets import mnist
from symgraph_nn.demo import Demo

BATCH = 32
Digits = tuple[np.ndarray, np.ndarray]  # rows [time, batch, columns] from 0 to 1, and the labels


class Reader(nn.Module):
    """An LSTM that says after each row which digit this might be."""

    def __init__(self, n_columns: int, n_units: int, *, rng: int) -> None:
        self.noise = sg.random.Stream(rng)
        self.layer = nn.LSTM(n_columns, n_units, rng=rng)
        self.dropout = nn.Dropout(0.3, rng=rng)
        self.readout = nn.Dense(n_units, 10, rng=rng)

    def __call__(self, rows: sg.Variable, *, training: bool) -> sg.Variable:
        """Logits [time, batch, 10] of rows [time, batch, columns]."""
        if training:
            rows = rows + 0.3 * self.noise.normal(rows.shape)  # so it cannot learn them by heart
        return self.readout(self.dropout(self.layer(rows), training=training))


def load(demo: Demo) -> tuple[Digits, Digits]:
    """Digits to train on, and to test on."""
    if demo.data is not None:
        (pixels, labels), (others, theirs) = mnist(demo.data)
        return as_rows(pixels / np.float32(255), labels), as_rows(others / np.float32(255), theirs)
    digits = load_digits()
    pixels, labels = digits.images.astype("float32") / 16, digits.target.astype("int64")
    tested = np.arange(len(labels)) % 5 == 0
    return as_rows(pixels[~tested], labels[~tested]), as_rows(pixels[tested], labels[tested])


def as_rows(pixels: np.ndarray, labels: np.ndarray) -> Digits:
    """Pictures [batch, rows, columns] as sequences."""
    return np.ascontiguousarray(pixels.transpose(1, 0, 2)), labels


def fit(net: nn.Module, inputs: list[sg.Variable], loss: sg.Variable, logits: sg.Variable,
        data: Digits, demo: Demo, epochs: int) -> nn.History:  # fmt: skip
    """Train the net, and keep it as it was when the loss of a held-out tenth was least."""
    digit, gradients = inputs[1], nn.clip_norm(sg.grad(loss, net.params), 1.0)
    rate = nn.schedules.cosine(0.005, epochs * (len(data[1]) // BATCH))
    figures = {"loss": nn.cross_entropy(logits, digit), "accuracy": nn.accuracy(logits, digit)}
    return nn.fit(
        net, inputs, loss, nn.adam(gradients, net.params, rate), list(data), epochs=epochs,
        batch_size=BATCH, batch_axis="B", validation=0.1, evaluation=figures, patience=epochs,
        rng=demo.seed, backend=demo.backend,
    )  # fmt: skip


def main(demo: Demo) -> None:
    train, (rows, labels) = load(demo)
    n_rows, _, n_columns = rows.shape
    print(f"digits: {len(train[1])} handwritten digits of {n_rows} rows to learn from, "
          f"{len(labels)} to test")  # fmt: skip
    x, digit = sg.tensor("x", (n_rows, "B", n_columns)), sg.tensor("digit", ("B",), "int64")

    print("\nthe plain baseline: one dense layer that sees all pixels at once")
    plain = nn.Dense(n_rows * n_columns, 10, rng=demo.seed)
    guess = plain(x.transpose((1, 0, 2)).reshape((x.shape[1], n_rows * n_columns)))
    epochs = demo.epochs(20 if demo.data is None else 5)
    fit(plain, [x, digit], nn.cross_entropy(guess, digit), guess, train, demo, epochs)
    see = sg.compile([x], guess, name="see", backend=demo.backend)
    baseline = (see(rows).argmax(axis=1) == labels).mean()

    print("\nthe LSTM, which sees one row after the other")
    net = Reader(n_columns, 128, rng=demo.seed)
    loss, logits = nn.cross_entropy(net(x, training=True)[-1], digit), net(x, training=False)
    epochs = demo.epochs(40 if demo.data is None else 8)
    history = fit(net, [x, digit], loss, logits[-1], train, demo, epochs)
    demo.show_training(history)
    demo.show_graph(loss)
    demo.keep(net)

    read = sg.compile([x], logits, name="read", backend=demo.backend)
    guesses = nn.predict(read, [rows], batch_size=500, batch_axis="B").argmax(axis=2)
    by_row = (guesses == labels).mean(axis=1)
    demo.show_plot("digits.png", lambda figure: draw(figure, rows, labels, guesses, baseline),
                   figsize=(7, 3))  # fmt: skip

    # For a browser: digits.html in the folder, to draw in.
    reader = sg.compile([x], sg.softmax(logits[-1]), name="digits", backend=demo.backend)
    sg.export_native(reader, demo.path("page"), name="digits", target="wasm32")

    step = sg.compile([x, digit], loss, updates=nn.adam(loss, net.params), name="train",
                      backend=demo.backend, profile=True)  # fmt: skip
    demo.show_trace(step, [[train[0][:, :BATCH], train[1][:BATCH]]] * 5)
    print("where the quickest of five training steps in trace.json spends its microseconds:")
    for what, microseconds in time_by_kind(demo.path("trace.json")).most_common(8):
        print(f"{microseconds:8.0f}  {what}")
    print(f"\ntest accuracy of the plain baseline {baseline:.3f}")
    demo.result("test accuracy", by_row[-1], digits=3)


def time_by_kind(trace: Path) -> Counter[str]:
    """The microseconds of the quickest call, by kinds of operations and the loops around them."""
    calls, around = [], []
    for event in json.loads(trace.read_text())["traceEvents"]:
        if event["name"].startswith("call "):
            calls.append(Counter[str]())
        elif event["ph"] == "B":  # bars nest: what began last ends first
            around.append(event)
        elif event["ph"] == "E":
            bar = around.pop()
            if bar["cat"] not in ("loop", "step"):
                where = f"in {around[0]['name']}" if around else "outside the loops"
                calls[-1][f"{bar['cat']} {where}"] += event["ts"] - bar["ts"]
    return min(calls, key=Counter.total)


def draw(figure, rows: np.ndarray, labels: np.ndarray, guesses: np.ndarray, baseline: float):
    """How often it is right after so many rows, and what it got wrong in the end."""
    left, right = figure.subfigures(1, 2, width_ratios=(3, 4))
    axes = left.add_subplot(xlabel="rows read", ylabel="share of test digits right", ylim=(0, 1.02))
    axes.axhline(baseline, linestyle=":", color="grey", label="dense layer, all pixels")
    axes.plot(range(1, len(rows) + 1), (guesses == labels).mean(axis=1), ".-", label="LSTM")
    axes.legend(fontsize=8, loc="center left")
    wrong = np.flatnonzero(guesses[-1] != labels)
    right.suptitle(f"{len(wrong)} of {len(labels)} read wrong: as what (what it is)", fontsize=10)
    for place, i in enumerate(wrong[:12]):
        axes = right.add_subplot(min(3, -(-len(wrong) // 4)), 4, place + 1)
        axes.imshow(rows[:, i], cmap="Greys", vmin=0, vmax=1)
        axes.set_title(f"{guesses[-1, i]} ({labels[i]})", fontsize=9)
        axes.axis("off")
