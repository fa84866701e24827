"""What would make a function smaller or faster, told from its graphs: as built, and as rewritten.

What the compiler does by itself is no advice; nor is what no change of the user's would help.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from ..core import provenance
from ..core.dims import product
from ..core.graph import Graph
from ..core.origins import call_in_steps
from ..core.places import short_place
from ..core.provenance import Line
from ..core.size_bounds import is_at_most
from ..core.variable import Variable, ancestors
from ..ops.sizes import size_of
from ..scan.associative import GROUP
from ..scan.census import RepeatedBody
from ..scan.chains import Chain, find_chains
from ..scan.copies import ForcedCopy, find_forced_copies
from ..scan.faults import find_traces_for_last_row, find_unread_states
from ..scan.kept_products import KeptProduct, find_kept_products
from ..scan.op import Loop
from ..scan.recurrences import Recurrence, find_recurrences
from ..scan.source_names import states_in_source
from ..scan.stateless import find_stateless
from ..scan.written import path_to, steps_in_all
from .advice import Advice
from .graphs import Graphs
from .size_names import SizeNames
from .step_names import StepNames

__all__ = ["find_advice"]


def find_advice(graphs: Graphs, repeated: Sequence[RepeatedBody]) -> list[Advice]:
    """All advice on a function, each piece once."""
    sizes = SizeNames(graphs.program, graphs.rewritten)
    found = [
        *_on_repeats(repeated),
        *map(_on_chain, find_chains(graphs.built)),
        *_on_traces(graphs.rewritten, sizes),
        *_on_products(graphs, sizes),
        *_on_states(graphs.built),
        *_on_stateless(graphs.built, graphs.rewritten, sizes),
        *_on_recurrences(graphs, sizes),
        *(_on_copy(each, sizes) for each in find_forced_copies(graphs.rewritten)),
    ]
    return list(dict.fromkeys(found))


def _on_repeats(repeated: Sequence[RepeatedBody]) -> Iterator[Advice]:
    """One for all bodies that are computed again at the same lines."""
    groups: dict[tuple[Line, ...], int] = {}
    for each in repeated:
        groups[each.lines] = groups.get(each.lines, 0) + each.excess
    for lines, excess in groups.items():
        yield Advice(
            "repeated bodies",
            "the model runs again at other values of the same parameters, as a look-ahead by "
            "substitution does; compute it once (nn.nesterov does without the second run)",
            _plural(excess, "body", "bodies"),
            lines,
        )


def _on_chain(chain: Chain) -> Advice:
    n, size = len(chain.ends), chain.nodes
    return Advice(
        "unrolled chain",
        f"a loop of Python's wrote {n} equal steps, one after another, of "
        f"{_plural(size, 'variable')} each: {n * size} to compile, and their gradients; with "
        f"sg.scan it is one body of about {size}, however many steps there are"
        + _unrecorded(chain),
        f"{_plural((n - 1) * size, 'variable')} to compile",
        chain.lines[:1],
    )


def _unrecorded(chain: Chain) -> str:
    """Where the line of a chain is not recorded, how to be told it, and what it is made of."""
    if chain.lines:
        return ""
    text = "; its line is not recorded without sg.record_lines()"
    if chain.source is None:
        return text
    name, place = chain.source.name, short_place(str(provenance.line_of(chain.source)))
    return f"{text}; it is made of {f'{name!r} at {place}' if name else f'what {place} wrote'}"


def _on_traces(graph: Graph, sizes: SizeNames) -> Iterator[Advice]:
    for scan, trace in find_traces_for_last_row(graph):
        n, *row = trace.type.shape
        saved = product((n - 1, *row)) * trace.dtype.itemsize
        yield Advice(
            "trace for its last row",
            f"of an output of {_loop(scan)} all {sizes.in_words(n)} rows are stored, and only the "
            "last is read; compute it after the loop, from the last rows of what it is made of",
            f"{sizes.in_words(saved)} bytes",
            _lines(scan),
        )


def _on_products(graphs: Graphs, sizes: SizeNames) -> Iterator[Advice]:
    for each in find_kept_products(graphs.rewritten):
        yield call_in_steps(each.path, partial(_on_product, each, graphs, sizes))


def _on_product(each: KeptProduct, graphs: Graphs, sizes: SizeNames) -> Advice:
    rest = f"one of {each.n_rows} rows" if each.kind == "indexed" else "a large one"
    if each.has_columns:
        rest += ", and as many with one column"
    lines = (provenance.lines_of(each.product) or provenance.lines_of(each.path[-1]))[:1]
    return Advice(
        "product in a loop",
        _reason(each, _Words(StepNames(graphs.rewritten, each.path, graphs.built))),
        f"{sizes.in_words(steps_in_all(each.path))} small products, for {rest}",
        lines,
    )


def _reason(each: KeptProduct, words: _Words) -> str:
    loop = _loop(each.path[-1])
    if each.kind == "inserted":
        values = zip(each.dependencies, each.roles, strict=True)
        return (
            f"a product of rows could be done for all steps before {loop}, but for "
            f"{_listed(list(dict.fromkeys(words.of(x, role) for x, role in values)))}, which the "
            f"step before gives; put that in after the product: {_listed(each.formulas)}"
        )
    dependencies, rows = (_listed([*map(words.of, xs)]) for xs in (each.dependencies, each.rows))
    if each.kind == "joined":
        return (
            f"{rows} could be multiplied for all steps before {loop}, but for being joined to "
            f"{dependencies}, which the step before gives; multiply them apart, with their parts "
            "of the matrix, and add: x @ W[:n] + h @ W[n:]"
        )
    if each.kind == "indexed":
        return (
            f"a product stays in {loop} since its rows are read in the step, from {rows} at "
            f"{dependencies}; multiply all {each.n_rows} rows before the loop, and read those of "
            "the product, (table @ W)[i] for table[i] @ W, if a call reads more rows than these"
        )
    return (
        f"a product stays in {loop} since its left operand, {dependencies}, is computed in the "
        "step, though from rows of sequences alone; compute that for the whole sequence before "
        "the loop, and the product leaves with it"
    )


class _Words:
    """What values of a step are called in the user's words."""

    def __init__(self, names: StepNames) -> None:
        self._names = names

    def of(self, x: Variable, role: str = "") -> str:
        """A value's name, after its role; or which line makes it, and of what."""
        label = self._names.name_of(x)
        if label:
            return f"the {role} {label}" if role else label
        changing = self._names.loop.changing
        symbols = self._names.symbols
        read = dict.fromkeys(symbols[v] for v in ancestors([x]) if v in changing)
        lines = provenance.lines_of(x)
        place = short_place(str(lines[0])) if lines else "the step"
        what = f"the {role} that" if role else "what"
        return f"{what} {place} makes of {_listed([*read])}"


def _on_states(graph: Graph) -> Iterator[Advice]:
    for scan, k in find_unread_states(graph):
        loop = Loop(scan)
        name = provenance.name_of(loop.states[k].new) or states_in_source(loop)[k]
        yield Advice(
            "unread state",
            f"no step of {_loop(scan)} reads {repr(name) if name else f'state {k}'}, so a gradient "
            "by its initial value is zero; give None in its place in outputs_info",
            "1 state, and its gradient",
            _lines(scan),
        )


def _on_stateless(built: Graph, rewritten: Graph, sizes: SizeNames) -> Iterator[Advice]:
    for scan in find_stateless(built, rewritten):
        steps = sizes.in_words(steps_in_all(path_to(scan, built)))
        yield Advice(
            "batchable loop",
            f"no step of {_loop(scan)} reads what another one gave, and its operations take whole "
            "sequences: write them on those, without a loop",
            f"1 body, run {steps} times",
            _lines(scan),
        )


_FUNCTIONS = {
    "maximum": "sg.maximum(a, b)",
    "minimum": "sg.minimum(a, b)",
    "logaddexp": "sg.logaddexp(a, b)",
    "and": "a & b",
    "or": "a | b",
}
_LINEAR = "lambda f, g: (f[0] * g[0], f[1] * g[0] + g[1])"


def _on_recurrences(graphs: Graphs, sizes: SizeNames) -> Iterator[Advice]:
    for each in find_recurrences(graphs.built):
        saving = _fewer_steps(each, sizes, steps_are_cheap=graphs.steps_are_cheap)
        if saving is not None:
            what, function = _described(each)
            yield Advice(
                "associative loop",
                f"{_loop(each.scan)} computes {what}, whose steps can be grouped; "
                f"sg.associative_scan does that, with {function}",
                saving,
                _lines(each.scan),
            )


# Measured (`associative_scan`): where a step is a call of NumPy's, groups cost less of rows up to
# so many numbers; where it is a few instructions, of single numbers alone.
_MOST_IN_GROUPS = 64


def _fewer_steps(each: Recurrence, sizes: SizeNames, *, steps_are_cheap: bool) -> str | None:
    """What grouping saves; None where it would be nothing, or less than it costs."""
    steps = size_of(Loop(each.scan).n_steps)
    text = f"{sizes.in_words(steps)} steps one after another, for"
    if each.is_one_operation:
        # The gradient of a running product is several operations, where a loop is one kernel.
        is_dearer = steps_are_cheap and each.kind == "product" and each.has_gradient
        return None if is_dearer else f"1 body: {text} 1 operation"
    if is_at_most(steps, 2 * GROUP):
        return None
    if steps_are_cheap:
        # Of more than a number to a row the loop is one kernel, and groups would be several.
        is_number = each.row == 1 and each.is_float
        return f"{text} about {sizes.in_words(steps // GROUP + GROUP)}" if is_number else None
    is_long = isinstance(each.row, int) and each.row > _MOST_IN_GROUPS
    if each.is_accumulated or is_long:
        return None
    where = (
        "" if isinstance(each.row, int) else f" where rows have at most {_MOST_IN_GROUPS} numbers"
    )
    return f"{text} about 2*sqrt({sizes.in_words(steps)}){where}"


def _described(each: Recurrence) -> tuple[str, str]:
    """What a recurrence computes, and the function of two elements that does it."""
    if each.algebra == "plus" and each.kind == "sum":
        return "a running sum", "lambda a, b: a + b, as sg.cumsum does"
    if each.algebra == "plus" and each.kind == "product":
        return "a running product", "lambda a, b: a * b, as sg.cumprod does"
    if each.algebra == "plus":
        return (
            "a linear recurrence, h[t] = a[t] * h[t-1] + b[t]",
            f"{_LINEAR} on the pairs (a, b)",
        )
    function = _FUNCTIONS[each.algebra]
    if each.kind == "sum":
        return f"a running {_logical(each)}{each.algebra}", f"lambda a, b: {function}"
    joined = function.replace("(a, b)", "(f[1] + g[0], g[1])")
    return (
        f"a recurrence of {each.algebra}, h[t] = {each.algebra}(h[t-1] + a[t], b[t])",
        f"lambda f, g: (f[0] + g[0], {joined}) on the pairs (a, b)",
    )


def _logical(each: Recurrence) -> str:
    if each.algebra not in ("and", "or"):
        return ""
    kinds = {state.new.dtype.kind for state in Loop(each.scan).states}
    return "logical " if kinds == {"b"} else "bitwise "


def _on_copy(each: ForcedCopy, sizes: SizeNames) -> Advice:
    source, names = each.source, [str(sizes.in_words(size)) for size in each.source.type.shape]
    name = f"{repr(source.name) if source.name else 'an input'} [{', '.join(names)}]"
    why = " and ".join(_READERS[reader] for reader in each.readers)
    if each.is_cut:
        text = (
            f"a part of {name} that does not lie in one piece is copied {why}; give the part as an "
            "input of its own"
        )
    else:
        order = ", ".join(names[axis] for axis in each.order)
        text = (
            f"{name} is read as [{order}], its axes in the order {each.order}, and copied into it "
            f"{why}; give it with its axes in that order"
        )
    return Advice(
        "forced copy",
        text,
        f"{sizes.in_words(each.bytes)} bytes copied in each call",
        provenance.lines_of(source)[:1],
    )


_READERS = {
    "rows": "for a loop's products of its rows",
    "reshape": "for another shape",
    "table": "for reads of its rows by index",
}


# --- words ---------------------------------------------------------------------------------------


def _loop(scan: Variable) -> str:
    name = provenance.name_of(scan)
    return f"loop {name!r}" if name else "the loop"


def _lines(scan: Variable) -> tuple[Line, ...]:
    return provenance.lines_of(scan)[:1]


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
