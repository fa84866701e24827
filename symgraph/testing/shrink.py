"""A failing program made as short as it gets while it fails in the same way."""

from __future__ import annotations

import ast
import copy
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from .program import Input, Program, names_of

__all__ = ["shrink"]

_SECONDS = 8.0
_SMALL = (1, 2, 3, 5)
_BLOCKS = (ast.Module, ast.FunctionDef, ast.ClassDef)


def shrink(
    program: Program, fails_alike: Callable[[Program], bool], *, seconds: float = _SECONDS
) -> Program:
    """The shortest program found that ``fails_alike``, in so many seconds of the processor.

    Outputs, calls, statements and parts of expressions are left out one after the other, then sizes
    made smaller, until nothing more can go.
    """
    end = _clock() + seconds
    makers = (_with_less_around, _with_fewer_statements, _with_less_in_them, _with_plainer_inputs)
    tidy = program.without_what_nobody_reads()
    is_tidy = tidy == program or fails_alike(tidy)
    if is_tidy:
        program = tidy
    changed = True
    while changed:
        changed = False
        for maker in makers:
            candidates, position = maker(program), 0
            while position < len(candidates) and _clock() < end:
                candidate = candidates[position]()
                if is_tidy and _is_closed(candidate):
                    candidate = candidate.without_what_nobody_reads()
                if candidate != program and _is_closed(candidate) and fails_alike(candidate):
                    program, changed = candidate, True
                    candidates = maker(program)
                else:
                    position += 1
    return program


def _clock() -> float:
    """The processor's seconds of this process and of those that it started."""
    return sum(os.times()[:4])


Candidate = Callable[[], Program]
"""Makes a shorter program."""


def _is_closed(program: Program) -> bool:
    """Whether each name is made before it is read, so that no NameError looks like a failure."""
    known = {x.name for x in program.inputs} | {
        "sg",
        "np",
        "nn",
        "numbers",
        "abs",
        "float",
        "range",
    }
    for instruction in program.instructions:
        made, read = names_of(instruction)
        if not read <= known:
            return False
        known |= made
    wanted = {*program.outputs, *(name for pair in program.updates for name in pair)}
    some = bool(program.outputs or program.updates) and bool(program.calls)
    return wanted <= known and some


# --- what is around -----------------------------------------------------------------------------


def _with_less_around(program: Program) -> list[Candidate]:
    """The program with fewer outputs, updates, calls, threads and inputs."""
    made: list[Candidate] = []
    for field in ("outputs", "updates", "calls", "inputs"):
        for i in range(len(getattr(program, field))):
            made.append(partial(_without, program, field, i))
    made.append(lambda: replace(program, threads=1))
    return made


def _without(program: Program, field: str, i: int) -> Program:
    items = getattr(program, field)
    return replace(program, **{field: items[:i] + items[i + 1 :]})


# --- statements and expressions -----------------------------------------------------------------


def _tree(program: Program) -> ast.Module:
    return ast.parse("\n".join(program.instructions))


def _of_tree(program: Program, tree: ast.Module) -> Program:
    """The program with these statements."""
    return replace(program, instructions=tuple(ast.unparse(s) for s in tree.body))


def _with_fewer_statements(program: Program) -> list[Candidate]:
    """The program without one statement, the last ones first; or with a name for another."""
    tree = _tree(program)
    blocks = [node for node in ast.walk(tree) if isinstance(node, _BLOCKS)]
    places = [(b, i) for b, block in enumerate(blocks) for i in range(len(block.body))]
    made: list[Candidate] = []
    for b, i in reversed(places):
        made.append(partial(_without_statement, program, tree, b, i))
        statement = blocks[b].body[i]
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Name):
            target, name = statement.targets[0], statement.value.id
            if isinstance(target, ast.Name):
                rest = partial(_without_statement, program, tree, b, i)
                made.append(partial(_renamed, rest, target.id, name))
    return made


def _without_statement(program: Program, tree: ast.Module, b: int, i: int) -> Program:
    changed = copy.deepcopy(tree)
    block = [node for node in ast.walk(changed) if isinstance(node, _BLOCKS)][b]
    block.body.pop(i)
    if not block.body and block is not changed:
        return program
    return _of_tree(program, changed)


def _renamed(made: Candidate, old: str, new: str) -> Program:
    """The program with one name for another."""
    program = made()

    def put(text: str) -> str:
        return re.sub(rf"\b{old}\b", new, text)

    return replace(
        program,
        instructions=tuple(put(i) for i in program.instructions),
        outputs=tuple(dict.fromkeys(put(o) for o in program.outputs)),
        updates=tuple((a, put(b)) for a, b in program.updates),
    )


def _with_less_in_them(program: Program) -> list[Candidate]:
    """The program with a part of an expression in place of the whole."""
    tree = _tree(program)
    made: list[Candidate] = []
    for k, node in enumerate(ast.walk(tree)):
        for field, value in ast.iter_fields(node):
            for i, item in enumerate(value if isinstance(value, list) else [value]):
                for part in _parts(item):
                    made.append(partial(_with_part, program, tree, k, field, i, part))
                if isinstance(value, list) and field in ("elts", "keywords", "args"):
                    made.append(partial(_with_part, program, tree, k, field, i, None))
    return made


def _with_part(program: Program, tree: ast.Module, *place: Any) -> Program:
    return _of_tree(program, _put(tree, *place))


def _put(tree: ast.Module, k: int, field: str, i: int, part: ast.AST | None) -> ast.Module:
    """The tree with another part at one place, or without what is there."""
    changed = copy.deepcopy(tree)
    node = _at_node(changed, k)
    value = getattr(node, field)
    if not isinstance(value, list):
        setattr(node, field, copy.deepcopy(part))
    elif part is None:
        value.pop(i)
    else:
        value[i] = copy.deepcopy(part)
    return changed


def _at_node(tree: ast.AST, k: int) -> ast.AST:
    for i, node in enumerate(ast.walk(tree)):
        if i == k:
            return node
    raise IndexError(k)


def _parts(node: Any) -> Iterator[ast.expr]:
    """The expressions that may stand for this one."""
    if isinstance(node, ast.Call):
        yield from node.args
        if isinstance(node.func, ast.Attribute) and not _is_module(node.func):
            yield node.func.value
    elif isinstance(node, ast.BinOp):
        yield from (node.left, node.right)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, (ast.Subscript, ast.Attribute)) and not _is_module(node):
        yield node.value
    elif isinstance(node, (ast.List, ast.Tuple)) and len(node.elts) == 1:
        yield node.elts[0]
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        yield from (ast.Constant(n) for n in (0, 1, 2, 1.0) if _is_plainer(n, node.value))


def _is_module(node: ast.Subscript | ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("sg", "np", "nn")


def _is_plainer(new: float, old: float) -> bool:
    return type(new) is type(old) and (abs(new) < abs(old) or (old != new == 1.0))


# --- inputs -------------------------------------------------------------------------------------


def _with_plainer_inputs(program: Program) -> list[Candidate]:
    """The program with smaller sizes, fixed ones, and fewer kinds of numbers."""
    made: list[Candidate] = []
    for name in sorted({n for sizes in program.calls for n in sizes}):
        for size in _SMALL:
            made.append(partial(_with_size, program, name, size))
    for old in sorted({a for x in program.inputs for a in x.axes if isinstance(a, int)}):
        for new in (n for n in _SMALL if n < old):
            made.append(partial(_with_axes, program, old, new))
            made.append(partial(_with_axes_everywhere, program, old, new))
    for i, x in enumerate(program.inputs):
        for plainer in _plainer(x, program):
            inputs = (*program.inputs[:i], plainer, *program.inputs[i + 1 :])
            made.append(partial(replace, program, inputs=inputs))
    return made


def _with_size(program: Program, name: str, size: int) -> Program:
    calls = tuple({**s, name: min(size, s[name])} for s in program.calls)
    return replace(program, calls=calls)


def _with_axes(program: Program, old: int, new: int) -> Program:
    inputs = tuple(replace(x, axes=_swapped(x, old, new)) for x in program.inputs)
    return replace(program, inputs=inputs)


def _with_axes_everywhere(program: Program, old: int, new: int) -> Program:
    text = tuple(re.sub(rf"(?<![\w.]){old}\b", str(new), i) for i in program.instructions)
    return replace(_with_axes(program, old, new), instructions=text)


def _swapped(x: Input, old: int, new: int) -> tuple[int | str, ...]:
    return tuple(new if a == old else a for a in x.axes)


def _plainer(x: Input, program: Program) -> Iterator[Input]:
    """The input as an argument of fixed sizes, of float64, of numbers of seed 0."""
    if x.is_shared and all(x.name != name for name, _ in program.updates):
        yield replace(x, is_shared=False)
    if len(program.calls) == 1 and x.axes != x.shape(program.calls[0]):
        yield replace(x, axes=x.shape(program.calls[0]))
    if x.dtype == "float32":
        yield replace(x, dtype="float64")
    if x.seed:
        yield replace(x, seed=0)
    if (x.low, x.high) != (-2, 2):
        yield replace(x, low=-2, high=2)
