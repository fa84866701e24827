"""Four activities told apart by a sensor at the wrist: convolutions, then an LSTM or a GRU.

``symgraph demo motions`` runs this. 40 recordings to train on and 40 to test, of 100 steps and 6
channels (accelerometer, gyroscope). Which cell and which scaling is chosen by cross-validation,
whose folds run side by side in processes of their own. Data: UEA/UCR archive, "BasicMotions".
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score
from sklearn.model_selection import StratifiedKFold

import symgraph as sg
import symgraph_nn as nn
from symgraph_nn.datasets import basic_motions
from symgraph_nn.demo import Demo, draw_confusion

NAMES = ["badminton", "running", "standing", "walking"]
CELLS = {"LSTM": nn.LSTM, "GRU": nn.GRU}


def z_scores(train: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of mean 0 and deviation 1 in each channel of the training set."""
    return (other - train.mean(axis=(0, 1))) / train.std(axis=(0, 1))


def min_max(train: np.ndarray, other: np.ndarray) -> np.ndarray:
    """From −1 to 1 in each channel of the training set."""
    low, high = train.min(axis=(0, 1)), train.max(axis=(0, 1))
    return 2 * (other - low) / (high - low) - 1


SCALINGS = {"z-scores": z_scores, "min-max": min_max}


class Activity(nn.Sequential):
    """Two convolutions over time, each halving it, and a recurrent layer averaged over time."""

    def __init__(self, cell: str, *, rng: int) -> None:
        draws, recurrent = np.random.default_rng(rng), CELLS[cell]
        super().__init__(
            nn.Conv1D(6, 16, 5, sg.relu, padding="same", time_major=True, rng=draws),
            nn.MaxPool1D(2, time_major=True),
            nn.Conv1D(16, 32, 5, sg.relu, padding="same", time_major=True, rng=draws),
            nn.MaxPool1D(2, time_major=True),
            nn.Dropout(0.3, rng=rng),
            recurrent(32, 32, rng=draws),
            nn.GlobalAveragePool(time_major=True),
            nn.Dropout(0.3, rng=rng + 1),
            nn.Dense(32, 4, rng=draws),
        )


def trained(
    demo: Demo, cell: str, x: np.ndarray, labels: np.ndarray, *, shown: bool = True
) -> sg.Function:
    """A function from recordings to log-probabilities [batch, activities]; it has seen these."""
    signal, activity = sg.tensor("signal", ("T", "B", 6)), sg.tensor("activity", ("B",), "int64")
    net = Activity(cell, rng=demo.seed)
    loss = nn.cross_entropy(net(signal, training=True), activity)
    updates = nn.adam(loss, net.params, 0.005)
    history = nn.fit(
        net, [signal, activity], loss, updates, [x, labels], epochs=demo.epochs(60),
        batch_size=8, batch_axis="B", rng=demo.seed, progress=shown, backend=demo.backend,
    )  # fmt: skip
    if shown:
        batch = [x[:, :8], labels[:8]]
        demo.show(net, history, [signal, activity], loss, updates, batch, f"training-{cell}")
    return sg.compile([signal], sg.log_softmax(net(signal)), backend=demo.backend)


def fold(
    demo: Demo, cell: str, scaling: str, rows: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float]:
    """Accuracy and loss on the rows that are held out; runs in a process of its own."""
    train, _ = basic_motions()
    x, held_out = (train.x[:, part] for part in rows)
    scaled = SCALINGS[scaling]
    tell = trained(demo, cell, scaled(x, x), train.labels[rows[0]], shown=False)
    logits, labels = tell(scaled(x, held_out)), train.labels[rows[1]]
    loss = -logits[np.arange(len(labels)), labels].mean()
    return float((logits.argmax(axis=1) == labels).mean()), float(loss)


def main(demo: Demo) -> None:
    train, test = basic_motions()
    print("motions: four activities told apart by a sensor at the wrist")
    print(f"{len(train.labels)} recordings to train on, {len(test.labels)} to test\n")

    n_folds = 2 if demo.quick else 5
    parts = StratifiedKFold(n_folds, shuffle=True, random_state=demo.seed)
    rows = list(parts.split(train.labels, train.labels))
    settings = [(cell, scaling) for cell in CELLS for scaling in SCALINGS]
    means = demo.cross_validate(fold, settings, rows, ["accuracy", "loss"])
    best = settings[int(means[:, 1].argmin())]
    print(f"least loss: {best[0]} with {best[1]}; now both cells on all recordings\n")

    # The chosen cell comes last, so that the files written are its.
    confusions = {}
    for cell in sorted(CELLS, key=lambda cell: cell == best[0]):
        scaled = SCALINGS[best[1]]
        tell = trained(demo, cell, scaled(train.x, train.x), train.labels)
        guesses = tell(scaled(train.x, test.x)).argmax(axis=1)
        scores = {
            "accuracy": accuracy_score(test.labels, guesses),
            "F1": f1_score(test.labels, guesses, average="macro"),
            "recall": recall_score(test.labels, guesses, average=None),
        }
        print(f"{cell}: " + ", ".join(f"{name} {np.round(s, 2)}" for name, s in scores.items()))
        confusions[cell] = confusion_matrix(test.labels, guesses)
        print(f"{confusions[cell]}\n")
    plain = LogisticRegression(max_iter=1000)
    plain.fit(flat(z_scores(train.x, train.x)), train.labels)
    baseline = plain.score(flat(z_scores(train.x, test.x)), test.labels)
    print(f"baseline, logistic regression on the 600 numbers of a recording: {baseline:.2f}")
    demo.show_plot("motions.png", lambda figure: draw(figure, settings, means, confusions),
                   figsize=(10, 3.6))  # fmt: skip
    demo.result("test accuracy", float(np.trace(confusions[best[0]])) / len(test.labels))


def flat(x: np.ndarray) -> np.ndarray:
    """[batch, time · features]."""
    return np.swapaxes(x, 0, 1).reshape(x.shape[1], -1)


def draw(figure, settings, means: np.ndarray, confusions: dict[str, np.ndarray]) -> None:
    """The loss of each setting in the cross-validation, and the confusions of the test."""
    ratios = [1.3] + [1.0] * len(confusions)
    left, *others = figure.subplots(1, len(ratios), width_ratios=ratios)
    bars = left.bar([f"{cell}\n{scaling}" for cell, scaling in settings], means[:, 1])
    left.bar_label(bars, fmt="%.3f", fontsize=8)
    left.set(title="cross-validation, mean loss", ylabel="cross-entropy")
    for axes, (cell, confusion) in zip(others, sorted(confusions.items()), strict=True):
        draw_confusion(axes, confusion, NAMES)
        axes.set(title=f"test, {cell}", xlabel="what the net says", ylabel="what was done")
        axes.tick_params(axis="x", rotation=30)
