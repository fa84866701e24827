"""Each rule alone on a graph made for it: the listings before and after, as tests/golden has them.

``SYMGRAPH_UPDATE_GOLDEN=1 pytest tests/rewrite/test_golden.py`` writes the files anew.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph.core.graph import Graph
from symgraph.core.op import OPS
from symgraph.core.variable import INPUT, Variable, ancestors, make_constant, node
from symgraph.core.verify import verify
from symgraph.ops.broadcast import BROADCAST_TO
from symgraph.ops.join import CONCATENATE
from symgraph.ops.sizes import CHECK_SIZE
from symgraph.ops.slices import SLICE, At, Span
from symgraph.rewrite.engine import Rule, RuleSet, sweep
from symgraph.rewrite.simplify import SIMPLIFY
from symgraph.rewrite.specialise import SPECIALISE
from symgraph.rewrite.stabilise import STABILISE
from symgraph.viz.text import listing

GOLDEN = Path(__file__).parent.parent / "golden"
SETS = {"simplify": SIMPLIFY, "stabilise": STABILISE, "specialise": SPECIALISE}
RULES = [(file, rule) for file, rules in SETS.items() for rule in rules]

a = sg.tensor("a", ("T", "B"))
b = sg.tensor("b", ("T", "B"))
row = sg.tensor("row", ("B",))
fixed = sg.tensor("fixed", (2, 3))
i = sg.tensor("i", ("B",), dtype="int32")
k = sg.tensor("k", (), dtype="int64")
mask = sg.tensor("mask", ("T", "B"), dtype="bool")
labels = sg.tensor("labels", ("T",), dtype="int64")


def slices(x: Variable, *entries: object) -> Variable:
    return node(SLICE, (x,), (entries,))


def joined(*parts: Variable) -> Variable:
    return node(CONCATENATE, parts, (0,))


def parts_among_zeros() -> Variable:
    zeros = sg.zeros((5, 3))
    return zeros.add_at(slice(2, 5), sg.ones((3, 3)) * fixed[0]).add_at(slice(0, 2), fixed)


# Rules that are functions: a graph for each. Templates are their own samples.
SAMPLES: dict[str, Callable[[], Variable]] = {
    "add_once": lambda: (i + 3) - 5,
    "multiply_once": lambda: (i * 2) * 3,
    "merge_wheres": lambda: sg.where(mask, sg.where(mask, a, 1.0), sg.where(mask, 2.0, b)),
    "fold_constants": lambda: row * sg.exp(sg.constant(2.0)),
    "narrow_constant": lambda: row * sg.constant(np.full((4, 1), 2.0, "float32")),
    "merge_casts": lambda: i.astype("int64").astype("int8"),
    "find_size": lambda: sg.zeros(sg.tanh(a + b).shape),
    "drop_check": lambda: node(CHECK_SIZE, (a, b), (0, 0, "add")),
    "drop_bound": lambda: sg.maximum(a.shape[0], 0),
    "merge_broadcasts": lambda: node(
        BROADCAST_TO, (sg.broadcast_to(row, (1, *row.shape)), *a.shape), ((None, None),)
    ),
    "fix_sizes": lambda: node(BROADCAST_TO, (fixed[0], make_constant(np.int64(7))), ((None, 3),)),
    "view_of_one_value": lambda: sg.zeros(a.shape).T,
    "narrow_operands": lambda: a * sg.broadcast_to(row, a.shape),
    "merge_rearranges": lambda: sg.expand_dims(a.T, 0).T,
    "merge_reshapes": lambda: sg.reshape(sg.reshape(fixed, (6,)), (3, 2)),
    "reshape_axes_of_one": lambda: sg.reshape(fixed, (2, 1, 3)),
    "slice_before_rearrange": lambda: a.T[3],
    "drop_slice": lambda: slices(fixed, Span(0, 2, 1), None),
    "merge_slices": lambda: slices(slices(a, Span(2, None, 1), None), At(3), Span(0, None, -1)),
    "merge_concatenates": lambda: joined(joined(a, b), sg.zeros((0, a.shape[1])), a),
    "slice_of_concatenate": lambda: slices(joined(fixed, fixed * 2.0), Span(2, 4, 1), None),
    "add_to_part": lambda: b + sg.zeros(a.shape).add_at((slice(None), 0), a[:, 1]),
    "join_parts": parts_among_zeros,
    "merge_sums": lambda: sg.sum(sg.sum(a, axis=1, keepdims=True), axis=0),
    "negate_sum": lambda: sg.sum(-a),
    "sum_of_equals": lambda: sg.sum(sg.broadcast_to(row, (3, *row.shape)), axis=0),
    "log_of_view": lambda: sg.log(sg.softmax(a)[sg.arange(a.shape[0]), labels]),
    "log_of_softmax": lambda: sg.log(sg.softmax(a)),
    "log_of_sum": lambda: sg.log(sg.sum(sg.exp(a), axis=1)),
    "log_of_mean": lambda: sg.log(sg.mean(sg.exp(fixed), axis=1)),
    "shares": lambda: sg.exp(a) / sg.sum(sg.exp(a), axis=1, keepdims=True),
    "log_shares": lambda: a - sg.expand_dims(sg.logsumexp(a, axis=1), 1),
    "cancel_factor": lambda: sg.softmax(a) * (b / sg.softmax(a) - row),
    "cancel_product": lambda: (b / sg.sigmoid(a)) * (sg.sigmoid(a) * (1.0 - sg.sigmoid(a))),
    "cancel_quotient": lambda: (b / sg.sigmoid(a)) * (sg.sigmoid(a) / 3.0),
    "weights_by_shares": lambda: sg.exp(a) * (b / sg.sum(sg.exp(a), axis=1, keepdims=True)),
    "divide_by_power_of_two": lambda: a / 4.0,
}


def template_sample(rule: Rule) -> Variable:
    """The left-hand side of a template, of variables for which the rule fires."""
    before = rule.formula.split(" → ")[0]
    scalars = {"low": sg.scalar("low"), "high": sg.scalar("high"), "c": mask}
    inner = {"scale": OPS["scale"], "unscale": OPS["unscale"]}  # which only derivatives use
    for dtype in ("float32", "int32", "bool"):
        letters = {n: sg.tensor(n, ("T", "B"), dtype=dtype) for n in "xyz"}
        for c in (mask, make_constant(np.float32(3.0))):
            try:
                sample = eval(before, {**vars(sg), **inner, **scalars, **letters, "c": c})
            except sg.SymgraphError:
                continue
            if sweep(closed(sample), RuleSet(rule)).outputs[0] is not sample:
                return sample
    raise AssertionError(f"{rule} does not fire on {before}")


def closed(sample: Variable) -> Graph:
    return Graph([v for v in ancestors([sample]) if v.op is INPUT], [sample])


def section(rule: Rule) -> str:
    """The text of a rule in its golden file."""
    sample = SAMPLES[rule.name]() if rule.name in SAMPLES else template_sample(rule)
    before = closed(sample)
    hits: Counter[str] = Counter()
    after = sweep(before, RuleSet(rule), hits)
    verify(after)
    assert hits[rule.name] >= 1, f"{rule} does not fire"
    formula = "" if rule.name == rule.formula else f"\n{rule.formula}"
    return f"{rule.name}{formula}\nbefore\n{listing(before)}\nafter\n{listing(after)}\n"


def read(file: str) -> dict[str, str]:
    """The sections of a golden file by the names of their rules."""
    path = GOLDEN / f"{file}.txt"
    text = "\n" + path.read_text(encoding="utf-8") if path.exists() else ""
    sections = text.split("\n== ")[1:]
    return {part.split("\n", 1)[0]: part.rstrip("\n") + "\n" for part in sections}


@pytest.fixture(scope="module", autouse=True)
def _update() -> None:
    if os.environ.get("SYMGRAPH_UPDATE_GOLDEN"):
        for file, rules in SETS.items():
            text = "\n".join(f"== {section(rule)}" for rule in rules)
            (GOLDEN / f"{file}.txt").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("file", "rule"), RULES, ids=[rule.name for _, rule in RULES])
def test_a_rule_does_what_its_golden_listing_shows(file: str, rule: Rule) -> None:
    assert section(rule) == read(file).get(rule.name)


@pytest.mark.parametrize("file", SETS)
def test_golden_files_have_no_section_too_many(file: str) -> None:
    assert list(read(file)) == [rule.name for rule in SETS[file]]


def test_rules_have_names_of_their_own_and_ops_that_exist() -> None:
    names = [rule.name for _, rule in RULES]
    assert len(set(names)) == len(names)
    assert {op for _, rule in RULES for op in rule.ops} <= set(OPS)
    assert set(SAMPLES) <= set(names)
    assert all(" → " in rule.formula for _, rule in RULES)
