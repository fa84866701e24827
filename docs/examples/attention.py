"""Digit strings turned round: an encoder, and a decoder that looks at what it read.

``symgraph demo attention`` runs this. The decoder's cell takes the encoder's outputs as constants
of the batch, and at each step chooses where to look. It learns with the right digits before it
(teacher forcing), and then writes by itself, step by step from the same weights: the likeliest
digit each time (greedy), or the likeliest string of a beam. Beside it, the same net that may not
look, and has only the encoder's last state. Data: strings of 4 to 16 digits, drawn for the seed; no
string of the test is among those it learns from.
"""

from __future__ import annotations

import numpy as np

import symgraph as sg
import symgraph_nn as nn
from symgraph_nn.demo import Demo

END, PAD, N_SYMBOLS = 10, 11, 12
SHORTEST, LONGEST, N_UNITS = 4, 16, 64


class LookingCell(nn.Module):
    """A GRU that is told, at each step, what it looked at."""

    def __init__(self, n_in: int, n_units: int, *, looks: bool, rng: np.random.Generator) -> None:
        self.gru = nn.GRUCell(n_in + n_units, n_units, rng=rng)
        self.where = nn.Dense(n_units, n_units, bias=None, rng=rng) if looks else None
        self.initial_state = self.gru.initial_state

    def weights(self, h: sg.Variable, memory: sg.Variable, mask: sg.Variable) -> sg.Variable:
        """How much it looks at each place [time, batch]."""
        if self.where is None:
            return sg.zeros_like(memory[..., 0])
        scores = sg.sum(memory * self.where(h), axis=-1)
        return sg.softmax(sg.where(mask, scores, -1e9), axis=0)

    def step(self, x_t: sg.Variable, h: sg.Variable, constants):
        memory, mask = constants
        seen = sg.sum(memory * sg.expand_dims(self.weights(h, memory, mask), 2), axis=0)
        _, h = self.gru.step(sg.concatenate([x_t, seen], axis=1), h)
        return sg.concatenate([h, seen], axis=1), h


class Translator(nn.Module):
    """From one string of symbols to another."""

    def __init__(self, *, looks: bool, rng: int) -> None:
        draws = np.random.default_rng(rng)
        self.symbols = nn.Embedding(N_SYMBOLS, 16, rng=draws)
        self.reader = nn.Bidirectional(*(nn.GRU(16, N_UNITS // 2, rng=draws) for _ in range(2)))
        self.writer = nn.Recurrent(LookingCell(16, N_UNITS, looks=looks, rng=draws))
        self.readout = nn.Dense(2 * N_UNITS, N_SYMBOLS, rng=draws)

    def read(self, source: sg.Variable):
        """What the writer needs of a string [time, batch]: what to look at, and its first state."""
        mask = sg.ne(source, PAD)
        memory, states = self.reader(self.symbols(source), mask=mask, return_state=True)
        return (memory, mask), sg.concatenate(states, axis=1)

    def __call__(self, source: sg.Variable, target: sg.Variable) -> sg.Variable:
        """The logits of each symbol of the target, from the right ones before it."""
        constants, h = self.read(source)
        before = sg.concatenate([sg.full((1, target.shape[1]), END, dtype="int64"), target[:-1]])
        outputs = self.writer(self.symbols(before), state=h, constants=constants)
        return self.readout(outputs)

    def write(self, symbol: sg.Variable, h: sg.Variable, constants):
        """The log-probabilities of the next symbol [batch, symbols], and the state after it."""
        output, h = self.writer.step(self.symbols(symbol), h, constants=constants)
        return sg.log_softmax(self.readout(output), axis=-1), h


def draw_strings(rng: np.random.Generator, *counts: int) -> list[list[np.ndarray]]:
    """For each count: strings [time, count] and what they become; all are different."""
    strings: set[tuple[int, ...]] = set()
    while len(strings) < sum(counts):
        strings.add(tuple(rng.integers(10, size=rng.integers(SHORTEST, LONGEST + 1)).tolist()))
    drawn = sorted(strings)
    rng.shuffle(drawn)
    source, target = np.full((2, LONGEST + 1, len(drawn)), PAD)
    for i, string in enumerate(drawn):
        source[: len(string), i] = string
        target[: len(string) + 1, i] = [*reversed(string), END]
    ends = np.cumsum(counts)[:-1]
    pairs = zip(np.split(source[:-1], ends, 1), np.split(target, ends, 1), strict=True)
    return [list(pair) for pair in pairs]


def writer(net: Translator, backend: str):
    """A function with which the net writes without being told, one step at a time."""
    source, symbol = sg.tensor("source", ("T", "B"), "int64"), sg.tensor("s", ("B",), "int64")
    h, memory = sg.tensor("h", ("B", N_UNITS)), sg.tensor("memory", ("T", "B", N_UNITS))
    mask = sg.tensor("mask", ("T", "B"), "bool")
    (now, visible), first = net.read(source)
    read = sg.compile([source], [now, visible, first], name="read", backend=backend)
    outputs = [*net.write(symbol, h, (memory, mask)), net.writer.cell.weights(h, memory, mask)]
    next_ = sg.compile([symbol, h, memory, mask], outputs, name="write", backend=backend,
                       unused="ignore")  # fmt: skip

    def write(source: np.ndarray, width: int = 1):
        """The likeliest strings among the ``width`` best beginnings, and where it looked."""
        memory, mask, first = read(source)
        memory, mask, looks = np.repeat(memory, width, 1), np.repeat(mask, width, 1), []

        def step(symbol: np.ndarray, h: np.ndarray):
            logs, h, look = next_(symbol, h, memory, mask)
            looks.append(look)
            return logs, h

        longest = LONGEST + 1
        strings = nn.beam_search(step, first, start=END, end=END, longest=longest, width=width)
        return strings, looks

    return write


def train(demo: Demo, data, held_out, *, looks: bool):
    """A net, its history, and what it was trained with."""
    source = sg.tensor("source", (LONGEST, "B"), "int64")
    target = sg.tensor("target", (LONGEST + 1, "B"), "int64")
    net = Translator(looks=looks, rng=demo.seed)
    loss = nn.cross_entropy(net(source, target), target, sg.ne(target, PAD))
    epochs = demo.epochs(15, quick=1)
    rate = nn.schedules.cosine(0.005, epochs * -(-data[0].shape[1] // 64))
    updates = nn.adam(nn.clip_norm(sg.grad(loss, net.params), 1.0), net.params, rate)
    history = nn.fit(
        net, [source, target], loss, updates, data, epochs=epochs, batch_size=64, batch_axis="B",
        validation=held_out, patience=epochs, rng=demo.seed, backend=demo.backend,
    )  # fmt: skip
    return net, history, [source, target], loss, updates


def main(demo: Demo) -> None:
    rng = np.random.default_rng(demo.seed)
    counts = (640, 64, 200) if demo.quick else (8000, 500, 1000)
    data, held_out, (source, _) = draw_strings(rng, *counts)
    lengths = (source != PAD).sum(axis=0)
    right: dict[str, np.ndarray] = {}
    for name, looks in (("without looking", False), ("looking", True)):
        print(f"attention: digit strings turned round, {name}")
        net, *trained = train(demo, data, held_out, looks=looks)
        write = writer(net, demo.backend)
        for width, how in ((1, "greedy"), (4, "beam of 4")):
            pairs = zip(write(source, width)[0], source.T, lengths, strict=True)
            right[name] = np.array([done == row[:n][::-1].tolist() for done, row, n in pairs])
            print(f"strings right, {how}: {right[name].mean():.3f}")
    demo.show(net, *trained, [part[:, :64] for part in data])
    longest = source[:, lengths == LONGEST][:, :1]
    written, looks = write(longest)
    shown = longest[:, 0], written[0], np.array(looks)[:, :, 0], right, lengths
    demo.show_plot("looks.png", lambda figure: draw(figure, *shown), figsize=(8.4, 3.8))
    print(f"strings right: {right['looking'].mean():.3f}; "
          f"without looking {right['without looking'].mean():.3f}")  # fmt: skip
    demo.result("strings right", right["looking"].mean(), digits=3)


def draw(figure, source, written, places, right, lengths) -> None:
    """Where it looked for each digit that it wrote, and how many strings of a length are right."""
    left, side = figure.subplots(1, 2)
    picture = left.imshow(places[: len(written)], cmap="Blues", vmin=0, vmax=1)
    left.set_xticks(range(len(source)), source.tolist())
    left.set_yticks(range(len(written)), written)
    left.set(title="Where it looks", xlabel="digit that it reads", ylabel="digit that it writes")
    figure.colorbar(picture, label="share of its attention", shrink=0.8)
    which = range(SHORTEST, LONGEST + 1)
    for name, rows in right.items():
        side.plot(which, [rows[lengths == n].mean() for n in which], ".-", label=name)
    side.set(title="Strings it has not seen", xlabel="digits in the string", ylabel="share right")
    side.legend()
