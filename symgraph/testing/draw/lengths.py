"""Instructions whose sizes and positions come from sizes and from data."""

from __future__ import annotations

from .drawer import Drawer

__all__ = ["KINDS", "length"]


def length(d: Drawer, most: int = 5) -> str | None:
    """A whole number that is a size or an element, total or result of data; as text."""
    k = d.whole_name(1, 1)
    x = d.pick(lambda v: v.ndim > 0)
    forms: list[str] = []
    if k is not None:
        k = k if d.values[k].dtype.kind == "i" else f"sg.cast({k}, 'int64')"
        forms += [f"sg.clip(sg.sum({k}), 0, {most})", f"sg.sum({k} > 0)"]
        if d.values[k].size if k in d.values else False:
            forms += [f"sg.clip({k}[0], 0, {most})", f"sg.maximum({k}[-1], 0)", f"sg.abs({k}[0])"]
    if x is not None:
        n = d.values[x].shape[0]
        forms += [f"{x}.shape[0]", f"{x}.shape[-1]", f"sg.maximum({x}.shape[0] - 2, 1)"]
        if n < 9:
            forms += [f"{x}.shape[0] * 2", f"{x}.shape[0] // 2", f"{x}.shape[0] + 1"]
    s = d.pick(lambda v: v.ndim == 0 and v.dtype.kind == "i" and 0 <= v < 40)
    if s is not None:
        forms += [s, f"{s} + 1", f"{s} * 2"]
    if not forms:
        return None
    return roundabout(d, d.one_of(forms)) if d.chance(0.15) else d.one_of(forms)


def roundabout(d: Drawer, n: str) -> str:
    """A whole number written in a way that rewriting makes another scalar, or a constant, of."""
    return d.one_of(
        (
            f"sg.stop_gradient({n})",
            f"sg.maximum({n}, {n})",
            f"sg.where(sg.constant(True), {n}, 1)",
            f"sg.stack([{n}, 1])[0]",
            f"sg.stop_gradient(sg.constant({d.integer(0, 3)}))",
            f"sg.constant([{d.integer(0, 3)}, 1])[0]",
        )
    )


def counted(d: Drawer) -> str | None:
    n = length(d)
    return n and d.one_of(
        (
            f"sg.arange({n})",
            f"sg.cast(sg.arange({n}), 'float64') * 0.1",
            f"sg.arange(1, {n})",
            f"sg.zeros(({n},), dtype='float64')",
            f"sg.ones(({n}, 2), dtype='float64')",
            f"sg.full(({n},), 0.5, dtype='float64')",
            f"sg.eye({n}, dtype='float64')",
            f"sg.linspace(0.0, 1.0, {d.integer(0, 5)}, dtype='float64')",
        )
    )


def cut(d: Drawer) -> str | None:
    """The first or last rows, as many as data say."""
    x = d.pick(lambda v: v.ndim > 0)
    n = length(d)
    if x is None or n is None:
        return None
    return d.one_of((f"{x}[:{n}]", f"{x}[{n}:]", f"{x}[:{n}][::-1]", f"{x}[::-1][:{n}]"))


def scalar(d: Drawer) -> str | None:
    """A whole number of data, with a name that later instructions can use."""
    n = length(d)
    return n and f"sg.cast({n}, 'int64')"


def shaped(d: Drawer) -> str | None:
    x = d.float_name(1, 2)
    if x is None:
        return None
    return d.one_of(
        (
            f"{x}.reshape(sg.stack([{x}.shape[0] * 1, -1]))",
            f"{x} * sg.cast({x}.shape[0], 'float64')",
            f"sg.sum({x}, axis=0) / sg.cast(sg.maximum({x}.shape[0], 1), 'float64')",
            f"sg.ones_like({x})",
            f"sg.zeros({x}.shape, dtype='float64') + {x}",
            f"sg.arange({x}.shape[0])[:, None] * {x}" if d.values[x].ndim == 2 else f"{x}[:]",
        )
    )


def filtered(d: Drawer) -> str | None:
    """Rows where a condition holds: their number only the data tell."""
    x = d.float_name(1, 2)
    if x is None:
        return None
    if d.values[x].ndim == 1:
        return d.one_of((f"sg.nonzero({x} > 0.0)[0]", f"{x}[sg.flatnonzero({x} > 0.0)]"))
    return f"{x}[sg.flatnonzero(sg.sum({x}, axis=1) > 0.0)]"


KINDS = ((counted, 3), (cut, 3), (scalar, 2), (shaped, 2), (filtered, 1))
