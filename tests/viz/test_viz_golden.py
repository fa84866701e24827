"""The exact text of small listings and pictures; large and awkward ones."""

from __future__ import annotations

import numpy as np

import symgraph as sg

LISTING = """\
%0 'x' = input : float32[T, 2]
%1 = size(%0; axis=0) : int64[]
%2 = constant [1.0, 1.0] : float32[1, 2]
%3 'w' = shared : float32[2]
%4 'loop' = scan(steps=%1, sequences=[%0], initials=[%2], fixed=[%3]; body=1) : \
(float32[T + 1, 2])
    body 1:
    %0 = sequence 0, t : float32[2]
    %1 = state 0, t - 1 : float32[2]
    %2 = fixed 0 : float32[2]
    %3 = multiply(%1, %2) : float32[2]
    %4 = add(%3, %0) : float32[2]
    new state 0: %4
%5 = item(%4; index=0) : float32[T + 1, 2]
%6 = slice(%5; [1:]) : float32[T, 2]
%7 'y' = multiply(%6, 0.5) : float32[T, 2]
outputs: %7"""


def loop():
    x = sg.tensor("x", ("T", 2))
    w = sg.shared(np.ones(2, "float32"), name="w")
    initial = sg.constant(np.ones((1, 2), "float32"))
    states = sg.scan(lambda row, h: h * w + row, x, {"initial": initial, "taps": [-1]}, name="loop")
    y = states * 0.5
    y.name = "y"
    return y


def test_listing_of_a_loop():
    assert sg.listing(loop()) == LISTING


def test_a_body_is_written_out_once():
    x, y = sg.tensor("x", ("T",)), sg.tensor("y", ("T",))
    traces = [sg.map(lambda row: sg.exp(row) + 1.0, v) for v in (x, y)]
    text = sg.listing(traces)
    assert text.count("body=1") == 2
    assert text.count("body 1:") == 1
    assert sg.to_dot(traces).source.count("body 1") == 2


def test_picture_of_an_expression():
    x = sg.tensor("x", (3,))
    y = sg.tanh(x * 2.0)
    lines = [line.strip() for line in sg.to_dot(y).source.splitlines()]
    edges = [line for line in lines if "->" in line]
    assert edges == ['n1 -> n2:r0 [label=" float32[3] "]', 'n2 -> n0 [label=" float32[3] "]']
    (chain,) = [line for line in lines if line.startswith("n2 [")]
    assert "multiply(·, 2.0)" in chain
    assert "tanh" in chain


def test_feedback_is_dashed_from_the_new_state_to_its_tap():
    lines = sg.to_dot(loop()).source.splitlines()
    (feedback,) = [line for line in lines if "1 step later" in line]
    tail, head = feedback.split("[")[0].split("->")
    assert "style=dashed" in feedback
    assert any(line.strip().startswith(f"{tail.strip()} [label=<new state 0>") for line in lines)
    assert any(line.strip().startswith(f"{head.strip()} [label=<state 0, t - 1>") for line in lines)


def test_updates_are_marked():
    x, w = sg.scalar("x"), sg.shared(1.0, name="w")
    f = sg.compile([x], x * w, updates={w: w + x}, backend="numpy", name="train")
    assert "function 'train'" in sg.listing(f)
    assert sg.listing(f).splitlines()[-1].startswith("update: %1 <- ")
    assert "update<br/><b>w</b>" in sg.to_dot(f).source


def test_many_leaves_of_one_op_are_one_box():
    vectors = [sg.tensor(f"part{i}", (2,)) for i in range(20)]
    source = sg.to_dot(sg.concatenate(vectors)).source
    assert source.count("->") == 2
    assert "20 × float32[2]" in source
    assert "… 9 more" in source


def test_names_that_mean_something_to_graphviz():
    x = sg.tensor('<b>"\\N"&</b>', (2,))
    assert "&lt;b&gt;" in sg.to_dot(x * 2.0).source


def test_deep_chain():
    v = sg.scalar("x")
    for _ in range(50_000):
        v = sg.sin(v)
    assert sg.listing(v).count("\n") == 50_001
    assert sg.to_dot(v).source.count("sin") == 50_000


def test_deep_nest_of_loops():
    def nest(depth):
        if depth == 0:
            return lambda row: row * 2.0
        return lambda row: sg.map(nest(depth - 1), row)

    x = sg.tensor("x", tuple("abcdef"))
    y = sg.map(nest(5), x)
    assert "\n" + "    " * 6 + "body 6:" in sg.listing(y)
    assert sg.to_dot(y).source.count("subgraph cluster_") == 6


def test_structure_not_history_decides_the_order():
    a, b = sg.tensor("a", (2,)), sg.tensor("b", (2,))
    first = sg.listing(sg.exp(a) + sg.log(b))
    c, d = sg.tensor("a", (2,)), sg.tensor("b", (2,))
    kept = sg.log(d)
    assert sg.listing(sg.exp(c) + kept) == first
