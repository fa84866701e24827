"""The workloads in PyTensor, compiled in its default mode."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
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

# Weak Python numbers would be float64 in places.
_number = np.float32


def prepare(workload: Workload, parameters: Arrays, data: Arrays) -> Program:
    """The workload."""
    if workload.kind in ("elementwise", "call"):
        return _prepare_call(workload, data)
    labels = pt.lmatrix("labels")
    x = pt.lmatrix("x") if workload.kind == "characters" else pt.tensor3("x", dtype="float32")
    params = [pytensor.shared(array) for array in parameters]
    loss = _loss(workload, params, x, labels)
    rule = {"frames": _nesterov, "characters": _adam, "leaky": _sgd}[workload.kind]
    updates = rule(params, pytensor.grad(loss, params))
    train = _trusting(pytensor.function([x, labels], loss, updates=updates))
    return Program(partial(train, *data), lambda: pytensor.function([x, labels], loss)(*data))


def compile_trivial() -> None:
    """Compile and call one function."""
    pytensor.function([], pt.constant(1.0) + 1.0)()


def _trusting(function: Any) -> Any:
    function.trust_input = True
    return function


def _prepare_call(workload: Workload, data: Arrays) -> Program:
    x = pt.vector("x", dtype="float32")
    if workload.kind == "call":
        return Program(partial(_trusting(pytensor.function([x], pt.tanh(x))), *data))
    loss = twelve_operations(pt, x).mean()
    both = _trusting(pytensor.function([x], [loss, pytensor.grad(loss, x)]))
    return Program(partial(both, *data))


def _loss(workload: Workload, params: Any, x: Any, labels: Any) -> Any:
    if workload.kind == "frames":
        y = x
        for k in range(workload.layers):
            p = params[6 * k : 6 * k + 6]
            forward = _layer(workload, y, *p[:3], reverse=False)
            y = pt.concatenate([forward, _layer(workload, y, *p[3:], reverse=True)], axis=2)
    elif workload.kind == "characters":
        y = _layer(workload, params[0][x], *params[1:4], reverse=False)
    else:
        y = _leaky_layer(workload, x, *params[:5])
    scores = pt.special.log_softmax(y @ params[-2] + params[-1], axis=2)
    flat = labels.flatten()
    return -scores.reshape((-1, workload.n_classes))[pt.arange(flat.shape[0]), flat].mean()


def _layer(workload: Workload, x: Any, w: Any, u: Any, b: Any, *, reverse: bool) -> Any:
    n_units = workload.n_units

    def step_tanh(z: Any, h: Any, u: Any) -> Any:
        return pt.tanh(z + h @ u)

    def step_lstm(z: Any, h: Any, c: Any, u: Any) -> Any:
        z = z + h @ u
        i, f, g, o = (z[:, k * n_units : (k + 1) * n_units] for k in range(4))
        c = pt.sigmoid(f) * c + pt.sigmoid(i) * pt.tanh(g)
        return pt.sigmoid(o) * pt.tanh(c), c

    is_tanh = workload.cell == "tanh"
    zeros = pt.zeros((x.shape[1], n_units), dtype="float32")
    results = pytensor.scan(
        step_tanh if is_tanh else step_lstm,
        sequences=x @ w + b,
        outputs_info=[zeros] if is_tanh else [zeros, zeros],
        non_sequences=[u],
        go_backwards=reverse,
        strict=True,
        return_updates=False,
    )
    y = results if is_tanh else results[0]
    return y[::-1] if reverse else y


def _leaky_layer(
    workload: Workload, x: Any, w: Any, u: Any, gain: Any, bias: Any, leak: Any
) -> Any:
    def step(z: Any, h: Any, u: Any, gain: Any, bias: Any, share: Any) -> Any:
        z = z + h @ u
        centred = z - z.mean(axis=1, keepdims=True)
        variance = (centred * centred).mean(axis=1, keepdims=True)
        normal = centred / pt.sqrt(variance + _number(NORM_EPSILON)) * gain + bias
        return h + share * (pt.tanh(normal) - h)

    return pytensor.scan(
        step,
        sequences=x @ w,
        outputs_info=[pt.zeros((x.shape[1], workload.n_units), dtype="float32")],
        non_sequences=[u, gain, bias, pt.sigmoid(leak)],
        strict=True,
        return_updates=False,
    )


def _zeros_like(param: Any) -> Any:
    return pytensor.shared(np.zeros_like(param.get_value()))


def _sgd(params: Any, gradients: Any) -> Any:
    return {p: p - _number(SGD_RATE) * g for p, g in zip(params, gradients, strict=True)}


def _nesterov(params: Any, gradients: Any) -> Any:
    new, rate, momentum = {}, _number(NESTEROV.rate), _number(NESTEROV.momentum)
    for p, g in zip(params, gradients, strict=True):
        v = _zeros_like(p)
        new[v] = momentum * v - rate * g
        new[p] = p + momentum * new[v] - rate * g
    return new


def _adam(params: Any, gradients: Any) -> Any:
    beta1, beta2, one = _number(ADAM.beta1), _number(ADAM.beta2), _number(1)
    count = pytensor.shared(_number(0))
    new: dict[Any, Any] = {count: count + one}
    rate = _number(ADAM.rate) * pt.sqrt(one - beta2 ** new[count]) / (one - beta1 ** new[count])
    for p, g in zip(params, gradients, strict=True):
        m, v = _zeros_like(p), _zeros_like(p)
        new[m] = beta1 * m + (one - beta1) * g
        new[v] = beta2 * v + (one - beta2) * g * g
        new[p] = p - rate * new[m] / (pt.sqrt(new[v]) + _number(ADAM.epsilon))
    return new
