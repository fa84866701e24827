"""Instructions with products: one operand whole, in part, transposed and broadcast."""

from __future__ import annotations

from typing import Any

from .arrangements import slice_of
from .drawer import Drawer

__all__ = ["KINDS"]


def product(d: Drawer) -> str | None:
    x = d.float_name(1)
    if x is None:
        return None
    value = d.values[x]
    y = d.pick(
        lambda v: (
            v.dtype == value.dtype
            and 0 < v.ndim < 3
            and v.shape[-2 if v.ndim > 1 else 0] == value.shape[-1]
        )
    )
    if y is None:
        return f"{x} @ {x}.T" if value.ndim == 2 else None
    return f"{x} @ {y}" if d.chance(0.7) else f"sg.dot({x}, {y})"


def _operand(d: Drawer, rows: int, dtype: Any) -> str | None:
    """A matrix of so many rows; a new argument or parameter, where a name for the size is known."""
    found = d.pick(lambda v: v.ndim == 2 and v.shape[0] == rows and v.dtype == dtype)
    if (found is None or d.chance(0.3)) and d.symbols is not None:
        axes = [rows, d.size()]
        found = d.declare(axes, dtype.name, low=-1, high=1, is_shared=d.chance(0.3))
    return found


def several(d: Drawer) -> None:
    """One operand in two or three products, whole and changed each time."""
    x = d.float_name(2, 2)
    if x is None:
        return
    value = d.values[x]
    w = _operand(d, value.shape[1], value.dtype)
    if w is None:
        return
    n, m = d.values[w].shape
    other = d.pick(lambda v: v.ndim == 2 and v.dtype == value.dtype and v.shape[1] <= n)
    uses = [f"{x} @ {w}", f"({x} @ {w}) @ {w}.T", f"{x} @ {w}[:, {slice_of(d, m)}]"]
    uses += [f"{w}.T @ {x}.T", f"sg.sum({w}, axis=0)", f"{x} @ ({w} * 0.5)", f"{w}.T @ {w}"]
    uses += [f"{x}[{slice_of(d, value.shape[0])}] @ {w}", f"{x} @ {w}[::-1]"]
    uses += [f"sg.sum({x} @ {w}, axis=1, keepdims=True) * {x}"]
    if other is not None:
        # Rows or columns of the operand, as many as the other side has columns.
        k = d.values[other].shape[1]
        uses += [f"{other} @ {w}[:{k}]", f"{other} @ {w}[{n - k}:]"] * 2
    for use in d.shuffled(uses)[: d.integer(2, 3)]:
        d.add(use)


def batched(d: Drawer) -> str | None:
    """Products of more axes, by matmul and einsum."""
    x = d.float_name(2, 3)
    if x is None:
        return None
    value = d.values[x]
    forms = [
        f"sg.einsum('...ij,...kj->...ik', {x}, {x})",
        f"sg.matmul({x}, sg.swapaxes({x}, -1, -2))",
    ]
    if value.ndim == 2:
        forms += [f"sg.einsum('ij->ji', {x})", f"sg.einsum('ij,ij->i', {x}, {x})"]
        forms += [f"sg.outer({x}[0], {x}[0])" if value.shape[0] else f"{x} @ {x}.T"]
        forms += [f"sg.tensordot({x}, {x}, 2)"]
    y = d.pick(lambda v: v.dtype == value.dtype and v.ndim == 2 and v.shape[0] == value.shape[-1])
    if y is not None:
        forms += [f"sg.einsum('...i,ij->...j', {x}, {y})"] * 2
    return d.one_of(forms)


def layer(d: Drawer) -> None:
    """A dense layer or two with tied weights, as users write them."""
    x = d.float_name(2, 3)
    if x is None:
        return
    value = d.values[x]
    w = _operand(d, value.shape[-1], value.dtype)
    if w is None:
        return
    h = d.add(f"sg.{d.one_of(('tanh', 'sigmoid', 'relu'))}({x} @ {w})")
    if h is not None and d.chance(0.6):
        d.add(f"{h} @ {w}.T")


KINDS = ((product, 5), (several, 5), (batched, 2), (layer, 4))
