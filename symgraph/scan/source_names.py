"""What the user called values: the targets of assignments on the lines that made them."""

from __future__ import annotations

import ast
import itertools
import linecache
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from ..core import provenance
from ..core.graph import Graph
from ..core.variable import Variable
from ..ops.composite import is_composite
from ..ops.elementwise import WHERE
from .op import Loop, State, is_scan

__all__ = [
    "LAMBDA",
    "Source",
    "lines_of_step",
    "names_of_states",
    "snake",
    "source_names",
    "statement_of",
    "states_in_source",
    "unmasked",
    "written_function",
]

# What Python calls every lambda.
LAMBDA = "<lambda>"

# A statement of a file: where it begins, and the names it assigns to, in order.
Source = tuple[str, int, tuple[str, ...]]


def source_names(graphs: Sequence[Graph]) -> dict[Variable, tuple[str, Source]]:
    """What values were called where they were made, and the statements that said so.

    The outermost of the ``graphs`` comes first. Of what a statement made in one of them, that has
    the name which nothing else of the statement reads. Where work of a step was taken out of its
    loop, what stayed there has it; but of a statement that made the loop or called the composite,
    what is around that.
    """
    around = {statement_of(v) for graph in graphs for v in graph.nodes if _has_body(v)}
    outermost, *bodies = (_made_by_statements(graph) for graph in graphs)
    bodies = [{s: made for s, made in body.items() if s not in around} for body in bodies]
    inside = {source for made in bodies for source in made}
    found = [*bodies, {s: made for s, made in outermost.items() if s not in inside}]
    names: dict[Variable, tuple[str, Source]] = {}
    for source, variables in (entry for made in found for entry in made.items()):
        targets, values = source[2], _results(variables)
        if len(targets) == 1:
            names[values[-1]] = (targets[0], source)
        elif len(targets) == len(values):
            names.update((v, (name, source)) for v, name in zip(values, targets, strict=True))
    return names


def _has_body(v: Variable) -> bool:
    return is_scan(v) or is_composite(v)


def _made_by_statements(graph: Graph) -> dict[Source, list[Variable]]:
    """What each assignment made of a graph."""
    made: dict[Source, list[Variable]] = defaultdict(list)
    for v in graph.nodes:
        statement = statement_of(v) if v.inputs else None
        if statement is not None:
            made[statement].append(v)
    return made


def _results(variables: Iterable[Variable]) -> list[Variable]:
    """Those of the variables that none of the others reads, in the order they were made."""
    known = dict.fromkeys(variables)
    read = {x for v in known for x in v.inputs}
    return sorted((v for v in known if v not in read), key=lambda v: v.serial)


class _Statement(NamedTuple):
    """An assignment to names, or (without targets) one that returns."""

    begins: int
    targets: tuple[str, ...]
    calls: frozenset[str]
    """The names of what it calls."""


def statement_of(v: Variable) -> Source | None:
    """The assignment that made the variable; where a function returned it, the one of its call."""
    function = ""
    for line in provenance.written_at(v):
        if line.function == LAMBDA:
            return None  # the statement around it has a name for what it is handed to
        statement = _statements(line.file, len(linecache.getlines(line.file))).get(line.line)
        if statement is None or (function and function not in statement.calls):
            return None  # such as a step, which the compiler calls
        if statement.targets:
            return (line.file, statement.begins, statement.targets)
        function = "" if line.function.startswith(("<", "__")) else line.function
    return None


@lru_cache(maxsize=64)
def _statements(file: str, n_lines: int) -> dict[int, _Statement]:
    """For each line of an assignment, or of what returns, that statement.

    ``n_lines`` tells a file that has changed, such as a notebook's cell, from what it was.
    """
    found: dict[int, _Statement] = {}
    for statement in ast.walk(_tree(file)):
        if isinstance(statement, ast.stmt):
            targets = _targets(statement)
            if targets or isinstance(statement, ast.Return):
                made = _Statement(statement.lineno, targets, _calls_in(statement))
                for line in range(statement.lineno, (statement.end_lineno or made.begins) + 1):
                    found[line] = made
    return found


def _tree(file: str) -> ast.Module:
    """The syntax of a file; without statements where it is no Python."""
    try:
        return ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _calls_in(statement: ast.stmt) -> frozenset[str]:
    calls = (part.func for part in ast.walk(statement) if isinstance(part, ast.Call))
    return frozenset(getattr(f, "attr", getattr(f, "id", "")) for f in calls)


def _targets(statement: ast.AST) -> tuple[str, ...]:
    """The names that a statement assigns to; attributes count by their last name."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign, ast.NamedExpr)):
        target = statement.target
    else:
        return ()
    if _compiles(statement.value):
        return ()  # what it gives is no value of the program
    parts = target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
    names = [p.id if isinstance(p, ast.Name) else getattr(p, "attr", "") for p in parts]
    return tuple(names) if all(names) and isinstance(statement, ast.stmt) else ()


def _compiles(value: ast.expr | None) -> bool:
    function = value.func if isinstance(value, ast.Call) else None
    return getattr(function, "attr", getattr(function, "id", "")) == "compile"


def written_function(line: provenance.Line) -> str | None:
    """What the function around a line is called, after its class if it has one."""
    path = _functions(line.file, len(linecache.getlines(line.file))).get(line.line)
    if path is not None and len(path) > 1 and path[-1].startswith("__"):
        path = path[:-1]  # `__call__` says no more than its class
    return None if path is None else "_".join(map(snake, path))


def names_of_states(loop: Loop, names: Mapping[Variable, str]) -> list[str | None]:
    """For each state of a loop the name of its new value among these; None without."""
    found = [names.get(unmasked(state)) for state in loop.states]
    return [name if found.count(name) == 1 else None for name in found]


def unmasked(state: State) -> Variable:
    """The new value of a state; where a mask carries old ones on, what it is elsewhere."""
    new = state.new
    is_carried = new.op is WHERE and new.inputs[2] is state.taps.get(-1)
    return new.inputs[1] if is_carried and not new.name else new


def states_in_source(loop: Loop) -> list[str | None]:
    """What each state of a loop is called in the function of its step; None where nothing tells.

    One of several taps is called what its values have in common but for numbers: ``h2, h1``.
    """
    n_taps = [len(state.taps) for state in loop.states]
    for line in lines_of_step(loop.node):
        found = _state_names(line, len(loop.reads), sum(n_taps))
        if found is not None:
            names = iter(found)
            return [_in_common([*itertools.islice(names, n)]) for n in n_taps]
    return [None] * len(n_taps)


def _in_common(names: list[str]) -> str | None:
    if len(names) == 1:
        return names[0]
    first, *others = {name.rstrip("0123456789").rstrip("_") for name in names}
    return None if others else first or None


def lines_of_step(loop: Variable) -> list[provenance.Line]:
    """The lines in the function of a loop's step, those of the last value first.

    Those at which the loop itself was made lie around it. A lambda may be on such a line.
    """
    around = set(provenance.written_at(loop))
    body: Graph = loop.params[0]
    found = [line for v in reversed(body.nodes) if v.inputs for line in provenance.written_at(v)]
    return [x for x in dict.fromkeys(found) if x.function == LAMBDA or x not in around]


def _state_names(line: provenance.Line, n_reads: int, n_states: int) -> tuple[str, ...] | None:
    """What the function of a step calls its states, if its arguments tell.

    States are arguments after the rows, or one of them that is taken apart, ``h, c = state``.
    """
    n_lines = len(linecache.getlines(line.file))
    lambdas = _lambdas(line.file, n_lines).get(line.line, ()) if line.function == LAMBDA else ()
    function: ast.FunctionDef | ast.Lambda | None = lambdas[0] if len(lambdas) == 1 else None
    if line.function != LAMBDA:
        function = _definitions(line.file, n_lines).get(line.line)
    if function is None:
        return None
    names = [a.arg for a in function.args.args if a.arg not in ("self", "cls")]
    if len(names) == n_reads + n_states:
        return tuple(names[n_reads:])
    for statement in ast.walk(function):
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Name):
            targets = _targets(statement)
            if len(targets) == n_states and statement.value.id in names:
                return targets
    return None


@lru_cache(maxsize=64)
def _definitions(file: str, n_lines: int) -> dict[int, ast.FunctionDef]:
    """For each line of a function the innermost one."""
    found: dict[int, ast.FunctionDef] = {}
    functions = [f for f in ast.walk(_tree(file)) if isinstance(f, ast.FunctionDef)]
    for function in sorted(functions, key=lambda f: f.lineno):  # inner ones come later
        lines = range(function.lineno, (function.end_lineno or function.lineno) + 1)
        found.update(dict.fromkeys(lines, function))
    return found


@lru_cache(maxsize=64)
def _lambdas(file: str, n_lines: int) -> dict[int, list[ast.Lambda]]:
    """For each line the lambdas that are, at least in part, on it."""
    found: dict[int, list[ast.Lambda]] = defaultdict(list)
    for part in ast.walk(_tree(file)):
        if isinstance(part, ast.Lambda):
            for line in range(part.lineno, (part.end_lineno or part.lineno) + 1):
                found[line].append(part)
    return found


@lru_cache(maxsize=64)
def _functions(file: str, n_lines: int) -> dict[int, tuple[str, ...]]:
    """For each line of a function its class, if it has one, and its name."""
    found: dict[int, tuple[str, ...]] = {}
    pending: list[tuple[ast.AST, tuple[str, ...]]] = [(_tree(file), ())]
    while pending:
        outer, path = pending.pop()
        for inner in ast.iter_child_nodes(outer):
            if isinstance(inner, ast.ClassDef):
                pending.append((inner, (inner.name,)))
            elif isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                here = (*path, inner.name)
                for line in range(inner.lineno, (inner.end_lineno or inner.lineno) + 1):
                    found[line] = here
                pending.append((inner, ()))
            else:
                pending.append((inner, path))
    return found


def snake(name: str) -> str:
    """``LSTMCell`` as ``lstm_cell``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
