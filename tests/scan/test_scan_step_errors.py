"""What `scan` says about a step that does not fit, to one who wrote only the step."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

X = sg.tensor("x", ("T", "B", 3))


def test_a_step_with_too_few_arguments() -> None:
    with pytest.raises(sg.ScanError, match="1 row, 1 past output: too many positional") as caught:
        sg.scan(lambda x_t: x_t, X, sg.zeros((X.shape[1], 3)))
    assert __file__ in str(caught.value)


def test_a_step_with_too_many_arguments() -> None:
    with pytest.raises(sg.ScanError, match=r"2 rows, 1 non-sequence: missing .* 'd'"):
        sg.scan(lambda a, b, c, d: a, [X, X], None, [2.0])


def test_a_type_error_of_the_steps_own_is_passed_on() -> None:
    with pytest.raises(TypeError, match="unsupported operand") as caught:
        sg.scan(lambda x_t: x_t + (1 + "a"), X)  # type: ignore[operator]
    assert not isinstance(caught.value, sg.SymgraphError)


def test_a_cell_whose_state_changes_is_named_with_its_own_line() -> None:
    class Widening(nn.Module):
        def initial_state(self, batch: sg.Variable) -> sg.Variable:
            return sg.zeros((batch, 3))

        def step(self, x_t: sg.Variable, h: sg.Variable) -> tuple[sg.Variable, sg.Variable]:
            h = h + np.ones(3)
            return h, h

    line = inspect.getsourcelines(Widening.step)[1]
    with pytest.raises(sg.ScanError, match="the step returns float64") as caught:
        nn.Recurrent(Widening())(X)
    assert f"step at {__file__}:{line}" in str(caught.value)


def test_sizes_that_differ_at_the_call_are_told_without_the_op_that_checks_them() -> None:
    a, b = sg.vector("a"), sg.vector("b")
    f = sg.compile([a, b], a + b)
    with pytest.raises(sg.CallError, match=r"^add: axis 0") as caught:
        f(np.zeros(3), np.zeros(2))
    assert "check_size" not in str(caught.value)
    assert "'a' float32[3]" in str(caught.value)
