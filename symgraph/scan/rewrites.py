"""Rewrites of loops: bodies made simple, what nobody reads dropped, work taken out of the loop.

`rewrite_loops` applies, to every loop of a graph:

- the rules, to the body (each distinct body once), loops inside it included;
- short loops of constants are computed (`folding`);
- equal states and outputs are made one (`equal_results`);
- results, states, slices and inputs that nobody reads are dropped;
- what does not change over time is computed before the loop;
- rows at indices that products multiply are read before the loop (`rows_at_indices`);
- what a gradient loop would compute again is kept by the loop before it (`residuals`);
- products are parted, so that each part can be where it costs least (`parted_products`);
- products that need no state are computed before or after the loop, all steps at once (`products`);
- sums over time, such as the gradients of weights, are computed after the loop (`sums`), and with
  them what no state needs (`computed_after`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from ..core import provenance
from ..core.errors import GraphError
from ..core.graph import Graph
from ..core.variable import Variable, item, make_input, node
from ..ops.sizes import size_of
from ..ops.slices import SLICE, At
from .equal_results import merge_equal_results
from .folding import fold_loop
from .op import Loop, is_scan, make_alike, rebuild_alike
from .open import OpenLoop
from .over_time import Trace, keep_over_time, may_turn
from .parted_products import part_products
from .paths import loops_in
from .products import ProductAfter, multiply_after, multiply_before
from .residuals import find_residuals, loops_behind
from .rows_at_indices import is_read_before, read_at_indices_before
from .sums import Total, take_out_sums

__all__ = ["Change", "Replacements", "rewrite_bodies", "rewrite_loops", "transform_loops"]

Rewrite = Callable[[Graph], Graph]
# For results of a loop (and the reads of their last rows) what they become.
Replacements = dict[Variable, Variable]
# What becomes of a loop on its new inputs: another loop, or what the loop's results become.
Change = Callable[[Variable, Sequence[Variable]], Replacements | Variable]

# In each round some loops come to sizes that they keep: more would be a mistake in the changes.
_MOST_ROUNDS = 1000


def rewrite_loops(
    graph: Graph,
    rewrite: Rewrite,
    memo: dict[Graph, Graph] | None = None,
    *,
    steps_are_cheap: bool = False,
) -> Graph:
    """The graph with its loops rewritten; ``rewrite`` is what is done to a body, by itself.

    ``steps_are_cheap``: see `Backend`.
    """
    memo = {} if memo is None else memo
    if not loops_in(graph):
        return graph

    def rewrite_body(body: Graph) -> Graph:
        if body not in memo:
            rewritten = rewrite_loops(rewrite(body), rewrite, memo, steps_are_cheap=steps_are_cheap)
            memo[body] = rewritten.canonical()
            _note_as_rewritten(memo, memo[body])
        return memo[body]

    graph = _with_bodies(graph, rewrite_body)
    graph = _fold_and_merge(graph, rewrite)
    graph = _restructure(graph, memo, steps_are_cheap=steps_are_cheap)
    return _with_bodies(graph, rewrite_body)


def _note_as_rewritten(memo: dict[Graph, Graph], body: Graph) -> None:
    """Note that a body would be rewritten to itself; not one with loops, which change by turns."""
    if not body.holders:
        memo.setdefault(body, body)


def rewrite_bodies(graph: Graph, rewrite: Rewrite) -> Graph:
    """The graph with ``rewrite`` done to each distinct body, those of loops inside included."""
    memo: dict[Graph, Graph] = {}

    def rewrite_body(body: Graph) -> Graph:
        if body not in memo:
            memo[body] = _with_bodies(rewrite(body), rewrite_body).canonical()
        return memo[body]

    return _with_bodies(graph, rewrite_body)


def transform_loops(graph: Graph, changes_in: Callable[[Graph], Change]) -> Graph:
    """The graph with ``change(loop, its new inputs)`` in place of each loop.

    ``changes_in`` gives ``change`` for a graph. A loop of which the inputs have other sizes by then
    (those of a loop that was there before, or of constants) is changed in another round, of the
    graph in which it goes by these.
    """
    if not loops_in(graph):
        return graph
    for _ in range(_MOST_ROUNDS):
        graph, is_done = _changed(graph, changes_in(graph))
        if is_done:
            return graph
    raise GraphError("loops do not come to sizes that they keep")


def _changed(graph: Graph, change: Change) -> tuple[Graph, bool]:
    """The graph with its loops changed, and whether these are all of them."""
    new: dict[Variable, Variable] = {v: v for v in graph.inputs}
    is_done = True
    for v in graph.nodes:
        if v in new:
            continue
        inputs = tuple([new[x] for x in v.inputs])
        if is_scan(v) and _have_types_of(inputs, v.inputs):
            changed = change(v, inputs)
            if isinstance(changed, Variable):
                new[v] = changed
            else:
                new.update(changed)
                new[v] = v  # its results have been replaced; nothing reads it any more
        elif inputs == v.inputs:
            new[v] = v
        else:
            is_done = is_done and not is_scan(v)
            rebuilt = new[v] = rebuild_alike(v, inputs)
            if v.name and rebuilt.name is None:
                provenance.set_name(rebuilt, v.name)
            provenance.hand_on_all(v, rebuilt)
    outputs = tuple([new[v] for v in graph.outputs])
    return (graph if outputs == graph.outputs else Graph(graph.inputs, outputs)), is_done


def _have_types_of(inputs: Sequence[Variable], others: Sequence[Variable]) -> bool:
    return all(x.type is other.type for x, other in zip(inputs, others, strict=True))


def _with_bodies(graph: Graph, rewrite_body: Callable[[Graph], Graph]) -> Graph:
    def change(scan: Variable, inputs: Sequence[Variable]) -> Variable:
        body = rewrite_body(scan.params[0])
        if body is scan.params[0] and tuple(inputs) == scan.inputs:
            return scan
        return make_alike(scan, inputs, body=body)

    return transform_loops(graph, lambda _: change)


def _fold_and_merge(graph: Graph, rewrite: Rewrite) -> Graph:
    """The graph with loops of constants computed, and equal results of a loop once."""
    folded: list[Variable] = []

    def change(scan: Variable, inputs: Sequence[Variable]) -> Replacements:
        values = fold_loop(scan, inputs)
        if values is not None:
            folded.append(scan)
            return values
        return merge_equal_results(scan, inputs)

    while True:
        graph = transform_loops(graph, lambda _: change)
        if not folded:
            return graph
        folded.clear()
        graph = rewrite(graph)  # what is made of constants may be what other loops are made of


def _restructure(graph: Graph, memo: dict[Graph, Graph], *, steps_are_cheap: bool) -> Graph:
    """The graph with loops that do no more than is read, and no work that could be outside.

    ``memo``: what has been made of bodies; those that are parts of such need no more rewriting.
    """
    return transform_loops(
        graph, lambda each: _restructuring(each, memo, steps_are_cheap=steps_are_cheap)
    )


def _restructuring(graph: Graph, memo: dict[Graph, Graph], *, steps_are_cheap: bool) -> Change:
    """What puts the loops of the graph in order, by what is read of them and what they keep."""
    reads = {v: _Reads(v, graph) for v in loops_in(graph)}
    opened = {v: OpenLoop(Loop(v)) for v in reads}
    stored = _exchange_residuals(opened, steps_are_cheap=steps_are_cheap)
    moved: dict[Variable, Variable] = {}

    def change(scan: Variable, inputs: Sequence[Variable]) -> Replacements:
        loop, read, for_others = opened[scan], reads[scan], stored.get(scan, {})
        loop.move({**moved, **dict(zip(scan.inputs, inputs, strict=True))})
        part_products(loop)
        before, products, sums = _taken_out(loop, read, steps_are_cheap=steps_are_cheap)
        # What another loop reads it keeps, even if it could be computed afterwards as well.
        kept = {i for trace in for_others.values() for i in trace.results}
        results = loop.close((_needed(read, products, sums) | kept) - before.keys()) | before
        body = scan.params[0]
        if memo.get(body) is body and not loop.has_new_parts:
            _note_as_rewritten(memo, loop.closed.body)
        for placeholder, trace in for_others.items():
            moved[placeholder] = trace.over_time(loop, results)
        new = {item(scan, i): results[i] for i in read.results if i in results}
        new |= {item(scan, i): loop.checkpoints[state] for i, state in read.checkpoints.items()}
        new.update((item(scan, each.result), each.value(loop, results)) for each in products)
        for total in sums:
            last = total.value(loop, results)
            new |= {part: _part_of_row(part, last) for part in read.last_rows[total.state]}
        return new

    return change


def _taken_out(
    loop: OpenLoop, read: _Reads, *, steps_are_cheap: bool
) -> tuple[dict[int, Variable], list[ProductAfter], list[Total]]:
    """The results of a loop that are computed before it, with their values, and after it."""
    if loop.is_lean:
        return {}, [], []
    before = multiply_before(loop, steps_are_cheap=steps_are_cheap)
    products = multiply_after(loop, set(read.results))
    left = [*_needed(read, products, []), *range(len(Loop(loop.node).results), len(loop.ends()))]
    sums = take_out_sums(loop, read.last_rows, left, steps_are_cheap=steps_are_cheap)
    traces = [*(each.left for each in products), *(x for total in sums for x in total.traces)]
    if steps_are_cheap and may_turn(loop, traces, read.results):
        products = [product.turned() for product in products]
        sums = [total.turned() for total in sums]
    return before, products, sums


def _needed(read: _Reads, products: list[ProductAfter], sums: list[Total]) -> set[int]:
    """The results that a loop leaves behind: those that are read, or what they are computed of."""
    after = {each.result for each in products} | {total.state for total in sums}
    left = {*read.results, *read.checkpoints.values()} - after
    return left.union(*(each.left.results for each in products), *(x.results for x in sums))


class _Reads:
    """Which results of a loop are read, and of which no more than the last row."""

    def __init__(self, scan: Variable, graph: Graph) -> None:
        outputs = set(graph.outputs)
        self.results: list[int] = []
        self.last_rows: dict[int, list[Variable]] = {}
        """What is read of those of which no more than the last row, or parts of it, is read."""
        self.checkpoints: dict[int, int] = {}
        """Those that are checkpoints, with the number of the state."""
        n_results = len(Loop(scan).results)
        for result, _ in graph.users[scan]:
            index = result.params[0]
            if index >= n_results:
                self.checkpoints[index] = index - n_results
                continue
            self.results.append(index)
            users = [user for user, _ in graph.users[result]]
            if result not in outputs and all(map(_is_of_last_row, users)):
                self.last_rows[index] = users


def _is_of_last_row(v: Variable) -> bool:
    return v.op is SLICE and v.params[0][0] == At(-1)


def _part_of_row(v: Variable, row: Variable) -> Variable:
    """What ``v`` is, a part of the last row, as a part of that ``row``."""
    entries = v.params[0][1:]
    if all(entry is None for entry in entries):
        return row
    return node(SLICE, (row, *v.inputs[1:]), (entries,))


def _exchange_residuals(
    opened: dict[Variable, OpenLoop], *, steps_are_cheap: bool
) -> dict[Variable, dict[Variable, Trace]]:
    """Let loops keep what others compute again: for each loop what is read of it over time, by the
    variables that stand for that, from the last step to the first, meanwhile.

    As soon as that is known, rows at indices that a loop's products multiply are read before it.
    """
    stored: dict[Variable, dict[Variable, Trace]] = {}
    for gradient in opened.values():
        length = size_of(gradient.n_steps)
        replaced: dict[Variable, Variable] = {}
        for scan in loops_behind(gradient):
            loop = opened[scan]
            # Of which the gradient may be that of the first steps.
            later = size_of(loop.n_steps) - length
            if not isinstance(later, int) or later < 0 or loop.is_lean or gradient.is_lean:
                continue
            residuals = find_residuals(Loop(scan), gradient, partial(is_read_before, loop))
            values = loop.as_now([residual.value for residual in residuals])
            for (_, copy), value in zip(residuals, values, strict=True):
                trace = replace(keep_over_time(loop, value), is_turned=True)
                shape = (length + later, *value.type.shape)
                placeholder = make_input(value.type.with_shape(shape))
                symbol = replaced[copy] = make_input(value.type)
                gradient.read(placeholder, symbol, later)
                stored.setdefault(scan, {})[placeholder] = trace
        if replaced:
            gradient.substitute(replaced)
        if not steps_are_cheap:
            read_at_indices_before(gradient)
    return stored
