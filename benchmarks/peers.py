"""The same nets in PyTensor and JAX, each measured in processes of its own.

    python benchmarks/peers.py jax 2 tanh nesterov

prints one line of JSON: seconds to import, to build and compile up to the first result, and the
number of loops in the compiled program.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

N_IN, N_UNITS, N_CLASSES, T, BATCH = 12, 8, 9, 20, 4
PEERS = ("jax", "pytensor")


def measure_peers(n_layers: int) -> list[dict[str, Any]]:
    """A row for each peer that is installed, net and cache (cold, then warm)."""
    rows = []
    for peer in PEERS:
        if importlib.util.find_spec(peer) is None:
            print(f"{peer} is not installed: not measured")
            continue
        for cell in ("tanh", "lstm"):
            for updates in ("sgd", "nesterov", "n1"):
                for layers in sorted({1, 2, n_layers} & set(range(1, n_layers + 1))):
                    rows += _cold_and_warm(peer, layers, cell, updates)
    return rows


def _cold_and_warm(peer: str, layers: int, cell: str, updates: str) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for state in ("cold", "warm"):
            found = _in_fresh_process(peer, layers, cell, updates, cache)
            net = {"peer": peer, "layers": layers, "cell": cell, "updates": updates}
            rows.append({**net, "cache": state, **found})
    return rows


def _in_fresh_process(
    peer: str, layers: int, cell: str, updates: str, cache: str
) -> dict[str, Any]:
    variables = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTENSOR_FLAGS": f"base_compiledir={cache}",
        "NUMBA_CACHE_DIR": cache,
    }
    command = [sys.executable, str(Path(__file__).resolve()), peer, str(layers), cell, updates]
    try:
        done = subprocess.run(
            command, env=variables, capture_output=True, text=True, timeout=1800, check=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"{' '.join(command[2:])} failed: {str(error.stderr or error)[-500:]}")
        return {"import s": None, "first result s": None, "loops": None}
    return json.loads(done.stdout.splitlines()[-1])


def _initial(n_layers: int, cell: str) -> list[np.ndarray]:
    """The parameters: for each direction of each layer W, U and b, then the readout's two."""
    rng = np.random.default_rng(0)
    gates = 4 if cell == "lstm" else 1
    values, n_in = [], N_IN
    for _ in range(n_layers):
        for _ in range(2):
            values += [
                rng.normal(0, 0.1, (n_in, gates * N_UNITS)),
                rng.normal(0, 0.1, (N_UNITS, gates * N_UNITS)),
                np.zeros(gates * N_UNITS),
            ]
        n_in = 2 * N_UNITS
    values += [rng.normal(0, 0.1, (n_in, N_CLASSES)), np.zeros(N_CLASSES)]
    return [value.astype("float32") for value in values]


def _data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return (
        rng.normal(0, 1, (T, BATCH, N_IN)).astype("float32"),
        rng.integers(0, N_CLASSES, BATCH),
    )


def run_jax(n_layers: int, cell: str, updates: str) -> dict[str, Any]:
    """The net in JAX: one jitted training step."""
    start = time.perf_counter()
    import jax
    import jax.numpy as jnp
    from jax import lax

    imported = time.perf_counter()

    def layer(x: Any, w: Any, u: Any, b: Any, *, reverse: bool) -> Any:
        def step(state: Any, x_t: Any) -> Any:
            h, c = state
            z = x_t @ w + h @ u + b
            if cell == "tanh":
                return (jnp.tanh(z), c), jnp.tanh(z)
            i, f, g, o = jnp.split(z, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zeros = jnp.zeros((x.shape[1], N_UNITS), x.dtype)
        return lax.scan(step, (zeros, zeros), x, reverse=reverse)[1]

    def loss(params: Any, x: Any, labels: Any) -> Any:
        y = x
        for k in range(n_layers):
            p = params[6 * k : 6 * k + 6]
            y = jnp.concatenate(
                [layer(y, *p[:3], reverse=False), layer(y, *p[3:], reverse=True)], axis=2
            )
        logits = y.mean(axis=0) @ params[-2] + params[-1]
        return -jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels].mean()

    def train(params: Any, velocities: Any, x: Any, labels: Any) -> Any:
        if updates == "n1":
            value = loss(params, x, labels)
            ahead = [p + 0.9 * v for p, v in zip(params, velocities, strict=True)]
            gradients = jax.grad(loss)(ahead, x, labels)
        else:
            value, gradients = jax.value_and_grad(loss)(params, x, labels)
        if updates == "sgd":
            return value, [p - 0.01 * g for p, g in zip(params, gradients, strict=True)], velocities
        new = [0.9 * v - 0.01 * g for v, g in zip(velocities, gradients, strict=True)]
        jump = 0.0 if updates == "n1" else 1.0
        params = [
            p + v + jump * (0.9 * v - v - 0.01 * g)
            for p, v, g in zip(params, new, gradients, strict=True)
        ]
        return value, params, new

    params = [jnp.asarray(value) for value in _initial(n_layers, cell)]
    velocities = [jnp.zeros_like(p) for p in params]
    x, labels = _data()
    begun = time.perf_counter()
    compiled = jax.jit(train).lower(params, velocities, x, labels).compile()
    jax.block_until_ready(compiled(params, velocities, x, labels))
    done = time.perf_counter()
    loops = compiled.as_text().count(" while(")
    return {"import s": imported - start, "first result s": done - begun, "loops": loops}


def run_pytensor(n_layers: int, cell: str, updates: str) -> dict[str, Any]:
    """The net in PyTensor, compiled in its default mode."""
    start = time.perf_counter()
    import pytensor
    import pytensor.tensor as pt
    from pytensor.graph.replace import graph_replace

    imported = time.perf_counter()
    begun = time.perf_counter()
    x, labels = pt.tensor3("x", dtype="float32"), pt.lvector("labels")
    params = [pytensor.shared(value) for value in _initial(n_layers, cell)]

    def layer(x: Any, w: Any, u: Any, b: Any, *, reverse: bool) -> Any:
        def step(x_t: Any, h: Any, c: Any, w: Any, u: Any, b: Any) -> Any:
            z = x_t @ w + h @ u + b
            if cell == "tanh":
                return pt.tanh(z), c
            i, f, g, o = (z[:, k * N_UNITS : (k + 1) * N_UNITS] for k in range(4))
            c = pt.sigmoid(f) * c + pt.sigmoid(i) * pt.tanh(g)
            return pt.sigmoid(o) * pt.tanh(c), c

        zeros = pt.zeros((x.shape[1], N_UNITS), dtype="float32")
        results, _ = pytensor.scan(
            step,
            sequences=x,
            outputs_info=[zeros, zeros],
            non_sequences=[w, u, b],
            go_backwards=reverse,
            strict=True,
        )
        return results[0][::-1] if reverse else results[0]

    y: Any = x
    for k in range(n_layers):
        p = params[6 * k : 6 * k + 6]
        y = pt.concatenate([layer(y, *p[:3], reverse=False), layer(y, *p[3:], reverse=True)], 2)
    logits = y.mean(axis=0) @ params[-2] + params[-1]
    loss = -pt.special.log_softmax(logits, axis=1)[pt.arange(labels.shape[0]), labels].mean()
    velocities = [pytensor.shared(np.zeros_like(p.get_value())) for p in params]
    points: list[Any] = params
    at = loss
    if updates == "n1":
        points = [p + np.float32(0.9) * v for p, v in zip(params, velocities, strict=True)]
        at = graph_replace(loss, dict(zip(params, points, strict=True)), strict=False)
    gradients = pytensor.grad(at, points)
    new: dict[Any, Any] = {}
    rate, momentum = np.float32(0.01), np.float32(0.9)
    for p, v, g in zip(params, velocities, gradients, strict=True):
        if updates == "sgd":
            new[p] = p - rate * g
            continue
        new[v] = momentum * v - rate * g
        new[p] = p + new[v] if updates == "n1" else p + momentum * new[v] - rate * g
    f = pytensor.function([x, labels], loss, updates=new)
    f(*_data())
    done = time.perf_counter()
    loops = sum(type(n.op).__name__ == "Scan" for n in f.maker.fgraph.toposort())
    return {"import s": imported - start, "first result s": done - begun, "loops": loops}


if __name__ == "__main__":
    name, depth, kind, how = sys.argv[1:]
    run = {"jax": run_jax, "pytensor": run_pytensor}[name]
    print(json.dumps(run(int(depth), kind, how)))
