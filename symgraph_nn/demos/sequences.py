"""The demonstrations of the `symgraph` command: small trainings on real data, and pictures."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import symgraph as sg
import symgraph_nn as nn
from symgraph_nn.datasets import Sequences, basic_motions, japanese_vowels

__all__ = ["DEMOS", "Demo", "SequenceClassifier", "run_demo"]


class SequenceClassifier(nn.Module):
    """A bidirectional LSTM whose outputs, averaged over time, say what a sequence is."""

    layer: nn.Bidirectional[Any, Any]
    dropout: nn.Dropout
    readout: nn.Dense

    def __init__(self, n_in: int, n_units: int, n_classes: int, *, rng: int = 0) -> None:
        generator = np.random.default_rng(rng)
        self.layer = nn.Bidirectional(
            nn.LSTM(n_in, n_units, rng=generator), nn.LSTM(n_in, n_units, rng=generator)
        )
        self.dropout = nn.Dropout(0.4, rng=rng)
        self.readout = nn.Dense(2 * n_units, n_classes, rng=generator)

    def __call__(self, x: sg.Variable, mask: sg.Variable, *, training: bool) -> sg.Variable:
        """The logits [batch, classes] of sequences [time, batch, features]."""
        y = self.layer(x, mask=mask)
        weights = mask / mask.sum(axis=0)
        mean = (y * sg.expand_dims(weights, 2)).sum(axis=0)
        return self.readout(self.dropout(mean, training=training))


class Demo(NamedTuple):
    """A data set, and the net and training that suit it."""

    load: Callable[[], tuple[Sequences, Sequences]]
    title: str
    n_units: int
    epochs: int
    rate: float


DEMOS = {
    "vowels": Demo(
        japanese_vowels, "nine speakers told apart by how they say a Japanese vowel", 64, 60, 0.1
    ),
    "motions": Demo(
        basic_motions, "four activities told apart by a sensor at the wrist", 32, 60, 0.05
    ),
}


def run_demo(
    name: str,
    folder: Path,
    *,
    epochs: int | None = None,
    seed: int = 0,
    backend: str = "native",
) -> float:
    """Train, write plot, graph, trace and checkpoint into the folder; the test accuracy."""
    demo = DEMOS[name]
    epochs = demo.epochs if epochs is None else epochs
    train, test = _normalised(*demo.load())
    train, held_out = _hold_out(train, 6, seed)
    n_in, n_classes = train.x.shape[2], int(train.labels.max()) + 1
    print(f"{name}: {demo.title}")
    counts = [len(data.labels) for data in (train, held_out, test)]
    print("{} sequences to train on, {} to choose the best epoch, {} to test\n".format(*counts))
    x, mask = sg.tensor("x", ("T", "B", n_in)), sg.tensor("mask", ("T", "B"))
    labels = sg.tensor("labels", ("B",), "int64")
    net = SequenceClassifier(n_in, demo.n_units, n_classes, rng=seed)
    loss = nn.cross_entropy(net(x, mask, training=True), labels)
    logits = net(x, mask, training=False)
    accuracy = sg.eq(logits.argmax(axis=1), labels).astype("float32").mean()
    updates = nn.nesterov(loss, net.params, demo.rate, nn.schedules.rising_momentum(0.95, every=60))

    folder.mkdir(parents=True, exist_ok=True)
    history = nn.fit(
        net,
        [x, mask, labels],
        loss,
        updates,
        train,
        epochs=epochs,
        batch_size=30,
        batch_axis="B",
        validation=held_out,
        evaluation={"loss": nn.cross_entropy(logits, labels), "accuracy": accuracy},
        patience=epochs,
        checkpoint=folder / "checkpoint.safetensors",
        rng=seed,
        backend=backend,
    )
    print(f"\n{history.report}\n")
    step = sg.compile(
        [x, mask, labels], loss, updates=updates, name="train", backend=backend, profile=True
    )
    test_accuracy = float(sg.compile([x, mask, labels], accuracy, backend=backend)(*test))
    _write_trace(step, train, folder / "trace.json")
    _write_pictures(loss, history, folder)
    print(f"test accuracy {test_accuracy:.2f}")
    print(f"written to {folder}/: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    return test_accuracy


def _normalised(train: Sequences, test: Sequences) -> tuple[Sequences, Sequences]:
    """Both with features of mean 0 and deviation 1 in the training set; padding stays 0."""
    frames = train.x[train.mask > 0]
    mean, deviation = frames.mean(axis=0), frames.std(axis=0)

    def normalised(data: Sequences) -> Sequences:
        x = (data.x - mean) / deviation * data.mask[:, :, None]
        return data._replace(x=x.astype("float32"))

    return normalised(train), normalised(test)


def _hold_out(data: Sequences, share: int, seed: int) -> tuple[Sequences, Sequences]:
    """The data without, and only, one in ``share`` sequences."""
    order = np.random.default_rng(seed).permutation(len(data.labels))
    n_held = len(order) // share
    parts = []
    for chosen in (np.sort(order[n_held:]), np.sort(order[:n_held])):
        parts.append(Sequences(data.x[:, chosen], data.mask[:, chosen], data.labels[chosen]))
    return parts[0], parts[1]


def _write_trace(step: sg.Function, data: Sequences, path: Path) -> None:
    """Write where the time of compilation and of some training steps goes."""
    for start in range(0, 90, 30):
        rows = slice(start, start + 30)
        if len(data.labels[rows]):
            step(data.x[:, rows], data.mask[:, rows], data.labels[rows])
    sg.write_trace(path, step)


def _write_pictures(loss: sg.Variable, history: nn.History, folder: Path) -> None:
    """Draw the graph, and the training where Matplotlib is installed."""
    sg.to_dot(loss).save(folder / "graph.dot")
    if importlib.util.find_spec("matplotlib"):
        history.plot(folder / "training.png")
    _draw(folder / "graph.dot")


def _draw(dot: Path) -> None:
    """Write the picture of a graph beside its text, where Graphviz is installed."""
    if shutil.which("dot") is None:
        return
    target = dot.with_suffix(".svg")
    command = ["dot", "-Tsvg", "-o", str(target), str(dot)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:  # Graphviz may be there without the part that writes SVG
        said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        print(f"no {target.name}: dot says {said[0]}")
