"""Where layers may be kept, and the errors for those that are kept nowhere and never trained."""

from __future__ import annotations

import functools
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

X = sg.tensor("x", ("B", 3))
ROWS = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")


def dense(seed=0):
    return nn.Dense(3, 3, rng=seed)


class Holder(nn.Module):
    """A module that has something in an attribute, and calls ``apply`` on it."""

    def __init__(self, kept, apply):
        self.kept, self.apply = kept, apply

    def __call__(self, x):
        return self.apply(self.kept, x)


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclass
class Part:
    layer: Any
    others: list = field(default_factory=list)


@dataclass
class Net(nn.Module):
    part: Part

    def __call__(self, x):
        return self.part.layer(x)


def apply_layer(layer, x, *, factor=1.0):
    return layer(x) * factor


KEPT = {
    "list": (lambda: [dense(), dense(1)], ["0.W", "0.b", "1.W", "1.b"]),
    "tuple": (lambda: (dense(), 3), ["0.W", "0.b"]),
    "named tuple": (lambda: Pair(1, dense()), ["1.W", "1.b"]),
    "deque": (lambda: deque([dense(), "between", dense(1)]), ["0.W", "0.b", "2.W", "2.b"]),
    "dict": (lambda: {"a": dense(), 1: dense(1)}, ["a.W", "a.b", "1.W", "1.b"]),
    "ordered dict": (lambda: OrderedDict(z=dense(), a=dense(1)), ["z.W", "z.b", "a.W", "a.b"]),
    "mapping": (lambda: MappingProxyType({"a": dense()}), ["a.W", "a.b"]),
    "nested": (lambda: [{"a": ([deque([dense()])],)}], ["0.a.0.0.0.W", "0.a.0.0.0.b"]),
    "partial": (lambda: functools.partial(apply_layer, dense(), factor=2), ["0.W", "0.b"]),
    "keywords": (lambda: functools.partial(apply_layer, layer=dense()), ["layer.W", "layer.b"]),
    "partial of a layer": (lambda: functools.partial(dense(), 3), ["func.W", "func.b"]),
    "bound method": (lambda: [dense().__call__], ["0.W", "0.b"]),
    "dataclass": (lambda: Part(dense(), [dense(1)]),
        ["layer.W", "layer.b", "others.0.W", "others.0.b"]),
    "module that is a dataclass": (lambda: Net(Part(dense())), ["part.layer.W", "part.layer.b"]),
    "set of others": (lambda: [{1, "a", (2, 3)}, dense()], ["1.W", "1.b"]),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_layers_are_found_in_containers(name):
    make, paths = KEPT[name]
    module = Holder(make(), None)
    assert [p.name for p in module.params] == [f"kept.{path}" for path in paths]
    assert list(module.state()) == [f"kept.{path}" for path in paths]
    other = Holder(make(), None)
    for param in module.params:
        param.set_value(param.get_value() + 1)
    other.load_state(module.state())
    for name, value in module.state().items():
        np.testing.assert_array_equal(other.state()[name], value)


@pytest.mark.parametrize(
    "make", [lambda: {dense()}, lambda: frozenset([(dense(), 1)]), lambda: {sg.shared(1.0)},
             lambda: [{"a": {nn.Buffer(1.0)}}]],
)  # fmt: skip
def test_a_set_has_no_order_to_name_layers_by(make):
    module = Holder(make(), None)
    for ask in (lambda: module.params, module.state, lambda: module.load_state({})):
        with pytest.raises(sg.SymgraphTypeError, match=r"kept(\.0\.a)? is a set") as caught:
            ask()
        assert __file__ in str(caught.value)


def test_two_variables_of_one_path_are_an_error():
    module = Holder({1: dense(), "1": dense(1)}, None)
    with pytest.raises(sg.SymgraphValueError, match=r"have the path 'kept\.1\.W'"):
        module.state()


# --- layers that are kept nowhere ---------------------------------------------------------------


class Made(nn.Module):
    """A module that makes a layer at each call."""

    def __init__(self):
        self.out = dense(5)

    def __call__(self, x):
        return self.out(nn.Dense(3, 3, sg.tanh, rng=1)(x))


class Secret:
    """No module, no container."""

    def __init__(self):
        self.layer = dense(2)


class Reaching(nn.Module):
    def __init__(self):
        self.out, self.secret = dense(5), Secret()

    def __call__(self, x):
        return self.out(self.secret.layer(x))


def within_a_lambda():
    layer = dense(3)
    return nn.Sequential(dense(5), lambda x: layer(x))


class Deep(nn.Module):
    def __init__(self):
        self.inner = Made()

    def __call__(self, x):
        return self.inner(x)


class InACell(nn.Module):
    """A recurrent net that makes its layer at the call."""

    def __init__(self):
        self.out = dense(5)

    def __call__(self, x):
        return self.out(nn.GRU(3, 3, rng=0)(sg.expand_dims(x, 0))[-1])


STRAY = {
    "made at the call": Made,
    "in an object": Reaching,
    "in a lambda": within_a_lambda,
    "made in a lambda": lambda: nn.Sequential(dense(5), lambda x: nn.Dense(3, 3, rng=0)(x)),
    "deep": Deep,
    "recurrent": InACell,
}


@pytest.mark.parametrize("name", STRAY)
def test_a_layer_that_is_called_but_not_kept_is_an_error_that_names_it(name):
    net = STRAY[name]()
    loss = sg.mean(sg.square(net(X) - 1))
    for train in (
        lambda: nn.sgd(loss, net.params, 0.1),
        lambda: nn.adam(sg.grad(loss, net.params), net.params),
        lambda: fit(net, loss, nn.sgd(loss, net.params[:1], 0.1)),
    ):
        with pytest.raises(sg.SymgraphValueError, match=r"in no \.params") as caught:
            train()
        assert "'W'" in str(caught.value) or "'cell.W'" in str(caught.value)
        assert __file__ in str(caught.value)


def fit(net, loss, updates, **options):
    return nn.fit(net, [X], loss, updates, [ROWS], epochs=1, rng=0, progress=False, **options)


def test_nothing_to_train_is_an_error_that_says_what_there_could_be():
    hidden = nn.Sequential(lambda x: nn.Dense(3, 3, rng=0)(x))
    kept = dense()
    for net in (hidden, kept):
        loss = sg.mean(sg.square(net(X)))
        for rule in (nn.sgd, nn.nesterov, nn.adam):
            with pytest.raises(sg.SymgraphValueError, match="no parameter to train") as caught:
                rule(loss, [], 0.1)
            assert "'W' float32[3, 3]" in str(caught.value)
            assert "'b' float32[3]" in str(caught.value)
            assert __file__ in str(caught.value)
        with pytest.raises(sg.SymgraphValueError, match="no parameter to train"):
            nn.sgd([], [], 0.1)
        counter = sg.shared(0)
        for updates in ({}, {counter: counter + 1}, nn.buffer_updates(loss), nn.Updates([kept.W])):
            with pytest.raises(sg.SymgraphValueError, match="no parameter to train") as caught:
                fit(net, loss, updates)
            assert __file__ in str(caught.value)


def test_fit_names_a_module_that_the_updates_do_not_touch():
    net, other = dense(), dense(1)
    loss = sg.mean(sg.square(net(X)))
    with pytest.raises(sg.SymgraphValueError, match="nothing of Dense"):
        fit(other, loss, nn.sgd(loss, net.params, 0.1))
    with pytest.raises(sg.SymgraphTypeError, match="dict of a rule"):
        fit(net, loss, [(net.W, net.W * 2)])


def test_what_is_left_out_on_purpose_is_no_error():
    """Frozen: a part of the net's own, a net outside, a net that is shared with another."""
    net, outside = nn.Sequential(dense(), dense(1), nn.BatchNorm(3)), dense(2)
    loss = sg.mean(sg.square(net(outside(X), training=True)))
    before = outside.W.get_value(), net.layers[0].W.get_value()
    fit(net, loss, nn.sgd(loss, net.layers[1].params, 0.1))
    fit(net, loss, nn.sgd(loss, net.params[2:], 0.1))
    np.testing.assert_array_equal(outside.W.get_value(), before[0])
    np.testing.assert_array_equal(net.layers[0].W.get_value(), before[1])
    tied = nn.Sequential(outside, net)
    loss = sg.mean(sg.square(tied(X)))
    nn.sgd(loss, net.params, 0.1)
    nn.sgd(loss, outside.params, 0.1)
    inner = nn.Sequential(lambda x: net.layers[0](x))  # kept by the one around it

    class Outer(nn.Module):
        def __init__(self):
            self.first, self.inner, self.last = net.layers[0], inner, dense(4)

        def __call__(self, x):
            return self.last(self.inner(x))

    outer = Outer()
    loss = sg.mean(sg.square(outer(X)))
    nn.sgd(loss, outer.last.params, 0.1)
    nn.sgd(loss, outer.params, 0.1)


# --- which axis holds the rows ------------------------------------------------------------------


def fit_on(shapes, arrays, *, names="xyz", dtypes=("float32",) * 3, **options):
    inputs = [sg.tensor(n, s, d) for n, s, d in zip(names, shapes, dtypes)]  # noqa: B905
    w = sg.shared(np.float32(0), "w")
    loss = sum((sg.mean(x) for x in inputs), start=w * 0) + w
    return nn.fit(
        [w], inputs, loss, nn.sgd(loss, [w], 0.1), arrays, epochs=1, rng=0, progress=False,
        batch_size=2, **options,
    )  # fmt: skip


OPEN = {
    "a sequence": [("T", "B", 3)],
    "a sequence without names": [(None, None, 3)],
    "nothing known": [(None, None, None)],
    "a sequence of fixed length": [(4, "B", 3)],
    "all fixed": [(4, 4, 3)],
    "a named matrix": [("T", "B")],
    "rows behind": [(3, "B")],
    "names that differ": [("B", 3), ("T",)],
    "a sequence and labels": [("T", "B", 3), ("B",)],
    "one of several": [("B", 3), (None, None, 3)],
}


@pytest.mark.parametrize("name", OPEN)
def test_an_axis_that_is_open_must_be_said(name):
    shapes = OPEN[name]
    arrays = [np.zeros([n if isinstance(n, int) else 4 for n in s], "float32") for s in shapes]
    with pytest.raises(sg.SymgraphValueError, match="batch_axis is not given") as caught:
        fit_on(shapes, arrays)
    assert __file__ in str(caught.value)
    assert "batch_axis=" in str(caught.value)
    if name == "a sequence":
        assert "batch_axis='B'" in str(caught.value)
    if name == "a sequence and labels":
        assert "batch_axis='B'" in str(caught.value)
        fit_on(shapes, arrays, batch_axis="B")
        fit_on(shapes, arrays, batch_axis=[1, "B"])
        fit_on(shapes, arrays, batch_axis=(np.int64(1), 0))


def test_integers_without_names_are_open_too():
    with pytest.raises(sg.SymgraphValueError, match="'x' int64"):
        fit_on([(None, None)], [np.zeros((4, 4), int)], dtypes=["int64"])


@pytest.mark.parametrize(
    "shapes",
    [[("B", 3), ("B",)], [(None, 3), (None,)], [("B", 3), (None,)], [(None, None)],
     [("B", 4, 4, 1), ("B",)], [(2, 3), (2,)]],
)  # fmt: skip
def test_rows_that_can_lie_nowhere_else_need_no_axis(shapes):
    arrays = [
        np.zeros([4, *(n if isinstance(n, int) else 4 for n in s[1:])], "float32") for s in shapes
    ]
    assert len(fit_on(shapes, arrays)) == 1


def test_an_axis_that_is_said_counts_and_must_make_sense():
    arrays = [np.zeros((4, 4, 3), "float32")]
    for axis in (0, 1, "B", "T", [1], ["B"], np.int64(1)):
        fit_on([("T", "B", 3)], arrays, batch_axis=axis)
    for axis, kind in [
        (3, ValueError), (-1, ValueError), ("C", ValueError), (1.0, ValueError), (True, TypeError),
        ([1, 1], ValueError), ([None], TypeError), ({"x": 1}, ValueError),
    ]:  # fmt: skip
        with pytest.raises(kind) as caught:
            fit_on([("T", "B", 3)], arrays, batch_axis=axis)
        assert isinstance(caught.value, sg.SymgraphError)
        assert __file__ in str(caught.value)
