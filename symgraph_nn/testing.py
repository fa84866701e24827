"""Nets drawn at random: all layers, sizes from one, masks, states, losses, rules, several calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from symgraph.testing import Program
from symgraph.testing.draw.drawer import Drawer
from symgraph.testing.program import Input

__all__ = ["draw_net", "random_nets"]

_UNITS = (1, 1, 2, 3, 5, 8)
_LENGTHS = (0, 1, 2, 3, 5, 8)
_ACTIVATIONS = ("None", "sg.tanh", "sg.sigmoid", "sg.relu", "sg.softplus")
_RULES = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", "adamw")
_RULES += ("adamax", "amsgrad")
# A cell of a user's own, with one parameter that is used twice in a step.
_CELL = """class Cell(nn.Module):
    def __init__(self, n_in, n_units, rng, dtype):
        self.n_units, self.dtype = n_units, dtype
        self.inner = nn.Dense(n_in, n_units, rng=rng, dtype=dtype)
        self.U = sg.shared(numbers((n_units, n_units), dtype, rng, -1, 1), 'U')
    def initial_state(self, batch):
        return sg.zeros((batch, self.n_units), dtype=self.dtype)
    def step(self, x_t, state):
        new = sg.tanh(self.inner(x_t) + state @ self.U)
        return (new @ self.U.T), new"""


class _Net:
    """A net in the making: its lines, its layers and its last value."""

    def __init__(self, d: Drawer) -> None:
        self.d = d
        self.dtype = "float32" if d.chance(0.3) else "float64"
        self.lines: list[str] = []
        self.layers: list[str] = []
        self.inputs: list[Input] = []
        self.options = f", rng={d.integer(0, 9)}, dtype={self.dtype!r}"

    def declare(self, name: str, axes: Sequence[int | str], dtype: str, low: int, high: int) -> str:
        """The name of a new input."""
        seed = self.d.integer(0, 99)
        self.inputs.append(Input(name, tuple(axes), dtype, seed, low, high))
        return name

    def layer(self, text: str) -> str:
        """The name of a new layer."""
        name = self.d.fresh("layer")
        self.lines.append(f"{name} = {text}")
        self.layers.append(name)
        return name

    def value(self, text: str) -> str:
        """The name of a new value."""
        name = self.d.fresh("y")
        self.lines.append(f"{name} = {text}")
        return name


def _dense(net: _Net, x: str, n_in: int, n_units: int, activation: str | None = None) -> str:
    activation = activation or net.d.one_of(_ACTIVATIONS)
    bias = ", bias=None" if net.d.chance(0.2) else ""
    layer = net.layer(f"nn.Dense({n_in}, {n_units}, {activation}{bias}{net.options})")
    return net.value(f"{layer}({x})")


def _between(net: _Net, x: str, n: int) -> str:
    """A layer that keeps the shape, or none."""
    d = net.d
    training = d.one_of(("True", "False"))
    kind = d.one_of(("none", "none", "dropout", "layer", "batch", "residual"))
    if kind == "dropout":
        layer = net.layer(f"nn.Dropout(0.5, rng={d.integer(0, 9)})")
        return net.value(f"{layer}({x}, training={training})")
    if kind == "layer":
        return net.value(f"{net.layer(f'nn.LayerNorm({n}, dtype={net.dtype!r})')}({x})")
    if kind == "batch":
        layer = net.layer(f"nn.BatchNorm({n}, dtype={net.dtype!r})")
        return net.value(f"{layer}({x}, training={training})")
    if kind == "residual":
        return net.value(f"{x} + {_dense(net, x, n, n)}")
    return x


def _cell(net: _Net, n_in: int, n_units: int) -> str:
    """The expression of a cell."""
    kind = net.d.one_of(("RNN", "LSTM", "GRU", "own"))
    if kind == "own":
        if _CELL not in net.lines:
            net.lines.append(_CELL)
        return f"Cell({n_in}, {n_units}{net.options})"
    extra = ", peepholes=True" if kind == "LSTM" and net.d.chance(0.3) else ""
    return f"nn.{kind}Cell({n_in}, {n_units}{extra}{net.options})"


def _recurrent(net: _Net, x: str, n_in: int, mask: str | None) -> tuple[str, int]:
    """The value of a recurrent layer, and its number of features."""
    d = net.d
    n = d.one_of(_UNITS)
    argument = f", mask={mask}" if mask else ""
    if d.chance(0.3):
        m = d.one_of(_UNITS)
        cells = _cell(net, n_in, n), _cell(net, n_in, m)
        layer = net.layer(f"nn.Bidirectional({cells[0]}, {cells[1]})")
        return net.value(f"{layer}({x}{argument})"), n + m
    reverse = ", reverse=True" if d.chance(0.3) else ""
    layer = net.layer(f"nn.Recurrent({_cell(net, n_in, n)}{reverse})")
    if d.chance(0.3):
        y, state = d.fresh("y"), d.fresh("s")
        net.lines.append(f"{y}, {state} = {layer}({x}{argument}, return_state=True)")
        if d.chance(0.5):  # the state of one call goes into the next one
            return net.value(f"{layer}({x}{argument}, state={state}) + {y}"), n
        return y, n
    return net.value(f"{layer}({x}{argument})"), n


def _sequence(net: _Net) -> tuple[str, int, list[int | str], str | None]:
    """A net over [time, batch, features]: its value, features, leading axes and mask."""
    d = net.d
    leading: list[int | str] = [d.one_of(("T", "?T")), d.one_of(("B", "?B"))]
    n = d.one_of(_UNITS)
    mask = None
    if d.chance(0.4):
        mask = net.declare("mask", leading, "bool", 0, 1)
        if d.chance(0.3):
            mask = net.value(f"sg.cast({mask}, {net.dtype!r})")
    if d.chance(0.25):
        ids = net.declare("ids", leading, "int64", 0, n - 1)
        m = d.one_of(_UNITS)
        y, n = net.value(f"{net.layer(f'nn.Embedding({n}, {m}{net.options})')}({ids})"), m
    else:
        y = net.declare("x", [*leading, n], net.dtype, -2, 2)
    for _ in range(d.integer(1, 2)):
        y, n = _recurrent(net, y, n, mask)
        y = _between(net, y, n)
    if d.chance(0.3):
        return net.value(f"{y}[-1]"), n, leading[1:], None
    return y, n, leading, mask


def _filters(net: _Net) -> tuple[str, int, list[int | str], str | None]:
    """A net of convolutions, then flat or averaged: its value, features and leading axes."""
    d = net.d
    n, m, axes = d.one_of((1, 2, 3)), d.one_of(_UNITS), d.integer(1, 2)
    size = d.one_of((1, 2, 3))
    x = net.declare("x", ["B", *[d.one_of((3, 5, 8))] * axes, n], net.dtype, -2, 2)
    options = f", stride={d.integer(1, 2)}, padding={d.one_of(('valid', 'same'))!r}"
    activation = d.one_of(_ACTIVATIONS)
    layer = net.layer(f"nn.Conv{axes}D({n}, {m}, {size}, {activation}{options}{net.options})")
    y = _between(net, net.value(f"{layer}({x})"), m)
    if d.chance(0.4) and size == 1:
        y = net.value(f"{net.layer(f'nn.MaxPool{axes}D(2)')}({y})")
    return net.value(f"sg.mean({y}, axis={tuple(range(1, axes + 1))})"), m, ["B"], None


def _plain(net: _Net) -> tuple[str, int, list[int | str], str | None]:
    """A net of dense layers."""
    d = net.d
    n = d.one_of(_UNITS)
    y = net.declare("x", ["B", n], net.dtype, -2, 2)
    for _ in range(d.integer(1, 3)):
        m = d.one_of(_UNITS)
        y, n = _between(net, _dense(net, y, n, m), m), m
    return y, n, ["B"], None


def _loss(net: _Net, y: str, n: int, leading: Sequence[int | str], mask: str | None) -> str:
    """The name of the loss."""
    d = net.d
    classes = d.one_of(_UNITS)
    y = _dense(net, y, n, classes, "None")
    argument = f", {mask}" if mask else ""
    kind = d.one_of(("squared_error", "cross_entropy", "binary_cross_entropy"))
    if kind == "cross_entropy":
        target = net.declare("target", leading, "int64", 0, classes - 1)
    else:
        target = net.declare("target", [*leading, classes], net.dtype, 0, 1)
    net.lines.append(f"loss = nn.{kind}({y}, {target}{argument})")
    return y


def _update(net: _Net) -> bool:
    """Whether there is an update rule; the lines of one."""
    d = net.d
    if d.chance(0.2):
        return False
    params = " + ".join(f"{layer}.params" for layer in net.layers)
    rule = d.one_of(_RULES)
    if d.chance(0.2):
        net.lines.append(f"params = {params}")
        grads = "nn.clip_norm(sg.grad(loss, params), 1.0)"
        net.lines.append(f"rule = nn.{rule}({grads}, params, 0.01)")
    else:
        net.lines.append(f"rule = nn.{rule}(loss, {params}, 0.01)")
        if d.chance(0.3) and rule in ("sgd", "adam", "rmsprop"):
            modifier = d.one_of(("apply_momentum", "apply_nesterov"))
            net.lines.append(f"rule = nn.{modifier}(rule, momentum=0.9)")
    return True


def draw_net(seed: int | Sequence[int]) -> Program:
    """The net of this seed with a loss, gradients or an update rule, and a few calls."""
    d = Drawer(seed)
    net = _Net(d)
    make = d.one_of((_sequence, _filters, _plain), (6, 2, 2))
    y, n, leading, mask = make(net)
    outputs = [_loss(net, y, n, leading, mask), "loss"]
    rules = ("rule",) if _update(net) else ()
    floats = [x.name for x in net.inputs if x.name == "x"]
    if floats and (not rules or d.chance(0.3)):
        net.lines.append("g, = sg.grad(loss, [x])")
        outputs.append("g")
    calls = [{"T": d.one_of(_LENGTHS), "B": d.one_of(_UNITS)} for _ in range(d.integer(1, 3))]
    return Program(
        tuple(net.inputs),
        tuple(net.lines),
        tuple(outputs),
        rules=rules,
        calls=tuple(calls),
        threads=2 if d.chance(0.15) else 1,
        label=f"seed {seed}",
    )


def random_nets(seed: int, count: int, *, first: int = 0) -> Iterator[Program]:
    """Nets with losses and update rules, always the same for the same seed."""
    for i in range(first, first + count):
        yield draw_net([seed, i, 3])
