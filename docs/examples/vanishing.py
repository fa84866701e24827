"""How far back a loss is felt: the norm of ∂loss/∂h_t over t, for an RNN, a GRU and an LSTM.

``symgraph demo vanishing`` runs this. Each net reads 100 steps of a sensor at the wrist, and says
after the last one, from its last output alone, what its wearer did. What the loss's gradient by the
state at step t amounts to is what can be learned from step t. `sg.grad(loss, outputs)` gives it for
all steps at once. Data: UEA/UCR archive, "BasicMotions", 80 recordings, 40 of them to test.
"""

from __future__ import annotations

import numpy as np

import symgraph as sg
import symgraph_nn as nn
from symgraph_nn.datasets import basic_motions
from symgraph_nn.demo import Demo

N_IN, N_UNITS, N_CLASSES = 6, 32, 4


class LastOutput(nn.Module):
    """The logits of a recording, from a layer's last output."""

    def __init__(self, layer: nn.Recurrent, *, rng: int) -> None:
        self.layer = layer
        self.readout = nn.Dense(N_UNITS, N_CLASSES, rng=rng)

    def __call__(self, x: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
        """The logits [batch, classes] and the outputs h [time, batch, units]."""
        h = self.layer(x)
        return self.readout(h[-1]), h


def main(demo: Demo) -> None:
    train, test = basic_motions()
    mean, deviation = train.x.mean(axis=(0, 1)), train.x.std(axis=(0, 1))
    train, test = (data._replace(x=(data.x - mean) / deviation) for data in (train, test))
    layers = {
        "RNN": nn.RNN(N_IN, N_UNITS, rng=demo.seed),
        "GRU": nn.GRU(N_IN, N_UNITS, rng=demo.seed),
        "LSTM": nn.LSTM(N_IN, N_UNITS, rng=demo.seed),
    }
    x, activity = sg.tensor("x", ("T", "B", N_IN)), sg.tensor("activity", ("B",), "int64")
    curves, orders, sizes, rows = {}, {}, {}, []
    for name, layer in layers.items():
        net = LastOutput(layer, rng=demo.seed)
        logits, h = net(x)
        loss = nn.cross_entropy(logits, activity)
        by_state = sg.grad(loss, h)  # [time, batch, units]
        norm = sg.sqrt((by_state**2).sum(axis=(1, 2)))
        norms = sg.compile([x, activity], norm, name="norms", backend=demo.backend)
        before = norms(train.x, train.labels)

        updates = nn.adam(nn.clip_norm(sg.grad(loss, net.params), 1.0), net.params, 0.003)
        sizes[name] = n_params = sum(p.get_value().size for p in net.params)
        print(f"vanishing: {name}, {n_params} numbers to train")
        history = nn.fit(
            net, [x, activity], loss, updates, [train.x, train.labels], epochs=demo.epochs(60),
            batch_size=10, batch_axis="B", rng=demo.seed, backend=demo.backend,
        )  # fmt: skip
        curves[name] = before, norms(train.x, train.labels)
        orders[name], trained = (float(np.log10(c[-1] / c[0])) for c in curves[name])
        guesses = sg.compile([x], logits, backend=demo.backend)(test.x).argmax(axis=1)
        accuracy = np.mean(guesses == test.labels)
        rows.append(f"{name:4} {n_params:9} {orders[name]:17.1f} {trained:10.1f} {accuracy:14.3f}")
        if name == "LSTM":
            batch = [train.x[:, :10], train.labels[:10]]
            demo.show(net, history, [x, activity], loss, updates, batch)

    print("orders of magnitude by which the gradient at the first step is below that at the last:")
    print("       numbers   before training   after it  test accuracy", *rows, sep="\n")
    demo.show_plot("vanishing.png", lambda figure: draw(figure, curves, sizes), figsize=(8, 3.4))
    print("before training, where nothing hangs on rounding yet:")
    demo.result("orders lost by rnn", orders["RNN"])


def draw(figure, curves: dict, sizes: dict[str, int]) -> None:
    """The norms over time, before and after the training."""
    panels = figure.subplots(1, 2, sharey=True)
    for axes, title, when in zip(panels, ("before training", "after it"), (0, 1), strict=True):
        for norms in curves.values():
            axes.semilogy(np.arange(1, len(norms[when]) + 1), norms[when])
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("step t (the loss is read off the last one)")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("norm of ∂loss/∂h_t")
    labels = [f"{name}, {sizes[name]} numbers" for name in curves]
    panels[0].legend(panels[0].get_lines(), labels, fontsize=9)
