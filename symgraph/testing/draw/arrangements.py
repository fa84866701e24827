"""Instructions that arrange elements: views, joins, index arrays, writes."""

from __future__ import annotations

from .drawer import Drawer

__all__ = ["KINDS", "slice_of"]


def slice_of(d: Drawer, n: int) -> str:
    """A slice of an axis of ``n`` elements, as text."""
    forms = [":", "::-1", "1:", ":-1", "::2", f":{d.integer(0, n)}", f"{d.integer(0, n)}:"]
    forms += [f"{d.integer(0, n)}:{d.integer(0, n)}", "-2:", "1:-1", "::-2", ":2"]
    return d.one_of(forms)


def view(d: Drawer) -> str | None:
    x = d.pick(lambda v: v.ndim > 0)
    if x is None:
        return None
    value = d.values[x]
    axis = d.integer(0, value.ndim - 1)
    parts = [":"] * value.ndim
    parts[axis] = slice_of(d, value.shape[axis])
    if value.ndim > 1 and d.chance(0.3):
        other = d.integer(0, value.ndim - 1)
        parts[other] = slice_of(d, value.shape[other])
    if value.shape[axis] and d.chance(0.25):
        parts[axis] = str(d.integer(-1, 0))
    if d.chance(0.15):
        parts.insert(d.integer(0, len(parts)), "None")
    while parts[-1] == ":" and len(parts) > 1:
        parts.pop()
    return f"{x}[{', '.join(parts)}]"


def turned(d: Drawer) -> str | None:
    x = d.pick(lambda v: v.ndim > 1)
    if x is None:
        return None
    n = d.values[x].ndim
    if d.chance(0.7):
        return f"{x}.T"
    order = d.shuffled(range(n))
    return f"sg.transpose({x}, {tuple(order)})"


def reshaped(d: Drawer) -> str | None:
    x = d.pick()
    if x is None:
        return None
    value = d.values[x]
    n = value.ndim
    forms = [f"{x}.reshape(-1)", f"sg.expand_dims({x}, {d.integer(0, n)})"]
    if n:
        forms.append(f"{x}.reshape({x}.shape[0], -1)" if value.size else f"{x}.reshape(-1)")
    if n == 2:
        forms.append(f"{x}.reshape({x}.shape[1], {x}.shape[0])")
        forms.append(f"{x}.reshape({x}.shape[0] * {x}.shape[1])")
    if 1 in value.shape:
        forms.append(f"sg.squeeze({x}, axis={value.shape.index(1)})")
    if value.size and value.size % 2 == 0:
        forms.append(f"{x}.reshape(-1, 2)")
    if n == 3:
        forms.append(f"{x}.reshape({x}.shape[0] * {x}.shape[1], {x}.shape[2])")
    return d.one_of(forms)


def joined(d: Drawer) -> str | None:
    """Two or three values joined, some read through views."""
    x = d.pick(lambda v: v.ndim > 0)
    if x is None:
        return None
    value = d.values[x]
    axis = d.integer(0, value.ndim - 1)
    rest = value.shape[:axis] + value.shape[axis + 1 :]

    def fits(v) -> bool:
        return (
            v.dtype == value.dtype
            and v.ndim == value.ndim
            and v.shape[:axis] + v.shape[axis + 1 :] == rest
        )

    parts = [x] + [d.pick(fits) or x for _ in range(d.integer(1, 2))]
    if d.chance(0.3):
        parts[0] = f"{parts[0]}[::-1]"
    if d.chance(0.2) and axis == 0:
        parts[-1] = f"{parts[-1]}[:1]"
    if d.chance(0.3) and value.dtype.kind == "f":
        parts[-1] = f"{parts[-1]} * {d.number()}"
    parts = d.shuffled(parts)
    return f"sg.concatenate([{', '.join(parts)}], axis={axis - value.ndim * d.chance(0.2)})"


def stacked(d: Drawer) -> str | None:
    x = d.pick(lambda v: v.ndim < 3)
    if x is None:
        return None
    value = d.values[x]
    same = [d.pick(lambda v: v.dtype == value.dtype and v.shape == value.shape) for _ in "12"]
    axis = d.integer(0, value.ndim)
    return f"sg.stack([{x}, {', '.join(s or x for s in same[: d.integer(1, 2)])}], axis={axis})"


def older_view(d: Drawer) -> None:
    """A value read through a view, which is older than what the value is joined to."""
    x = d.float_name(1, 2)
    if x is None:
        return
    e = d.add(f"sg.{d.one_of(('exp', 'tanh', 'sin'))}({x})")
    if e is None:
        return
    d.add(f"{e}{d.one_of(('.T', '[1:]', '[::-1]', '[:2]', '[..., 0:]'))}")
    parts = [x, e] if d.chance(0.5) else [e, x]
    d.add(f"sg.concatenate([{', '.join(parts)}], axis={d.integer(-1, 0)})")


def taken(d: Drawer) -> str | None:
    """Rows by an index array, clipped to what there is."""
    x = d.pick(lambda v: v.ndim > 0 and v.shape[0] > 0)
    k = d.whole_name(0, 1)
    if x is None or k is None:
        return None
    if d.values[k].dtype.kind == "u":
        k = f"sg.cast({k}, 'int64')"
    if d.chance(0.5):
        return f"{x}[sg.clip({k}, 0, {x}.shape[0] - 1)]"
    return f"{x}[sg.cast({k}, 'int64') % {x}.shape[0]]"


def chosen(d: Drawer) -> str | None:
    """One element of each row, as losses choose them; or elements by two index arrays."""
    x = d.float_name(2, 2)
    if x is None or 0 in d.values[x].shape:
        return None
    forms = (
        f"{x}[sg.arange({x}.shape[0]), sg.argmax({x}, axis=1)]",
        f"sg.take({x}, sg.argmax({x}, axis=0), axis=0)",
        f"sg.take_along_axis({x}, sg.argsort({x}, axis=1), axis=1)",
        f"{x}[sg.arange({x}.shape[0])[::-1]]",
        f"sg.one_hot(sg.argmax({x}, axis=1), {d.values[x].shape[1]}, dtype='float64')",
    )
    return d.one_of(forms)


def written(d: Drawer) -> str | None:
    x = d.float_name(1)
    if x is None or d.values[x].shape[0] == 0:
        return None
    value = d.values[x]
    method = d.one_of(("set", "add_at"))
    y = d.pick(lambda v: v.dtype == value.dtype and v.shape == value.shape[1:])
    index = d.one_of(("0", "-1"))
    if d.chance(0.4):
        y = d.pick(lambda v: v.dtype == value.dtype and v.shape == value.shape)
        index = d.one_of((":", "::-1"))
        if d.chance(0.4):
            y, index = None, slice_of(d, value.shape[0])
        elif value.ndim > 1 and d.chance(0.4):
            y = d.pick(lambda v: v.dtype == value.dtype and v.shape == value.shape[:1])
            index = ":, 0"
    elif d.chance(0.3):
        k = d.pick(lambda v: v.dtype.kind == "i" and v.ndim <= 1)
        index = f"sg.cast({k}, 'int64') % {x}.shape[0]" if k else index
    return f"{x}.{method}({index if ':' not in index else f'np.s_[{index}]'}, {y or d.number()})"


def repeated(d: Drawer) -> str | None:
    x = d.float_name(1, 2)
    if x is None:
        return None
    axis = d.integer(0, d.values[x].ndim - 1)
    forms = (
        f"sg.repeat({x}, {d.integer(0, 3)}, axis={axis})",
        f"sg.tile({x}, {d.integer(1, 3)})",
        f"sg.roll({x}, {d.integer(-2, 2)}, axis={axis})",
        f"sg.pad({x}, {d.integer(0, 2)})",
        f"sg.broadcast_to({x}, ({d.size()}, *{x}.shape))",
        f"sg.diagonal({x})" if d.values[x].ndim == 2 else f"sg.diag({x})",
    )
    return d.one_of(forms)


KINDS = (
    (view, 7),
    (turned, 4),
    (reshaped, 4),
    (joined, 6),
    (stacked, 2),
    (older_view, 2),
    (taken, 3),
    (chosen, 2),
    (written, 2),
    (repeated, 3),
)
