"""What goes out has a name at each end, whatever it came as."""

from __future__ import annotations

from typing import Any

import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.exchange.subject import subject_of


def test_a_function_goes_out_as_it_was_built() -> None:
    x, total = sg.vector("x"), sg.shared(0.0, "total")
    doubled = x * 2
    f = sg.compile([x], {"y": doubled}, updates={total: total + x.sum()}, name="my net")
    subject = subject_of(f)
    assert subject.name == "my_net"
    assert dict(subject.inputs) == {"x": x}
    assert dict(subject.outputs) == {"y": doubled}
    assert dict(subject.shared) == {"total": total}
    assert list(subject.updates) == ["total"]
    assert subject.structure == {"y": "y"}
    assert subject.results == (doubled, subject.updates["total"])


def test_names_are_told_apart() -> None:
    x, again, w = sg.vector("x"), sg.vector("x"), sg.shared(1.0, "x")
    subject = subject_of([x + again * w, x, x], [x, again])
    assert list(subject.inputs) == ["x", "x_1"]
    assert list(subject.shared) == ["x_2"]
    assert list(subject.outputs) == ["output", "output_1", "output_2"]
    assert subject.structure == ["output", "output_1", "output_2"]


def test_what_has_no_name_is_numbered() -> None:
    x = sg.vector()
    y = sg.exp(x)
    y.name = "2 e^x"
    subject = subject_of(y)
    assert list(subject.inputs) == ["input_1"]
    assert list(subject.outputs) == ["2 e^x"]
    assert (subject.name, subject.structure) == ("_2_e_x", "2 e^x")


def test_free_inputs_come_in_the_order_in_which_they_were_made() -> None:
    a, b = sg.vector("a"), sg.vector("b")
    assert list(subject_of(b - a).inputs) == ["a", "b"]
    assert list(subject_of([b * 2]).inputs) == ["b"]
    assert list(subject_of({"s": b + a}).outputs) == ["s"]


def test_a_module_is_called_on_its_inputs() -> None:
    net = nn.Sequential(nn.Dense(3, 4, rng=0), nn.LSTM(4, 2, rng=1))
    x = sg.tensor("x", ("T", "B", 3))
    subject = subject_of(lambda x: net(x, return_state=True), [x], name="net")
    assert subject.structure[0] == "output"
    assert len(subject.outputs) == 3
    assert subject_of(net, [x]).name == "sequential"
    assert set(subject_of(net, [x]).shared) == {p.name for p in net.params}


def test_streams_bring_their_counters() -> None:
    x = sg.matrix("x")
    net = nn.Dropout(0.5, rng=0)
    subject = subject_of(lambda x: net(x, training=True), [x])
    assert len(subject.updates) == 1
    assert set(subject.updates) <= set(subject.shared)


def test_looks_at_values_stay_here() -> None:
    x = sg.vector("x")
    y = sg.exp(x)
    subject = subject_of(sg.compile([x], sg.debug_print(y, "y")))
    assert dict(subject.outputs) == {"output": y}


@pytest.mark.parametrize("what", [3, "net.py", [1.0], None])
def test_what_cannot_go_out_is_said(what: Any) -> None:
    with pytest.raises(sg.ExchangeError, match="what goes out is"):
        subject_of(what)


def test_inputs_are_given_once() -> None:
    x = sg.vector("x")
    with pytest.raises(sg.ExchangeError, match="has its inputs already"):
        subject_of(sg.compile([x], x * 2), [x])
    with pytest.raises(sg.ExchangeError, match="inputs, which are missing"):
        subject_of(nn.Dense(3, 4))
    with pytest.raises(sg.ExchangeError, match="no variable, nor a tuple"):
        subject_of(lambda x: "y", [x])
