"""Instructions that differentiate: gradients of the first and second order, forward mode."""

from __future__ import annotations

from .drawer import Drawer

__all__ = ["add_derivatives"]


def _cost(d: Drawer) -> str | None:
    """The name of a scalar that depends on one or two values."""
    x = d.float_name()
    if x is None:
        return None
    forms = ["sg.sum({x})", "sg.sum({x} ** 2)", "sg.mean({x})", "sg.sum(sg.sin({x}))"]
    forms += ["sg.sum({x} * sg.cos({x}))"]
    text = d.one_of(forms).format(x=x)
    y = d.float_name()
    if y is not None and d.chance(0.5):
        text += f" + {d.one_of(forms).format(x=y)}"
    name = d.add(text)
    return name if name is not None and d.values[name].dtype.kind == "f" else None


def _wrt(d: Drawer) -> list[str]:
    """Some of the names to differentiate by: arguments and parameters, sometimes others."""
    names = [x.name for x in d.inputs if x.dtype.startswith("float")]
    if d.chance(0.1):
        other = d.float_name()
        names += [other] if other is not None and other not in names else []
    if len(names) > 2 and d.chance(0.6):
        names = d.shuffled(names)[:2]
    return names


def _gradients(d: Drawer, cost: str, names: list[str]) -> list[str]:
    """The names of the gradients, added as one instruction."""
    made = [d.fresh("g") for _ in names]
    wrt = ", ".join(names)
    text = (
        f"{', '.join(made)}{',' * (len(made) == 1)} = sg.grad({cost}, [{wrt}], disconnected='zero')"
    )
    return made if d.add_instruction(text, made, untold=True) else []


def add_derivatives(d: Drawer) -> list[tuple[str, str]]:
    """Pairs of what was differentiated by and the gradient, after adding those."""
    cost, names = _cost(d), _wrt(d)
    if cost is None or not names:
        return []
    made = _gradients(d, cost, names)
    pairs = list(zip(names, made, strict=True)) if made else []
    if made and d.chance(0.35):
        which = d.integer(0, len(made) - 1)
        power = d.one_of(("sg.sum({g} ** 2)", "sg.sum({g} * {x})")).format(
            g=made[which], x=names[which]
        )
        second = d.add(power)
        if second is not None:
            d.untold.add(second)
            _gradients(d, second, names[:2])
    if d.chance(0.15):
        _forward(d, cost, names)
    return pairs


def _forward(d: Drawer, cost: str, names: list[str]) -> None:
    """A tangent, a product with the Hessian, or the Jacobian or Hessian as a whole."""
    x = names[0]
    target = d.float_name() or cost
    text = d.one_of(
        (
            f"sg.jvp({target}, [{x}], [{x} * 0.5])",
            f"sg.hessian_vector_product({cost}, {x}, {x} * 0.5)",
            f"sg.vjp([{target}], [{x}], [{target} * 0.5])[0]",
        )
    )
    small = d.values[target].size * d.values[x].size < 40
    if small and d.chance(0.3):
        text = d.one_of((f"sg.jacobian({target}, {x})", f"sg.hessian({cost}, {x})"))
    name = d.fresh("g")
    d.add_instruction(f"{name} = {text}", [name], untold=True)
