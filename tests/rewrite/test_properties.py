"""Random graphs: rewriting changes no result, in whatever order the rules are tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import symgraph as sg
from symgraph.core.graph import Graph
from symgraph.core.variable import Variable
from symgraph.core.verify import verify
from symgraph.rewrite.engine import RuleSet, sweep
from symgraph.rewrite.simplify import SIMPLIFY
from symgraph.rewrite.specialise import SPECIALISE
from symgraph.rewrite.stabilise import STABILISE
from symgraph.testing import random_graphs

EVERYTHING = SIMPLIFY + STABILISE + SPECIALISE
SETTINGS = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def evaluate(graph: Graph, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs, by NumPy, node by node; zeros lose their sign, which rewrites may change."""
    values = {v: unsigned(a) for v, a in zip(graph.inputs, arrays, strict=True)}
    with np.errstate(all="ignore"):
        for v in graph.nodes:
            if v not in values:
                values[v] = unsigned(v.op.evaluate([values[x] for x in v.inputs], *v.params))
    return [values[v] for v in graph.outputs]


def unsigned(array: np.ndarray) -> np.ndarray:
    """The array with 0.0 for -0.0."""
    return array + array.dtype.type(0) if array.dtype.kind == "f" else array


def assert_agree(graph: Graph, rewritten: Graph, arrays: Sequence[np.ndarray]) -> None:
    """Equal types, equal values up to rounding, NaN and infinity in the same places."""
    verify(rewritten)
    assert [v.type for v in rewritten.outputs] == [v.type for v in graph.outputs]
    for before, after in zip(evaluate(graph, arrays), evaluate(rewritten, arrays), strict=True):
        assert before.dtype == after.dtype
        np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-12)


def shuffled(rules: RuleSet, seed: int) -> RuleSet:
    """The rules in another order."""
    return RuleSet(*np.random.default_rng(seed).permutation(np.array(list(rules), object)))


def with_gradients(
    inputs: Sequence[Variable], outputs: Sequence[Variable]
) -> tuple[list[Variable], list[Variable]]:
    """The outputs, and the gradients of the sum of the float ones."""
    floats = [v for v in outputs if v.dtype.kind == "f"]
    if not floats:
        return list(inputs), list(outputs)
    cost = sum(sg.sum(v) for v in floats)
    gradients = sg.grad(cost, list(inputs), disconnected="zero")
    return list(inputs), [*outputs, *gradients]


@SETTINGS
@given(random_graphs(), st.integers(0, 10**6))
def test_simplified_and_specialised_graphs_give_the_same_results(made, seed):
    inputs, outputs, arrays = made
    graph = Graph(*with_gradients(inputs, outputs))
    for rules in (SIMPLIFY, SIMPLIFY + SPECIALISE, shuffled(SIMPLIFY + SPECIALISE, seed)):
        assert_agree(graph, sweep(graph, rules), arrays)


@SETTINGS
@given(random_graphs(dtypes=("float32", "float64")), st.integers(0, 10**6))
def test_a_second_sweep_changes_nothing(made, seed):
    inputs, outputs, _ = made
    graph = Graph(*with_gradients(inputs, outputs))
    for rules in (EVERYTHING, shuffled(EVERYTHING, seed)):
        once = sweep(graph, rules)
        verify(once)
        hits: Counter[str] = Counter()
        assert sweep(once, rules, hits) is once
        assert not hits


@SETTINGS
@given(random_graphs(), st.integers(0, 10**6))
def test_stabilised_graphs_agree_where_the_formula_loses_nothing(made, seed):
    inputs, outputs, arrays = made
    graph = Graph(*with_gradients(inputs, outputs))
    parts = [v for v in graph.nodes if v.dtype.kind == "f"]
    values = evaluate(Graph(graph.inputs, parts), arrays)
    if all(np.all((a == 0) | ((np.abs(a) > 1e-6) & (np.abs(a) < 1e6))) for a in values):
        expected = evaluate(graph, arrays)
        for rules in (EVERYTHING, shuffled(EVERYTHING, seed)):
            stable = sweep(graph, rules)
            verify(stable)
            for before, after in zip(expected, evaluate(stable, arrays), strict=True):
                np.testing.assert_allclose(after, before, rtol=1e-8, atol=1e-8)


@SETTINGS
@given(random_graphs(dtypes=("float32",)), st.data())
def test_each_rule_alone_keeps_the_types(made, data):
    inputs, outputs, arrays = made
    graph = Graph(*with_gradients(inputs, outputs))
    rule = data.draw(st.sampled_from(list(EVERYTHING)))
    rewritten = sweep(graph, RuleSet(rule))
    verify(rewritten)
    evaluate(rewritten, arrays)
