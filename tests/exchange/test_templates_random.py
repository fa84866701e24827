"""Templates that put in place what was there: random graphs keep their values."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg

PATTERNS = """
x*y | x+y | x-y | x/y | x*x | x**2 | sqrt(x) | x*sigmoid(x) | x/(1+exp(-x)) | 0.5*x | x+1 | 2*x+y
x*y+x | 1/x | -x | x/sqrt(y) | x*(y+1) | tanh(x)*tanh(x) | exp(x)*y | x - 0.5*y | x*x*y | 1-x
sqrt(x*x+y*y) | x*y*2 | erf(x)+1 | x/(x+y) | sum(x, axis=-1, keepdims=True)/3 | maximum(x, y)
mean(x, axis=-1, keepdims=True) | x - mean(x, axis=-1, keepdims=True) | abs(x)*y
"""
TEMPLATES = [sg.template(p.strip(), p) for p in PATTERNS.replace("\n", "|").split("|") if p]
BINARY: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a / (sg.abs(b) + 1.0),
    lambda a, b: sg.maximum(a, b),
    lambda a, b: a * a * sg.tanh(b),
]
UNARY: list[Callable[[Any], Any]] = [
    lambda a: -a,
    lambda a: sg.square(a),
    lambda a: a**2.0,
    lambda a: sg.sqrt(sg.abs(a) + 0.5),
    lambda a: sg.exp(sg.tanh(a)),
    lambda a: a * sg.sigmoid(a),
    lambda a: a - sg.mean(a, axis=-1, keepdims=True) if a.ndim else a,
    lambda a: 1 + sg.erf(a),
    lambda a: sg.erfc(a) * 0.5,
    lambda a: 1.0 / (sg.abs(a) + 1.0),
    lambda a: a * (1 / 3) - 0.5,
]


def draw(rng: random.Random, leaves: list[Any]) -> Any:
    """Some expressions of the leaves, one after the other."""
    pool = list(leaves)
    for _ in range(rng.randint(3, 14)):
        if rng.random() < 0.5:
            pool.append(rng.choice(BINARY)(rng.choice(pool), rng.choice(pool)))
        else:
            pool.append(rng.choice(UNARY)(rng.choice(pool)))
    x = leaves[0]
    return sg.concatenate([sg.reshape(v + 0 * x, (-1,)) for v in pool[-3:]]) + sum(
        0 * sg.sum(v) for v in leaves
    )


@pytest.mark.parametrize("block", range(4))
def test_what_is_put_in_place_of_itself_changes_no_value(block: int) -> None:
    leaves = [
        sg.tensor("x", ("n", 3), "float64"),
        sg.tensor("y", (3,), "float64"),
        sg.scalar("s", "float64"),
    ]
    values = [np.random.default_rng(0).normal(size=(2, 3)), np.array([0.3, -0.2, 1.1]), 0.7]
    arrays = dict(zip(leaves, values, strict=True))
    n_changed = 0
    for seed in range(20 * block, 20 * block + 20):
        rng = random.Random(seed)
        before = draw(rng, leaves)
        after = sg.rewrite_graph(before, rng.sample(TEMPLATES, 3))
        n_changed += after is not before
        np.testing.assert_allclose(
            after.eval(arrays, backend="numpy"),
            before.eval(arrays, backend="numpy"),
            rtol=1e-5,
            atol=1e-6,
        )
    assert n_changed


def test_patterns_that_could_go_on_for_ever_come_to_an_end() -> None:
    a, b, c = (sg.tensor(name, ("n",)) for name in "abc")
    for pattern in ("1/x", "-x", "x-y", "0-x", "x/y"):
        rule = sg.template(pattern, pattern)
        for y in (a * b, a / b, a + b + c, -(a * b), (-a) * b, a - b - c, 1 / (a * b)):
            after = sg.rewrite_graph(y, [rule, rule])
            arrays = {v: [0.5, 2.0] for v in (a, b, c) if v in sg.ancestors(y)}
            np.testing.assert_allclose(after.eval(arrays), y.eval(arrays), rtol=1e-6)
