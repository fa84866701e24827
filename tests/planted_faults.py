"""How many faults the suite notices: one line of the source is changed, and the tests run.

    python tests/planted_faults.py --count 30

A comparison is turned, a number is off by one, an operator is another, a condition is reversed, a
statement or an element of a tuple is dropped. The source is changed in a copy of the tree. What is
printed at the end are the faults that no test noticed: each asks for a test, unless the changed
line does the same as before.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("backends", "scan", "autodiff", "rewrite", "compile")

_TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_OTHER: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """A part of a source file, and what is put there."""

    path: Path
    line: int
    start: int
    stop: int
    """Where the part begins and ends, as offsets in bytes."""
    text: str
    kind: str

    def planted(self, source: bytes) -> bytes:
        """The source with the fault."""
        return source[: self.start] + self.text.encode() + source[self.stop :]


def find_faults(path: Path) -> Iterator[Fault]:
    """Every fault that could be planted in a file."""
    source = path.read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def fault(old: ast.AST, text: str, kind: str) -> Fault:
        begin = starts[old.lineno - 1] + old.col_offset  # type: ignore[attr-defined]
        end = starts[old.end_lineno - 1] + old.end_col_offset  # type: ignore[attr-defined]
        return Fault(path, old.lineno, begin, end, text, kind)  # type: ignore[attr-defined]

    for node in _code_of(ast.parse(source)):
        yield from (fault(*change) for change in _changes_of(node))


def _code_of(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run: no docstrings, annotations, messages or lists of names."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "type_params", "decorator_list"):
                continue
            children = value if isinstance(value, list) else [value]
            pending += [x for x in children if isinstance(x, ast.AST) and not _is_talk(x)]


def _is_talk(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.Assign):
        return any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
    return isinstance(node, (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Assert))


def _changes_of(node: ast.AST) -> Iterator[tuple[ast.AST, str, str]]:
    """For a node what is replaced, by what text, and the kind of the fault."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _TURNED:
        turned = ast.Compare(node.left, [_TURNED[type(node.ops[0])](), *node.ops[1:]],
                             node.comparators)  # fmt: skip
        yield node, f"({ast.unparse(turned)})", "a comparison turned"
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield node, f"({node.value + random.choice((-1, 1))})", "a number off by one"
    if isinstance(node, ast.BinOp) and type(node.op) in _OTHER:
        other = ast.BinOp(node.left, _OTHER[type(node.op)](), node.right)
        yield node, f"({ast.unparse(other)})", "another operator"
    if isinstance(node, ast.BoolOp):
        other = ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        yield node, f"({ast.unparse(other)})", "and for or"
    if isinstance(node, (ast.If, ast.IfExp)):
        yield node.test, f"(not ({ast.unparse(node.test)}))", "a condition reversed"
    if isinstance(node, ast.Tuple) and len(node.elts) > 1 and isinstance(node.ctx, ast.Load):
        kept = list(node.elts)
        del kept[random.randrange(len(kept))]
        yield node, ast.unparse(ast.Tuple(kept, ast.Load())), "an element of a tuple dropped"
    if isinstance(node, (ast.Expr, ast.Assign, ast.AugAssign, ast.Continue, ast.Break)):
        yield node, "pass", "a statement dropped"


def draw(count: int, seed: int) -> list[Fault]:
    """So many faults, of lines drawn with equal chances."""
    random.seed(seed)
    found: dict[tuple[Path, int], list[Fault]] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / "symgraph" / folder).rglob("*.py")):
            for fault in find_faults(path):
                found.setdefault((path, fault.line), []).append(fault)
    lines = random.sample(sorted(found), count)
    return [random.choice(found[line]) for line in lines]


def is_noticed(fault: Fault, tree: Path, workers: int) -> bool:
    """Whether a test fails, in a copy of the tree with the fault; those nearest are run first."""
    place = tree / fault.path.relative_to(ROOT)
    source = fault.path.read_bytes()
    place.write_bytes(fault.planted(source))
    folder = fault.path.relative_to(ROOT / "symgraph").parts[0]
    near = {"backends": "scan", "autodiff": "scan", "rewrite": "scan", "scan": "autodiff"}
    first = [f"tests/{folder}", f"tests/{near.get(folder, 'autodiff')}"]
    try:
        return any(_fails(tree, chosen, workers) for chosen in (first, ["tests"]))
    finally:
        place.write_bytes(source)


def _fails(tree: Path, tests: list[str], workers: int) -> bool:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", str(workers), *tests]
    environment = {
        **os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1",
        "SYMGRAPH_CACHE_DIR": str(tree / "cache"),
    }  # fmt: skip
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=1800, check=False
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def main() -> None:
    """Plant faults one after the other, and tell which of them went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    # Where this runs in the background SIGINT is ignored, and so it would be in the tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faults = draw(given.count, given.seed)
    print(f"seed {given.seed}", flush=True)
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv*", "__pycache__"))
        if _fails(tree, ["tests"], given.workers):
            sys.exit("a test fails without any fault")
        for fault in faults:
            noticed = is_noticed(fault, tree, given.workers)
            missed += not noticed
            old = fault.path.read_bytes()[fault.start : fault.stop].decode()
            where = f"{fault.path.relative_to(ROOT)}:{fault.line}"
            mark = "noticed" if noticed else "MISSED "
            print(f"{mark} {where} {fault.kind}: {old!r} -> {fault.text!r}", flush=True)
    print(f"{given.count - missed} of {given.count} noticed")


if __name__ == "__main__":
    main()
