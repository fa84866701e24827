"""Modules: finding variables by attributes, naming them, and setting them all or none."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn


class Tagger(nn.Module):
    """A user's module, without a call of super().__init__."""

    def __init__(self, n_units=4):
        self.embedding = nn.Embedding(10, 3, rng=0)
        self.loops = [
            nn.Bidirectional(nn.LSTM(3, n_units, rng=1), nn.GRU(3, n_units, rng=2)),
            nn.RNN(2 * n_units, n_units, rng=3),
        ]
        self.heads = {"tag": nn.Dense(n_units, 5, rng=4), "case": (nn.Dense(n_units, 2, rng=5),)}
        self.scale = sg.shared(np.float32(1))
        self.n_units = n_units
        self.steps = sg.shared(0)

    def __call__(self, symbols):
        y = self.embedding(symbols)
        for loop in self.loops:
            y = loop(y)
        return self.heads["tag"](y) * self.scale


PATHS = [
    "embedding.W",
    *(f"loops.0.{way}.cell.{name}" for way in ("forward", "backward") for name in "WUb"),
    *(f"loops.1.cell.{name}" for name in "WUb"),
    "heads.tag.W", "heads.tag.b", "heads.case.0.W", "heads.case.0.b", "scale",
]  # fmt: skip


def test_params_are_found_and_named_by_their_path():
    net = Tagger()
    assert [p.name for p in net.params] == PATHS
    assert net.buffers == [net.steps]
    assert list(net.state()) == [*PATHS, "steps"]


def test_the_path_of_the_outermost_module_names_a_variable():
    cell = nn.LSTMCell(2, 3)
    assert [p.name for p in cell.params] == ["W", "U", "b"]
    layer = nn.Recurrent(cell)
    assert [p.name for p in layer.params] == ["cell.W", "cell.U", "cell.b"]
    assert [p.name for p in nn.Sequential(layer).params] == [
        "layers.0.cell.W", "layers.0.cell.U", "layers.0.cell.b",
    ]  # fmt: skip


def test_a_name_given_by_the_user_stays():
    class Own(nn.Module):
        def __init__(self):
            self.w = sg.shared(1.0, "temperature")

    assert [p.name for p in Own().params] == ["temperature"]
    assert list(Own().state()) == ["w"]


def test_a_tied_variable_counts_once():
    class Tied(nn.Module):
        def __init__(self):
            self.first = nn.Dense(3, 3, rng=0)
            self.second = nn.Dense(3, 3, rng=1)
            self.second.W = self.first.W
            self.again = self.first

    net = Tied()
    assert len(net.params) == 3
    assert list(net.state()) == ["first.W", "first.b", "second.b"]


def test_modules_that_hold_each_other():
    outer, inner = Tagger(), Tagger()
    outer.inner, inner.outer = inner, outer
    assert len(outer.params) == 2 * len(PATHS)


def test_an_object_with_params_is_taken_at_its_word():
    class Cell:
        def __init__(self):
            self.fixed = sg.shared(np.zeros(2, "float32"))
            self.hidden = [sg.shared(np.zeros(3, "float32"))]
            self.params = [self.hidden[0], sg.shared(np.zeros(4, "float32"), "loose")]

        def initial_state(self, batch):
            return sg.zeros((batch, 2))

        def step(self, x_t, state):
            return state, state

    cell = Cell()
    layer = nn.Recurrent(cell)
    assert layer.params == cell.params
    assert layer.buffers == [cell.fixed]
    assert list(layer.state()) == ["cell.fixed", "cell.hidden.0", "cell.params.1"]


def test_a_module_may_set_params_itself():
    net = Tagger()
    net.params = net.heads["tag"].params
    assert nn.Sequential(net).params == net.params
    assert len(nn.Sequential(net).buffers) == len(PATHS) - 1
    net.params = ["W"]
    with pytest.raises(sg.SymgraphTypeError, match="lists shared variables"):
        _ = nn.Sequential(net).params


def test_state_is_a_copy_and_goes_back():
    net, other = Tagger(), Tagger()
    for p in other.params:
        p.set_value(p.get_value() + 1)
    state = other.state()
    net.load_state(state)
    for path, value in net.state().items():
        np.testing.assert_array_equal(value, state[path])
    state["scale"][...] = 7
    assert net.scale.get_value() != 7


def test_loading_checks_everything_first_and_lists_all_that_is_wrong():
    net = Tagger()
    before, state = net.state(), Tagger().state()
    del state["embedding.W"]
    state["heads.tag.b"] = np.zeros(6, "float32")
    state["heads.tag.W"] = state["heads.tag.W"].astype("float64")
    state["nobody"] = np.zeros(1)
    state["loops.1.cell.U"] += 1
    with pytest.raises(sg.SymgraphValueError, match="nothing was changed") as caught:
        net.load_state(state)
    message = str(caught.value)
    for text in (
        "embedding.W is missing", "nobody is not known", "heads.tag.b has shape (5,)",
        "heads.tag.W has dtype float32", "Tagger", __file__,
    ):  # fmt: skip
        assert text in message
    for path, value in net.state().items():
        np.testing.assert_array_equal(value, before[path])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_whole_and_independent(copied):
    net = nn.Sequential(nn.Dense(3, 4, rng=0), nn.BatchNorm(4), nn.Dropout(0.5, rng=1))
    twin = copied(net)
    assert list(twin.state()) == list(net.state())
    assert len(twin.buffers) == 2
    assert not set(twin.params) & set(net.params)
    x = sg.matrix("x")
    point = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(twin(x).eval({x: point}), net(x).eval({x: point}))


def test_a_class_that_no_module_holds_goes_to_another_process_by_value():
    cloudpickle = pytest.importorskip("cloudpickle")  # what joblib pickles with

    class Local(nn.Module):
        def __init__(self):
            self.layer = nn.Dense(3, 2, rng=0)

        def __call__(self, x):
            return self.layer(x) * 2

    twin = pickle.loads(cloudpickle.dumps(Local))()
    x = np.ones((1, 3), "float32")
    np.testing.assert_array_equal(twin(x).eval(), Local()(x).eval())


# --- buffers that follow a value ----------------------------------------------------------------


class RunningMean(nn.Module):
    def __init__(self):
        self.average = nn.Buffer(np.zeros(3))
        self.gain = sg.shared(np.ones(3))

    def __call__(self, x):
        mean = sg.mean(x, axis=0)
        self.average.follow(mean, 0.25)
        return (x - mean) * self.gain


def test_the_update_rules_carry_the_buffers_of_their_loss():
    net, unrelated = RunningMean(), RunningMean()
    x = sg.matrix("x", "float64")
    other = unrelated(x + 1)
    loss = sg.sum(net(x))
    updates = nn.sgd(loss, net.params, 0.1)
    assert net.average.variable in updates
    assert unrelated.average.variable not in updates
    assert unrelated.average.variable in nn.buffer_updates(other)
    point = np.arange(6.0).reshape(2, 3)
    step = sg.compile([x], loss, updates=updates)
    step(point)
    step(point)
    expected = 0.25 * point.mean(0) * (1 + 0.75)
    np.testing.assert_allclose(net.average.variable.get_value(), expected)


def test_buffer_updates_alone_and_for_a_layer_called_twice():
    net = RunningMean()
    x = sg.matrix("x", "float64")
    updates = nn.buffer_updates([net(x), net(2 * x)])
    point = np.arange(6.0).reshape(2, 3)
    sg.compile([x], None, updates=updates)(point)
    mean = point.mean(0)
    once = 0.25 * mean
    np.testing.assert_allclose(net.average.variable.get_value(), once + 0.25 * (2 * mean - once))


@pytest.mark.parametrize("wrong", [3, None, [1, 2]])
def test_load_state_takes_a_dict(wrong):
    with pytest.raises(sg.SymgraphTypeError, match="dict"):
        nn.Dense(2, 3).load_state(wrong)


def test_a_ragged_value_changes_nothing():
    layer = nn.Dense(2, 3, rng=0)
    before = layer.state()
    with pytest.raises(sg.SymgraphValueError, match="W has"):
        layer.load_state({"W": [[1], [1, 2]], "b": np.ones(3, "float32")})
    for name, value in layer.state().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_masked_value_changes_nothing():
    layer = nn.Dense(2, 3, rng=0)
    before = layer.state()
    masked = np.ma.array(np.zeros(3, "float32"), mask=[True, False, False])
    with pytest.raises(sg.SymgraphTypeError, match="b: a masked array would lose its mask"):
        layer.load_state({"W": np.zeros((2, 3), "float32"), "b": masked})
    for name, value in layer.state().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_call_names_the_variables() -> None:
    net = nn.Sequential(nn.Dense(2, 3), nn.LSTM(3, 2))
    y = net(sg.tensor("x", ("T", "B", 2)))
    names = {v.name for v in sg.ancestors(y) if isinstance(v, sg.SharedVariable)}
    assert names == set(net.state())
