"""Programs that an earlier process rewrote and lowered: found again, or made again."""

import marshal
import os
import subprocess
import sys

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.llvm.calls import programs
from symgraph.backends.llvm.code.cache import DiskCache
from symgraph.backends.llvm.code.engine import engine
from symgraph.compile import key as keys
from symgraph.compile.key import program_key
from symgraph.core.graph import Graph
from symgraph.core.op import OPS, Op
from symgraph.core.provenance import Line, lines_of, set_lines
from symgraph.core.variable import node
from symgraph.viz.text import listing


@pytest.fixture(autouse=True)
def disk(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setattr(engine(), "cache", DiskCache(tmp_path))
    return tmp_path


def build_network(name="x", bias=0.5):
    """A loop with a gradient and an update, anew at each call."""
    x = sg.tensor(name, ("T", 3))
    w = sg.shared(np.full((3, 3), 0.1, "float32"), "w")
    states = sg.scan(lambda row, h: sg.tanh(row + h @ w + bias), x, sg.zeros(3, "float32"))
    loss = (states[-1] ** 2).sum()
    return [x], loss, {w: w - 0.1 * sg.grad(loss, w)}


def compile_network(**options):
    inputs, loss, updates = build_network()
    return sg.compile(inputs, loss, updates=updates, **options)


def test_a_program_is_recalled_with_the_same_numbers_and_report():
    value = np.arange(12, dtype="float32").reshape(4, 3) / 10
    first, second = compile_network(), compile_network()
    assert (first.report.is_recalled, first.report.recall_reason) == (False, "not in the cache")
    assert (second.report.is_recalled, second.report.recall_reason) == (True, "")
    for _ in range(3):
        np.testing.assert_array_equal(first(value), second(value))
    a, b = first.report, second.report
    for what in ("nodes", "loops", "bodies", "kernels", "distinct_kernels", "rules", "loop_table"):
        assert getattr(a, what) == getattr(b, what), what
    assert [row.name for row in b.passes] == ["recall", *(row.name for row in a.passes)]
    assert b.passes[0].nodes_before == b.nodes_built
    assert b.passes[-1].nodes_after == b.nodes
    assert sum(row.seconds for row in b.passes) + sum(b.stages.values()) <= b.seconds


def test_the_graph_of_a_recalled_function_is_there_when_asked_for():
    first, second = compile_network(), compile_network()
    assert listing(second) == listing(first)
    (update,) = second.updates.values()
    assert update is second.graph.outputs[1]


def test_what_is_recalled_fails_with_the_names_of_this_process():
    def compile_gather(name):
        x, i = sg.vector(name), sg.vector("i", "int64")
        return sg.compile([x, i], (x[i] * 2).sum())

    arguments = np.ones(3, "float32"), np.array([1, 7])
    for name in ("first", "second"):
        f = compile_gather(name)
        assert f.report.is_recalled == (name == "second")
        for _ in range(2):
            with pytest.raises(sg.IndexRangeError, match=f"'{name}'"):
                f(*arguments)
        assert f(arguments[0], [1, 2]) == 4


def test_arguments_that_do_not_fit_together_are_told_as_before():
    def compile_sum(a, b):
        x, y = sg.vector(a), sg.vector(b)
        return sg.compile([x, y], x + y)

    ones = np.ones(3, "float32"), np.ones(4, "float32")
    messages = []
    for names in (("a", "b"), ("c", "d")):
        with pytest.raises(sg.CallError) as caught:
            compile_sum(*names)(*ones)
        messages.append(str(caught.value))
    assert "'c'" in messages[1]
    assert messages[0].count("\n") == messages[1].count("\n")


def test_constants_are_kept():
    table = np.random.default_rng(0).normal(size=(7, 5))
    x = sg.vector("x", "float64")
    for is_recalled in (False, True):
        f = sg.compile([x], sg.constant(table) @ x + table.sum())
        assert f.report.is_recalled == is_recalled
        np.testing.assert_allclose(f(np.arange(5.0)), table @ np.arange(5.0) + table.sum())


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-9], "cut short"),
        (lambda data: data[:-1] + b"?", "damaged"),
        (lambda data: b"", "cut short"),
    ],
)
def test_damaged_programs_are_made_again(disk, damage, reason):
    x = sg.vector("x")
    sg.compile([x], sg.exp(x).sum())
    for entry in disk.rglob("*.o"):
        entry.write_bytes(damage(entry.read_bytes()))
    f = sg.compile([x], sg.exp(x).sum())
    assert not f.report.is_recalled
    assert reason in f.report.recall_reason
    assert f([0, 0]) == 2
    assert sg.compile([x], sg.exp(x).sum()).report.is_recalled


def test_an_entry_that_is_no_program_is_made_again(disk, monkeypatch):
    x = sg.vector("x")
    monkeypatch.setattr(programs, "encode", lambda *_: b"nothing that was encoded")
    sg.compile([x], x + 1)
    monkeypatch.undo()
    monkeypatch.setattr(engine(), "cache", DiskCache(disk))
    assert "cannot be read" in sg.compile([x], x + 1).report.recall_reason
    assert sg.compile([x], x + 1).report.is_recalled


def test_what_cannot_be_kept_says_why():
    x = sg.vector("x")
    cases = {
        "its constants are large": sg.compile([x], sg.constant(np.arange(3e5)) * x[0]),
        "some of it runs in Python": sg.compile([x], sg.sort(x)),
        "a profile is of this process": sg.compile([x], x + 1, profile=True),
        "the backend keeps no programs": sg.compile([x], x + 1, backend="numpy"),
    }
    for reason, f in cases.items():
        assert (f.report.is_recalled, f.report.recall_reason) == (False, reason)
        assert reason in str(f.report)


@pytest.fixture
def users_op():
    """An op that is none of symgraph's."""
    yield Op("twice", lambda inputs: inputs[0].type, formula=lambda maths, x: maths.add(x, x))
    del OPS["twice"]


def test_a_users_op_is_compiled_each_time(users_op):
    x = sg.vector("x")
    for _ in range(2):
        f = sg.compile([x], sg.exp(node(users_op, (x,))))
        assert f.report.recall_reason == "an op is the user's own"


def test_another_process_recalls_it(disk):
    program = (
        "import numpy as np, symgraph as sg\n"
        "x = sg.matrix('x')\n"
        "f = sg.compile([x], sg.tanh(x @ x.T).sum(axis=0))\n"
        "print(f.report.is_recalled, f(np.eye(2, dtype='float32')).tolist(), f.report.cache)\n"
    )
    environment = {**os.environ, "SYMGRAPH_CACHE_DIR": str(disk)}
    printed = [
        subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True
        ).stdout.split(maxsplit=1)
        for _ in range(2)
    ]
    assert [is_recalled for is_recalled, _ in printed] == ["False", "True"]
    assert printed[0][1].replace("miss", "hit") == printed[1][1]


# --- keys ---------------------------------------------------------------------------------------


def key_of(inputs, loss, updates=None, **options):
    updates = updates or {}
    graph = Graph((*inputs, *updates), (loss, *updates.values()))
    return program_key(graph, *options.values())


def test_names_values_and_age_do_not_matter():
    one, other = build_network("x"), build_network("y")
    assert key_of(*one) == key_of(*other)
    a, b = sg.vector("a"), sg.vector("b")
    sg.exp(b)  # is older than exp(a) when the sums are built
    assert key_of([a, b], sg.exp(a) + sg.exp(b)) == key_of([b, a], sg.exp(b) + sg.exp(a))


def test_everything_else_does():
    x, y, z = (sg.tensor(name, (name, size)) for name, size in zip("xyz", (3, 3, 4), strict=True))
    found = [
        key_of([x], x + 1),
        key_of([x], x + 2),
        key_of([x], x - 1),
        key_of([x, y], x.sum() + y.sum()),
        key_of([x, y], y.sum() + x.sum()),
        key_of([x], x.sum(axis=0)),
        key_of([x], x.sum(axis=1)),
        key_of([x], x[1:]),
        key_of([x], x[:1]),
        key_of([x], x + 1, threads=1),
        key_of([x], x + 1, threads=2),
        key_of([z], z + 1),
        key_of(*build_network()),
        key_of(*build_network(bias=0.25)),
    ]
    assert None not in found
    assert len(set(found)) == len(found)


def test_the_lines_of_loops_are_part_of_a_key():
    x = sg.vector("x")
    totals = sg.scan(lambda a, s: s + a, x, 0.0)
    before = key_of([x], totals)
    (loop,) = totals.inputs[0].inputs
    set_lines(loop, (Line("elsewhere.py", 7, "main"), *lines_of(loop)[1:]))
    assert key_of([x], totals) != before


def test_the_names_of_loops_are_part_of_a_key():
    for name in ("one", "other"):
        x = sg.vector("x")
        f = sg.compile([x], sg.scan(lambda a, s: s + a, x, 0.0, name=name))
        assert f.report.loop_table[0].name == name


def test_an_op_that_evaluates_by_a_users_function_has_no_key():
    op = Op("tripled", OPS["negative"].infer, lambda arrays: arrays[0] * 3)
    try:
        x = sg.vector("x")
        assert key_of([x], node(op, (x,))) is None
    finally:
        del OPS["tripled"]


def test_another_source_is_another_key(monkeypatch):
    x = sg.vector("x")
    before = key_of([x], x + 1)
    source = keys._source()
    monkeypatch.setattr(keys, "_source", lambda: (*source, "edited"))
    assert key_of([x], x + 1) != before


def test_parameters_that_are_equal_but_of_two_kinds_are_written_apart():
    """Python has 1 == True; and a dtype has the name of a string."""
    size = sg.vector("x").type.shape[0]
    params = [
        (1,), (True,), ((1,),), ((True,),), ([1],), (None,), ("<f4",), (np.dtype("f4"),), (b"<f4",),
        (size,), ((size,),), (sg.vector("x").type,), (Line("a", 1, "b"),), (("a", 1, "b"),),
    ]  # fmt: skip
    encoder = keys._Encoder()
    found = [encoder._param(p) for p in params]
    written = [marshal.dumps(f, 2) for f in found]
    assert len(set(written)) == len(params)
    assert [marshal.dumps(encoder._param(p), 2) for p in params] == written


def test_a_body_that_two_loops_share_is_written_once():
    x, w = sg.tensor("x", ("T", 3)), sg.matrix("w")
    step = lambda row, h: sg.tanh(row + h @ w)  # noqa: E731
    one = sg.scan(step, x, sg.zeros(3))
    both = sg.scan(step, one, sg.zeros(3))
    contents = [
        len(marshal.dumps(keys._Encoder().graph(Graph((x, w), (y,))), 2)) for y in (one, both)
    ]
    assert contents[1] < 1.6 * contents[0]
