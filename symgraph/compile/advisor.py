"""What would make a function smaller or faster, told from its graphs: as built, and as rewritten.

What the compiler does by itself is no advice; nor is what no change of the user's would help.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..core import provenance
from ..core.dims import Size, product
from ..core.graph import Graph
from ..core.provenance import Line
from ..core.variable import Variable
from ..ops.sizes import size_of
from ..scan.associative import GROUP
from ..scan.census import RepeatedBody
from ..scan.chains import Chain, find_chains
from ..scan.copies import ForcedCopy, find_forced_copies
from ..scan.faults import find_stateless, find_traces_for_last_row, find_unread_states
from ..scan.kept_products import KeptProduct, find_kept_products
from ..scan.op import Loop
from ..scan.recurrences import Recurrence, find_recurrences
from .advice import Advice
from .graphs import Graphs
from .stored import Sizes

__all__ = ["find_advice"]


def find_advice(graphs: Graphs, repeated: Sequence[RepeatedBody]) -> list[Advice]:
    """All advice on a function, each piece once."""
    sizes = Sizes(graphs.program)
    found = [
        *_on_repeats(repeated),
        *map(_on_chain, find_chains(graphs.built)),
        *_on_traces(graphs.rewritten, sizes),
        *(_on_product(each, sizes) for each in find_kept_products(graphs.rewritten)),
        *_on_states(graphs.built),
        *_on_stateless(graphs.built, graphs.rewritten, sizes),
        *(_on_recurrence(each, sizes) for each in find_recurrences(graphs.built)),
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
        f"sg.scan it is one body of about {size}, however many steps there are",
        f"{_plural((n - 1) * size, 'variable')} to compile",
        chain.lines[:1],
    )


def _on_traces(graph: Graph, sizes: Sizes) -> Iterator[Advice]:
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


def _on_product(each: KeptProduct, sizes: Sizes) -> Advice:
    steps = sizes.in_words(size_of(Loop(each.scan).n_steps))
    lines = (provenance.lines_in(each.product, each.scan) or provenance.lines_of(each.scan))[:1]
    return Advice(
        "product in a loop", _reason(each), f"{steps} small products, for a large one", lines
    )


def _reason(each: KeptProduct) -> str:
    dependencies, loop = _listed(each.dependencies), _loop(each.scan)
    if each.kind == "joined":
        return (
            f"{_listed(each.rows)} could be multiplied for all steps before {loop}, but for being "
            f"joined to {dependencies}, which the step before gives; multiply them apart, with "
            "their parts of the matrix, and add: x @ W[:n] + h @ W[n:]"
        )
    if each.kind == "indexed":
        return (
            f"a product stays in {loop} since its rows are read in the step, from "
            f"{_listed(each.rows)} at {dependencies}; read them for all steps before the loop (or "
            "multiply first, and read rows of the product), and give them to the loop as a sequence"
        )
    if each.kind == "scaled":
        return (
            f"a product of rows could be done for all steps before {loop}, but for the factor "
            f"{dependencies}, which the step before gives; multiply by it after the product: "
            "(x @ W) * s is (x * s) @ W"
        )
    return (
        f"a product stays in {loop} since its left operand, {dependencies}, is computed in the "
        "step, though from rows of sequences alone; compute that for the whole sequence before "
        "the loop, and the product leaves with it"
    )


def _on_states(graph: Graph) -> Iterator[Advice]:
    for scan, k in find_unread_states(graph):
        name = provenance.name_of(Loop(scan).states[k].new)
        yield Advice(
            "unread state",
            f"no step of {_loop(scan)} reads {repr(name) if name else f'state {k}'}, so a gradient "
            "by its initial value is zero; give None in its place in outputs_info",
            "1 state, and its gradient",
            _lines(scan),
        )


def _on_stateless(built: Graph, rewritten: Graph, sizes: Sizes) -> Iterator[Advice]:
    for scan in find_stateless(built, rewritten):
        steps = sizes.in_words(size_of(Loop(scan).n_steps))
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
_LINEAR = "lambda f, g: (f[0] {0} g[0], f[1] {0} g[0] + g[1])"


def _on_recurrence(each: Recurrence, sizes: Sizes) -> Advice:
    what, function = _described(each)
    return Advice(
        "associative loop",
        f"{_loop(each.scan)} computes {what}, whose steps can be grouped; sg.associative_scan "
        f"does that, with {function}",
        _fewer_steps(each, size_of(Loop(each.scan).n_steps), sizes),
        _lines(each.scan),
    )


def _fewer_steps(each: Recurrence, steps: Size, sizes: Sizes) -> str:
    text = f"{sizes.in_words(steps)} steps one after another, for"
    if each.algebra == "plus" and each.kind in ("sum", "product"):
        return f"{text} 1 operation"
    if each.row == 1:
        return f"{text} about {sizes.in_words(steps // GROUP + GROUP)}"
    of_what = " of products of matrices" if each.kind == "matrix" else ""
    return (
        f"{text} about log2({sizes.in_words(steps)}) rounds{of_what}, many at a time; so far this "
        "is done for short rows whose elements meet, and other rows follow one another"
    )


def _described(each: Recurrence) -> tuple[str, str]:
    """What a recurrence computes, and the function of two elements that does it."""
    if each.kind == "matrix":
        return (
            "a linear recurrence, h[t] = h[t-1] @ A[t] + b[t]",
            f"{_LINEAR.format('@')} on the pairs (A, b)",
        )
    if each.algebra == "plus" and each.kind == "sum":
        return "a running sum", "lambda a, b: a + b, as sg.cumsum does"
    if each.algebra == "plus" and each.kind == "product":
        return "a running product", "lambda a, b: a * b, as sg.cumprod does"
    if each.algebra == "plus":
        return (
            "a linear recurrence, h[t] = a[t] * h[t-1] + b[t]",
            f"{_LINEAR.format('*')} on the pairs (a, b)",
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


def _on_copy(each: ForcedCopy, sizes: Sizes) -> Advice:
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
