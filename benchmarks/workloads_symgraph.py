"""The workloads in symgraph, as scans over steps that the user wrote."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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
    twelve_operations,
)

import symgraph as sg

Updates = dict[sg.SharedVariable, sg.Variable]
Build = Callable[[Workload, Arrays, sg.Variable, sg.Variable], tuple[sg.Variable, Updates]]


def prepare(workload: Workload, parameters: Arrays, data: Arrays, backend: str) -> Program:
    """The workload, compiled."""
    if workload.n_steps:
        return prepare_training(_build, workload, parameters, data, backend)
    start = time.process_time()
    x = sg.vector("x")
    if workload.kind == "call":
        outputs = sg.tanh(x)
    else:
        loss = twelve_operations(sg, x).mean()
        outputs = [loss, sg.grad(loss, x)]
    built = time.process_time()
    function = sg.compile([x], outputs, backend=backend, threads=1)
    return Program(partial(function, *data), stages=_stages(function, start, built))


def prepare_training(
    build: Build, workload: Workload, parameters: Arrays, data: Arrays, backend: str
) -> Program:
    """The training step whose loss and updates ``build`` gives."""
    start = time.process_time()
    x = sg.tensor("x", ("T", "B", workload.n_in))
    if workload.kind == "characters":
        x = sg.tensor("symbols", ("T", "B"), "int64")
    labels = sg.tensor("labels", ("T", "B"), "int64")
    loss, updates = build(workload, parameters, x, labels)
    compile_loss = partial(sg.compile, [x, labels], loss, backend=backend, threads=1)
    built = time.process_time()
    train = compile_loss(updates=updates)
    stages = _stages(train, start, built)
    return Program(partial(train, *data), lambda: compile_loss()(*data), stages)


def _stages(function: sg.Function, start: float, built: float) -> dict[str, Any]:
    """Where the CPU time went, in milliseconds. The report's own seconds are those of the wall."""
    compiled, report = 1e3 * (time.process_time() - built), function.report
    share = sum(row.seconds for row in report.passes) / max(report.seconds, 1e-9)
    return {
        "graph and gradient": 1e3 * (built - start),
        "passes": share * compiled,
        "backend": (1 - share) * compiled,
        "kernels": report.kernels,
        "distinct kernels": report.distinct_kernels,
        "object cache": report.cache,
        "program cache": "hit" if report.is_recalled else "miss",
    }


def compile_trivial(backend: str) -> None:
    """Compile and call one function, which imports what is imported on the first compile."""
    sg.compile([], sg.constant(1.0) + 1.0, backend=backend)()


def _build(
    workload: Workload, parameters: Arrays, x: sg.Variable, labels: sg.Variable
) -> tuple[sg.Variable, Updates]:
    params = [sg.shared(value) for value in parameters]
    if workload.kind == "frames":
        y = x
        for k in range(workload.layers):
            p = params[6 * k : 6 * k + 6]
            forward = _layer(workload.cell, y, *p[:3], reverse=False)
            backward = _layer(workload.cell, y, *p[3:], reverse=True)
            y = sg.concatenate([forward, backward], axis=2)
        rule = _nesterov
    elif workload.kind == "characters":
        y = _layer(workload.cell, params[0][x], *params[1:4], reverse=False)
        rule = _adam
    else:
        y = _leaky_layer(x, *params[:5])
        rule = _sgd
    logits = y @ params[-2] + params[-1]
    scores = sg.reshape(sg.log_softmax(logits, axis=2), (-1, workload.n_classes))
    flat = sg.reshape(labels, (-1,))
    loss = -scores[sg.arange(flat.shape[0]), flat].mean()
    return loss, rule(params, sg.grad(loss, params))


def _layer(
    cell: str, x: sg.Variable, w: sg.Variable, u: sg.Variable, b: sg.Variable, *, reverse: bool
) -> sg.Variable:
    n_units = u.shape[0]
    zeros = sg.zeros((x.shape[1], n_units))

    def step_tanh(x_t: sg.Variable, h: sg.Variable) -> sg.Variable:
        return sg.tanh(x_t @ w + h @ u + b)

    def step_lstm(x_t: sg.Variable, h: sg.Variable, c: sg.Variable) -> list[sg.Variable]:
        z = x_t @ w + h @ u + b
        i, f, g, o = (z[:, k * n_units : (k + 1) * n_units] for k in range(4))
        c = sg.sigmoid(f) * c + sg.sigmoid(i) * sg.tanh(g)
        return [sg.sigmoid(o) * sg.tanh(c), c]

    if cell == "tanh":
        y = sg.scan(step_tanh, x, zeros, go_backwards=reverse)
    else:
        y = sg.scan(step_lstm, x, [zeros, zeros], go_backwards=reverse)[0]
    return y[::-1] if reverse else y


def _leaky_layer(
    x: sg.Variable,
    w: sg.Variable,
    u: sg.Variable,
    gain: sg.Variable,
    bias: sg.Variable,
    leak: sg.Variable,
) -> sg.Variable:
    def step(x_t: sg.Variable, h: sg.Variable) -> sg.Variable:
        z = x_t @ w + h @ u
        centred = z - z.mean(axis=1, keepdims=True)
        variance = (centred * centred).mean(axis=1, keepdims=True)
        normal = centred / sg.sqrt(variance + NORM_EPSILON) * gain + bias
        return h + sg.sigmoid(leak) * (sg.tanh(normal) - h)

    return sg.scan(step, x, sg.zeros((x.shape[1], u.shape[0])))


def _sgd(params: Sequence[sg.SharedVariable], gradients: Sequence[sg.Variable]) -> Updates:
    return {p: p - SGD_RATE * g for p, g in zip(params, gradients, strict=True)}


def _nesterov(params: Sequence[sg.SharedVariable], gradients: Sequence[sg.Variable]) -> Updates:
    new: Updates = {}
    for p, g in zip(params, gradients, strict=True):
        v = sg.shared(np.zeros_like(p.get_value()))
        new[v] = NESTEROV.momentum * v - NESTEROV.rate * g
        new[p] = p + NESTEROV.momentum * new[v] - NESTEROV.rate * g
    return new


def _adam(params: Sequence[sg.SharedVariable], gradients: Sequence[sg.Variable]) -> Updates:
    count = sg.shared(np.float32(0))
    new: Updates = {count: count + 1}
    rate = ADAM.rate * sg.sqrt(1 - ADAM.beta2 ** new[count]) / (1 - ADAM.beta1 ** new[count])
    for p, g in zip(params, gradients, strict=True):
        m, v = (sg.shared(np.zeros_like(p.get_value())) for _ in range(2))
        new[m] = ADAM.beta1 * m + (1 - ADAM.beta1) * g
        new[v] = ADAM.beta2 * v + (1 - ADAM.beta2) * g * g
        new[p] = p - rate * new[m] / (sg.sqrt(new[v]) + ADAM.epsilon)
    return new
