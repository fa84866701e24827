"""Templates: what they match, and what type their results have."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.graph import Graph
from symgraph.core.variable import INPUT, ancestors, make_constant
from symgraph.core.verify import verify
from symgraph.rewrite import engine
from symgraph.rewrite.engine import EVERY, FLOATS, SIGNED, RuleSet, sweep
from symgraph.rewrite.pattern import template, uniform


def apply(rule, sample):
    """What a rule alone makes of a sample of free variables."""
    leaves = [v for v in ancestors([sample]) if v.op is INPUT]
    graph = sweep(Graph(leaves, [sample]), RuleSet(rule))
    verify(graph)
    return graph.outputs[0]


x = sg.tensor("x", ("T", "B"))
y = sg.tensor("y", ("T", "B"))
row = sg.tensor("row", ("B",))


def test_a_template_is_indexed_by_its_root_and_named_by_its_formula():
    rule = template("log(exp(x))", "x", of=EVERY)
    assert rule.ops == ("log",)
    assert rule.reads == ("exp",)
    assert rule.name == rule.formula == "log(exp(x)) → x"


def test_other_expressions_are_left_alone():
    rule = template("log(exp(x))", "x", of=EVERY)
    for sample in (sg.log(x), sg.log(sg.tanh(x)), sg.exp(sg.log(x))):
        assert apply(rule, sample) is sample


def test_commutative_ops_match_in_both_orders_at_every_depth():
    rule = template("(x * 2 + tanh(y)) * exp(z)", "z", of=EVERY)
    z = sg.tensor("z", ("T", "B"))
    for sum_ in (x * 2.0 + sg.tanh(y), sg.tanh(y) + 2.0 * x):
        assert apply(rule, sum_ * sg.exp(z)) is z
        assert apply(rule, sg.exp(z) * sum_) is z


def test_order_matters_where_the_op_is_not_commutative():
    rule = template("0 - x", "-x", of=EVERY)
    assert apply(rule, 0.0 - x) is -x
    assert apply(rule, x - 0.0) is (x - 0.0)


def test_both_orders_are_tried_until_the_rest_fits():
    rule = template("(x + y) * x", "y", of=EVERY)
    assert apply(rule, (x + y) * x) is y
    assert apply(rule, y * (x + y)) is x
    other = sg.tensor("other", ("T", "B"))
    assert apply(rule, (x + y) * other) is (x + y) * other


def test_a_repeated_name_is_one_and_the_same_variable():
    rule = template("maximum(x, x)", "x", of=EVERY)
    assert apply(rule, sg.maximum(x, x)) is x
    assert apply(rule, sg.maximum(x, y)) is sg.maximum(x, y)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint16", "int64"])
def test_numbers_match_constants_of_every_dtype(dtype):
    rule = template("x * 1", "x", of=EVERY)
    z = sg.tensor("z", (3,), dtype=dtype)
    assert apply(rule, z * 1) is z
    assert apply(rule, z * sg.constant(np.ones((), dtype))) is z
    assert apply(rule, z * 2) is not z


def test_numbers_match_broadcast_constants():
    rule = template("x * 1", "x", of=EVERY)
    assert apply(rule, x * sg.ones(x.shape)) is x
    assert apply(rule, x * sg.expand_dims(sg.ones(row.shape), 0)) is x


def test_a_result_keeps_the_shape_of_what_it_replaces():
    rule = template("x * 1", "x", of=EVERY)
    made = apply(rule, row * sg.ones(x.shape))
    assert made.op.name == "broadcast_to"
    assert made.type is x.type
    made = apply(rule, sg.tensor("s") * sg.ones((2, 3)))
    assert made.type.shape == (2, 3)


def test_a_number_as_a_result_has_the_type_of_what_it_replaces():
    rule = template("x - x", "0", of=EVERY)
    i = sg.tensor("i", ("B",), dtype="int16")
    made = apply(rule, i - i)
    assert made.type is i.type
    assert uniform(made) == 0


def test_python_numbers_in_results_are_weak():
    rule = template("tanh(x)", "x * 2 + 0.5", of=EVERY)
    assert apply(rule, sg.tanh(x)).dtype == np.float32


def test_a_rule_keeps_to_the_dtypes_for_which_it_holds():
    rule = template("absolute(-x)", "absolute(x)", of=SIGNED)
    for dtype, holds in (("uint8", False), ("int8", True), ("float32", True)):
        z = sg.tensor("z", (3,), dtype=dtype)
        assert (apply(rule, abs(-z)) is abs(z)) == holds


def test_a_rule_says_for_which_dtypes_it_holds():
    with pytest.raises(TypeError, match="'of'"):
        template("x + 0", "x")
    with pytest.raises(TypeError, match="'of'"):
        engine.rule("add")


def test_the_dtypes_are_not_those_of_conditions():
    rule = template("where(c, x, x)", "x", of=FLOATS)
    c = sg.tensor("c", ("T", "B"), dtype="bool")
    assert apply(rule, sg.where(c, x, x)) is x
    whole = x.astype("int32")
    assert apply(rule, sg.where(c, whole, whole)) is not whole


def test_a_condition_sees_the_variables_by_name():
    seen = []

    def when(x, y):
        seen.append((x, y))
        return x.dtype == "float64"

    rule = template("x + tanh(y)", "x", of=EVERY, when=when)
    assert apply(rule, x + sg.tanh(y)) is x + sg.tanh(y)
    assert seen == [(x, y)]


def test_a_condition_that_fails_for_one_order_is_asked_for_the_other():
    rule = template("x + y", "x", when=lambda x, y: y.op.name == "tanh", of=EVERY)
    assert apply(rule, x + sg.tanh(y)) is x
    assert apply(rule, sg.tanh(y) + x) is x


def test_a_template_begins_with_an_op():
    with pytest.raises(ValueError, match="begins with an op"):
        template("x", "x", of=EVERY)


def test_uniform_is_the_value_of_a_constant_with_one():
    assert uniform(make_constant(3)) == 3
    assert uniform(sg.zeros(x.shape)) == 0
    assert uniform(sg.zeros(x.shape).T) == 0
    assert uniform(make_constant([1.0, 2.0])) is None
    assert uniform(x) is None


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("lgo(x)", "x", r"lgo\(x\) → x names an op 'lgo'[\s\S]*test_pattern.py:\d+\n  Write 'log'"),
        ("log(exq(x))", "x", "names an op 'exq'"),
        ("log(x)", "x * exq(x)", "names an op 'exq'"),
        ("log(x)", "exp(y)", "has no 'y' on its left side"),
        ("log(x", "x", r"is a Python expression: 'log\(x'"),
        ("x @ y", "x", "has no operator MatMult"),
    ],
)
def test_a_template_that_cannot_be_is_refused_where_it_is_defined(before, after, message):
    with pytest.raises(sg.SymgraphValueError, match=message):
        template(before, after, of=EVERY)
