"""Two programs alive at once, of the same expressions: each names its own lines, loops and values.

Programs are written as text, for a file of their own: what a message says of the other one's file
or names is wrong.
"""

import itertools
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import symgraph as sg

# What is shared, the program, and arguments of which something is wrong. ``§`` is the program's.
PROGRAMS = {
    "rewritten": (
        "x = sg.vector('x')",
        """
        with sg.record_lines():
            y = sg.exp(sg.log(sg.sqrt(x)))
            y.name = "root_§"
            f = sg.compile([x], y * 2, check_finite=True, **options)
        """,
        [[-1.0]],
    ),
    "rows": (
        "t, i = sg.matrix('t'), sg.tensor('i', ('T',), 'int64')",
        """
        rows = t[i]
        rows.name = "rows_§"
        f = sg.compile([t, i], rows * 2, **options)
        """,
        [np.ones((4, 3)), [0, 9]],
    ),
    "rows that a loop reads": (
        "t, m, i = sg.matrix('t'), sg.matrix('m'), sg.tensor('i', ('T',), 'int64')",
        """
        def step_§(i, h):
            return sg.tanh(t[i] @ m + h)

        h = sg.scan(step_§, [i], [sg.zeros(3)], name="loop_§")
        f = sg.compile([t, m, i], h[-1], **options)
        """,
        [np.ones((4, 3)), np.ones((3, 3)), [0, 9]],
    ),
    "gradient": (
        "x, w = sg.vector('x'), sg.scalar('w')",
        """
        def step_§(x, h):
            gate = sg.sqrt(x * w)
            gate.name = "gate_§"
            return gate + h * 0.5

        h = sg.scan(step_§, [x], [sg.zeros(())], name="loop_§")
        f = sg.compile([x, w], sg.grad(h[-1], w), check_finite=True, **options)
        """,
        [[1.0, 0.0, 1.0], 1.0],
    ),
    "checkpoints": (
        "x, w = sg.vector('x'), sg.scalar('w')",
        """
        def step_§(x, h):
            row = sg.log(x)
            row.name = "row_§"
            return sg.tanh(h * w + row)

        h = sg.scan(step_§, [x], [sg.zeros(())], name="loop_§", checkpoint_every=2)
        f = sg.compile([x, w], sg.grad(h[-1], w), check_finite=True, **options)
        """,
        [[1.0, 1.0, 2.0, -1.0, 9.0], 1.0],
    ),
    "nested": (
        "x, t = sg.matrix('x', dtype='int64'), sg.vector('t')",
        """
        def inner_§(i, h):
            row = t[i]
            row.name = "row_§"
            return sg.tanh(h + row)

        def step_§(x, h):
            return sg.scan(inner_§, [x], [h], name="inner_§")[-1]

        h = sg.scan(step_§, [x], [sg.zeros(())], name="loop_§")
        f = sg.compile([x, t], h[-1], **options)
        """,
        [[[1, 0], [2, 9]], np.ones(3)],
    ),
    "jvp": (
        "x, d = sg.vector('x'), sg.vector('d')",
        """
        def step_§(x, h):
            gate = sg.sqrt(x)
            gate.name = "gate_§"
            return gate + h

        h = sg.scan(step_§, [x], [sg.zeros(())], name="loop_§")
        f = sg.compile([x, d], sg.jvp(h[-1], x, d), check_finite=True, **options)
        """,
        [[1.0, 0.0], [1.0, 1.0]],
    ),
    "composite": (
        "x = sg.vector('x')",
        """
        def root_§(a):
            return sg.sqrt(a) * 2

        root = sg.composite(root_§, name="root")

        def step_§(x, h):
            return root(x) + h

        h = sg.scan(step_§, [x], [sg.zeros(())], name="loop_§")
        f = sg.compile([x], h[-1] + root(x).sum(), check_finite=True, **options)
        """,
        [[1.0, -1.0]],
    ),
    "debug_assert": (
        "x = sg.vector('x')",
        """
        def step_§(x, h):
            return sg.debug_assert(x, x > 0, "not positive") + h

        h = sg.scan(step_§, [x], [sg.zeros(())], name="loop_§")
        f = sg.compile([x], h[-1], **options)
        """,
        [[1.0, -1.0]],
    ),
}


# What becomes one node, at the latest by rewriting.
ORDERS = list(itertools.permutations(["sg.log(1 + v)", "sg.log1p(v)", "sg.log1p(v) * 1"], 2))


def build(program, suffix, scope, **options):
    """The program as that of the file ``of_<suffix>.py``."""
    text = "\n" * (9 * len(suffix)) + textwrap.dedent(program).replace("§", suffix)
    scope = {"sg": sg, "options": options, **scope}
    exec(compile(text, f"of_{suffix}.py", "exec"), scope)
    return scope["f"]


def said_by(f, arguments):
    """Whatever the function says of its loops and lines, the error of a call first."""
    with pytest.raises(sg.SymgraphError) as caught:
        f(*arguments)
    yield str(caught.value)
    report = f.report
    yield from map(str, (report, report.loop_table, report.stored, report.checkpoints))
    yield sg.listing(f)
    for row in range(len(report.loop_table)):
        try:
            yield str(sg.replay(f, arguments, loop=row, step=0))
        except sg.SymgraphError as error:
            yield str(error)


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("case", PROGRAMS)
@pytest.mark.parametrize("shares", [True, False])
def test_a_program_names_its_own_lines_loops_and_values(case, backend, shares):
    leaves, program, arguments = PROGRAMS[case]
    scopes = [{"sg": sg}, {"sg": sg}]
    for scope in scopes[:1] if shares else scopes:
        exec(leaves, scope)
    scopes = [scopes[0], scopes[0] if shares else scopes[1]]
    suffixes = ["first", "second"]
    functions = [
        build(program, suffix, scope, backend=backend)
        for suffix, scope in zip(suffixes, scopes, strict=True)
    ]
    pairs = list(zip(functions, suffixes, reversed(suffixes), strict=True))
    for f, own, other in (pairs[1], pairs[0], pairs[1]):
        error, *rest = said_by(f, arguments)
        assert f"of_{own}.py" in error
        for text in (error, *rest):
            assert f"of_{other}" not in text
            assert f"_{other}" not in text


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_programs_built_before_any_is_compiled_name_their_own_lines(backend):
    """Their loops have one body, which many more have, too."""
    leaves, program, arguments = PROGRAMS["checkpoints"]
    head, last = program.rsplit("f = ", 1)
    functions = {}
    for suffix in ["former", "latter", *map(str, range(10, 22))]:
        scope = {"sg": sg}
        exec(leaves, scope)
        functions[suffix] = build(f"{head}f = lambda: {last}", suffix, scope, backend=backend)
    compiled = {suffix: function() for suffix, function in functions.items()}
    for own, other in itertools.pairwise(["former", "latter", "former"]):
        for text in said_by(compiled[own], arguments):
            assert f"of_{other}" not in text
            assert "of_1" not in text
            assert f"_{other}" not in text


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("order", ORDERS)
def test_what_one_program_is_rewritten_to_is_written_in_another(order, backend):
    v = sg.vector("v")
    program = """
    with sg.record_lines():
        y = {}
    f = sg.compile([v], y, check_finite=True, **options)
    """
    functions = {
        suffix: build(program.format(text), suffix, {"v": v}, backend=backend)
        for suffix, text in zip("ab", order, strict=True)
    }
    for suffix in "bab":
        with pytest.raises(sg.FiniteError) as caught:
            functions[suffix]([-2.0])
        assert caught.value.line == f"of_{suffix}.py:12"


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_what_a_loop_reads_before_its_steps_is_the_users_when_he_writes_it(backend):
    table, matrix, index = sg.matrix("table"), sg.matrix("matrix"), sg.tensor("i", ("T",), "int64")
    last = sg.scan(lambda i, h: sg.tanh(table[i] @ matrix + h), [index], [sg.zeros(3)])[-1]
    in_loop = sg.compile([table, matrix, index], last, backend=backend)
    f = build("f = sg.compile([t, i], t[i] * 2, **options)", "a", {"t": table, "i": index},
              backend=backend)  # fmt: skip
    ones, wrong = np.ones((4, 3), "float32"), np.array([0, 9])
    for _ in range(2):
        with pytest.raises(sg.IndexRangeError, match=r"of_a\.py:10$"):
            f(ones, wrong)
        with pytest.raises(sg.IndexRangeError, match=r"in step 1 of the loop at .*test_lines"):
            in_loop(ones, ones[:3], wrong)


def test_names_and_lines_of_what_somebody_has_written_stay_when_others_compile():
    v = sg.vector("v")
    mine, other = sg.log1p(v), sg.log(1 + v)
    other.name = "other"
    sg.compile([v], other, backend="numpy")
    assert mine.name is None
    later = sg.vector("later")
    renamed = sg.log(1 + later)
    renamed.name = "other"
    kept = sg.compile([later], renamed, backend="numpy")
    assert sg.log1p(later).name is None
    assert "'other' = log1p" in sg.listing(kept)


def test_a_program_recalled_from_disk_names_its_own_lines(tmp_path):
    source = """
    import sys, symgraph as sg
    t, i = sg.vector("t"), sg.vector("i", dtype="int64")
    {}
    f = sg.compile([t, i], t[i] * 2)
    """
    known = set()
    for number in range(3):
        path = tmp_path / f"program_{number}.py"
        path.write_text(textwrap.dedent(source).format("\n" * number) + textwrap.dedent("""
            try:
                f([1.0], [5])
            except sg.IndexRangeError as error:
                print(f.report.is_recalled, error)
            """))  # fmt: skip
        said = subprocess.run(
            [sys.executable, str(path)], capture_output=True, text=True, check=True
        ).stdout
        known.add(said.split()[0])
        assert f"program_{number}.py:{5 + number}" in said
    assert "True" in known
