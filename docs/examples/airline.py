"""Airline passengers, forecast a year ahead: a cell by hand in a Python loop, then a scan.

``symgraph demo airline`` runs this. A step has two features, the month before and the month of the
year; the state is handed out and in again, so that the net goes on from its own forecasts. Weights
see 1949 to 1957; the years 1958, 1959 and 1960 are each forecast from the months before them.
Data: passengers a month in thousands, Box and Jenkins, series G.
"""

from __future__ import annotations

import numpy as np

import symgraph as sg
import symgraph_nn as nn
from symgraph_nn.datasets import airline
from symgraph_nn.demo import Demo

LENGTH, YEAR, SCALE = 36, 12, 4.0
N_UNITS, BATCH = 24, 16


class ByHand(nn.Module):
    """A recurrent layer written out: the loop is Python's, and the graph has every step."""

    def __init__(self, n_in: int, n_units: int, *, rng: np.random.Generator) -> None:
        self.W = sg.shared(rng.normal(0, 0.4, (n_in, n_units)).astype("float32"), "W")
        self.U = sg.shared(np.linalg.qr(rng.normal(size=(n_units, n_units)))[0].astype("float32"))
        self.b = sg.shared(np.zeros(n_units, "float32"), "b")

    def __call__(self, x: sg.Variable, *, state: sg.Variable | None, return_state: bool = True):
        h = sg.zeros((x.shape[1], N_UNITS)) if state is None else state
        outputs = []
        for x_t in x:
            h = sg.tanh(x_t @ self.W + h @ self.U + self.b)
            outputs.append(h)
        return sg.stack(outputs), h


class Forecaster(nn.Module):
    """What the next month adds to the month before, from either layer."""

    def __init__(self, layer: ByHand | nn.Recurrent, *, rng: int) -> None:
        self.layer = layer
        self.readout = nn.Dense(N_UNITS, 1, weights=nn.init.normal(0.01), rng=rng)

    def __call__(self, x: sg.Variable, h: sg.Variable | None = None):
        """The months that follow those in ``x`` [time, batch, 2], and the state after them."""
        outputs, h = self.layer(x, state=h, return_state=True)
        return x[..., :1] + self.readout(outputs), h


def sequence(months: np.ndarray, first: int) -> np.ndarray:
    """The two features of each step [time, 2]; ``first`` is the number of the first month."""
    return np.stack([months, (np.arange(first, first + len(months)) + 1) % YEAR / 5.5 - 1], axis=1)


def windows(logs: np.ndarray) -> list[np.ndarray]:
    """All sequences of three years, relative to their first months, and what follows each month."""
    parts = [(logs[s : s + LENGTH + 1] - logs[s]) * SCALE for s in range(len(logs) - LENGTH)]
    x = np.stack([sequence(part[:-1], s) for s, part in enumerate(parts)], axis=1)
    target = np.stack([part[1:, None] for part in parts], axis=1)
    return [x.astype("float32"), target.astype("float32")]


def train(net: Forecaster, logs: np.ndarray, demo: Demo, n_steps: int | str):
    """The history of the training, and what it was made of; the net is trained in place."""
    x, target = sg.tensor("x", (n_steps, "B", 2)), sg.tensor("target", (n_steps, "B", 1))
    # Forecasts are fed back with their errors, so the months that it learns from have some too.
    noise = sg.random.Stream(demo.seed).normal(x[..., :1].shape) * 0.1
    prediction, _ = net(x + noise * np.array([1, 0], "float32"))  # each sequence: a new state
    loss = nn.squared_error(prediction[YEAR:], target[YEAR:])  # a year to see the seasons first
    gradients = nn.clip_norm(sg.grad(loss, net.params), 1.0)
    data, epochs = windows(logs), demo.epochs(200)
    n_batches = -(-data[0].shape[1] // BATCH)
    rate = nn.schedules.cosine(0.01, epochs * n_batches)
    updates = nn.adam(gradients, net.params, rate)
    history = nn.fit(
        net, [x, target], loss, updates, data, epochs=epochs, batch_size=BATCH, batch_axis="B",
        rng=demo.seed, backend=demo.backend,
    )  # fmt: skip
    return history, [x, target], loss, updates


def forecast(net: Forecaster, logs: np.ndarray, origins: list[int], backend: str) -> np.ndarray:
    """Twelve months from each origin on [origins, 12], the net's own forecasts fed back."""
    past, month = sg.tensor("past", (LENGTH, 1, 2)), sg.tensor("month", (1, 1, 2))
    h = sg.tensor("h", (1, N_UNITS))
    look = sg.compile([past], list(net(past)), name="look", backend=backend)
    go_on = sg.compile([month, h], list(net(month, h)), name="go_on", backend=backend)
    years = []
    for origin in origins:
        start = logs[origin - LENGTH]
        seen = (logs[origin - LENGTH : origin] - start) * SCALE
        prediction, state = look(sequence(seen, origin - LENGTH)[:, None].astype("float32"))
        year = [prediction[-1, 0, 0]]
        while len(year) < YEAR:
            last = sequence(np.array(year[-1:]), origin + len(year) - 1)
            prediction, state = go_on(last[:, None].astype("float32"), state)
            year.append(prediction[0, 0, 0])
        years.append(np.exp(np.array(year) / SCALE + start))
    return np.array(years)


def main(demo: Demo) -> None:
    passengers = airline().astype("float64")
    logs, origins = np.log(passengers), [108, 120, 132]
    rng = np.random.default_rng(demo.seed)
    by_hand = Forecaster(ByHand(2, N_UNITS, rng=rng), rng=demo.seed)
    net = Forecaster(nn.RNN(2, N_UNITS), rng=demo.seed)
    for ours, theirs in zip(net.params, by_hand.params, strict=True):
        ours.set_value(theirs.get_value())

    print("airline: a cell by hand in a Python loop")
    first, *_ = train(by_hand, logs[: origins[0]], demo, LENGTH)
    print("airline: nn.RNN and scan, from the same weights")
    second, *step = train(net, logs[: origins[0]], demo, "T")
    demo.show(net, second, *step, [part[:, :BATCH] for part in windows(logs[: origins[0]])])
    difference = np.max(np.abs(np.array(first["loss"]) / np.array(second["loss"]) - 1))
    print(f"nodes: {first.report.nodes} of the Python loop, {second.report.nodes} of the scan; "
          f"their losses differ by at most {difference:.0e} of one in any epoch")  # fmt: skip

    years = forecast(net, logs, origins, demo.backend)
    also = forecast(by_hand, logs, origins, demo.backend)
    print(f"their forecasts differ by at most {np.abs(also - years).max():.0e} thousand")
    truth, naive = (
        np.stack([passengers[o - back :][:YEAR] for o in origins]) for back in (0, YEAR)
    )
    error, of_naive = np.abs(years - truth).mean(), np.abs(naive - truth).mean()
    print(f"mean absolute error {error:.1f} thousand passengers; of the same month a year before "
          f"{of_naive:.1f}")  # fmt: skip
    demo.show_plot("forecast.png", lambda figure: draw(figure, passengers, years), figsize=(7, 3.6))
    demo.result("error of naive", error / of_naive)


def draw(figure, passengers: np.ndarray, years: np.ndarray) -> None:
    """The truth, and the three forecasts over it."""
    axes = figure.add_subplot(title="Airline passengers, each year forecast from those before it",
                              xlabel="year", ylabel="passengers a month, thousands")  # fmt: skip
    when = 1949 + np.arange(len(passengers)) / YEAR
    axes.plot(when, passengers, color="black", linewidth=1, label="truth")
    naive = passengers[96:132]
    axes.plot(when[108:], naive, ":", color="grey", label="the same month a year before")
    for i, year in enumerate(years):
        months = slice(108 + i * YEAR, 120 + i * YEAR)
        axes.plot(when[months], year, ".-", label=f"forecast of {1958 + i}")
    axes.set_xlim(1955, 1961)
    axes.set_ylim(200, 680)
    axes.legend(fontsize=8)
