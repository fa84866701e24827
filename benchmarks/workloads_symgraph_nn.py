"""The workloads in symgraph_nn: its cells, layers, losses and update rules."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from workloads import (
    ADAM,
    NESTEROV,
    NORM_EPSILON,
    SGD_RATE,
    Arrays,
    Program,
    Workload,
)
from workloads_symgraph import Updates, compile_trivial, prepare_training

import symgraph as sg
import symgraph_nn as nn

__all__ = ["compile_trivial", "prepare"]


def prepare(workload: Workload, parameters: Arrays, data: Arrays, backend: str) -> Program:
    """The workload, compiled; one of those that train."""
    return prepare_training(_build, workload, parameters, data, backend)


class LeakyCell(nn.Module):
    """A cell of the user's own."""

    def __init__(self, w: Any, u: Any, gain: Any, bias: Any, leak: Any) -> None:
        self.n_units = len(u)
        self.W, self.U, self.leak = sg.shared(w), sg.shared(u), sg.shared(leak)
        self.norm = nn.LayerNorm(self.n_units, epsilon=NORM_EPSILON)
        self.norm.gain.set_value(gain)
        self.norm.bias.set_value(bias)

    def initial_state(self, batch: Any) -> sg.Variable:
        return sg.zeros((batch, self.n_units))

    def step(self, x_t: sg.Variable, h: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
        new = sg.tanh(self.norm(x_t @ self.W + h @ self.U))
        h = h + sg.sigmoid(self.leak) * (new - h)
        return h, h


def _build(
    workload: Workload, parameters: Arrays, x: sg.Variable, labels: sg.Variable
) -> tuple[sg.Variable, Updates]:
    rule: Callable[..., Updates]
    if workload.kind == "frames":
        layers: list[Any] = []
        for k in range(workload.layers):
            p = parameters[6 * k : 6 * k + 6]
            forward, backward = _cell(workload.cell, *p[:3]), _cell(workload.cell, *p[3:])
            layers.append(nn.Bidirectional(forward, backward))
        rule = partial(nn.nesterov, learning_rate=NESTEROV.rate, momentum=NESTEROV.momentum)
    elif workload.kind == "characters":
        embedding, *rest = parameters[:4]
        layers = [
            nn.Embedding(*embedding.shape, weights=embedding),
            nn.Recurrent(_cell(workload.cell, *rest)),
        ]
        rule = partial(
            nn.adam,
            learning_rate=ADAM.rate,
            beta1=ADAM.beta1,
            beta2=ADAM.beta2,
            epsilon=ADAM.epsilon,
        )
    else:
        layers = [nn.Recurrent(LeakyCell(*parameters[:5]))]
        rule = partial(nn.sgd, learning_rate=SGD_RATE)
    weights, bias = parameters[-2:]
    net = nn.Sequential(*layers, nn.Dense(*weights.shape, weights=weights, bias=bias))
    loss = nn.cross_entropy(net(x), labels)
    return loss, rule(loss, net.params)


def _cell(kind: str, w: np.ndarray, u: np.ndarray, b: np.ndarray) -> Any:
    make = {"tanh": nn.RNNCell, "lstm": nn.LSTMCell}[kind]
    return make(len(w), len(u), input_weights=w, recurrent_weights=u, bias=b)
