"""Sums of products over pairs of axes, which are named by numbers or by letters."""

from __future__ import annotations

import string
from collections.abc import Sequence

from ..core import provenance
from ..core.annotations import ArrayLike, Axes
from ..core.errors import ShapeError, SymgraphTypeError, SymgraphValueError
from ..core.values import whole_number
from ..core.variable import Variable, node
from .broadcast import rearrange, reduce_sum
from .diagonals import diagonal
from .elementwise import multiply
from .linalg import MATMUL, matmul
from .promotion import promote_arguments
from .reshape import product_of, reshape
from .shape import normalise_axes
from .sizes import check_size, shape_of, unify_axis

__all__ = ["dot", "einsum", "inner", "tensordot"]


def dot(x: ArrayLike, y: ArrayLike) -> Variable:
    """NumPy's dot: products summed over the last axis of ``x`` and the last but one of ``y``.

    A vector has its only axis summed, a scalar multiplies. The result has the other axes of ``x``,
    then those of ``y``: for stacks of matrices all pairs of them, where `matmul` pairs stack with
    stack. Sizes known to differ are a `ShapeError`.

    >>> sg.dot([1, 2], [3, 4]).eval()
    np.int64(11)
    """
    x, y = promote_arguments("dot", (x, y))
    if x.ndim == 0 or y.ndim == 0:
        return multiply(x, y)
    if y.ndim <= 2:
        return matmul(x, y)
    return tensordot(x, y, ([x.ndim - 1], [y.ndim - 2]))


def inner(x: ArrayLike, y: ArrayLike) -> Variable:
    """The sums of products over the last axes of both; a scalar multiplies.

    The result has the other axes of ``x``, then those of ``y``. Sizes known to differ are a
    `ShapeError`.

    >>> sg.inner([[1, 2], [3, 4]], [1, 10]).eval()
    array([21, 43])
    """
    x, y = promote_arguments("inner", (x, y))
    if x.ndim == 0 or y.ndim == 0:
        return multiply(x, y)
    return tensordot(x, y, ([x.ndim - 1], [y.ndim - 1]))


def tensordot(x: ArrayLike, y: ArrayLike, axes: int | Sequence[Axes] = 2) -> Variable:
    """The sums of products over pairs of axes.

    ``axes`` is how many (the last of ``x`` meet the first of ``y``), or a pair: the axis or axes of
    ``x``, and those of ``y`` that they meet. The result has the other axes of ``x``, then those of
    ``y``. Axes that are not there, or do not pair, and sizes known to differ are a `ShapeError`.

    >>> sg.tensordot(np.ones((2, 3)), np.ones((3, 2)), ([0, 1], [1, 0])).eval()
    np.float64(6.0)
    """
    x, y = promote_arguments("tensordot", (x, y))
    ours, theirs = _paired_axes(x, y, axes)
    letters = iter(string.ascii_letters)
    x_labels = [next(letters) for _ in range(x.ndim)]
    y_labels = [next(letters) for _ in range(y.ndim)]
    for a, b in zip(ours, theirs, strict=True):
        y_labels[b] = x_labels[a]
        x, y = unify_axis([x, y], [a, b], "tensordot")
    wanted = [v for i, v in enumerate(x_labels) if i not in ours]
    wanted += [v for i, v in enumerate(y_labels) if i not in theirs]
    return _contract((x, x_labels), (y, y_labels), wanted)[0]


def _paired_axes(
    x: Variable, y: Variable, axes: int | Sequence[Axes]
) -> tuple[list[int], list[int]]:
    """The axes of ``x``, and those of ``y`` that they meet."""
    count = whole_number(axes)
    if count is not None:
        if not 0 <= count <= min(x.ndim, y.ndim):
            raise ShapeError.here(
                f"tensordot: {count} axes of {provenance.describe(x)} and {provenance.describe(y)}"
            )
        return list(range(x.ndim - count, x.ndim)), list(range(count))
    try:
        first, second = axes  # type: ignore[misc]
    except (TypeError, ValueError):
        raise SymgraphTypeError.here(
            f"tensordot: axes are a number or a pair of lists, not {axes!r}"
        ) from None
    ours = normalise_axes(first, x.ndim, "tensordot")
    theirs = normalise_axes(second, y.ndim, "tensordot")
    if len(ours) != len(theirs):
        raise ShapeError.here(f"tensordot: {len(ours)} axes meet {len(theirs)}")
    return ours, theirs


# --- einsum -------------------------------------------------------------------------------------

# An operand and the labels of its axes.
Labelled = tuple[Variable, list[str]]


def einsum(subscripts: str, *operands: ArrayLike) -> Variable:
    """The sum of products that the subscripts describe, as NumPy's ``einsum``.

    A letter for each axis of each operand, ``...`` for any others; axes of one letter are paired,
    and those that the result leaves out are summed. Without ``->`` the result has the letters that
    stand once, in alphabetical order. Operands are taken from left to right; each pair becomes one
    product of matrices. Subscripts that do not fit the operands are a `SymgraphValueError`, sizes
    known to differ a `ShapeError`. NumPy's form with lists of numbers is not supported.

    >>> sg.einsum("ij,jk->ki", np.ones((1, 3)), np.ones((3, 2))).eval()
    array([[3.],
           [3.]])
    """
    values = promote_arguments("einsum", operands) if operands else []
    labels, output = _parse(subscripts, values)
    terms = [_diagonals(value, own) for value, own in zip(values, labels, strict=True)]
    terms = _agree(terms, "einsum")
    result = terms[0]
    for i, term in enumerate(terms[1:], start=1):
        later = {label for _, own in terms[i + 1 :] for label in own}
        wanted = [
            label
            for label in dict.fromkeys([*result[1], *term[1]])
            if label in output or label in later
        ]
        result = _contract(result, term, wanted)
    value, own = _sum_out(result, output)
    return rearrange(value, [own.index(label) for label in output])


def _parse(subscripts: str, operands: Sequence[Variable]) -> tuple[list[list[str]], list[str]]:
    """The labels of each operand's axes and of the result's."""
    if not isinstance(subscripts, str):
        raise SymgraphTypeError.here(
            f"einsum: subscripts are a string such as 'ij,jk->ik', not {subscripts!r}"
        )
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(operands):
        raise _bad_subscripts(
            subscripts, f"there are {len(parts)} subscripts for {len(operands)} operands"
        )
    labels = [_labels(part, x, subscripts) for part, x in zip(parts, operands, strict=True)]
    dots = max(([v for v in own if v[0] == "."] for own in labels), key=len)
    if arrow:
        before, ellipsis, after = right.partition("...")
        output = [*before, *(dots if ellipsis else ()), *after]
        if dots and not ellipsis:
            raise _bad_subscripts(subscripts, "the result leaves out the axes that ... stands for")
    else:
        letters = [v for own in labels for v in own if v[0] != "."]
        output = dots + sorted(v for v in set(letters) if letters.count(v) == 1)
    if len(set(output)) != len(output) or not {v for own in labels for v in own}.issuperset(output):
        raise _bad_subscripts(
            subscripts, "each label of the result occurs there once, and in an operand"
        )
    return labels, output


def _labels(part: str, x: Variable, subscripts: str) -> list[str]:
    """The labels of one operand's axes; those that ``...`` stands for are counted from the last."""
    letters = part.replace("...", "", 1)
    if not all(c in string.ascii_letters for c in letters):
        raise _bad_subscripts(subscripts, "labels are letters")
    others = x.ndim - len(letters)
    if others < 0 or (others and "..." not in part):
        raise _bad_subscripts(
            subscripts, f"{part!r} does not fit the axes of {provenance.describe(x)}"
        )
    before, _, after = part.partition("...")
    return [*before, *(f"...{i}" for i in range(others, 0, -1)), *after]


def _bad_subscripts(subscripts: str, what: str) -> SymgraphValueError:
    return SymgraphValueError.here(f"einsum {subscripts!r}: {what}")


def _diagonals(x: Variable, labels: list[str]) -> Labelled:
    """The operand with axes that share a label made one."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            x = check_size(x, second, x, first, "einsum")
            x = diagonal(x, 0, first, second)
            labels = [v for i, v in enumerate(labels) if i not in (first, second)] + [label]
    return x, labels


def _agree(terms: Sequence[Labelled], function: str) -> list[Labelled]:
    """The operands with sizes of one label unified; axes of size 1 that meet others are dropped."""
    values = [value for value, _ in terms]
    labels = [list(own) for _, own in terms]
    for label in dict.fromkeys(v for own in labels for v in own):
        holders = [i for i, own in enumerate(labels) if label in own]
        wide = [i for i in holders if values[i].type.shape[labels[i].index(label)] != 1]
        for i in holders:
            if wide and i not in wide:
                axis = labels[i].index(label)
                values[i] = rearrange(values[i], [j for j in range(values[i].ndim) if j != axis])
                del labels[i][axis]
        if len(wide) > 1:
            axes = [own.index(label) if i in wide else None for i, own in enumerate(labels)]
            values = unify_axis(values, axes, function)
    return list(zip(values, labels, strict=True))


def _sum_out(term: Labelled, wanted: Sequence[str]) -> Labelled:
    """The operand summed over the labels that nobody wants."""
    value, labels = term
    gone = [i for i, label in enumerate(labels) if label not in wanted]
    return reduce_sum(value, gone), [label for label in labels if label in wanted]


def _contract(x: Labelled, y: Labelled, wanted: list[str]) -> Labelled:
    """The sum of products of two operands, with the wanted labels in their order."""
    x = _sum_out(x, [*wanted, *y[1]])
    y = _sum_out(y, [*wanted, *x[1]])
    shared = [label for label in x[1] if label in y[1]]
    summed = [label for label in shared if label not in wanted]
    stacked = [label for label in shared if label in wanted]
    ours = [label for label in x[1] if label not in shared]
    theirs = [label for label in y[1] if label not in shared]
    order = [*stacked, *ours, *theirs]
    if not summed:
        product = multiply(_spread(x, order), _spread(y, order))
    else:
        left = _grouped(x, stacked, ours, summed)
        right = _grouped(y, stacked, summed, theirs)
        product = node(MATMUL, (left, right))
        sizes = [_size(y if label in theirs else x, label) for label in order]
        product = reshape(product, sizes)
    return rearrange(product, [order.index(label) for label in wanted]), wanted


def _size(term: Labelled, label: str) -> int | Variable:
    value, labels = term
    return shape_of(value)[labels.index(label)]


def _spread(term: Labelled, order: Sequence[str]) -> Variable:
    """The operand with an axis for each label, of size 1 where it has none."""
    value, labels = term
    return rearrange(value, [labels.index(v) if v in labels else None for v in order])


def _grouped(term: Labelled, stacked: list[str], rows: list[str], columns: list[str]) -> Variable:
    """The operand as a stack of matrices, several axes of rows or of columns made one."""
    value, labels = term
    order = [*stacked, *rows, *columns]
    moved = rearrange(value, [labels.index(label) for label in order])
    if len(rows) == 1 and len(columns) == 1:
        return moved
    sizes = shape_of(moved)
    n, m = len(stacked), len(stacked) + len(rows)
    return reshape(moved, (*sizes[:n], product_of(sizes[n:m]), product_of(sizes[m:])))
