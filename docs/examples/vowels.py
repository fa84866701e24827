"""Nine speakers told apart by how they say a Japanese vowel: a bidirectional LSTM with masks.

``symgraph demo vowels`` runs this. 640 utterances of 7 to 29 frames, padded to one length: the mask
says which frames count. Data: UCI "Japanese Vowels", Kudo, Toyama and Shimbo 1999, CC BY 4.0.
"""

from __future__ import annotations

import numpy as np

import symgraph as sg
import symgraph_nn as nn
from symgraph_nn.datasets import Sequences, japanese_vowels
from symgraph_nn.demo import Demo, draw_confusion


class Speaker(nn.Module):
    """A bidirectional LSTM whose outputs, averaged over time, say who speaks."""

    def __init__(self, n_in: int, n_units: int, n_speakers: int, *, rng: int) -> None:
        draws = np.random.default_rng(rng)
        self.layer = nn.Bidirectional(
            nn.LSTM(n_in, n_units, rng=draws), nn.LSTM(n_in, n_units, rng=draws)
        )
        self.mean = nn.GlobalAveragePool(time_major=True)
        self.dropout = nn.Dropout(0.4, rng=rng)
        self.readout = nn.Dense(2 * n_units, n_speakers, rng=draws)

    def __call__(self, x: sg.Variable, mask: sg.Variable, *, training: bool) -> sg.Variable:
        """The logits [batch, speakers] of utterances [time, batch, features]."""
        mean = self.mean(self.layer(x, mask=mask), mask=mask)
        return self.readout(self.dropout(mean, training=training))


def normalised(train: Sequences, test: Sequences) -> tuple[Sequences, Sequences]:
    """Both with features of mean 0 and deviation 1 in the training set; padding stays 0."""
    frames = train.x[train.mask > 0]
    mean, deviation = frames.mean(axis=0), frames.std(axis=0)
    parts = []
    for data in (train, test):
        x = (data.x - mean) / deviation * data.mask[:, :, None]
        parts.append(data._replace(x=x.astype("float32")))
    return parts[0], parts[1]


def split(data: Sequences, share: int, seed: int) -> tuple[Sequences, Sequences]:
    """The data without, and only, one in ``share`` utterances."""
    order = np.random.default_rng(seed).permutation(len(data.labels))
    n = len(order) // share
    chosen = (np.sort(order[n:]), np.sort(order[:n]))
    first, second = (Sequences(data.x[:, c], data.mask[:, c], data.labels[c]) for c in chosen)
    return first, second


def main(demo: Demo) -> None:
    train, test = normalised(*japanese_vowels())
    train, held_out = split(train, 6, demo.seed)
    print("vowels: nine speakers told apart by how they say a Japanese vowel")
    print(f"{len(train.labels)} utterances to train on, {len(held_out.labels)} to choose the best "
          f"epoch, {len(test.labels)} to test\n")  # fmt: skip

    x, mask = sg.tensor("x", ("T", "B", 12)), sg.tensor("mask", ("T", "B"))
    speaker = sg.tensor("speaker", ("B",), "int64")
    net = Speaker(12, 64, 9, rng=demo.seed)
    loss = nn.cross_entropy(net(x, mask, training=True), speaker)
    logits = net(x, mask, training=False)
    momentum = nn.schedules.rising_momentum(0.95, every=60)
    updates = nn.nesterov(loss, net.params, 0.1, momentum)
    epochs = demo.epochs(60)
    history = nn.fit(
        net,
        [x, mask, speaker],
        loss,
        updates,
        train,
        epochs=epochs,
        batch_size=30,
        batch_axis="B",
        validation=held_out,
        evaluation={
            "loss": nn.cross_entropy(logits, speaker),
            "accuracy": nn.accuracy(logits, speaker),
        },
        patience=epochs,
        checkpoint=demo.path("checkpoint.safetensors"),
        rng=demo.seed,
        backend=demo.backend,
    )

    batch = [train.x[:, :30], train.mask[:, :30], train.labels[:30]]
    demo.show(net, history, [x, mask, speaker], loss, updates, batch)
    guesses = sg.compile([x, mask], logits, backend=demo.backend)(test.x, test.mask).argmax(axis=1)
    confusion = np.zeros((9, 9), int)
    np.add.at(confusion, (test.labels, guesses), 1)
    print("who spoke (rows) and who was heard (columns):")
    print(confusion)

    def draw(figure) -> None:
        axes = figure.add_subplot(title="who was heard", xlabel="heard", ylabel="spoke")
        draw_confusion(axes, confusion, range(1, 10))

    demo.show_plot("confusion.png", draw, figsize=(4.5, 4))
    demo.result("test accuracy", float((guesses == test.labels).mean()))
