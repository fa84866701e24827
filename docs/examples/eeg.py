"""Eyes open or closed, told from 14 channels of EEG: a filter bank, then an LSTM or a GRU.

``symgraph demo eeg`` runs this. One recording of 117 seconds: the nets learn from its first 70
percent and are tested on the rest, as one would use them. Filter and cell are chosen by
cross-validation within the first part, whose folds run side by side in processes. Data: UCI "EEG
Eye State", Rösler 2013; public domain (PDDL). Needs the extras plot and sklearn.
"""

from __future__ import annotations

import numpy as np
from scipy import signal as filters
from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

import symgraph as sg
import symgraph_nn as nn
from symgraph_nn.datasets import eeg_eye_state
from symgraph_nn.demo import Demo

RATE, WINDOW, HOP = 128, 128, 8  # samples a second, in a window, from one window to the next
BANDS = {"0.5-45 Hz": (0.5, 45), "8-13 Hz": (8, 13), "20-45 Hz": (20, 45)}
CELLS = {"LSTM": nn.LSTM, "GRU": nn.GRU}


class EyeState(nn.Module):
    """Filters of the net's own, the logarithm of their power eight times a second, a cell."""

    def __init__(self, cell: str, *, rng: int) -> None:
        draws = np.random.default_rng(rng)
        self.filters = nn.Conv1D(14, 16, 17, time_major=True, rng=draws)
        self.mean = nn.AveragePool1D(16, time_major=True)
        self.cell = CELLS[cell](16, 16, rng=draws)
        self.drop_power, self.drop_states = (nn.Dropout(0.5, rng=rng + i) for i in range(2))
        self.readout = nn.Dense(16, 2, rng=draws)

    def __call__(self, windows: sg.Variable, *, training: bool = False) -> sg.Variable:
        """The logits [batch, 2] of windows [time, batch, channels]."""
        power = sg.log(self.mean(sg.square(self.filters(windows))) + 1e-3)
        h = self.cell(self.drop_power(power, training=training))
        return self.readout(self.drop_states(sg.mean(h, axis=0), training=training))


def recording(band: tuple[float, float] | None) -> tuple[np.ndarray, np.ndarray]:
    """The signal, cleaned and filtered, and the labels; no sample knows of later ones."""
    signal, closed, _ = eeg_eye_state()
    signal = signal - signal[0]
    for i in np.flatnonzero((abs(signal) > 500).any(axis=1)):
        signal[i] = signal[i - 1]  # four samples at which the device failed
    if band is not None:
        bank = filters.butter(3, band, "bandpass", fs=RATE, output="sos")
        signal = filters.sosfilt(bank, signal, axis=0)  # sosfiltfilt would look ahead
    return signal.astype("float32"), closed


def windows(signal, closed, *pieces: slice) -> tuple[np.ndarray, np.ndarray]:
    """Windows [time, batch, channels] that lie within a piece, and the labels of their ends."""
    ends = [np.arange(piece.start + WINDOW - 1, piece.stop, HOP) for piece in pieces]
    last = np.concatenate(ends)
    return signal[last + np.arange(1 - WINDOW, 1)[:, None]], closed[last]


def z_scores(train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """All of mean 0 and deviation 1 in each channel of the training windows."""
    mean, deviation = train.mean(axis=(0, 1)), train.std(axis=(0, 1))
    return [(x - mean) / deviation for x in (train, *others)]


def trained(demo: Demo, cell: str, x, labels, *, shown: bool = False) -> sg.Function:
    """A function from windows to the probability that the eyes are closed; it has seen these."""
    signal, closed = sg.tensor("signal", ("T", "B", 14)), sg.tensor("closed", ("B",), "int64")
    net = EyeState(cell, rng=demo.seed)
    loss = nn.cross_entropy(net(signal, training=True), closed)
    epochs = demo.epochs(20, quick=1)
    rate = nn.schedules.cosine(0.01, steps=epochs * (len(labels) // 32 + 1))
    updates = nn.adam(loss, net.params, rate)
    history = nn.fit(
        net, [signal, closed], loss, updates, [x, labels], epochs=epochs, batch_size=32,
        batch_axis="B", rng=demo.seed, progress=shown, backend=demo.backend,
    )  # fmt: skip
    if shown:
        batch = [x[:, :32], labels[:32]]
        demo.show(net, history, [signal, closed], loss, updates, batch, f"training-{cell}")
    return sg.compile([signal], sg.softmax(net(signal))[:, 1], backend=demo.backend)


def fold(demo: Demo, cell: str, band: str, part: list[np.ndarray]) -> list[float]:
    """The area under the curve on a stretch held out; runs in a process of its own."""
    filtered, (rest, held) = recording(BANDS[band]), part
    stretch, end = slice(held[0], held[-1] + 1), len(rest) + len(held)
    x, labels = windows(*filtered, slice(0, stretch.start), slice(stretch.stop, end))
    other, truth = windows(*filtered, stretch)
    x, other = z_scores(x, other)
    return [float(metrics.roc_auc_score(truth, trained(demo, cell, x, labels)(other)))]


def scores(name: str, truth: np.ndarray, closed: np.ndarray) -> float:
    """The area under the curve; prints it among other scores of these probabilities."""
    guesses, area = closed > 0.5, float(metrics.roc_auc_score(truth, closed))
    f1 = metrics.f1_score(truth, guesses, average="macro")
    figures = metrics.accuracy_score(truth, guesses), f1, metrics.recall_score(truth, guesses), area
    print(f"{name:<32}" + "".join(f"{figure:8.2f}" for figure in figures))
    return area


def main(demo: Demo) -> None:
    raw, truth = recording(None)
    n_train = int(0.7 * len(truth))
    print("eeg: eyes open or closed, from 14 channels of one recording")
    print(f"{n_train / RATE:.0f} s to train on, the {len(raw[n_train:]) / RATE:.0f} s after them "
          f"to test; eyes closed {truth[:n_train].mean():.0%} and {truth[n_train:].mean():.0%} "
          "of the time\n")  # fmt: skip

    parts = list(KFold(2 if demo.quick else 5).split(raw[:n_train]))  # stretches, not shuffled
    bands = ["20-45 Hz"] if demo.quick else list(BANDS)
    settings = [(cell, band) for band in bands for cell in CELLS]
    areas = demo.cross_validate(fold, settings, parts, ["area under the curve"])
    best, band = settings[int(areas[:, 0].argmax())]
    print(f"best: {best}, {band}\n")

    pieces = slice(0, n_train), slice(n_train, len(raw))
    signal, _ = recording(BANDS[band])
    (x, labels), (later, later_truth) = (windows(signal, truth, piece) for piece in pieces)
    x, later = z_scores(x, later)
    # The chosen cell comes last, so that the files written are its.
    order = sorted(CELLS, key=lambda cell: cell == best)
    told = {cell: trained(demo, cell, x, labels, shown=True)(later) for cell in order}
    first, last = z_scores(*(windows(raw, truth, piece)[0][-1:] for piece in pieces))
    plain = LogisticRegression().fit(first[0], labels).predict_proba(last[0])[:, 1]
    every, every_truth = windows(signal, truth, slice(0, len(raw)))
    mixed = np.random.default_rng(demo.seed).permutation(len(every_truth))
    known, other = np.split(mixed, [int(0.7 * len(mixed))])
    x, others = z_scores(every[:, known], every[:, other])
    shuffled = trained(demo, best, x, every_truth[known])(others)

    print(f"{'':<32}accuracy    F1  recall    area")
    scores("always the commoner state", later_truth, 0 * plain + labels.mean())
    scores("logistic regression, raw signal", later_truth, plain)
    area = [scores(f"CNN + {cell}", later_truth, told[cell]) for cell in order][-1]
    scores(f"CNN + {best}, shuffled windows", every_truth[other], shuffled)
    print("Shuffled windows overlap those trained on: their figure says nothing of later seconds.")
    confusion = metrics.confusion_matrix(later_truth, told[best] > 0.5)
    print(f"open and closed (rows), as the CNN + {best} says (columns):\n{confusion}\n")
    demo.show_plot("eeg.png", lambda figure: draw(figure, later_truth, told), figsize=(8, 3.6))
    demo.result("area under curve", area)


def draw(figure, truth: np.ndarray, told: dict[str, np.ndarray]) -> None:
    """What the nets say of the part after the training, over the truth."""
    seconds = (np.arange(len(truth)) * HOP + WINDOW) / RATE
    for row, (cell, closed) in enumerate(told.items(), start=1):
        axes = figure.add_subplot(len(told), 1, row)
        axes.fill_between(seconds, truth, step="post", alpha=0.25, label="eyes closed in truth")
        axes.plot(seconds, closed, color="tab:red", label="probability that the net gives")
        axes.set(ylabel="eyes closed", ylim=(0, 1.02))
        axes.set_title(f"CNN + {cell}", loc="left")
    figure.axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    figure.supxlabel("seconds after the end of what was learnt from")
