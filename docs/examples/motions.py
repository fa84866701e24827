"""Four activities told apart by a sensor at the wrist: convolutions, then an LSTM or a GRU.

``symgraph demo motions`` runs this. 40 recordings to train on and 40 to test, of 100 steps and 6
channels (accelerometer, gyroscope). Which cell and which scaling is chosen by cross-validation,
whose folds run side by side in processes of their own. Data: UEA/UCR archive, "BasicMotions".
"""

from __future__ import annotations

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score
from sklearn.model_selection import StratifiedKFold

import symgraph as sg
import symgraph_nn as nn
from symgraph_nn.datasets import basic_motions
from symgraph_nn.demo import Demo

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
        step = sg.compile(
            [signal, activity], loss, updates=updates, name=f"train {cell}",
            backend=demo.backend, profile=True,
        )  # fmt: skip
        demo.show_training(history, f"training-{cell}.png")
        demo.show_graph(loss)
        demo.keep(net)
        demo.show_trace(step, [[x[:, :8], labels[:8]]])
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
    jobs = [joblib.delayed(fold)(demo, *setting, part) for setting in settings for part in rows]
    folds = np.reshape(joblib.Parallel(n_jobs=-1)(jobs), (len(settings), n_folds, 2))
    print(f"cross-validation: accuracy in each of {n_folds} folds, their mean, and the mean loss")
    for (cell, scaling), of_setting in zip(settings, folds, strict=True):
        accuracies, losses = of_setting.T
        shown = " ".join(f"{accuracy:.2f}" for accuracy in accuracies)
        print(f"{cell:<5}{scaling:<9}{shown}   {accuracies.mean():.3f}  {losses.mean():.3f}")
    best = settings[int(folds[..., 1].mean(axis=1).argmin())]
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
    demo.show_plot(
        "motions.png", lambda figure: draw(figure, settings, folds, confusions), figsize=(10, 3.6)
    )
    demo.result("test accuracy", float(np.trace(confusions[best[0]])) / len(test.labels))


def flat(x: np.ndarray) -> np.ndarray:
    """[batch, time · features]."""
    return np.swapaxes(x, 0, 1).reshape(x.shape[1], -1)


def draw(figure, settings, folds: np.ndarray, confusions: dict[str, np.ndarray]) -> None:
    """The folds of the cross-validation, and the confusion matrices of the test."""
    left, *others = figure.subplots(1, 1 + len(confusions), width_ratios=[1.3, 1, 1])
    for at, losses in enumerate(folds[..., 1]):
        spread = np.linspace(-0.15, 0.15, len(losses))
        left.plot(at + spread, losses, "o", color="tab:blue", alpha=0.6)
        left.plot([at - 0.3, at + 0.3], [losses.mean()] * 2, color="tab:red")
    left.set(title="loss held out: folds (dots), mean (lines)", ylabel="cross-entropy")
    left.set_yscale("log")
    left.set_xticks(range(len(settings)), [f"{cell}\n{scaling}" for cell, scaling in settings])
    for axes, (cell, confusion) in zip(others, sorted(confusions.items()), strict=True):
        axes.imshow(confusion, cmap="Blues", vmin=0)
        for (row, column), count in np.ndenumerate(confusion):
            colour = "white" if count > confusion.max() / 2 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
        axes.set(title=f"test, {cell}", xlabel="what the net says", ylabel="what was done")
        axes.set_xticks(range(4), NAMES, rotation=30)
        axes.set_yticks(range(4), NAMES)
