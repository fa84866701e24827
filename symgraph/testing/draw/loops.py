"""Instructions that loop: sequences, taps, states, windows, `until`, loops in loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import arrangements, lengths, products, smooth, values
from .drawer import Drawer
from .loop_arguments import MOST_STEPS, Loop, add_index, add_sequence, add_state

__all__ = ["KINDS", "Loop", "draw", "step_text"]

_INDENT = "    "
_MOST_DEEP = 2


def _window(d: Drawer, index: str) -> str | None:
    """Part of an outer value that the step's number chooses, reduced to a size that stays."""
    x = d.pick(lambda v: 0 < v.ndim < 3 and v.dtype.kind == "f")
    if x is None:
        return None
    i = index
    part = d.one_of(
        (
            f"{x}[:{i}]",
            f"{x}[:{i} + 1]",
            f"{x}[{i}:]",
            f"{x}[sg.maximum({i} - 2, 0):{i} + 1]",
            f"{x}[{i}:{i} + 2]",
            f"{x}[:{i}] * {x}[:{i}]",
            f"sg.tanh({x}[:{i} + 1])",
            f"sg.arange({i}) * 0.5",
        )
    )
    return d.one_of((f"sg.sum({part}, axis=0)", f"sg.sum({part}) * 0.5", f"sg.sum({part}, axis=0)"))


_NOT_IN_LOOPS = (arrangements.older_view, products.several, products.layer)


def _ragged(d: Drawer, index: str) -> str | None:
    """A loop in the step that runs as often as the step's number says."""
    x = d.pick(lambda v: 0 < v.ndim < 3 and v.dtype.kind == "f" and len(v) <= MOST_STEPS)
    if x is None or d.depth > 1:
        return None
    value = d.values[x]
    h = d.pick(lambda v: v.shape == value.shape[1:] and v.dtype == value.dtype)
    forms = [f"sg.sum(sg.map(lambda r: sg.sum(r * r), [{x}[:{index} + 1]]))"]
    if h is not None:
        forms += [
            f"sg.reduce(lambda r, h: sg.tanh(r + h), [{x}[:{index}]], {h})",
            f"sg.sum(sg.scan(lambda r, h: sg.sin(r + h), [{x}[{index}:]], [{h}]), axis=0)",
            f"sg.sum(sg.scan(lambda h: sg.tanh(h) * 0.5, [], [{h}], n_steps={index}))",
            f"sg.sum(sg.scan(lambda h: (h * 0.5, sg.until(h.sum() < 0.2)), [], [{h}], n_steps=4))",
        ]
    return d.one_of(forms)


_BODY = (
    *(
        k
        for k in (*values.KINDS, *arrangements.KINDS, *products.KINDS)
        if k[0] not in _NOT_IN_LOOPS
    ),
    (lengths.cut, 1),
    (lengths.shaped, 1),
)


def _draw_body(d: Drawer, loop: Loop) -> None:
    """The instructions of the step, and what it returns."""
    kinds, weights = zip(*(smooth.KINDS if d.is_smooth else _BODY), strict=True)
    if loop.index is not None:
        for _ in range(d.integer(0, 2)):
            d.add(_window(d, loop.index))
        if d.chance(0.25):
            d.add(_ragged(d, loop.index))
    for _ in range(d.one_of((0, 1, 2, 3, 1, 2, 3)) if d.is_smooth else d.integer(0, 3)):
        d.add(d.one_of(kinds, weights)(d))
    if d.depth < _MOST_DEEP and d.chance(0.2):
        scan(d)
    own = [*loop.arguments, *(n for n in d.values if n in d.made_here)]
    for name, value in loop.states:
        loop.results.append(_result(d, loop, own, name, value))
    loop.body += d.instructions


def _result(d: Drawer, loop: Loop, own: list[str], name: str, value: Any) -> str:
    """The expression of one result of the step: of a state's type where it is one's new value."""
    if not name:
        part = _late(d, own)
        return d.one_of((f"{part} * 1", part)) if d.values[part].dtype.kind != "b" else part
    value = np.asarray(value)
    if value.dtype.kind == "b":
        return d.one_of((f"~{name}", f"{name} | (sg.sum({d.one_of(own)}) > 0)"))
    if value.dtype.kind in "iu":
        return d.one_of((f"{name} + 1", f"{name} * 2 % 7", f"sg.maximum({name} - 1, 0)"))
    same = [n for n in own if d.values[n].dtype == value.dtype and d.values[n].shape == value.shape]
    others = [n for n in own if n not in same and d.values[n].dtype.kind in "fiub"]
    total = _late(d, same)
    if len(same) > 1 and d.chance(0.3):
        total = f"({total} + {d.one_of(same)})"
    forms = [f"sg.tanh({total})", f"{total} * 0.5 + {name} * 0.3", f"sg.sin({total} + {name})"]
    if others:
        other = f"sg.cast(sg.sum({_late(d, others)}), {value.dtype.name!r})"
        forms += [f"sg.tanh({name} + {other})"] * 2 + [f"{total} * 0.5 + 0.1 * sg.tanh({other})"]
    last = [n for n in others if d.values[n].shape == value.shape[-1:] and value.ndim == 2]
    if last:
        forms.append(f"sg.tanh({name} + sg.cast({_late(d, last)}, {value.dtype.name!r}))")
    return d.one_of(forms)


def _late(d: Drawer, names: list[str]) -> str:
    """One of the names, more likely one that was made late, so that bodies are read."""
    return d.one_of(names, [(i + 1) ** 2 for i in range(len(names))])


def _set_options(d: Drawer, loop: Loop) -> None:
    """How many steps, which way, and what the gradient keeps."""
    is_new = d.is_at_top_of_a_case
    if not loop.sequences:
        n = d.steps if is_new else lengths.length(d) if d.chance(0.6) else None
        loop.options += f", n_steps={d.one_of((0, 1, 2, 3, 5)) if n is None else n}"
    elif d.chance(0.15):
        n = d.integer(0, d.steps) if is_new and d.steps else d.one_of((0, 1, 2))
        loop.options += f", n_steps={n}"
    if loop.sequences and d.chance(0.2):
        loop.options += ", go_backwards=True"
    if d.chance(0.15):
        loop.options += f", truncate_gradient={d.integer(1, 3)}"
    if d.chance(0.15):
        number = f"checkpoint_every={d.integer(1, 4)}"
        loop.options += ", " + d.one_of((number, number, "checkpoint_every='auto'", "memory=100"))


def draw(d: Drawer) -> Loop | None:
    """A loop with its body; None where there is nothing to loop over."""
    loop = Loop()
    if d.is_at_top_of_a_case and d.chance(0.2):
        add_index(d, loop, str(d.steps), d.steps or 0)
    for _ in range(d.one_of((0, 1, 1, 1, 2))):
        add_sequence(d, loop)
    for _ in range(d.one_of((0, 1, 1, 1, 2, 2)) if loop.sequences else d.integer(1, 2)):
        add_state(d, loop)
    if d.is_at_top_of_a_case and d.chance(0.3):
        add_state(d, loop)
    if not loop.infos:
        if not loop.arguments:
            return None
        loop.infos.append("None")
        loop.states.append(("", None))
    with d.body(loop.arguments):
        _draw_body(d, loop)
        if d.chance(0.15):
            scalars = [f"sg.sum({n}) > {d.number()}" for n, v in loop.states if n]
            scalars += [f"{loop.index} >= {d.integer(0, 3)}"] if loop.index else []
            loop.until = d.one_of(scalars) if scalars else ""
    _set_options(d, loop)
    return loop


def step_text(loop: Loop, step: str, parameters: Sequence[str]) -> str:
    """The step as a function of this name."""
    lines = [line for text in loop.body for line in text.split("\n")]
    returned = ", ".join(loop.results)
    if loop.until:
        result = f"[{returned}]" if len(loop.results) > 1 else returned
        returned = f"{result}, sg.until({loop.until})"
    elif len(loop.results) > 1:
        returned = f"[{returned}]"
    text = f"def {step}({', '.join(parameters)}):\n"
    return text + "".join(f"{_INDENT}{line}\n" for line in [*lines, f"return {returned}"])


def scan(d: Drawer) -> list[str]:
    """The names of a new loop's results."""
    loop = draw(d)
    if loop is None:
        return []
    names, step = [d.fresh() for _ in loop.results], d.fresh("step")
    given = f"[{', '.join(loop.sequences)}], [{', '.join(loop.infos)}]"
    text = step_text(loop, step, list(loop.arguments))
    text += f"{', '.join(names)} = sg.scan({step}, {given}{loop.options})"
    if not d.add_instruction(text, names):
        return []
    if d.chance(0.3):
        _read_last(d, names[0])
    return names


def _read_last(d: Drawer, name: str) -> None:
    """The last row of a result or several of them, of which often nobody reads others."""
    rows = [d.add(f"{name}[{-1 - i}]") for i in range(d.one_of((1, 1, 2, 3)))]
    if any(rows) and d.chance(0.6):
        del d.values[name]


def twins(d: Drawer) -> None:
    """Two loops over the same steps, whose slices have sizes of their own at each step."""
    x = d.pick(lambda v: 0 < v.ndim < 3 and v.dtype.kind == "f" and len(v) <= MOST_STEPS)
    steps = d.add(f"sg.arange({x}.shape[0])") if x else None
    if x is None or steps is None:
        return
    for factor in ("", " * 3.0"):
        i = d.fresh("i")
        with d.body({i: np.int64(len(d.values[x]) // 2)}):
            part = _window(d, i) or "0.5"
        given = steps if d.chance(0.6) else f"{steps}[::-1]"
        name = d.fresh()
        if d.chance(0.5):
            text = f"{name} = sg.map(lambda {i}: {part}{factor}, [{given}])"
        else:
            step = d.fresh("step")
            text = f"def {step}({i}):\n{_INDENT}return {part}{factor}\n"
            text += f"{name} = sg.scan({step}, [{given}], [None])"
        d.add_instruction(text, [name])


def folded(d: Drawer) -> str | None:
    """A reduction from either end."""
    x = d.pick(lambda v: 0 < v.ndim < 3 and v.dtype.kind == "f" and len(v) <= MOST_STEPS)
    if x is None:
        return None
    row = d.values[x].shape[1:]
    h = d.pick(lambda v: v.shape == row and v.dtype == d.values[x].dtype)
    forms = ["sg.tanh(r + h * 0.5)", "h * 0.9 + r", "h * r"]
    step = d.one_of([*forms, *([] if d.is_smooth else ["sg.maximum(h, r)"])])
    name = d.one_of(("reduce", "foldl", "foldr"))
    return h and f"sg.{name}(lambda r, h: {step}, [{x}], {h})"


_COMBINED = (
    "lambda a, b: a + b",
    "lambda a, b: a * b",
    "lambda a, b: a + b + a * b",
    "lambda a, b: sg.logaddexp(a, b)",
)


def associative(d: Drawer) -> str | None:
    """Running results of an associative function, from either end."""
    x = d.pick(lambda v: 0 < v.ndim < 4 and v.dtype.kind == "f" and len(v) <= 3 * MOST_STEPS)
    if x is None:
        return None
    value = d.values[x]
    end = ", reverse=True" if d.chance(0.3) else ""
    if value.ndim == 3 and value.shape[1] == value.shape[2] and d.chance(0.5):
        return f"sg.associative_scan(lambda a, b: a @ b, {x}{end})"
    if d.chance(0.5):
        y = d.pick(lambda v: v.shape == value.shape and v.dtype == value.dtype)
        after = "lambda f, s: (s[0] * f[0], s[0] * f[1] + s[1])"
        return f"sg.associative_scan({after}, [sg.tanh({x}), {y}]{end})[1]"
    kinked = [] if d.is_smooth else ["lambda a, b: sg.maximum(a, b)"]
    return f"sg.associative_scan({d.one_of([*_COMBINED, *kinked])}, {x}{end})"


def plain(d: Drawer) -> None:
    """A loop of any make."""
    scan(d)


KINDS = ((plain, 8), (twins, 2), (folded, 2), (associative, 1))
