"""Two cells of one's own: leaky rate units with layer normalisation, and liquid time constants.

``symgraph demo custom_cell`` runs this. Each cell is twenty lines, looped over by `nn.Recurrent` as
the built-in ones are, and compiled as they are: their CPU time stands beside. All tell movements
apart by a sensor at the wrist, 80 recordings of 100 steps, of which 40 are learned from; the plain
baseline is a linear classifier of each recording's mean. Data: UEA/UCR archive, "BasicMotions".
"""

from __future__ import annotations

import numpy as np

import symgraph as sg
import symgraph_nn as nn
from symgraph_nn.datasets import basic_motions
from symgraph_nn.demo import Demo, cpu_times

N_IN, N_UNITS, N_CLASSES = 6, 48, 4
OWN = ("leaky", "liquid")


class LeakyCell(nn.Module):
    """Leaky rate units with layer normalisation: each one relaxes with its own time constant.

    ``τ dr/dt = -r + tanh(norm(x W + r U))``, one Euler step a frame, with ``1 / τ`` from 0 to 1.
    """

    def __init__(self, n_in: int, n_units: int, *, rng: int) -> None:
        self.n_in, self.n_units = n_in, n_units
        self.inward = nn.Dense(n_in, n_units, bias=None, rng=rng)
        self.across = nn.Dense(n_units, n_units, bias=None, rng=rng + 1)
        self.norm = nn.LayerNorm(n_units)
        self.leak = sg.shared(np.linspace(-2, 2, n_units, dtype="float32"), "leak")

    def initial_state(self, batch: sg.typing.SizeLike) -> sg.Variable:
        return sg.zeros((batch, self.n_units))

    def step(self, x_t: sg.Variable, r: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
        target = sg.tanh(self.norm(self.inward(x_t) + self.across(r)))
        r = r + sg.sigmoid(self.leak) * (target - r)
        return r, r


class LiquidCell(nn.Module):
    """Liquid time constants (Hasani et al. 2021): inputs change how fast a unit relaxes.

    ``dh/dt = -(1/τ + f) h + f A`` with ``f = σ(x W + h U + b)``, by the fused implicit step, a few
    of them a frame.
    """

    def __init__(self, n_in: int, n_units: int, *, rng: int, n_substeps: int = 3) -> None:
        self.n_in, self.n_units, self.n_substeps = n_in, n_units, n_substeps
        self.inward = nn.Dense(n_in, n_units, rng=rng)
        self.across = nn.Dense(n_units, n_units, bias=None, rng=rng + 1)
        self.rate = sg.shared(np.zeros(n_units, "float32"), "rate")
        signs = np.random.default_rng(rng).choice([-1.0, 1.0], n_units)
        self.A = sg.shared(signs.astype("float32"), "A")

    def initial_state(self, batch: sg.typing.SizeLike) -> sg.Variable:
        return sg.zeros((batch, self.n_units))

    def step(self, x_t: sg.Variable, h: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
        dt, drive = 1 / self.n_substeps, self.inward(x_t)
        for _ in range(self.n_substeps):
            f = sg.sigmoid(drive + self.across(h))
            h = (h + dt * f * self.A) / (1 + dt * (sg.softplus(self.rate) + f))
        return h, h


class Classifier(nn.Module):
    """What the outputs of a layer, averaged over time, say about the movement."""

    def __init__(self, layer: nn.Recurrent | None, *, rng: int) -> None:
        self.layer = layer
        self.mean = nn.GlobalAveragePool(time_major=True)
        self.dropout = nn.Dropout(0.4, rng=rng)
        self.readout = nn.Dense(N_IN if layer is None else N_UNITS, N_CLASSES, rng=rng)

    def __call__(self, x: sg.Variable, *, training: bool) -> sg.Variable:
        """The logits [batch, classes] of recordings [time, batch, channels]."""
        if self.layer is None:
            return self.readout(self.mean(x))
        return self.readout(self.dropout(self.mean(self.layer(x)), training=training))


def main(demo: Demo) -> None:
    train, test = basic_motions()
    mean, deviation = train.x.mean(axis=(0, 1)), train.x.std(axis=(0, 1))
    train, test = (data._replace(x=(data.x - mean) / deviation) for data in (train, test))
    layers = {
        "linear": None,
        "RNN": nn.RNN(N_IN, N_UNITS, rng=demo.seed),
        "GRU": nn.GRU(N_IN, N_UNITS, rng=demo.seed),
        "LSTM": nn.LSTM(N_IN, N_UNITS, rng=demo.seed),
        "leaky": nn.Recurrent(LeakyCell(N_IN, N_UNITS, rng=demo.seed)),
        "liquid": nn.Recurrent(LiquidCell(N_IN, N_UNITS, rng=demo.seed)),
    }
    x, activity = sg.tensor("x", ("T", "B", N_IN)), sg.tensor("activity", ("B",), "int64")
    batch, steps = [train.x[:, :10], train.labels[:10]], []
    accuracies: dict[str, float] = {}
    n_params: dict[str, int] = {}
    for name, layer in layers.items():
        print(f"custom_cell: {name}")
        net = Classifier(layer, rng=demo.seed)
        loss = nn.cross_entropy(net(x, training=True), activity)
        updates = nn.adam(nn.clip_norm(sg.grad(loss, net.params), 1.0), net.params, 0.02)
        history = nn.fit(
            net, [x, activity], loss, updates, [train.x, train.labels], epochs=demo.epochs(100),
            batch_size=10, batch_axis="B", rng=demo.seed, backend=demo.backend,
        )  # fmt: skip
        guesses = sg.compile([x], net(x, training=False), backend=demo.backend)(test.x)
        accuracies[name] = float(np.mean(guesses.argmax(axis=1) == test.labels))
        n_params[name] = sum(p.get_value().size for p in net.params)
        new_values = list(updates.values())  # all of a training step, but that nothing is stored
        steps.append(sg.compile([x, activity], new_values, name=name, backend=demo.backend))
        if name == "liquid":
            demo.show(net, history, [x, activity], loss, updates, batch)

    times = cpu_times(steps, batch, 5 if demo.quick else 200)
    ratios = dict(zip(layers, times / times[1], strict=True))
    print("           numbers  CPU time of a training step, RNN = 1  accuracy")
    for name, ratio in ratios.items():
        print(f"{name:8} {n_params[name]:9}  {ratio:35.2f}  {accuracies[name]:8.3f}")
    demo.show_plot("cells.png", lambda figure: draw(figure, accuracies, ratios), figsize=(7, 3))
    print(f"baseline {accuracies['linear']:.3f}; below, the lower one of leaky and liquid")
    demo.result("test accuracy", min(accuracies[name] for name in OWN), digits=3)


def draw(figure, accuracies: dict[str, float], ratios: dict[str, float]) -> None:
    """How well each net does, and what it costs."""
    titles = ("accuracy on 40 test recordings", "CPU time of a training step, RNN = 1")
    for axes, title, values in zip(
        figure.subplots(1, 2), titles, (accuracies, ratios), strict=True
    ):
        colours = ["tab:orange" if name in OWN else "tab:blue" for name in values]
        bars = axes.bar(list(values), list(values.values()), color=colours)
        axes.bar_label(bars, fmt="%.2f", fontsize=8)
        axes.set_title(title, fontsize=10)
        axes.margins(y=0.12)
    figure.suptitle("Built-in layers (blue) and cells of one's own (orange)", fontsize=11)
