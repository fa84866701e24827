"""Four activities told apart by a sensor at the wrist: a bidirectional LSTM.

``symgraph demo motions`` runs this. 80 recordings of 100 steps and 6 channels. Data: UEA/UCR
archive, "BasicMotions".
"""

from __future__ import annotations

import numpy as np

import symgraph as sg
import symgraph_nn as nn
from symgraph_nn.datasets import basic_motions
from symgraph_nn.demo import Demo


def main(demo: Demo) -> None:
    train, test = basic_motions()
    mean, deviation = train.x.mean(axis=(0, 1)), train.x.std(axis=(0, 1))
    train, test = (data._replace(x=(data.x - mean) / deviation) for data in (train, test))
    x, activity = sg.tensor("x", ("T", "B", 6)), sg.tensor("activity", ("B",), "int64")
    net = nn.Sequential(
        nn.Bidirectional(nn.LSTM(6, 32, rng=demo.seed), nn.LSTM(6, 32, rng=demo.seed + 1)),
        nn.GlobalAveragePool(time_major=True),
        nn.Dropout(0.4, rng=demo.seed),
        nn.Dense(64, 4, rng=demo.seed),
    )
    loss = nn.cross_entropy(net(x, training=True), activity)
    updates = nn.nesterov(loss, net.params, 0.05, 0.9)
    history = nn.fit(
        net, [x, activity], loss, updates, [train.x, train.labels], epochs=demo.epochs(60),
        batch_size=10, batch_axis="B", rng=demo.seed, backend=demo.backend,
    )  # fmt: skip
    demo.show_training(history)
    demo.show_graph(loss)
    demo.keep(net)
    step = sg.compile([x, activity], loss, updates=updates, name="train", profile=True)
    demo.show_trace(step, [[train.x[:, :10], train.labels[:10]]])
    guesses = sg.compile([x], net(x), backend=demo.backend)(test.x).argmax(axis=1)
    demo.result("test accuracy", float(np.mean(guesses == test.labels)))
