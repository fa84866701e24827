"""An op of a user's defined twice, as where a notebook's cell is run again."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.op import OPS, Op
from symgraph.core.variable import node
from symgraph.ops.entry import elementwise


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_the_later_definition_counts(backend: str) -> None:
    x = sg.tensor("x", (2,))
    try:
        results = []
        for factor in (2.0, 3.0):
            op = elementwise("test_twice", lambda m, v, factor=factor: m.multiply(v, factor))
            results.append(op(x))
            assert OPS["test_twice"] is op
        # What was built before keeps its meaning, and nothing compiled is mistaken for another.
        for y, factor in zip((*results, results[0]), (2, 3, 2), strict=True):
            np.testing.assert_array_equal(
                sg.compile([x], y, backend=backend)([1, 2]), [factor, 2 * factor]
            )
        assert pickle.loads(pickle.dumps(op)) is op
        assert copy.deepcopy(results[1]) is results[1]
    finally:
        del OPS["test_twice"]


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_each_definition_has_its_own_expansion(backend: str) -> None:
    x = sg.tensor("x", (2,))
    try:
        results = []
        for factor in (2.0, 3.0):
            op = Op(
                "test_twice",
                lambda inputs: inputs[0].type,
                expand=lambda v, factor=factor: v.inputs[0] * factor,
            )
            results.append(node(op, (x,)))
        values = sg.compile([x], results, backend=backend)([1, 2])
        np.testing.assert_array_equal(values, [[2, 4], [3, 6]])
    finally:
        del OPS["test_twice"]


def test_names_of_symgraphs_own_ops_are_taken() -> None:
    exp = OPS["exp"]
    with pytest.raises(sg.SymgraphValueError, match=r"op named 'exp'[\s\S]*another name") as caught:
        elementwise("exp", lambda m, x: x)
    assert "test_ops_defined_again.py" in str(caught.value)
    with pytest.raises(sg.SymgraphValueError, match="another name"):
        Op("sum", lambda inputs: inputs[0].type)
    assert OPS["exp"] is exp
    with pytest.raises(sg.SymgraphValueError, match="has a rule 'infer' already"):
        exp.attach(infer=lambda inputs: inputs[0].type)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"kind": "view"}, r"op 'test_words' cannot have the kind 'view'[\s\S]*'elementwise'"),
        ({"traits": frozenset({"random"})}, r"the trait 'random'[\s\S]*'commutative'"),
    ],
)
def test_what_an_op_says_of_itself_are_known_words(words: dict, message: str) -> None:
    with pytest.raises(sg.SymgraphValueError, match=message) as caught:
        Op("test_words", lambda inputs: inputs[0].type, **words)
    assert "test_ops_defined_again.py" in str(caught.value)
    assert "test_words" not in OPS
