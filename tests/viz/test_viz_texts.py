"""Listings and pictures: what they show, and that they are the same in every process."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

import symgraph as sg
import symgraph_nn as nn

PROGRAM = """
import hashlib, symgraph as sg, numpy as np
x = sg.tensor("x", ("T", 3))
w = sg.shared(np.eye(3, dtype="float32"), "w")
def step(x_t, s):
    return sg.tanh(x_t + s @ w) + sg.scan(lambda a, b: a + b, x_t, np.float32(0))[-1]
y = sg.scan(step, x, sg.zeros(3), name="outer")
loss = y.sum() + sg.random.Stream(1).uniform(())
f = sg.compile([x], {"loss": loss}, updates={w: w - 0.1 * sg.grad(loss, w)}, name="train")
"""


def _built():
    names: dict = {}
    exec(PROGRAM, names)
    return names


@pytest.mark.parametrize("subject", ["y", "loss", "f", "f.graph", "[y, loss]"])
def test_the_same_text_in_every_process(subject):
    show = f"""
text = sg.to_dot({subject}).source + sg.listing({subject})
print(hashlib.md5(text.encode()).hexdigest())
"""
    found = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM + show],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found.add(run.stdout)
    assert len(found) == 1


def test_a_listing_shows_names_dtypes_and_loop_bodies():
    text = sg.listing(_built()["y"])
    assert "'x' = input : float32[T, 3]" in text
    assert "'w' = shared : float32[3, 3]" in text
    assert "'outer' = scan(" in text
    assert "\n    body 1:" in text
    assert "\n        body 2:" in text


def test_a_picture_shows_loops_as_clusters_and_marks_what_is_shared():
    names = _built()
    source = sg.to_dot(names["f"]).source
    assert "subgraph cluster_" in source
    assert "cylinder" in source
    assert "float32" in source
    assert "update" in source


def _with_checkpoints(until, **options):
    x = sg.tensor("x", ("T", 3))

    def step(x_t, h):
        new = sg.tanh(x_t + h)
        return ([new, new.sum()], sg.until(new.sum() > 2.0)) if until else [new, new.sum()]

    h, totals = sg.scan(step, [x], [sg.zeros(3), None], name="loop", **options)
    return x, h, sg.grad(h[-1].sum() + totals.sum(), x)


@pytest.mark.parametrize("until", [False, True])
@pytest.mark.parametrize("option", [{"checkpoint_every": 4}, {"memory": "1kB"}])
def test_a_picture_shows_the_checkpoints_that_a_gradient_reads(until, option):
    x, h, gradient = _with_checkpoints(until, **option)
    for subject in (gradient, [h, gradient], sg.compile([x], gradient)):
        lines = [line.strip() for line in sg.to_dot(subject).source.splitlines()]
        nodes = {line.split(" ")[0]: line for line in lines if " [label=<" in line}
        edges = [line.split(" [")[0].split(" -> ") for line in lines if " -> " in line]
        (kept,) = [name for name, line in nodes.items() if "<checkpoints of state 0>" in line]
        (new,) = [tail for tail, head in edges if head == kept]
        assert ">new state 0<" in nodes[new]
        assert any(tail == kept for tail, _ in edges)
        # Nothing is read of what ends the loop, and each box is joined to something.
        assert not [tail for tail, _ in edges if "<until>" in nodes[tail.split(":")[0]]]
        joined = {end.split(":")[0] for edge in edges for end in edge}
        assert [line for name, line in nodes.items() if name not in joined] == []


def test_a_picture_calls_states_by_their_names_in_the_step():
    x, mask = sg.tensor("x", ("T", "B", 3)), sg.tensor("mask", ("T", "B"))
    for source in (
        sg.to_dot(nn.LSTM(3, 5)(x)).source,
        sg.to_dot(nn.LSTM(3, 5)(x, mask=mask)).source,  # what a mask carries on has no line
    ):
        for name, state in (("h", "state 0"), ("c", "state 1")):
            assert len(re.findall(rf"<b>{name}</b><br/>[^\n]*>{state}, t - 1<", source)) == 1
            assert len(re.findall(rf"<b>{name}</b><br/>[^\n]*>new {state}<", source)) == 1


def test_a_picture_says_how_far_checkpoints_are_apart():
    _x, h, _ = _with_checkpoints(False, checkpoint_every=4)
    source = sg.to_dot(h).source
    assert "T steps · checkpoints every 4 steps · body 1" in source
    assert "checkpoints" not in sg.to_dot(_with_checkpoints(False)[1]).source


@pytest.mark.parametrize("wrong", [3, None, "x"])
def test_what_cannot_be_shown(wrong):
    for show in (sg.to_dot, sg.listing, sg.dprint):
        with pytest.raises(sg.SymgraphTypeError, match=r"test_viz_texts\.py:"):
            show(wrong)


def test_dprint_prints_the_listing(capsys):
    x = sg.vector("x")
    sg.dprint(sg.tanh(x))
    assert capsys.readouterr().out.strip() == sg.listing(sg.tanh(x)).strip()
