"""A net that learns to spell: a character model of a novel, which then writes.

``symgraph demo charlm`` runs this. The text is read in 32 strands side by side, 50 characters at a
time: the gradient goes back 50 steps, the state goes on from batch to batch. Its measure is bits
per character, beside a model that only counts characters and one that counts threes of them.
Data: the first 36 chapters of Herman Melville's "Moby-Dick" (1851), in the public domain.
"""

from __future__ import annotations

import numpy as np

import symgraph as sg
import symgraph_nn as nn
from symgraph_nn.demo import Demo

N_STRANDS, N_STEPS, N_UNITS = 32, 50, 256


class Speller(nn.Module):
    """What comes after each character of a text."""

    def __init__(self, n_symbols: int, *, rng: int) -> None:
        draws = np.random.default_rng(rng)
        self.symbols = nn.Embedding(n_symbols, 32, rng=draws)
        self.layer = nn.LSTM(32, N_UNITS, rng=draws)
        self.dropout = nn.Dropout(0.3, rng=rng)
        self.readout = nn.Dense(N_UNITS, n_symbols, rng=draws)

    def __call__(self, x: sg.Variable, state, *, training: bool = False):
        """The logits after each character of ``x`` [time, strands], and the last state."""
        y, state = self.layer(self.symbols(x), state=state, return_state=True)
        return self.readout(self.dropout(y, training=training)), state

    def step(self, symbol: sg.Variable, state):
        """The logits after one more character."""
        y, state = self.layer.step(self.symbols(symbol), state)
        return self.readout(y), state


def strands(codes: np.ndarray, n: int) -> list[np.ndarray]:
    """A text in ``n`` parts side by side [time, n], and what follows each character."""
    length = (len(codes) - 1) // n
    return [codes[i : i + n * length].reshape(n, length).T for i in (0, 1)]


def counted(codes: np.ndarray, order: int, n_symbols: int) -> np.ndarray:
    """The probability of a character after the ``order - 1`` before it, from how often it came.

    What was never seen gets its share from one character less (Witten and Bell's smoothing).
    """
    p = np.full((), 1 / n_symbols)
    for n in range(1, order + 1):
        counts = np.zeros((n_symbols,) * n)
        np.add.at(counts, tuple(codes[i : len(codes) - n + 1 + i] for i in range(n)), 1)
        total, kinds = counts.sum(-1, keepdims=True), (counts > 0).sum(-1, keepdims=True)
        p = np.where(total > 0, (counts + kinds * p) / np.maximum(total + kinds, 1), p)
    return p


def bits_of(p: np.ndarray, codes: np.ndarray) -> float:
    """The mean of -log2 of what such a table says of a text."""
    n = p.ndim
    return -np.log2(p[tuple(codes[i : len(codes) - n + 1 + i] for i in range(n))]).mean()


def write(net: Speller, alphabet: np.ndarray, begin: str, temperature: float, demo: Demo) -> str:
    """A beginning and what the net makes of it, drawn character by character."""
    symbol, heat = sg.tensor("symbol", (1,), "int64"), sg.scalar("heat")
    state = tuple(sg.tensor(name, (1, N_UNITS)) for name in "hc")
    logits, (h, c) = net.step(symbol, state)
    draw = sg.random.Stream(demo.seed).categorical(logits / heat)
    go_on = sg.compile([symbol, *state, heat], [draw, h, c], name="write", backend=demo.backend)
    values = [np.zeros((1, N_UNITS), "float32")] * 2
    codes = np.searchsorted(alphabet, list(begin)).tolist()
    for place in range(300):
        drawn, *values = go_on(codes[place : place + 1], *values, temperature)
        if place + 1 == len(codes):
            codes.append(int(drawn[0]))
    return "".join(alphabet[codes])


def main(demo: Demo) -> None:
    alphabet, codes = np.unique(list(nn.datasets.moby_dick()), return_inverse=True)
    if demo.quick:
        codes = codes[:20_000]
    train, held_out, test = np.split(codes, [len(codes) * 8 // 10, len(codes) * 9 // 10])
    n_symbols, epochs = len(alphabet), demo.epochs(20, quick=1)
    print(f"charlm: {len(train)} characters to learn from, {len(held_out)} to choose the best "
          f"epoch, {len(test)} to test\n")  # fmt: skip

    x, target = (sg.tensor(name, ("T", "B"), "int64") for name in ("x", "target"))
    state = tuple(sg.tensor(name, ("B", N_UNITS)) for name in "hc")
    net = Speller(n_symbols, rng=demo.seed)
    logits, last = net(x, state, training=True)
    loss = nn.cross_entropy(logits, target) / np.log(2)
    seen, last_seen = net(x, state)
    bits = nn.cross_entropy(seen, target) / np.log(2)
    data = strands(train, N_STRANDS)
    rate = nn.schedules.cosine(0.004, epochs * -(-len(data[0]) // N_STEPS))
    gradients = nn.clip_norm(sg.grad(loss, net.params), 1.0)
    updates = nn.adam(gradients, net.params, rate)
    history = nn.fit(
        net, [x, target], loss, updates, data, epochs=epochs, batch_size=N_STEPS, batch_axis="T",
        state={state: last}, validation=strands(held_out, N_STRANDS), evaluation={"loss": bits},
        evaluation_state={state: last_seen}, patience=epochs, rng=demo.seed, backend=demo.backend,
    )  # fmt: skip
    zeros = [np.zeros((N_STRANDS, N_UNITS), "float32")] * 2
    batch = [*(part[:N_STEPS] for part in data), *zeros]
    demo.show(net, history, [x, target, *state], loss, updates, batch)

    measure = sg.compile([x, target, *state], bits, backend=demo.backend, name="measure")
    scores = {
        name: bits_of(counted(train, order, n_symbols), test)
        for name, order in (("characters counted", 1), ("threes counted", 3))
    }
    scores["net"] = float(measure(*strands(test, 1), *(part[:1] for part in zeros)))
    for name, score in scores.items():
        print(f"{name}: {score:.3f} bits per character, perplexity {2**score:.2f}")
    for temperature in (0.5, 1.0):
        print(f"\nwritten at temperature {temperature}:")
        print(write(net, alphabet, "The whale ", temperature, demo))
    demo.show_plot("bits.png", lambda figure: draw(figure, history, scores), figsize=(6, 3.6))
    demo.result("bits per character", scores["net"])


def draw(figure, history: nn.History, scores: dict[str, float]) -> None:
    """The bits per character after each epoch, and those of the models that count."""
    axes = figure.add_subplot(title="A net that learns to spell", xlabel="epoch",
                              ylabel="bits per character")  # fmt: skip
    epochs = range(1, len(history) + 1)
    axes.plot(epochs, history["loss"], ".-", label="net, text it learns from")
    axes.plot(epochs, history["validation_loss"], ".-", label="net, held-out text")
    for (name, score), style in zip(scores.items(), (":", "--"), strict=False):
        axes.axhline(score, linestyle=style, color="grey", label=f"{name}, text of the test")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize=8, loc=(0.5, 0.62))
