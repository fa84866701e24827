"""Each rule alone on a graph made for it: the listings before and after, as tests/golden has them.

``SYMGRAPH_UPDATE_GOLDEN=1 pytest tests/rewrite/test_golden.py`` writes the files anew.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from rule_samples import SAMPLES, SETS, Letters, closed, fires, is_template, pattern

import symgraph as sg
from symgraph.core.op import OPS
from symgraph.core.variable import Variable
from symgraph.core.verify import verify
from symgraph.rewrite.engine import Rule, RuleSet, sweep
from symgraph.viz.text import listing

GOLDEN = Path(__file__).parent.parent / "golden"
RULES = [(file, rule) for file, rules in SETS.items() for rule in rules]


def template_sample(rule: Rule) -> Variable:
    """The left-hand side of a template, of variables for which the rule fires."""
    mask = sg.tensor("mask", ("T", "B"), "bool")
    scalars = {"low": sg.scalar("low"), "high": sg.scalar("high")}
    for dtype in ("float32", "int32", "bool"):
        letters = {n: sg.tensor(n, ("T", "B"), dtype=dtype) for n in "xyz"}
        for c in (mask, sg.constant(np.float32(3.0))):
            try:
                sample = pattern(rule, {**scalars, **letters, "c": c}, lambda value: value)
            except sg.SymgraphError:
                continue
            if fires(rule, sample) is not None:
                return sample
    raise AssertionError(f"{rule} does not fire on its own pattern")


def function_sample(rule: Rule) -> Variable:
    return SAMPLES[rule.name](Letters("float32" if "f" in rule.of else "int32"))


def section(rule: Rule) -> str:
    """The text of a rule in its golden file."""
    sample = template_sample(rule) if is_template(rule) else function_sample(rule)
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
