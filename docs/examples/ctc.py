"""Strings of digits read from frames without knowing which frame shows which digit: CTC.

``symgraph demo ctc`` runs this. Lines of four handwritten digits slide past a window of eight
pixels; frames go through a convolution each, then a bidirectional GRU, then
`nn.ctc`. Nobody says where in the line a digit stands. Data: scikit-learn's digits (UCI
"Optical Recognition of Handwritten Digits", Alpaydin and Kaynak 1998, CC BY 4.0); lines to test on
are made of digits that are in no line to train on.

``symgraph demo ctc --data FOLDER`` does the same with speech: strings of spoken digits built of
single recordings, wav files named ``DIGIT_anything.wav`` such as those of the Free Spoken Digit
Dataset (Jackson et al., CC BY-SA 4.0); a frame is a column of the spectrogram and its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly, spectrogram
from sklearn.datasets import load_digits

import symgraph as sg
import symgraph_nn as nn
from symgraph_nn.demo import Demo

BLANK, SIDE = 10, 8
Pieces = list[tuple[np.ndarray, int]]  # [width, height] pictures or spectrograms, and their digits


class Reader(nn.Module):
    """Logits [time, batch, 11] from frames [time, batch, width, height, 1]."""

    def __init__(self, height: int, *, rng: int) -> None:
        draws = np.random.default_rng(rng)
        self.filters = nn.Conv2D(1, 32, 3, sg.relu, padding="same", rng=draws)
        self.pool = nn.MaxPool2D(2)
        self.dense = nn.Dense(32 * (SIDE // 2) * (height // 2), 96, sg.relu, rng=draws)
        self.dropout = nn.Dropout(0.3, rng=rng)
        self.loop = nn.Bidirectional(nn.GRU(96, 64, rng=draws), nn.GRU(96, 64, rng=draws))
        self.readout = nn.Dense(128, 11, rng=draws)

    def __call__(self, frames: sg.Variable, *, training: bool) -> sg.Variable:
        shown = self.pool(self.filters(frames))
        flat = sg.reshape(shown, (*shown.shape[:2], self.dense.n_in))
        units = self.dropout(self.dense(flat), training=training)
        return self.readout(self.dropout(self.loop(units), training=training))


def handwritten(demo: Demo) -> tuple[Pieces, Pieces, int]:
    """Pictures of digits to train on and to test on, and the height of a frame."""
    digits = load_digits()
    pieces = [(x.T / 16, int(y)) for x, y in zip(digits.images, digits.target, strict=True)]
    order = np.random.default_rng(demo.seed).permutation(len(pieces))
    shuffled = [pieces[i] for i in order]
    return shuffled[500:], shuffled[:500], SIDE


def spoken(demo: Demo) -> tuple[Pieces, Pieces, int]:
    """Spectrograms of spoken digits [frames, 24 bands], to train on and to test on.

    One in six recordings is held out; where digits have a single one, slower and faster versions
    of it stand for others, and the test says no more than how well these are read.
    """
    paths = [p for p in sorted(demo.data.glob("*.wav")) if re.fullmatch(r"\d(\D.*)?", p.stem)]
    if not paths:
        raise sg.SymgraphValueError(f"there is no file DIGIT_anything.wav in {demo.data}")
    speeds = (1.0,)
    if len(paths) < 60:
        speeds = tuple(np.linspace(0.8, 1.25, 18))
        print(f"{len(paths)} recordings: digits at {len(speeds)} speeds stand for others")
    pieces = [(features(path, speed), int(path.name[0])) for path in paths for speed in speeds]
    order = np.random.default_rng(demo.seed).permutation(len(pieces))
    shuffled, n_test = [pieces[i] for i in order], len(pieces) // 6
    return shuffled[n_test:], shuffled[:n_test], 24


def features(path: Path, speed: float) -> np.ndarray:
    """The logarithms of 24 bands of a sound's spectrum, each 20 ms."""
    rate, sound = wavfile.read(path)
    mono = sound.astype(float).reshape(len(sound), -1)[:, 0]
    mono = resample_poly(mono, 8000, int(rate * speed))
    _, _, power = spectrogram(mono, 8000, nperseg=256, noverlap=96, mode="magnitude")
    bands = np.stack([part.mean(axis=0) for part in np.array_split(power[1:97], 24)], axis=1)
    logs = np.log(bands / bands.max() + 1e-3)
    return (logs - logs.mean()) / logs.std()


def lines(pieces: Pieces, n: int, rng: np.random.Generator, *, length: int | None = None) -> tuple:
    """n lines of digits with gaps: frames [time, n, 8, height, 1], labels, and both lengths."""
    height, strips, labels = pieces[0][0].shape[1], [], np.full((n, 4), -1)
    counts = rng.integers(1, 5, n) if length is None else np.full(n, length)
    for row, count in enumerate(counts):
        gaps = [np.full((n, height), pieces[0][0].min()) for n in rng.integers(2, 7, count + 4)]
        strip = gaps[:2]
        for place, gap in enumerate(gaps[2 : count + 2]):
            picture, labels[row, place] = pieces[rng.integers(len(pieces))]
            strip += [picture, gap]
        strips.append(np.concatenate([*strip, *gaps[count + 2 :]]))
    hop = 2 if height == SIDE else 4  # pixels, or pieces of 20 ms
    steps = np.array([(len(strip) - SIDE) // hop + 1 for strip in strips])
    frames = np.zeros((steps.max(), n, SIDE, height, 1), "float32")
    for row, strip in enumerate(strips):
        windows = np.lib.stride_tricks.sliding_window_view(strip, SIDE, axis=0)[::hop]
        frames[: steps[row], row, :, :, 0] = windows.swapaxes(1, 2)[: steps[row]]
    return frames, labels, steps, counts


def main(demo: Demo) -> None:
    train, test, height = spoken(demo) if demo.data else handwritten(demo)
    print(f"ctc: lines made of {len(train)} digits to train on and {len(test)} others to test on\n")
    frames = sg.tensor("frames", ("T", "B", SIDE, height, 1))
    labels, steps = sg.tensor("labels", ("B", 4), "int64"), sg.tensor("steps", ("B",), "int64")
    counts = sg.tensor("counts", ("B",), "int64")
    inputs = [frames, labels, steps, counts]
    net = Reader(height, rng=demo.seed)
    loss = nn.ctc(net(frames, training=True), labels, steps, counts, blank=BLANK)
    logits = net(frames, training=False)
    grads = nn.clip_norm(sg.grad(loss, net.params), 5.0)
    epochs, n_batches = demo.epochs(16, quick=1), 10 if demo.quick else 100
    rate = nn.schedules.step_decay(0.003, 0.5, every=20 * epochs)
    updates = nn.adam(grads, net.params, rate)

    def batches(epoch: int) -> Iterator[tuple[np.ndarray, ...]]:
        """Lines that nobody has seen, each epoch others."""
        rng = np.random.default_rng((demo.seed, epoch))
        for _ in range(n_batches):
            yield lines(train, 32, rng)

    history = nn.fit(net, inputs, loss, updates, batches, epochs=epochs, backend=demo.backend)
    demo.show(net, history, inputs, loss, updates, next(batches(0)))
    n = 20 if demo.quick else 300
    shown, truth, n_steps, _ = lines(test, n, np.random.default_rng(demo.seed), length=4)
    scores = sg.compile([frames], logits, backend=demo.backend)(shown)
    strings = [[int(label) for label in row] for row in truth]
    greedy = nn.ctc_greedy(scores, n_steps, blank=BLANK)
    beam = nn.ctc_beam(
        scores, n_steps, width=2 if demo.quick else 8, blank=BLANK, language_model=four_digits
    )
    for name, read in (("greedy", greedy), ("beam", beam)):
        errors = sum(map(nn.edit_distance, read, strings)) / (4 * n)
        print(f"{name}: {errors:.1%} of digits wrong; the first lines read: {read[:3]}")
    print(f"the first lines: {strings[:3]}; a guess has one string in 10,000 right")
    first = shown[:, 0], scores[: n_steps[0], 0], strings[0]
    demo.show_plot("reading.png", lambda figure: draw(figure, *first), figsize=(8, 4))
    right = np.mean([a == b for a, b in zip(beam, strings, strict=True)])
    demo.result("strings right", float(right))


def four_digits(prefix: list[int]) -> np.ndarray:
    """A language model that knows no more than that strings have four digits."""
    return np.full(11, 0.0 if len(prefix) < 4 else -20.0)


def draw(figure, shown: np.ndarray, scores: np.ndarray, truth: list[int]) -> None:
    """A line above what is read in it: the probability of each digit in each frame."""
    line, read = figure.subplots(2, 1, sharex=True, height_ratios=(1, 3))
    n, shares = len(scores), np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
    line.imshow(shown[:n, 3:5, :, 0].reshape(2 * n, -1).T, cmap="Greys", aspect="auto",
                extent=(-0.5, n - 0.5, 0, 1))  # fmt: skip
    line.set(yticks=[], title=f"a line of digits: {' '.join(map(str, truth))}")
    read.imshow(shares.T, aspect="auto", cmap="Blues", vmin=0, vmax=1)
    read.set(yticks=range(11), yticklabels=[*range(10), "blank"], xlabel="frame", ylabel="read")
