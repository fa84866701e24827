"""Guarded memory: faults in the use of memory are noticed; usual programs have none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.backends.llvm.kernels.nest import Nest
from symgraph.backends.llvm.lowering import groups, nests
from symgraph.backends.llvm.lowering.scope import Scope
from symgraph.errors import MemoryGuardError
from symgraph.testing import guarded, random_programs
from symgraph.testing.outcome import outcome_of

# --- planted faults -----------------------------------------------------------------------------


@pytest.fixture
def plant(monkeypatch):
    """Let nests be other ones than their groups ask for."""

    def plant(change):
        honest = nests.nest_of
        monkeypatch.setattr(groups, "nest_of", lambda scope, group: change(honest(scope, group)))

    return plant


def _stretched(nest: Nest) -> Nest:
    """One element more along the last axis."""
    if not nest.space:
        return nest
    return replace(nest, space=(*nest.space[:-1], nest.space[-1] + 1))


def _shortened(nest: Nest) -> Nest:
    return replace(nest, space=(*nest.space[:-1], nest.space[-1] - 1))


def _programs():
    """Results and buffers of several dtypes: in result arrays, the arena and allocated blocks."""
    x, n = sg.tensor("x", ("N",)), sg.scalar("n", "int64")
    w = sg.constant(np.eye(6, dtype="float32"))  # more than one kernel takes whole
    data = np.arange(5, dtype="float32")
    yield "result 1", [x], sg.exp(x), [data]
    yield "result 1", [x], sg.exp(x.astype("float64")), [data]
    yield "result 1", [x], x.astype("int8") + 1, [data]
    yield "the buffer", [x], sg.exp(x)[::-1].reshape((1, -1)) @ sg.ones((5, 2)), [data]
    yield "the buffer", [n], sg.sort(sg.arange(n) * 2)[:2], [np.int64(7)]
    loop = sg.scan(lambda h: sg.tanh(h @ w), (), sg.ones((2, 6)), (), 4, name="loop")
    yield "the buffer", [], loop[-1], []


@pytest.mark.parametrize("program", list(_programs()), ids=lambda p: p[0])
def test_one_element_too_many_is_noticed(program, plant):
    where, inputs, output, arguments = program
    expected = sg.compile(inputs, output, backend="numpy")(*arguments)
    with guarded():
        np.testing.assert_allclose(sg.compile(inputs, output)(*arguments), expected, 1e-5)
        plant(_stretched)
        f = sg.compile(inputs, output)
    with pytest.raises(MemoryGuardError, match=f"written beside {where}"):
        f(*arguments)


def test_an_element_too_few_is_noticed(plant):
    x = sg.tensor("x", ("N",), "float64")
    plant(_shortened)
    with guarded():
        f = sg.compile([x], [x * 2, (x * 3).astype("int32")])
    floats, integers = f(np.ones(4))
    np.testing.assert_array_equal(floats, [2, 2, 2, np.nan])
    np.testing.assert_array_equal(integers[:3], [3, 3, 3])
    assert integers[3] < -(2**17)


def test_what_is_read_beside_an_argument_or_a_constant_is_noticed(plant):
    x = sg.tensor("x", ("N",))
    c = sg.constant(np.arange(4, dtype="float32"))
    plant(_stretched)
    with guarded():
        totals = sg.compile([x], [x.sum(), sg.exp(c * x[0]).sum()])(np.ones(5, "float32"))
    assert np.isnan(totals).all()


def test_what_is_read_after_it_was_given_back_is_noticed(monkeypatch):
    x = sg.tensor("x", (3, 3))
    y = sg.exp(x)
    output = (y @ y) @ sg.ones((3, 3))
    expected = sg.compile([x], output, backend="numpy")(np.ones((3, 3), "float32"))
    honest = Scope.release

    def release(scope, group):
        honest(scope, group)
        for v in group.nodes:
            scope.builder.buffers.give_back(scope.bases[scope.values.views[v].root])

    monkeypatch.setattr(Scope, "release", release)
    for on in (False, True):
        with guarded(on=on):
            found = sg.compile([x], output)(np.ones((3, 3), "float32"))
        # Without a guard nobody notices, as long as nobody else takes the room.
        np.testing.assert_allclose(found, np.nan if on else expected, 1e-5)


def test_arguments_are_not_written(plant):
    x = sg.tensor("x", (4,))

    def turned_round(nest):
        place = nest.inputs[0]
        return replace(nest, outputs=[replace(o, access=place) for o in nest.outputs])

    plant(turned_round)
    with guarded():
        f = sg.compile([x], x * 2)
    data = np.ones(4, "float32")
    with pytest.raises(MemoryGuardError, match="argument 1 was changed"):
        f(data)
    np.testing.assert_array_equal(data, 1)


# --- the switch ---------------------------------------------------------------------------------


def test_the_switch_is_read_when_a_function_is_compiled(monkeypatch):
    x = sg.tensor("x", ("N",))
    plain = sg.compile([x], x + 1).report
    for value, is_on in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv("SYMGRAPH_GUARD", value)
        report = sg.compile([x], x + 1).report
        assert ("guarded" in str(report)) is is_on
        assert (report.kernels, report.distinct_kernels) == (plain.kernels, plain.distinct_kernels)
        with guarded(on=not is_on):
            assert ("guarded" in str(sg.compile([x], x + 1).report)) is not is_on


# --- usual programs -----------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_training_steps_use_their_own_memory_alone(threads):
    x = sg.tensor("x", ("T", "B", 5))
    net = nn.Sequential(
        nn.Bidirectional(nn.LSTM(5, 17, rng=0), nn.LSTM(5, 17, rng=1)), nn.GRU(34, 8, rng=2)
    )
    loss = sg.square(nn.Dense(8, 1, rng=3)(net(x))).mean()
    updates = nn.adam(loss, net.params, 0.1)
    data = np.random.default_rng(0).normal(size=(2, 40, 16, 5)).astype("float32")

    def losses(backend):
        first = [v.get_value() for v in updates]
        f = sg.compile([x], loss, updates=updates, backend=backend, threads=threads)
        found = [f(a) for a in (*data, data[0][:1], data[1][:, :1])]
        for v, value in zip(updates, first, strict=True):
            v.set_value(value)
        return found

    with guarded():
        np.testing.assert_allclose(losses("native"), losses("numpy"), 2e-4)


def test_random_programs_use_their_own_memory_alone():
    with guarded():
        for program in (*random_programs(5, 24), *random_programs(5, 12, loops=True)):
            failure = outcome_of(program).failure
            assert not failure, f"{failure}\n{program.source()}"
