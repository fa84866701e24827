"""The workloads in JAX: one jitted step, lax.scan, parameters and state donated.

The inputs' products stay in the loops: taken out of them, LSTM steps take twice as long.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
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


class Maths:
    """The names that the twelve operations ask for."""

    tanh, exp, sqrt, sigmoid = jnp.tanh, jnp.exp, jnp.sqrt, jax.nn.sigmoid


def prepare(workload: Workload, parameters: Arrays, data: Arrays) -> Program:
    """The workload; it compiles at the first step."""
    given = [jnp.asarray(array) for array in data]
    if workload.kind == "call":
        tanh = jax.jit(jnp.tanh)
        return Program(lambda: tanh(*given).block_until_ready())
    if workload.kind == "elementwise":
        both = jax.jit(jax.value_and_grad(lambda x: twelve_operations(Maths, x).mean()))
        return Program(lambda: jax.block_until_ready(both(*given)))
    return _prepare_training(workload, parameters, given)


def compile_trivial() -> None:
    """Compile and call one function, which starts the backend."""
    jax.jit(lambda x: x + 1)(1.0).block_until_ready()


def _prepare_training(workload: Workload, parameters: Arrays, given: list[Any]) -> Program:
    begin, move = {"frames": _NESTEROV, "characters": _ADAM, "leaky": _SGD}[workload.kind]

    def loss(params: Any, x: Any, labels: Any) -> Any:
        return _loss(workload, params, x, labels)

    def train(params: Any, state: Any, x: Any, labels: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(params, x, labels)
        return value, *move(params, state, gradients)

    compiled = jax.jit(train, donate_argnums=(0, 1))
    params: Any = [jnp.array(array) for array in parameters]
    state = begin(params)

    def step() -> Any:
        nonlocal params, state
        value, params, state = compiled(params, state, *given)
        return value.block_until_ready()

    return Program(step, lambda: jax.jit(loss)(params, *given).block_until_ready())


def _loss(workload: Workload, params: Any, x: Any, labels: Any) -> Any:
    if workload.kind == "frames":
        y = x
        for k in range(workload.layers):
            p = params[6 * k : 6 * k + 6]
            y = jnp.concatenate(
                [
                    _layer(workload.cell, y, *p[:3], reverse=False),
                    _layer(workload.cell, y, *p[3:], reverse=True),
                ],
                axis=2,
            )
    elif workload.kind == "characters":
        y = _layer(workload.cell, params[0][x], *params[1:4], reverse=False)
    else:
        y = _leaky_layer(x, *params[:5])
    scores = jax.nn.log_softmax(y @ params[-2] + params[-1])
    return -jnp.take_along_axis(scores, labels[..., None], axis=2).mean()


def _layer(cell: str, x: Any, w: Any, u: Any, b: Any, *, reverse: bool) -> Any:
    def step_tanh(h: Any, x_t: Any) -> Any:
        h = jnp.tanh(x_t @ w + h @ u + b)
        return h, h

    def step_lstm(state: Any, x_t: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(x_t @ w + h @ u + b, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((x.shape[1], u.shape[0]), x.dtype)
    step, initial = (step_tanh, zeros) if cell == "tanh" else (step_lstm, (zeros, zeros))
    return lax.scan(step, initial, x, reverse=reverse)[1]


def _leaky_layer(x: Any, w: Any, u: Any, gain: Any, bias: Any, leak: Any) -> Any:
    share = jax.nn.sigmoid(leak)

    def step(h: Any, x_t: Any) -> Any:
        z = x_t @ w + h @ u
        centred = z - z.mean(axis=1, keepdims=True)
        variance = (centred * centred).mean(axis=1, keepdims=True)
        normal = centred * lax.rsqrt(variance + NORM_EPSILON) * gain + bias
        h = h + share * (jnp.tanh(normal) - h)
        return h, h

    return lax.scan(step, jnp.zeros((x.shape[1], u.shape[0]), x.dtype), x)[1]


# --- update rules: the state they begin with, and one move ---------------------------------------


def _zeros_like(params: Any) -> Any:
    return [jnp.zeros_like(p) for p in params]


def _sgd(params: Any, state: Any, gradients: Any) -> Any:
    return [p - SGD_RATE * g for p, g in zip(params, gradients, strict=True)], state


def _nesterov(params: Any, state: Any, gradients: Any) -> Any:
    new = [NESTEROV.momentum * v - NESTEROV.rate * g for v, g in zip(state, gradients, strict=True)]
    triples = zip(params, new, gradients, strict=True)
    return [p + NESTEROV.momentum * v - NESTEROV.rate * g for p, v, g in triples], new


def _adam(params: Any, state: Any, gradients: Any) -> Any:
    count, means, squares = state
    count = count + 1
    means = [ADAM.beta1 * m + (1 - ADAM.beta1) * g for m, g in zip(means, gradients, strict=True)]
    squares = [
        ADAM.beta2 * v + (1 - ADAM.beta2) * g * g for v, g in zip(squares, gradients, strict=True)
    ]
    rate = ADAM.rate * jnp.sqrt(1 - ADAM.beta2**count) / (1 - ADAM.beta1**count)
    triples = zip(params, means, squares, strict=True)
    moved = [p - rate * m / (jnp.sqrt(v) + ADAM.epsilon) for p, m, v in triples]
    return moved, (count, means, squares)


_SGD = (lambda params: (), _sgd)
_NESTEROV = (_zeros_like, _nesterov)
_ADAM = (lambda params: (jnp.float32(0), _zeros_like(params), _zeros_like(params)), _adam)
