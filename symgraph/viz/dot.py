"""The picture of expressions, graphs and functions, as text for Graphviz.

Loops are clusters, with their ends labelled and the feedback of states dashed. Numbers and sizes
stand in the op that uses them; a chain of elementwise ops is one box with a row for each op, at
which further operands enter. Node names count upwards, so the text is the same in every process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import count

import graphviz

from ..core.origins import call_within
from ..core.shared import SHARED
from ..core.variable import CONSTANT, ITEM, Variable, constant_value, walk
from ..scan.op import Loop, is_scan
from .compact import Compact
from .labels import (
    Bodies,
    constant_text,
    input_ports,
    names_of_ports,
    output_ports,
    params_of,
)
from .subject import Shown, Subject, subject_of

__all__ = ["to_dot"]

_FONT = "Helvetica"
_GREY = "#64748b"
# Kinds of node: fill, border, text.
_COLOURS = {
    "input": ("#dbeafe", "#2563eb", "#1e3a8a"),
    "shared": ("#ffedd5", "#ea580c", "#7c2d12"),
    "update": ("#ea580c", "#9a3412", "#ffffff"),
    "constant": ("#f1f5f9", "#94a3b8", "#334155"),
    "elementwise": ("#ffffff", "#64748b", "#0f172a"),
    "product": ("#dcfce7", "#16a34a", "#14532d"),
    "reduction": ("#fef9c3", "#ca8a04", "#713f12"),
    "movement": ("#f8fafc", "#cbd5e1", "#475569"),
    "other": ("#f3e8ff", "#9333ea", "#581c87"),
    "output": ("#1e3a8a", "#1e3a8a", "#ffffff"),
    "port": ("#e0f2fe", "#0284c7", "#0c4a6e"),
}
_SHAPES = {"input": "ellipse", "shared": "cylinder", "update": "cylinder", "output": "ellipse"}
_UNSHOWN = ("template=", "context=", "keepdims=", "dtype=")  # edges show them, or nobody asks
_PARAMS_WIDTH = 40
_LISTED = 12  # names in one box
_TABLE = 'border="0" cellborder="0" cellspacing="0" cellpadding="4"'
_CLUSTER = {
    "style": "rounded",
    "color": "#a78bfa",
    "fontcolor": "#5b21b6",
    "fontname": _FONT,
    "fontsize": "12",
    "labeljust": "l",
    "margin": "12",
}
_FEEDBACK = {
    "style": "dashed",
    "constraint": "false",
    "color": "#7c3aed",
    "fontcolor": "#7c3aed",
}
_LOOP_FILLS = ("#f5f3ff", "#ede9fe", "#ddd6fe")


def to_dot(x: Shown) -> graphviz.Digraph:
    """The picture of a variable, a list of them, a graph or a compiled function.

    Its ``.source`` is text, for which Graphviz's ``dot`` need not be installed; ``.render`` and
    notebooks call it. Edges carry dtype and shape; loops are clusters; shared variables are
    cylinders, their new values filled ones. The text is the same in every process.

    >>> print(sg.to_dot(sg.exp(sg.vector("x"))).source)
    digraph symgraph {
    ...
    """
    subject = subject_of(x, "to_dot")
    return call_within(subject.origins, lambda: _picture(subject))


def _picture(subject: Subject) -> graphviz.Digraph:
    drawing = _Drawing(_new_digraph(subject.name))
    sinks = [(drawing.output(v, i), v) for i, v in enumerate(subject.outputs)]
    sinks += [(drawing.update(shared), v) for shared, v in subject.updates]
    drawing.pending.append(_Frame(drawing.picture, subject.inputs, subject.results, {}, sinks))
    # A list of frames instead of recursion: bodies may hold loops, and so on.
    while drawing.pending:
        drawing.draw(drawing.pending.pop())
    drawing.finish()
    return drawing.picture


@dataclass
class _Frame:
    """A graph to be drawn into one cluster, or into the whole picture."""

    target: graphviz.Digraph
    inputs: Sequence[Variable]
    outputs: Sequence[Variable]
    ends: dict[Variable, str]
    """Where the edges from a variable start: the name of a node."""
    sinks: Sequence[tuple[str, Variable]]
    """Nodes that only receive a variable."""
    depth: int = 0
    results: dict[Variable, list[str]] = field(default_factory=dict)
    """For each loop the ports of its results."""

    def end(self, v: Variable) -> str:
        """Where the edges from the variable start."""
        if v.op is ITEM and v not in self.ends:
            source, index = v.inputs[0], v.params[0]
            return self.results[source][index] if source in self.results else self.ends[source]
        return self.results[v][0] if v in self.results else self.ends[v]


@dataclass
class _Drawing:
    """The picture in the making."""

    picture: graphviz.Digraph
    bodies: Bodies = field(default_factory=Bodies)
    pending: list[_Frame] = field(default_factory=list)
    clusters: list[tuple[graphviz.Digraph, graphviz.Digraph]] = field(default_factory=list)
    edges: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    def draw(self, frame: _Frame) -> None:
        """Draw the nodes and edges of one frame; loops in it become frames to be drawn."""
        compact = Compact(walk(frame.outputs, frame.inputs), frame.outputs)
        for v in compact.shown:
            self._draw_node(frame, v, compact)
        for v in compact.shown:
            if is_scan(v):
                self._draw_loop(frame, v, compact)
        for v in compact.shown:
            if not is_scan(v):
                self._draw_operands(frame, v, compact)
        for name, v in frame.sinks:
            self._connect(frame, v, name)

    def finish(self) -> None:
        """Put clusters into what is around them, the innermost first, and edges into the whole."""
        for around, cluster in reversed(self.clusters):
            around.subgraph(cluster)
        for tail, head, attributes in self.edges:
            self.picture.edge(tail, head, **attributes)

    # --- nodes ----------------------------------------------------------------------------------

    def node(self, target: graphviz.Digraph, kind: str, label: str, **attributes: str) -> str:
        """A new node; its name."""
        name = f"n{next(self.numbers)}"
        fill, border, text = _COLOURS[kind]
        attributes["shape"] = _SHAPES.get(kind, "box")
        target.node(name, f"<{label}>", fillcolor=fill, color=border, fontcolor=text, **attributes)
        return name

    def output(self, v: Variable, index: int) -> str:
        """The node that stands for an output of the whole."""
        name = f"<br/><b>{escape(v.name)}</b>" if v.name else ""
        return self.node(self.picture, "output", f"output {index}{name}")

    def update(self, shared: Variable) -> str:
        """The node that stands for the new value of a shared variable."""
        return self.node(self.picture, "update", f"update<br/><b>{_name(shared)}</b>")

    def _draw_node(self, frame: _Frame, v: Variable, compact: Compact) -> None:
        if v in frame.ends or is_scan(v):
            return
        if v in compact.bundles:
            self._draw_bundle(frame, compact.bundles[v])
        elif "leaf" in v.op.traits:
            frame.ends[v] = self._draw_leaf(frame.target, v)
        else:
            self._draw_box(frame, compact.chains.get(v, [v]), compact)

    def _draw_leaf(self, target: graphviz.Digraph, v: Variable) -> str:
        value = constant_value(v)
        if value is not None:
            return self.node(target, "constant", escape(constant_text(value)))
        return self.node(target, _leaf_kind(v), f"<b>{_name(v)}</b>")

    def _draw_bundle(self, frame: _Frame, leaves: Sequence[Variable]) -> None:
        """Leaves with no other user as one box that lists them."""
        rows = [f"{_name(v)} {escape(str(v.type))}" for v in leaves]
        if len(rows) > _LISTED:
            rows[_LISTED - 1 :] = [f"… {len(rows) - _LISTED + 1} more"]
        name = self.node(frame.target, _leaf_kind(leaves[0]), "<br/>".join(rows))
        frame.ends.update((v, name) for v in leaves)

    def _draw_box(self, frame: _Frame, chain: Sequence[Variable], compact: Compact) -> None:
        """An op, or a chain of elementwise ops with a row for each."""
        kind = chain[0].op.kind
        rows = [_row(v, chain, compact.inline, self.bodies) for v in chain]
        if len(rows) == 1:
            name = self.node(frame.target, kind, rows[0])
        else:
            lines = ["", *[' border="1" sides="T"'] * (len(rows) - 1)]
            cells = [
                f'<tr><td port="r{i}"{line}>{row}</td></tr>'
                for i, (row, line) in enumerate(zip(rows, lines, strict=True))
            ]
            table = f"<table {_TABLE}>{''.join(cells)}</table>"
            name = self.node(frame.target, kind, table, margin="0.02")
        frame.ends.update((v, name) for v in chain)

    # --- edges ----------------------------------------------------------------------------------

    def _draw_operands(self, frame: _Frame, v: Variable, compact: Compact) -> None:
        chain = compact.chains.get(v, [v])
        head = frame.ends[v]
        if len(chain) > 1:
            head += f":r{chain.index(v)}"
        operands = _linked(v, chain, compact.inline)
        bundled = [x for x in operands if x in compact.bundles]
        for position, x in enumerate(operands):
            if x not in bundled:
                mark = f"{_mark(position)} " if _is_ordered(v, operands) else ""
                self._connect(frame, x, head, mark)
        if bundled:
            types = {str(x.type) for x in bundled}
            what = types.pop() if len(types) == 1 else "variables"
            self._edge(frame.end(bundled[0]), head, f"{len(bundled)} × {what}")

    def _connect(self, frame: _Frame, v: Variable, head: str, mark: str = "") -> None:
        """An edge from where a variable is computed, with its dtype and shape."""
        self._edge(frame.end(v), head, f"{mark}{v.type}")

    def _edge(self, tail: str, head: str, label: str, **attributes: str) -> None:
        self.edges.append((tail, head, {"label": f" {label} ", **attributes}))

    # --- loops ----------------------------------------------------------------------------------

    def _draw_loop(self, frame: _Frame, v: Variable, compact: Compact) -> None:
        """A cluster with the loop's ends; its body becomes a frame to be drawn."""
        loop = Loop(v)
        cluster = graphviz.Digraph(f"cluster_{next(self.numbers)}")
        self.clusters.append((frame.target, cluster))
        steps = compact.inline.get(loop.n_steps)
        title = _title(loop, steps, self.bodies.number(loop.body))
        fill = _LOOP_FILLS[min(frame.depth, len(_LOOP_FILLS) - 1)]
        cluster.attr(label=f"<{title}>", bgcolor=fill, **_CLUSTER)
        operands = loop.operands
        names, of_results = names_of_ports(loop)
        labels = _labelled(names, input_ports(v, loop.body))
        ports = dict(zip(loop.body.inputs, self._ports(cluster, labels), strict=True))
        results = self._ports(cluster, _labelled(of_results, output_ports(v, loop.body)))
        kept = self._draw_checkpoints(cluster, loop, results)
        frame.results[v] = [*results[: len(loop.results)], *kept]  # `until` is no result
        if steps is None:
            self._connect(frame, loop.n_steps, self.node(cluster, "port", "steps"))
        for x, port in zip(operands, ports.values(), strict=True):
            if x not in compact.inline:
                self._connect(frame, x, port)
        self._draw_feedback(loop, ports, results)
        self.pending.append(
            _Frame(
                cluster,
                loop.body.inputs,
                loop.body.outputs,
                ports,
                list(zip(results, loop.body.outputs, strict=True)),
                frame.depth + 1,
            )
        )

    def _ports(self, cluster: graphviz.Digraph, labels: Sequence[str]) -> list[str]:
        """Nodes side by side, for the ends of a body."""
        row = graphviz.Digraph(graph_attr={"rank": "same"})
        names = [self.node(row, "port", label) for label in labels]
        cluster.subgraph(row)
        return names

    def _draw_checkpoints(
        self, cluster: graphviz.Digraph, loop: Loop, results: Sequence[str]
    ) -> list[str]:
        """The ports of a loop's checkpoints, below the new values of states; none without."""
        labels = [f"checkpoints of state {i}" for i in range(len(loop.checkpoints))]
        ports = self._ports(cluster, labels) if labels else []
        for result, port in zip(results, ports, strict=False):
            self._edge(result, port, f"every {loop.checkpoint_every} steps")
        return ports

    def _draw_feedback(
        self, loop: Loop, ports: Mapping[Variable, str], results: Sequence[str]
    ) -> None:
        """Dashed edges from the new value of each state to where later steps read it."""
        for result, state in zip(results, loop.states, strict=False):
            for tap, symbol in state.taps.items():
                later = f"{-tap} step{'s'[: tap != -1]} later"
                self._edge(result, ports[symbol], later, **_FEEDBACK)


# --- labels and colours -------------------------------------------------------------------------


def _new_digraph(name: str | None) -> graphviz.Digraph:
    picture = graphviz.Digraph(name or "symgraph")
    picture.attr(
        rankdir="TB", newrank="true", nodesep="0.25", ranksep="0.4", bgcolor="white", fontname=_FONT
    )
    if name:
        picture.attr(label=f"function {graphviz.escape(name)}", labelloc="t", fontsize="16")
    picture.attr(
        "node",
        style="rounded,filled",
        fontname=_FONT,
        fontsize="11",
        margin="0.12,0.06",
        height="0.3",
        width="0.3",
    )
    picture.attr(
        "edge", fontname=_FONT, fontsize="9", fontcolor=_GREY, color=_GREY, arrowsize="0.6"
    )
    return picture


def _leaf_kind(v: Variable) -> str:
    return "shared" if v.op is SHARED else "constant" if v.op is CONSTANT else "input"


def _title(loop: Loop, steps: str | None, body: int) -> str:
    """What stands above a loop: its name, and how it runs."""
    name, every = loop.title, loop.checkpoint_every
    parts = [f"scan <b>{escape(name)}</b>" if name else "scan"]
    parts += [f"{escape(steps)} steps"] if steps is not None else []
    parts += [f"checkpoints every {escape(str(every))} steps"] if every is not None else []
    return " · ".join([*parts, f"body {body}"])


def _labelled(names: Sequence[str | None], labels: Sequence[str]) -> list[str]:
    """The labels of ports, with names above where there are some."""
    return [
        f"<b>{escape(name)}</b>{_small(label)}" if name else label
        for name, label in zip(names, labels, strict=True)
    ]


def _name(v: Variable) -> str:
    return escape(v.name or v.op.title_of(v.params))


def _previous(v: Variable, chain: Sequence[Variable]) -> Variable | None:
    """The variable in the row above."""
    position = chain.index(v)
    return chain[position - 1] if position else None


def _linked(
    v: Variable, chain: Sequence[Variable], inline: Mapping[Variable, str]
) -> list[Variable]:
    """The operands that come by an edge."""
    previous = _previous(v, chain)
    return [x for x in v.inputs if x is not previous and x not in inline]


def _is_ordered(v: Variable, operands: Sequence[Variable]) -> bool:
    """Whether it matters, and is not plain, which operand is which."""
    return len(operands) > 1 and "commutative" not in v.op.traits


def _mark(position: int) -> str:
    """A circled number, as long as there are some."""
    return chr(ord("①") + position) if position < 20 else f"({position + 1})"


def _row(
    v: Variable, chain: Sequence[Variable], inline: Mapping[Variable, str], bodies: Bodies
) -> str:
    """The op's name, with its operands where numbers or the row above are among them."""
    name = f"<b>{escape(v.name)}</b> = " if v.name else ""
    params = ", ".join(p for p in params_of(v, bodies) if not p.startswith(_UNSHOWN))
    notes = [_shorten(params)] if params else []
    if v is not chain[-1] and v.type is not chain[-1].type:
        notes.append(str(v.type))  # no edge shows it
    op = escape(v.op.title_of(v.params))
    return f"{name}{op}{_arguments(v, chain, inline)}{_small(' : '.join(notes))}"


def _small(text: str) -> str:
    """The text on a line of its own, in small grey letters."""
    return f'<br/><font point-size="9" color="{_GREY}">{escape(text)}</font>' if text else ""


def _arguments(v: Variable, chain: Sequence[Variable], inline: Mapping[Variable, str]) -> str:
    if v.op.kind == "movement":  # the edges show the sizes
        return f"({escape(inline[v.inputs[0]])})" if v.inputs[0] in inline else ""
    previous, operands = _previous(v, chain), _linked(v, chain, inline)
    has_number = any(x in inline for x in v.inputs)
    is_mixed = previous is not None and operands and "commutative" not in v.op.traits
    if not has_number and not is_mixed:
        return ""
    positions = iter(range(len(operands)))
    texts = []
    for x in v.inputs:
        if x in inline:
            texts.append(escape(inline[x]))
        elif x is previous:
            texts.append("↑")
        else:
            position = next(positions)
            texts.append(_mark(position) if _is_ordered(v, operands) else "·")
    return f"({', '.join(texts)})"


def _shorten(text: str) -> str:
    return text if len(text) <= _PARAMS_WIDTH else text[: _PARAMS_WIDTH - 1] + "…"
