"""The nets of the compile-time story: bidirectional layers, and ways to write their updates.

``sgd`` and ``nesterov`` are written well. ``n1`` and ``n2`` are the mistakes that people make:
the gradient is taken on a copy of the loss at the look-ahead point (n1), for each parameter by
itself (n2), so that the model is built twice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import symgraph as sg
import symgraph_nn as nn

CELLS = ("tanh", "lstm")
UPDATES = ("sgd", "nesterov", "n1", "n2")
N_IN, N_UNITS, N_CLASSES = 12, 8, 9


class Net(NamedTuple):
    """A classifier of sequences."""

    inputs: list[sg.Variable]
    loss: sg.Variable
    params: list[sg.SharedVariable]


def build_net(n_layers: int, cell: str, n_units: int = N_UNITS, time: str | int = "T") -> Net:
    """The net with so many bidirectional layers: its symbols, loss and parameters."""
    rng = np.random.default_rng(0)
    make = {"tanh": nn.RNNCell, "lstm": nn.LSTMCell}[cell]
    x = sg.tensor("x", (time, "B", N_IN))
    labels = sg.tensor("labels", ("B",), "int64")
    y, params, n_in = x, [], N_IN
    for _ in range(n_layers):
        layer = nn.Bidirectional(make(n_in, n_units, rng=rng), make(n_in, n_units, rng=rng))
        y = layer(y)
        params += layer.params
        n_in = 2 * n_units
    readout = nn.Dense(n_in, N_CLASSES, rng=rng)
    loss = nn.cross_entropy(readout(y.mean(axis=0)), labels)
    return Net([x, labels], loss, params + readout.params)


def make_updates(net: Net, updates: str) -> dict[sg.SharedVariable, sg.Variable]:
    """The updates of the net's parameters, written in one of the ways of `UPDATES`."""
    loss, params = net.loss, net.params
    if updates == "sgd":
        return nn.sgd(loss, params, 0.01)
    if updates == "nesterov":
        return nn.nesterov(loss, params, 0.01, 0.9)
    velocities = [sg.shared(np.zeros_like(p.get_value()), f"velocity of {p.name}") for p in params]
    ahead = [p + 0.9 * v for p, v in zip(params, velocities, strict=True)]
    gradients = _at_once(net, ahead) if updates == "n1" else _one_by_one(net, ahead)
    new: dict[sg.SharedVariable, sg.Variable] = {}
    for p, v, g in zip(params, velocities, gradients, strict=True):
        new[v] = 0.9 * v - 0.01 * g
        new[p] = p + new[v]
    return new


def _at_once(net: Net, ahead: list[sg.Variable]) -> list[sg.Variable]:
    copy = sg.substitute(net.loss, dict(zip(net.params, ahead, strict=True)))
    return sg.grad(copy, ahead)


def _one_by_one(net: Net, ahead: list[sg.Variable]) -> list[sg.Variable]:
    gradients = []
    for point in ahead:
        copy = sg.substitute(net.loss, dict(zip(net.params, ahead, strict=True)))
        gradients.append(sg.grad(copy, point))
    return gradients
