"""Weights from PyTorch and Keras, set in layers of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.errors import SymgraphTypeError, SymgraphValueError

from .conversions import (
    KERAS_LAYERS,
    LAYERS,
    Misfit,
    Roles,
    from_keras,
    from_torch,
    keras_roles,
    neutral,
)
from .foreign_files import SUBLAYERS, keras_weights, order_of, torch_weights
from .recurrent import Recurrent
from .serialise import LoadReport
from .typing import ModuleLike
from .typing import Path as PathLike
from .walk import parts_of, variables_of

__all__ = ["load_keras", "load_torch"]

Convert = Callable[[Any, Roles], dict[str, np.ndarray]]


def load_torch(
    module: ModuleLike,
    source: Mapping[str, Any] | PathLike,
    *,
    names: Mapping[str, str] | None = None,
) -> LoadReport:
    """Set a module's values from a PyTorch ``state_dict``, or a file of one; a report of them.

    ``source``
        A dict of tensors or arrays, a ``.safetensors`` file, or what ``torch.save`` wrote (read
        without PyTorch): a state dict, or a checkpoint with one among other things.
    ``names``
        Theirs → ours, for modules (``{"encoder.rnn": "forward"}``) or single weights
        (``{"head.weight": "out.W"}``; for variables that are in no layer of ours as they are).
        Where there are none, or for the rest, layers are taken in order.

    Dense, Embedding, RNN, LSTM, GRU (both directions and several layers), convolutions, transposed
    ones, norms and attention: products are transposed and both biases of an LSTM or RNN added;
    biases that their recurrent layers lack are zeros, gains of norms ones. A GRU needs
    ``second_bias=True`` unless theirs is zero. Weights that are tied here must be so there. Raises
    `SymgraphValueError`, with all that does not fit, and changes nothing then.

    >>> net = nn.Dense(2, 1)
    >>> nn.load_torch(net, {"fc.weight": np.ones((1, 2), "f"), "fc.bias": np.zeros(1, "f")}).loaded
    ['W', 'b']
    """
    arrays = torch_weights(source)
    groups: dict[str, dict[str, str]] = {}
    for name in arrays:
        layer, role = _torch_place(name, arrays)
        groups.setdefault(layer, {})[role] = name
    loading = _Loading("load_torch", module, arrays, groups, from_torch, order=order_of(source))
    return loading.load(names)


def load_keras(
    module: ModuleLike,
    source: Any,
    *,
    names: Mapping[str, str] | None = None,
) -> LoadReport:
    """Set a module's values from a Keras model, its weights, or a file; a report of them.

    ``source``
        A model or its ``weights``; ``model.get_weights()``; a dict from names (``dense/kernel``) to
        arrays; or a file: ``.keras`` or ``.weights.h5`` of Keras 3, ``.h5`` of Keras 2 (which needs
        h5py).
    ``names``
        Theirs → ours, for layers (``{"encoder": "forward"}``) or single weights, as in
        `load_torch`. Where there are none, or for the rest, layers are taken in order; those of a
        ``.weights.h5`` file, which does not tell their order, by their kinds.

    Layers as in `load_torch`, and ConvLSTM2D for a `ConvLSTMCell`. A GRU of Keras's needs
    ``second_bias=True``, or with ``reset_after=False`` ours ``reset="before"``. Convolutions and
    pools with a stride and ``padding="same"`` pad by the length in Keras and evenly here: pad them
    by hand. Raises `SymgraphValueError`, with all that does not fit, and changes nothing then.

    >>> net = nn.Dense(2, 1)
    >>> nn.load_keras(net, [np.ones((2, 1), "float32"), np.zeros(1, "float32")]).loaded
    ['W', 'b']
    """
    arrays = keras_weights(source)
    loading = _Loading("load_keras", module, {}, {}, from_keras, kinds=KERAS_LAYERS)
    if isinstance(arrays, list):
        loading.take_in_order(arrays)
    else:
        loading.arrays, loading.order = arrays, order_of(source)
        for name in arrays:
            layer, role = _keras_place(name)
            loading.groups.setdefault(layer, {})[role] = name
    return loading.load(names)


# --- names --------------------------------------------------------------------------------------

_RECURRENT = re.compile(r"(weight|bias)_(ih|hh|hr)(?:_l(\d+))?(_reverse)?")


def _torch_place(name: str, names: Iterable[str]) -> tuple[str, str]:
    """The layer of a weight and its role; layers of one recurrent module are numbered."""
    prefix, _, role = name.rpartition(".")
    attention, _, part = prefix.rpartition(".")
    if part == "out_proj" and f"{attention}.in_proj_weight".lstrip(".") in names:
        return attention, f"out_proj.{role}"
    match = _RECURRENT.fullmatch(role)
    if match is None:
        return prefix, role
    kind, product, number, end = match.groups()
    layer = f"{prefix}.l{number}".lstrip(".") if number not in (None, "0") else prefix
    return layer, f"{kind}_{product}{end or ''}"


def _keras_place(name: str) -> tuple[str, str]:
    """The layer of a weight and its role."""
    *places, role = name.split("/")
    if len(places) > 1 and places[-1] in SUBLAYERS:
        return "/".join(places[:-1]), f"{places[-1]}/{role}"
    return "/".join(places), role


# --- loading ------------------------------------------------------------------------------------


def _within(path: str, paths: Iterable[str]) -> list[str]:
    """Those of the paths that are this one or below it."""
    return [p for p in paths if not path or p == path or p.startswith((f"{path}.", f"{path}/"))]


def _is_one_of(kinds: Sequence[type]) -> Callable[[Any], bool]:
    """Whether something is a layer of these kinds, its cell too."""

    def is_layer(value: Any) -> bool:
        cell = getattr(value, "cell", None)
        return type(value) in kinds and (not isinstance(value, Recurrent) or type(cell) in kinds)

    return is_layer


def _listed(groups: Iterable[str]) -> str:
    return ", ".join(name or "the module" for name in groups) or "none"


# Weights that layers share most often.
_KERAS_NAMES = {"kernel": "W", "recurrent_kernel": "U", "embeddings": "W", "bias": "b"}


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _attribute(layer: Any, path: str) -> Any:
    """What stands at a path below the layer; None where that goes through a list or nowhere."""
    for name in path.split("."):
        layer = getattr(layer, name, None)
    return layer


@dataclass
class _Loading:
    """One call: what there is on both sides, and what goes where."""

    function: str
    module: Any
    arrays: dict[str, np.ndarray]
    groups: dict[str, dict[str, str]]
    """By their layers' names the roles of the weights, with the names of these."""
    convert: Convert
    faults: list[str] = field(default_factory=list)
    values: dict[str, np.ndarray] = field(default_factory=dict)
    kinds: Sequence[type] = LAYERS
    """Of which layers the library that the weights come from has counterparts."""
    order: str = "layers"
    """In what order the groups come; see `order_of`."""
    tied: list[tuple[str, sg.Variable, np.ndarray]] = field(default_factory=list)
    """What stands for variables of other layers, and the value that it should have."""

    def __post_init__(self) -> None:
        self.variables = variables_of(self.module)
        self.layers = dict(parts_of(self.module, _is_one_of(self.kinds)))

    def take_in_order(self, arrays: Sequence[np.ndarray]) -> None:
        """Let each layer have as many of the arrays as Keras's layer of its kind lists."""
        roles = [(path, role) for path, layer in self.layers.items() for role in keras_roles(layer)]
        if len(arrays) < len(roles):  # a list has what layers share once
            roles = [(path, role) for path, role in roles if not self._is_tied(path, role)]
        for number, (path, role) in enumerate(roles[: len(arrays)]):
            self.arrays[f"weight {number}"] = arrays[number]
            self.groups.setdefault(path or "the layer", {})[role] = f"weight {number}"
        self.faults += [
            f"weight {number} of shape {array.shape} is left"
            for number, array in enumerate(arrays)
            if number >= len(roles)
        ]

    def _is_tied(self, path: str, role: str) -> bool:
        """Whether a layer has another layer's weights in this role."""
        name = _KERAS_NAMES.get(role, "")
        stands = isinstance(_attribute(self.layers[path], name), sg.Variable)
        return stands and _below(path, name) not in self.variables

    def load(self, names: Mapping[str, str] | None) -> LoadReport:
        """Set all values, or raise."""
        layers, groups = dict(self.layers), dict(self.groups)
        for theirs, ours in self._checked(names).items():
            self._take_named(theirs, ours, layers, groups)
        if layers or groups:
            self._take_rest(layers, groups)
        self._check_tied()
        for path in self.variables:
            if path not in self.values and not self.faults:
                self.faults.append(f"{path} is missing")
        if self.faults:
            raise SymgraphValueError.here(
                f"{self.function}: the weights do not fit {self.module!r}; nothing was changed:"
                "\n    " + "\n    ".join(self.faults),
                remedy="Build the module as the weights need it, or say with names which are "
                "whose.",
            )
        sg.set_values({self.variables[path]: array for path, array in self.values.items()})
        return LoadReport(loaded=list(self.values))

    def _checked(self, names: Mapping[str, str] | None) -> Mapping[str, str]:
        if names is None:
            return {}
        if not isinstance(names, Mapping) or not all(
            isinstance(name, str) for pair in names.items() for name in pair
        ):
            raise SymgraphTypeError.here(
                f"{self.function}: names is a dict from their names to ours, not {names!r}"
            )
        return names

    def _take_named(
        self, theirs: str, ours: str, layers: dict[str, Any], groups: dict[str, dict[str, str]]
    ) -> None:
        """What the user said of a module, or of a single weight."""
        pairs = [_within(theirs, groups), _within(ours, layers)]
        if all(pairs) and len(pairs[0]) == len(pairs[1]):
            for group, path in zip(*pairs, strict=True):
                self._take_layer(group, groups.pop(group), path, layers.pop(path))
        elif theirs in self.arrays and (ours in self.variables or self._owner(ours) is not None):
            self._take_single(theirs, ours, layers, groups)
        elif theirs not in self.arrays and not pairs[0]:
            known = ", ".join(map(repr, [*self.groups, *self.arrays]))
            self.faults.append(f"there is no {theirs!r} among the weights, but {known}")
        else:
            known = ", ".join(map(repr, [*self.layers, *self.variables]))
            self.faults.append(f"{ours!r} of the module does not stand for {theirs!r}: {known}")

    def _owner(self, ours: str) -> str | None:
        """The path of the layer that has a variable, its own or another's, at a path."""
        for path, layer in self.layers.items():
            name = ours.removeprefix(f"{path}." if path else "")
            if _below(path, name) == ours and isinstance(_attribute(layer, name), sg.Variable):
                return path
        return None

    def _take_single(
        self, theirs: str, ours: str, layers: dict[str, Any], groups: dict[str, dict[str, str]]
    ) -> None:
        """One weight: turned as its layer needs it, as it is where it is in no layer."""
        array, path = self.arrays[theirs], self._owner(ours)
        group, role = next(
            (
                (group, r)
                for group, roles in groups.items()
                for r, n in roles.items()
                if n == theirs
            ),
            ("", ""),
        )
        rest = {r: n for r, n in groups.get(group, {}).items() if n != theirs}
        if rest:
            groups[group] = rest
        else:
            groups.pop(group, None)
        if path is None:
            self._take(ours, array, theirs)
            return
        values = self._converted(theirs, self.layers[path], Roles({role: array}))
        name = ours.removeprefix(f"{path}." if path else "")
        self._place(path, name, values.get(name, array), theirs)
        own = [v for v in self.variables if v.startswith(f"{path}." if path else "")]
        if all(v in self.values for v in own) and not self._has_place(rest, self.layers[path]):
            layers.pop(path, None)

    def _has_place(self, names: dict[str, str], layer: Any) -> bool:
        """Whether a layer has something, if only another's, for some of these weights."""
        roles = Roles({role: self.arrays[name] for role, name in names.items()})
        try:
            values = self.convert(layer, roles)
        except (Misfit, ValueError):
            return False
        return any(isinstance(_attribute(layer, name), sg.Variable) for name in values)

    def _take_rest(self, layers: dict[str, Any], groups: dict[str, dict[str, str]]) -> None:
        """The layers that the user did not name, one after the other."""
        if len(layers) != len(groups):
            self.faults.append(
                f"{len(groups)} layers ({_listed(groups)}) for {len(layers)} of ours "
                f"({', '.join(path or repr(layer) for path, layer in layers.items()) or 'none'})"
            )
            return
        if self.order == "names":
            for path in [path for path in layers if path in groups]:
                self._take_layer(path, groups.pop(path), path, layers.pop(path))
        for ours, layer in layers.items():
            theirs = self._next(ours, layer, groups)
            self._take_layer(theirs, groups.pop(theirs), ours, layer)

    def _next(self, ours: str, layer: Any, groups: dict[str, dict[str, str]]) -> str:
        """Whose weights the layer takes: the first ones, or the first that fit."""
        first = next(iter(groups))
        if self.order == "layers":
            return first
        fitting = [name for name in groups if self._fits(groups[name], layer)]
        if self.order == "names" and len({re.sub(r"\d+", "", name) for name in fitting}) > 1:
            self.faults.append(f"{ours} = {layer!r} may be {' or '.join(fitting)}: say with names")
        return next(iter(fitting), first)

    def _fits(self, names: dict[str, str], layer: Any) -> bool:
        """Whether these weights are those of such a layer."""
        trial = replace(self, module=layer, faults=[], values={})
        trial._take_layer("", names, "", layer)
        return not trial.faults and len(trial.values) == len(trial.variables)

    def _take_layer(self, theirs: str, names: dict[str, str], ours: str, layer: Any) -> None:
        """All weights of a layer."""
        if all(role.rpartition("/")[2].isdigit() for role in names):
            names = dict(zip(keras_roles(layer), names.values(), strict=False))
        roles = Roles({role: self.arrays[name] for role, name in names.items()})
        label = theirs or "the module"
        values = self._converted(label, layer, roles)
        lacking = neutral(layer) if values else {}
        values |= {path: array for path, array in lacking.items() if path not in values}
        for path, array in values.items():
            self._place(ours, path, array, label)
        for role in roles.surplus:
            self.faults.append(f"{names[role]} has no place in {ours or 'the module'} = {layer!r}")

    def _place(self, path: str, name: str, array: np.ndarray, theirs: str) -> None:
        """A value for what a layer has under a name, its own or another's."""
        ours, own = _below(path, name), _attribute(self.layers[path], name)
        if isinstance(own, sg.Variable) and ours not in self.variables:
            self.tied.append((ours, own, array))
        else:
            self._take(ours, array, theirs)

    def _check_tied(self) -> None:
        """Note as a fault where tied weights would not have the values that theirs have."""
        new = {self.variables[path]: array for path, array in self.values.items()}
        for path, own, array in self.tied:
            value = sg.substitute(own, {v: sg.constant(a) for v, a in new.items()}).eval()
            if not np.array_equal(value, array):
                self.faults.append(f"{path} is tied to another layer's weights; theirs is not")

    def _converted(self, theirs: str, layer: Any, roles: Roles) -> dict[str, np.ndarray]:
        try:
            return self.convert(layer, roles)
        except (Misfit, ValueError) as error:
            self.faults.append(f"{theirs} does not fit {layer!r}: {error}")
            return {}

    def _take(self, ours: str, array: np.ndarray, theirs: str) -> None:
        """A value for a variable of ours, if it has its shape and a dtype that it holds."""
        variable = self.variables.get(ours)
        if variable is None:
            self.faults.append(f"{theirs}: {ours} is not known")
            return
        shape = variable.get_value().shape
        if ours in self.values:
            self.faults.append(f"{ours} is given twice, by {theirs} as well")
        elif array.shape != shape:
            self.faults.append(f"{ours} has shape {shape}, {theirs} gives {array.shape}")
        elif not np.can_cast(array.dtype, variable.dtype, "safe"):
            self.faults.append(f"{ours} has dtype {variable.dtype}, {theirs} gives {array.dtype}")
        else:
            self.values[ours] = array.astype(variable.dtype)
