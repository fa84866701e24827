"""What gradient loops compute of rows for weights alone leaves them, and is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.scan.op import Loop, is_scan

BACKENDS = ("native", "numpy")
N_IN, N, B, T = 3, 4, 2, 5
random = np.random.default_rng(5)
SHAPES = {"v": (N_IN, N_IN), "b": (N_IN,), "w": (N_IN, N), "u": (N, N), "c": (N,)}
VALUES = {name: random.normal(size=shape) * 0.5 for name, shape in SHAPES.items()}

# What a step multiplies by `w`, of the functions of arrays or variables, the row, that of the mask,
# the state before, and the parameters.
FORMS: dict[str, Any] = {
    "a masked row": lambda m, x, mask, h, p: mask[..., None] * x,
    "a layer": lambda m, x, mask, h, p: m.tanh(x @ p["v"] + p["b"]),
    "two layers": lambda m, x, mask, h, p: m.tanh(m.tanh(x @ p["v"] + p["b"]) @ p["v"] + p["b"]),
    "a masked layer": lambda m, x, mask, h, p: m.tanh((mask[..., None] * x) @ p["v"]) * p["b"],
    "a softmax": lambda m, x, mask, h, p: (
        m.exp(x @ p["v"]) / m.sum(m.exp(x @ p["v"]), axis=-1, keepdims=True)
    ),
    "a layer and its row": lambda m, x, mask, h, p: x + m.tanh(x @ p["v"] + p["b"]),
}
# What depends on the state has to stay in the loop.
LATE: dict[str, Any] = {
    "a gated row": lambda m, x, mask, h, p: x * m.tanh(m.sum(h, axis=-1, keepdims=True)),
    "a layer of the state": lambda m, x, mask, h, p: m.tanh((x + h[..., :N_IN]) @ p["v"] + p["b"]),
    "a scaled layer": lambda m, x, mask, h, p: m.tanh(x @ p["v"]) * h[..., :1],
}


def cost_of(form, x, mask, params):
    """The sum of squared states, by NumPy."""
    h, total = np.zeros((*x.shape[1:-1], N)), 0.0
    for row, mask_t in zip(x, mask, strict=True):
        h = np.tanh(form(np, row, mask_t, h, params) @ params["w"] + h @ params["u"] + params["c"])
        total += (h**2).sum()
    return total


def gradients(form, has_batch, backend, **options):
    batch = ("B",) if has_batch else ()
    x, mask = (
        sg.tensor("x", ("T", *batch, N_IN), "float64"),
        sg.tensor("mask", ("T", *batch), "float64"),
    )
    params = {name: sg.shared(value, name) for name, value in VALUES.items()}

    def step(x, mask, h):
        a = form(sg, x, mask, h, params)
        return sg.tanh(a @ params["w"] + h @ params["u"] + params["c"])

    start = sg.zeros((x.shape[1], N) if has_batch else N, "float64")
    cost = (sg.scan(step, [x, mask], start, **options) ** 2).sum()
    by = sg.grad(cost, list(params.values()), disconnected="zero")
    return sg.compile([x, mask], [cost, *by], backend=backend, unused="ignore")


@pytest.mark.parametrize("has_batch", [True, False])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [*FORMS, *LATE])
def test_gradients_are_differences(name, backend, has_batch):
    form = (FORMS | LATE)[name]
    f = gradients(form, has_batch, backend)
    if name in FORMS and (backend == "numpy" or not has_batch):
        for loop in (Loop(v) for v in f.graph.nodes if is_scan(v)):
            if backend == "numpy":
                assert len(loop.states) == 1
            elif loop.layout.role == "written":
                continue  # rows are multiplied for some steps at once there
            assert [v.op.name for v in loop.body.nodes].count("matmul") == 1
    for n in (0, 1, T):
        batch = (B,) if has_batch else ()
        x, mask = random.normal(size=(n, *batch, N_IN)), random.binomial(1, 0.5, (n, *batch))
        cost, *by = f(x, mask.astype("float64"))
        np.testing.assert_allclose(cost, cost_of(form, x, mask, VALUES), rtol=1e-10)
        along = {k: random.normal(size=shape) for k, shape in SHAPES.items()}
        ends = [
            cost_of(form, x, mask, {k: VALUES[k] + s * 1e-5 * along[k] for k in VALUES})
            for s in (1, -1)
        ]
        slope = sum((g * along[k]).sum() for g, k in zip(by, VALUES, strict=True))
        np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-5, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("options", [{"truncate_gradient": 2}, {"checkpoint_every": 2}])
@pytest.mark.parametrize("has_batch", [True, False])
@pytest.mark.parametrize("name", [*FORMS, *LATE])
def test_truncated_and_checkpointed_gradients_are_alike_on_both_backends(name, has_batch, options):
    form, batch = (FORMS | LATE)[name], (B,) if has_batch else ()
    x = random.normal(size=(T, *batch, N_IN))
    mask = random.binomial(1, 0.5, (T, *batch)).astype("float64")
    both = [gradients(form, has_batch, backend, **options)(x, mask) for backend in BACKENDS]
    if "checkpoint_every" in options:
        both.append(gradients(form, has_batch, "numpy")(x, mask))
    for found in zip(*both, strict=True):
        for other in found[1:]:
            np.testing.assert_allclose(other, found[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sum_over_steps_keeps_no_rows_that_it_did_not_keep(backend):
    """States of which the last row is read cost a row, however many steps there are."""
    x = sg.tensor("x", (50, N), "float64")
    start = sg.zeros(N, "float64")
    _, total = sg.scan(
        lambda x, h, total: (sg.tanh(x + h), total + h * h), x, [start, start], name="sums"
    )
    f = sg.compile([x], total[-1], backend=backend)
    (loop,) = [Loop(v) for v in f.graph.nodes if is_scan(v)]
    assert not loop.outputs
    value = random.normal(size=(50, N))
    h, expected = np.zeros(N), np.zeros(N)
    for row in value:
        h, expected = np.tanh(row + h), expected + h * h
    np.testing.assert_allclose(f(value), expected)
