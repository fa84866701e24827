"""What a function reports: passes, counts, repeated loop bodies, profile."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest

import symgraph as sg
from symgraph.compile.tables import format_table
from symgraph.core.places import short_place


def _recurrent(x, w, h0):
    """A loop with parameters; the line of its caller is what a report should name."""
    return sg.scan(lambda x_t, h, w: sg.tanh(x_t + h @ w), [x], [h0], [w])[-1]


def _parts():
    x = sg.tensor("x", ("T", "B", 3))
    h0 = sg.tensor("h0", ("B", 3))
    w = sg.shared(np.eye(3, dtype="float32"), "w")
    return x, w, h0


def test_the_counts_of_a_function_without_loops():
    x = sg.vector("x")
    report = sg.compile([x], sg.exp(x) * sg.exp(x), name="f", backend="numpy").report
    assert (report.nodes_built, report.nodes) == (3, 3)
    assert (report.loops_built, report.loops, report.bodies_built, report.bodies) == (0, 0, 0, 0)
    assert report.repeated_bodies == ()
    assert (report.kernels, report.distinct_kernels) == (2, 2)
    assert report.cache == "off"
    assert report.cache_reason
    assert 0 < sum(row.seconds for row in report.passes) <= report.seconds
    for before, after in zip(report.passes, report.passes[1:], strict=False):
        assert before.nodes_after == after.nodes_before
    assert report.passes[0].nodes_before == report.nodes_built
    assert report.passes[-1].nodes_after == report.nodes


def test_the_analyses_of_the_native_backend_are_rows():
    x = sg.tensor("x", ("T", "n"))
    loop = sg.scan(lambda x_t, s: sg.tanh(x_t + 0.46875 * s), x, x[0], ())
    report = sg.compile([x], loop[-1]).report
    assert not report.is_recalled
    analyses = ["unify", "sink", "layout", "cluster"]
    assert list(report.stages)[:5] == [*analyses, "lower"]
    assert min(report.stages[name] for name in analyses) > 0
    assert all(f"\n{name} " in str(report) for name in analyses)


def test_kernels_are_counted_as_they_were_fused():
    x = sg.vector("x")
    square = sg.compile([x], sg.exp(x) * sg.exp(x)).report
    assert (square.kernels, square.distinct_kernels) == (1, 1)
    assert next(iter(square.stages)) == ("read" if square.is_recalled else "unify")
    assert 0 < sum(square.stages.values()) <= square.seconds
    twice = sg.compile([x], sg.exp(x[::-1]).sum() + sg.exp(x).sum()).report
    assert twice.distinct_kernels <= twice.kernels
    sorts = sg.compile([x], sg.sort(x)).report
    assert (sorts.kernels, sorts.distinct_kernels) == (1, 1)


def test_the_report_says_hit_or_miss_and_why():
    x = sg.vector("x")
    report = sg.compile([x], sg.exp(x)).report
    assert report.cache in {"hit", "miss"}
    assert bool(report.cache_reason) == (report.cache == "miss")
    line = next(line for line in str(report).splitlines() if line.startswith("cache"))
    assert " ".join(line.split()) == f"cache {report.cache} {report.cache_reason}".strip()
    again = sg.compile([x], sg.exp(x)).report
    assert (again.cache, again.cache_reason) == ("hit", "")


def test_rules_that_fired_are_counted():
    x = sg.vector("x")
    report = sg.compile([x], sg.exp(x * 1 + 0)).report
    assert report.nodes < report.nodes_built
    assert sum(report.rules.values()) >= 2
    assert "rules fired" in str(report)


def test_loops_and_bodies():
    x, w, h0 = _parts()
    report = sg.compile([x, h0], sg.grad(_recurrent(x, w, h0).sum(), w)).report
    assert (report.loops_built, report.bodies_built) == (2, 2)
    assert (report.loops, report.bodies) == (2, 2)
    assert report.repeated_bodies == ()


def test_every_loop_has_a_row():
    x, w, h0 = _parts()
    y = sg.scan(
        lambda row: sg.scan(lambda a, s: a + s, [row], [row[0]])[-1].sum(), [x], name="rows"
    )
    f = sg.compile([x, h0], [_recurrent(x, w, h0), _recurrent(x * 2, w, h0), y])
    named = {row.name: row for row in f.report.loop_table if row.name}
    others = [row for row in f.report.loop_table if not row.name]
    first, second, inner = sorted(others, key=lambda row: row.depth)
    assert (first.depth, second.depth, inner.depth, named["rows"].depth) == (0, 0, 1, 0)
    assert first.body == second.body
    assert len({first.body, inner.body, named["rows"].body}) == 3
    assert (first.sequences, first.states, first.traces) == (1, 1, 0)
    assert {row.line.file for row in f.report.loop_table} == {__file__}
    assert f"  loop, line {inner.line.line} " in str(f.report)


def test_the_printed_report_has_its_tables_always():
    text = str(sg.compile([], sg.constant(1.0), name="nothing").report)
    for word in ("nothing", "passes", "loops", "bodies", "kernels", "cache", "nodes", "simplify"):
        assert word in text
    assert "No loop body is computed twice." in text


def test_repeated_bodies_are_named_with_both_lines():
    x, w, h0 = _parts()
    here = inspect.currentframe().f_lineno
    first = _recurrent(x, w, h0).sum()
    second = _recurrent(x, w * 0.5, h0).sum()
    report = sg.compile([x, h0], [first, second]).report
    assert report.bodies == 2
    (group,) = report.repeated_bodies
    assert [(line.file, line.line) for line in group.lines] == [
        (__file__, here + 1),
        (__file__, here + 2),
    ]
    (told,) = json.loads(json.dumps(report.to_dict()))["repeated_bodies"]
    assert told["lines"] == [f"{__file__}:{here + 1}", f"{__file__}:{here + 2}"]
    text = str(report)
    place = short_place(f"{__file__}:{here}").rpartition(":")[0]
    assert (
        "1 loop body is computed twice, at other values of the same parameters: "
        f"first at {place}:{here + 1}, again at {place}:{here + 2} — 1 body too many"
    ) in " ".join(text.split())
    assert "1 too many" in text


def test_parameters_of_their_own_are_no_repeats():
    x, w, h0 = _parts()
    v = sg.shared(np.eye(3, dtype="float32"), "v")
    report = sg.compile([x, h0], [_recurrent(x, w, h0), _recurrent(x, v, h0)]).report
    assert report.bodies == 2
    assert report.repeated_bodies == ()


def test_the_time_to_the_first_result():
    f = sg.compile([], sg.constant(1.0))
    assert f.report.first_call is None
    f()
    once = f.report.first_call
    assert once is not None
    assert once > 0
    f()
    assert f.report.first_call == once
    assert "first result" in str(f.report)


# --- bounds -------------------------------------------------------------------------------------


def test_assert_compiled():
    x, w, h0 = _parts()
    f = sg.compile([x, h0], _recurrent(x, w, h0), name="f")
    with pytest.raises(sg.SymgraphTypeError, match="asserts nothing; give bodies, loops"):
        sg.assert_compiled(f)
    for wrong in (float("nan"), -1, True, "2"):
        with pytest.raises(sg.SymgraphValueError, match="loops is a number of at least 0"):
            sg.assert_compiled(f, loops=wrong)
    sg.assert_compiled(f, bodies=1, loops=1, nodes=f.report.nodes, seconds=60)
    for bound in ({"bodies": 0}, {"loops": 0}, {"nodes": 3}, {"seconds": 0.0}):
        with pytest.raises(AssertionError) as caught:
            sg.assert_compiled(f, **bound)
        assert f"at most {next(iter(bound.values()))} are allowed" in str(caught.value)
        assert "passes" in str(caught.value)
    with pytest.raises(sg.SymgraphTypeError, match="compiled function"):
        sg.assert_compiled(f.report, bodies=1)


# --- profile ------------------------------------------------------------------------------------


def test_a_profile_counts_runs_of_nodes_and_loops():
    x, w, h0 = _parts()
    f = sg.compile([x, h0], _recurrent(x, w, h0), profile=True, name="f", backend="numpy")
    for _ in range(2):
        f(np.ones((5, 2, 3)), np.zeros((2, 3)))
    profile = f.profile
    assert len(profile.calls) == 2
    (loop,) = [row for row in profile.rows if row.is_loop]
    (tanh,) = [row for row in profile.rows if row.name == "tanh"]
    assert (loop.runs, loop.depth) == (2, 0)
    assert (tanh.runs, tanh.depth) == (10, 1)
    assert tanh.seconds <= loop.seconds <= profile.seconds
    assert "tanh" in str(profile)
    assert "2 calls" in str(profile)


def test_a_profile_names_kernels_and_loops():
    x, w, h0 = _parts()
    f = sg.compile([x, h0], _recurrent(x, w, h0), profile=True)
    for _ in range(2):
        f(np.ones((5, 2, 3)), np.zeros((2, 3)))
    profile = f.profile
    assert len(profile.calls) == 2
    (loop,) = [row for row in profile.rows if row.is_loop]
    assert (loop.name, loop.runs, loop.depth) == ("scan", 2, 0)
    assert loop.line is not None
    assert loop.line.startswith(__file__)
    body = [row for row in profile.rows if row.depth == 1]
    (epilogue,) = [row for row in body if "tanh" in row.name.split()]
    assert "matmul" in {row.name for row in body}
    assert {row.runs for row in body} == {10}
    assert 0 < sum(row.seconds for row in body) <= loop.seconds <= profile.seconds
    assert epilogue.name in str(profile)
    assert "(loop)" in str(profile)


def test_profiled_calls_give_the_same_results_and_errors():
    x, i = sg.vector("x"), sg.scalar("i", dtype="int64")
    plain = sg.compile([x, i], sg.exp(x)[i])
    profiled = sg.compile([x, i], sg.exp(x)[i], profile=True)
    assert plain([1, 2], 1) == profiled([1, 2], 1)
    with pytest.raises(sg.IndexRangeError):
        profiled([1, 2], 2)


def test_tables_are_no_wider_than_a_slide() -> None:
    header = ("loops", "body", "nodes")
    name = "gradient of Cell(1200, 6400) in a loop from a checkpoint of the user's"
    text = format_table(header, [("short", "1", "2"), (f"  {name} at\xa0net.py:3", "3", "1234")])
    assert text.splitlines() == [
        "loops" + " " * 60 + "  body  nodes",
        "─" * 65 + "  ────  ─────",
        "short" + " " * 60 + "     1      2",
        "  " + name[: name.rindex(" ")] + "     3   1234",
        "      user's at net.py:3",
    ]


def test_numbers_are_aligned_below_a_word_that_is_too_long() -> None:
    text = format_table(("loops", "body"), [("short", "1"), ("x" * 90, "23")])
    assert text.splitlines() == [
        "loops  body",
        "─────  ────",
        "short     1",
        "x" * 90,
        "         23",
    ]
