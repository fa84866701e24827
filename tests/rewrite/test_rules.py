"""Every rule alone, for every dtype and its extremes: the same values as the formula it replaces.

The reference is NumPy, node by node, without rewriting; for the rules of `stabilise`, which mend
what NumPy loses, it is mpmath. A new rule is walked like the others.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import mpmath
import numpy as np
import pytest
from rule_samples import (
    SAMPLES,
    SETS,
    Letters,
    closed,
    dtypes_of,
    fires,
    is_template,
    names_in,
    pattern,
)

import symgraph as sg
from symgraph.core.types import DTYPES
from symgraph.core.variable import CONSTANT, Variable
from symgraph.core.verify import verify
from symgraph.rewrite.engine import Rule
from symgraph.testing import evaluate

EXACT = [*SETS["simplify"], *SETS["specialise"]]
STABLE = list(SETS["stabilise"])
TEMPLATES = [rule for rules in SETS.values() for rule in rules if is_template(rule)]
FUNCTIONS = [rule for rules in SETS.values() for rule in rules if not is_template(rule)]
named = {"ids": [rule.name for rule in TEMPLATES]}

# Rules that may give 0.0 for -0.0 or the reverse, as the text of `simplify` says.
ZEROS = {
    "x + 0 → x",
    "x - 0 → x",
    "0 - x → -x",
    "-(x - y) → y - x",
    "scale(x, c) → x * c",
    "scale(-x, y) → -scale(x, y)",
    "x + scale(-y, z) → x - scale(y, z)",
    "x - scale(-y, z) → x + scale(y, z)",
    "unscale(x, c) → x / c",
    "unscale(c, x) → c / x",
    "unscale(-x, y) → -unscale(x, y)",
    "unscale(x, -y) → -unscale(x, y)",
    "add_to_part",
    "join_parts",
    "merge_sums",
    "negate_sum",
    "sum_of_equals",
}
# Rules that round differently, in units of the dtype's epsilon.
ROUNDED = {
    "x ** 3 → square(x) * x": 4,
    "x ** 4 → square(square(x))": 4,
    "x ** -2 → square(reciprocal(x))": 4,
    "merge_sums": 64,
    "sum_of_equals": 8,
}


def extremes(dtype: np.dtype) -> np.ndarray:
    """The ends of a dtype, zeros, ones, small and large numbers, and what is not a number."""
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind != "f":
        info = np.iinfo(dtype)
        values = {0, 1, 2, 3, 11, info.max, info.max - 1, info.min, info.min + 1, info.max // 2 + 1}
        return np.array(sorted(values | ({-1, -2} if info.min else set())), dtype)
    info = np.finfo(dtype)
    sizes = [0.0, 1.0, 0.5, 3.0, 1e-8, 2e4, np.sqrt(info.max) / 8, np.sqrt(info.tiny) * 3]
    sizes += [info.max, info.tiny, info.smallest_subnormal, np.inf]
    return np.array([*sizes, *(-v for v in sizes), np.nan], dtype)


def arrays_for(inputs: Sequence[Variable], values: Values) -> list[np.ndarray]:
    """For inputs of two axes every value of the first with every one of the second."""
    arrays = []
    for place, v in enumerate(inputs):
        ours = values(v.dtype)
        shape = [size if isinstance(size, int) else _SIZE for size in v.type.shape]
        index = np.indices(shape) if shape else np.array([3 * place + 1])
        # Along the first axis for the first one, along the second for the next, then both.
        steps = [(1, 0), (0, 1), (1, 1)][place % 3] if len(shape) == 2 else [1]
        chosen = sum(step * along for step, along in zip(steps, index, strict=True))
        arrays.append(np.asarray(ours[chosen % len(ours)], v.dtype).reshape(shape))
    return arrays


Values = Callable[[np.dtype], np.ndarray]
_SIZE = 26


# --- templates ----------------------------------------------------------------------------------

# The shapes of x, y and z: equal ones, and every way in which they broadcast.
EQUAL = (("T", "B"), ("T", "B"), ("T", "B"))
SHAPES = [
    (("T", "B"), ("B",), ()),
    ((), ("T", "B"), ("B",)),
    (("T", 1), (1, "B"), ("T", "B")),
    (("B",), (), ("T", "B")),
]
# One of each kind stands for the others where dtypes are mixed or shapes broadcast.
KINDS = [np.dtype(name) for name in ("bool", "int8", "uint8", "float32")]


def samples(rule: Rule) -> Iterator[tuple[np.dtype, Variable]]:
    """The pattern over every dtype, mixed ones and every way in which shapes broadcast."""
    names = names_in(rule)
    several = not names.isdisjoint("yz")
    for x, y in itertools.product(DTYPES, DTYPES):
        if x != y and not (several and y in KINDS):
            continue
        shapes = [EQUAL] if several else [(("B",),)]
        if x == y and x in KINDS:
            shapes += SHAPES if several else [((),)]
        for each in shapes:
            letters = {
                name: sg.tensor(name, shape, dtype)
                for name, shape, dtype in zip("xyz", each, (x, y, x), strict=False)
            }
            letters.update(low=sg.scalar("low"), high=sg.scalar("high"))
            for c in conditions(rule, x) if "c" in names else [None]:
                for number in numbers(x) if "number" in names else numbers(x)[:1]:
                    try:
                        yield x, pattern(rule, {**letters, "c": c}, number)
                    except (sg.SymgraphError, OverflowError):
                        continue  # the dtype does not have the op, or the number


def conditions(rule: Rule, dtype: np.dtype) -> list[Variable]:
    """What ``c`` stands for: a condition, or else a constant."""
    if "where" in rule.ops:
        return [sg.tensor("c", ("T", "B"), "bool")]
    values = extremes(dtype)
    return [sg.constant(values[i % len(values)], dtype) for i in (0, 2, -1)]


def numbers(dtype: np.dtype) -> list[Callable[[Any], Any]]:
    """How numbers are written: as they are, or as a constant that decides the shape."""
    sizes = sg.tensor("wide", ("T", "B"), dtype).shape

    def wide(value: Any) -> Variable:
        array = np.asarray(value).astype(dtype)
        if array != value:
            raise OverflowError
        return sg.broadcast_to(sg.constant(array), sizes)

    return [lambda value: value, wide]


@pytest.mark.parametrize("rule", TEMPLATES, **named)
def test_templates_keep_values_for_every_dtype(rule: Rule) -> None:
    held = set()
    for dtype, sample in samples(rule):
        after = fires(rule, sample)
        if after is not None:
            held.add(dtype)
            check(rule, sample, after)
    assert held >= set(dtypes_of(rule)), f"{rule} does not fire for all of {rule.of!r}"


# --- functions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", FUNCTIONS, ids=[rule.name for rule in FUNCTIONS])
def test_functions_keep_values_for_every_dtype(rule: Rule) -> None:
    held = 0
    for dtype in DTYPES:
        try:
            sample = SAMPLES[rule.name](Letters(dtype))
        except sg.SymgraphError:
            continue  # the dtype does not have the op
        after = fires(rule, sample)
        if after is not None:
            held += 1
            check(rule, sample, after)
    assert held, f"{rule} never fires"


# --- comparison ---------------------------------------------------------------------------------


def check(rule: Rule, sample: Variable, after: Variable) -> None:
    """The value of what a rule made against that of its sample."""
    graph = closed(sample)
    verify(graph)
    assert after.type is sample.type
    stable = rule in STABLE
    if stable and not is_template(rule):
        values = moderate
    else:
        values = extremes
    arrays = arrays_for(graph.inputs, values)
    given = dict(zip(graph.inputs, arrays, strict=True))
    with np.errstate(all="ignore"):
        before, found = evaluate(sample, given), evaluate(after, given)
        context = f"{rule} over {[str(v.type) for v in graph.inputs]}"
        if stable and is_template(rule):
            finite = np.all([np.isfinite(a) for a in np.broadcast_arrays(*arrays)], axis=0)
            assert_better(found, before, exactly(sample, given), finite, context)
        else:
            assert_alike(rule, found, before, 64 if stable else ROUNDED.get(rule.name, 0), context)


def assert_alike(rule: Rule, found: Any, expected: Any, units: float, context: str) -> None:
    """Bit by bit the same, but for the sign of zero and rounding where the rule may change them."""
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected, context)
        return
    info = np.finfo(expected.dtype)
    np.testing.assert_allclose(
        found,
        expected,
        rtol=units * info.eps,
        atol=units * info.smallest_subnormal,
        err_msg=context,
    )
    if rule.name not in ZEROS and not units:
        signs = ~np.isnan(expected)
        np.testing.assert_array_equal(
            np.signbit(found)[signs], np.signbit(expected)[signs], f"signs of {context}"
        )


def moderate(dtype: np.dtype) -> np.ndarray:
    """Values at which a formula loses nothing as it is written."""
    if dtype.kind != "f":
        return np.array([0, 1]).astype(dtype)
    return np.array([0.0, 0.5, -0.5, 1.0, -1.25, 2.0, 3.5, -3.0], dtype)


def assert_better(
    found: Any, before: Any, exact: np.ndarray, finite: np.ndarray, context: str
) -> None:
    """Right to some units, or no worse than the formula as it was written.

    Where the value is undefined, for infinite operands, there is nothing to compare with.
    """
    info = np.finfo(found.dtype)
    expected = exact.astype(found.dtype)
    known = ~np.isnan(exact)
    error, old = np.abs(found - expected), np.abs(before - expected)
    allowed = 8 * info.eps * np.abs(expected) + 2 * info.tiny
    right = (error <= allowed) | (error <= 2 * old) | (found == expected)
    # For infinite operands NaN, which is seen, is no worse than a wrong number.
    right |= ~finite & np.isnan(found) & (before != expected)
    wrong = np.argwhere(known & ~right)
    assert not len(wrong), (
        f"{context}: {found[tuple(wrong[0])]} for {expected[tuple(wrong[0])]} at {wrong[0]}"
    )


# The ops of formulas to be stabilised, at a precision that loses nothing.
BY_MPMATH = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y if y else x * mpmath.inf,
    "scale": lambda x, y: x * y,
    "unscale": lambda x, y: x / y if y else x * mpmath.inf,
    "negative": lambda x: -x,
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": lambda x: mpmath.log(x) if x >= 0 else mpmath.nan,
    "log1p": lambda x: mpmath.log(1 + x) if x >= -1 else mpmath.nan,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
}


def exactly(output: Variable, given: Mapping[Variable, np.ndarray]) -> np.ndarray:
    """The value of an elementwise formula by mpmath, rounded to float64."""
    values: dict[Variable, Any] = {
        v: np.frompyfunc(lambda number: mpmath.mpf(float(number)), 1, 1)(array)
        for v, array in given.items()
    }
    with mpmath.workdps(420):  # as many as 1 + 1e-310 needs
        for v in closed(output).nodes:
            if v in values:
                continue
            if v.op is CONSTANT:
                values[v] = mpmath.mpf(float(v.params[0].array))
            elif v.op.name in ("broadcast_to", "cast", "size"):
                values[v] = values.get(v.inputs[0])
            else:
                function = functools.cache(BY_MPMATH[v.op.name])
                values[v] = np.frompyfunc(function, len(v.inputs), 1)(*map(values.get, v.inputs))
        rounded = np.frompyfunc(float, 1, 1)(values[output])
    return np.broadcast_to(np.asarray(rounded, np.float64), evaluate(output, given).shape)
