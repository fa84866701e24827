"""The one node of the graph, and the table that makes equal nodes one object.

A variable is an op applied to variables. It is immutable and weakly interned on
(op, inputs, params): building the same expression twice gives the same object, which makes
common-subexpression elimination, equality and memo keys free. Inputs have smaller serials than
their users, so sorting by serial is a topological order.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import provenance
from .errors import (
    SymbolicValueError,
    SymgraphError,
    SymgraphTypeError,
    UpdateError,
)
from .leaf import Constant, Leaf
from .node import Node
from .op import Op
from .processes import give_lock
from .types import TensorType, Type, tensor_type
from .values import array_for, as_array, brief, weak_kind

__all__ = [
    "CONSTANT",
    "INPUT",
    "ITEM",
    "PARAMETER",
    "SHARED",
    "Constant",
    "Leaf",
    "SharedVariable",
    "Variable",
    "ancestors",
    "constant_value",
    "dump",
    "existing_node",
    "item",
    "load",
    "make_constant",
    "make_input",
    "make_parameter",
    "make_shared",
    "node",
]


class Variable(Node):
    """A symbolic array: the result of ``op`` on ``inputs``. Made by `node` alone.

    Operators and methods (``+``, ``@``, ``[]``, ``.sum``) are attached by
    `symgraph.ops.operators`, so that core knows no op.
    """

    __slots__ = ()

    op: Op
    inputs: tuple[Variable, ...]

    # NumPy arrays must leave mixed arithmetic to us.
    __array_priority__ = 1000

    def __new__(cls, *_args: object, **_kwargs: object) -> Variable:
        raise TypeError("make variables with sg.tensor, sg.constant, sg.shared and operations")

    @property
    def dtype(self) -> np.dtype:
        """The NumPy dtype of the elements."""
        return self.type.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.type.shape)

    @property
    def name(self) -> str | None:
        """The name used in messages, listings and keyword calls."""
        return provenance.name_of(self)

    @name.setter
    def name(self, name: str | None) -> None:
        provenance.set_name(self, name)

    if TYPE_CHECKING:  # what symgraph.ops.operators attaches
        T: Variable
        mT: Variable
        shape: tuple[Any, ...]
        size: Any
        eval: Callable[..., Any]

        def _unary(self) -> Variable: ...
        def _binary(self, other: Any) -> Variable: ...
        def _method(self, *args: Any, **kwargs: Any) -> Variable: ...
        def _tuple(self, *args: Any) -> tuple[Variable, ...]: ...
        def __len__(self) -> int: ...
        def __iter__(self) -> Iterator[Variable]: ...

        __neg__ = __pos__ = __abs__ = __invert__ = copy = _unary
        __add__ = __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = _binary
        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = _binary
        __rpow__ = __matmul__ = __rmatmul__ = __and__ = __rand__ = __or__ = __ror__ = _binary
        __xor__ = __rxor__ = __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = _binary
        __lt__ = __le__ = __gt__ = __ge__ = __getitem__ = _binary
        __divmod__ = __rdivmod__ = nonzero = _tuple
        add_at = all = any = argmax = argmin = argsort = astype = clip = cumprod = cumsum = _method
        diagonal = dot = flatten = max = mean = min = prod = ravel = repeat = reshape = _method
        round = set = sort = squeeze = std = sum = swapaxes = take = trace = transpose = _method
        var = _method

    def __eq__(self, other: object) -> bool:
        """Whether both are one variable; elements are compared by ``sg.eq`` alone."""
        if isinstance(other, Variable):
            return self is other
        if isinstance(other, (int, float, complex, np.generic, np.ndarray, list)) or (
            other and weak_kind(other) is not None
        ):
            raise SymbolicValueError.here(
                f"== and != tell whether two variables are one, and do not compare "
                f"{provenance.describe(self)} with a value: {brief(other)}",
                remedy="sg.eq(x, value) and sg.ne(x, value) compare elements.",
            )
        return NotImplemented

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise SymbolicValueError.here(
            f"the truth of {provenance.describe(self)} is not known while the graph is built",
            remedy="Use sg.where or sg.ifelse to choose, sg.eq to compare elements, "
            "and & | ~ for logic.",
        )

    def __array__(self, *_args: object, **_kwargs: object) -> np.ndarray:
        raise SymbolicValueError.here(
            f"{provenance.describe(self)} is a symbol and has no value to convert to an array",
            remedy="Use variable.eval({input: value}), or compile a function that returns it.",
        )

    def __index__(self) -> int:
        raise self._no_number("an index")

    def __int__(self) -> int:
        raise self._no_number("an int")

    def __float__(self) -> float:
        raise self._no_number("a float")

    def _no_number(self, kind: str) -> SymbolicValueError:
        return SymbolicValueError.here(
            f"{provenance.describe(self)} is a symbol and cannot be used as {kind}",
            remedy="Shapes, slices and arange take symbols as they are; for a number, use "
            "variable.eval().",
        )

    def __repr__(self) -> str:
        return f"<{self.name or self.op.name}: {self.type}>"

    def __copy__(self) -> Variable:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> Variable:
        return _copy_deeply(self, memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return _load_one, dump([self])


class SharedVariable(Variable):
    """A variable with a value that stays between calls; the value is never part of the graph."""

    __slots__ = ("_lock", "_update", "_value")

    _value: np.ndarray
    _lock: Any
    # What `dump` made of the default update: the expression itself is made of this variable, and
    # the table, whose keys hold the inputs of living nodes, would keep both for ever.
    _update: tuple[Any, ...] | None

    @property
    def default_update(self) -> Variable | None:
        """What a compiled function stores here after each call where the user gives no update.

        How a stream of random numbers advances.
        """
        return None if self._update is None else load(*self._update)[0]

    @default_update.setter
    def default_update(self, update: Variable | None) -> None:
        self._update = None if update is None else dump([update])

    def get_value(self) -> np.ndarray:
        """A copy of the value; an array, of no dimensions for a scalar."""
        with self._lock:
            return self._value.copy()

    def set_value(self, value: Any) -> None:
        """Replace the value; another shape, or a dtype that does not fit, is an `UpdateError`."""
        fresh = self.as_new_value(value)
        with self._lock:
            self._value = fresh

    def as_new_value(self, value: Any) -> np.ndarray:
        """A copy of a value that can be stored here; an `UpdateError` where it does not fit."""
        label = f"shared variable {self.name!r}" if self.name else "the shared variable"
        try:
            if weak_kind(value) is None:
                _refuse_other_dtype(label, as_array(value, what=label).dtype, self.dtype)
            given = array_for(value, self.dtype, label)
        except SymgraphTypeError as error:
            raise UpdateError(str(error)) from None
        if given.shape != self._value.shape:
            raise UpdateError.here(
                f"{label} has shape {self._value.shape}; the new value has {given.shape}",
                remedy="Make a new shared variable for another shape.",
            )
        return np.array(given, order="C")

    def __reduce__(self) -> tuple[Any, ...]:
        # The update comes after the variable, for it is made of it.
        return _load_shared, (self.get_value(), self.name), self._update

    def __setstate__(self, update: tuple[Any, ...]) -> None:
        self._update = update

    def __deepcopy__(self, memo: dict[Any, Any]) -> SharedVariable:
        copy = _load_shared(self.get_value(), self.name)
        memo[id(self)] = copy
        update = self.default_update
        if update is not None:
            copy.default_update = _copy_deeply(update, memo)
        return copy


def _refuse_other_dtype(label: str, found: np.dtype, expected: np.dtype) -> None:
    if found != expected:
        raise UpdateError.here(
            f"{label} holds {expected}; the new value is {found}",
            remedy=f"Convert it with .astype('{expected}').",
        )


_serials = itertools.count()


class _Interning:
    """The living nodes by what they are made of, and the lock under which they are added."""

    _lock: Any

    def __init__(self) -> None:
        self.nodes: weakref.WeakValueDictionary[tuple[Any, ...], Variable] = (
            weakref.WeakValueDictionary()
        )
        give_lock(self)


_interning = _Interning()


def node(op: Op, inputs: Sequence[Variable], params: tuple[Any, ...] = ()) -> Variable:
    """The variable ``op(inputs; params)``; the same object for the same arguments."""
    key = (op, tuple(inputs), params)
    found = _interning.nodes.get(key)
    if found is not None:
        return found
    if float in map(type, params):
        raise _float_parameter(op)
    inferred = op.infer(key[1], *params)
    found = _insert(Variable, key, inferred)
    if provenance.is_recorded(traced="traced" in op.traits):
        provenance.record(found)
    return found


def _float_parameter(op: Op) -> SymgraphTypeError:
    return SymgraphTypeError.here(
        f"a parameter of {op.name} is a float: 0.0 and -0.0 would make one node of two",
        remedy="Give the number as an input of the op, with sg.constant.",
    )


def _insert(kind: type[Variable], key: tuple[Any, ...], inferred: Type) -> Variable:
    made = object.__new__(kind)
    made.op, made.inputs, made.params = key
    made.type = inferred
    made.serial = next(_serials)
    with _interning._lock:  # the first one stays, if two threads make the same node
        return _interning.nodes.setdefault(key, made)


# --- leaves -----------------------------------------------------------------------------------


def _infer_leaf(inputs: Sequence[Variable], identity: Any, type: TensorType) -> TensorType:
    return type


def _infer_constant(inputs: Sequence[Variable], value: Constant) -> TensorType:
    return tensor_type(value.array.dtype, value.array.shape)


def _infer_item(inputs: Sequence[Variable], index: int) -> TensorType:
    return inputs[0].type.items[index]


INPUT = Op("input", _infer_leaf, params=("leaf", "type"), traits=frozenset({"leaf", "traced"}))
SHARED = Op("shared", _infer_leaf, params=("leaf", "type"), traits=frozenset({"leaf", "traced"}))
# A numbered input of a closed graph: equal for equal programs.
PARAMETER = Op(
    "parameter",
    lambda inputs, index, depth, type: type,
    params=("index", "depth", "type"),
    traits=frozenset({"leaf"}),
)
CONSTANT = Op(
    "constant",
    _infer_constant,
    evaluate=lambda arrays, value: value.array,
    params=("value",),
    traits=frozenset({"leaf", "view"}),
)


def _vjp_item(item_node: Variable, cotangent: Variable) -> list[Variable | None]:
    raise NotImplementedError("autodiff gathers the cotangents of an op's results itself")


# One result of an op with several.
ITEM = Op(
    "item",
    _infer_item,
    evaluate=lambda arrays, index: arrays[0][index],
    vjp=_vjp_item,
    params=("index",),
    traits=frozenset({"view"}),
)


def make_input(type: TensorType, name: str | None = None) -> Variable:
    """A new free variable, equal to no other one."""
    made = node(INPUT, (), (Leaf(), type))
    if name is not None:
        provenance.set_name(made, name)
    return made


def make_parameter(index: int, depth: int, type: TensorType) -> Variable:
    """The numbered input of a closed graph with so many levels of graphs inside.

    The sizes in a type may stand for values of other variables. With its depth a parameter is
    another variable than those of all graphs inside its own, whose types may speak of it.
    """
    return node(PARAMETER, (), (index, depth, type))


def existing_node(op: Op, inputs: Sequence[Variable], params: tuple[Any, ...]) -> Variable | None:
    """The variable ``op(inputs; params)`` if there is one already."""
    return _interning.nodes.get((op, tuple(inputs), params))


def make_constant(value: Any, dtype: Any = None, *, what: str = "a constant") -> Variable:
    """The variable with this fixed value, copied. Python floats (in lists too) become float32."""
    return node(CONSTANT, (), (Constant(as_array(value, dtype, what)),))


def constant_value(variable: Variable) -> np.ndarray | None:
    """The read-only array of a constant, None for any other variable."""
    return variable.params[0].array if variable.op is CONSTANT else None


def make_shared(value: Any, name: str | None = None) -> SharedVariable:
    """A new shared variable that holds a copy of the value. A Python float becomes float32."""
    if isinstance(value, Variable):
        raise SymgraphTypeError.here(
            f"a shared variable holds an array; {provenance.describe(value)} is a symbol",
            remedy="Evaluate it first, with variable.eval().",
        )
    return _load_shared(as_array(value, what="a shared variable"), name)


def item(variable: Variable, index: int) -> Variable:
    """One result of an op with several results."""
    return node(ITEM, (variable,), (index,))


# --- walks, copies, pickles -------------------------------------------------------------------


def ancestors(outputs: Sequence[Variable]) -> list[Variable]:
    """All variables that the outputs are made of, themselves included, inputs before users."""
    seen = set(outputs)
    stack = list(seen)
    while stack:
        for source in stack.pop().inputs:
            if source not in seen:
                seen.add(source)
                stack.append(source)
    return sorted(seen, key=_serial)


def _serial(variable: Variable) -> int:
    return variable.serial


def dump(variables: Sequence[Variable]) -> tuple[list[Any], list[Any], list[int]]:
    """The graph below variables as flat lists, so that pickle does not recurse; see `load`."""
    order = ancestors(variables)
    position = {v: i for i, v in enumerate(order)}
    records: list[Any] = []
    for v in order:
        if isinstance(v, SharedVariable):
            records.append(v)
        else:
            records.append((v.op, tuple(position[x] for x in v.inputs), v.params, v.name))
    lines = [provenance.lines_of(v) for v in order]
    return records, lines, [position[v] for v in variables]


def load(records: list[Any], lines: list[Any], positions: list[int]) -> list[Variable]:
    """The variables that `dump` wrote down."""
    made: list[Variable] = []
    for record, line in zip(records, lines, strict=True):
        if isinstance(record, Variable):
            made.append(record)
            continue
        op, inputs, params, name = record
        variable = _load_node(op, [made[i] for i in inputs], params)
        _label(variable, name, line)
        made.append(variable)
    return [made[position] for position in positions]


def _label(variable: Variable, name: str | None, lines: tuple[provenance.Line, ...]) -> None:
    if name is not None:
        provenance.set_name(variable, name)
    provenance.set_lines(variable, lines)


def _load_node(op: Op, inputs: Sequence[Variable], params: tuple[Any, ...]) -> Variable:
    try:
        return node(op, inputs, params)
    except SymgraphError:
        # A size that depends on data is another unknown in another process, so that a loop's body
        # may not fit what it is given: made again, it does.
        if op.build is None:
            raise
        return op.build(inputs, *params)


def _load_one(records: list[Any], lines: list[Any], positions: list[int]) -> Variable:
    return load(records, lines, positions)[0]


def _load_shared(value: np.ndarray, name: str | None) -> SharedVariable:
    made = _insert(
        SharedVariable,
        (SHARED, (), (Leaf(), tensor_type(value.dtype, value.shape))),
        tensor_type(value.dtype, value.shape),
    )
    assert isinstance(made, SharedVariable)
    made._value = np.array(value, order="C")
    give_lock(made)
    made._update = None
    provenance.record(made)
    if name is not None:
        provenance.set_name(made, name)
    return made


def _copy_deeply(variable: Variable, memo: dict[Any, Any]) -> Variable:
    """The variable over copies of its shared variables; itself where it has none."""
    order = ancestors([variable])
    copies: dict[Variable, Variable] = {}
    for v in order:
        if isinstance(v, SharedVariable):
            copied = memo.get(id(v))
            copies[v] = v.__deepcopy__(memo) if copied is None else copied
        else:
            inputs = tuple(copies[x] for x in v.inputs)
            copies[v] = v if inputs == v.inputs else _load_node(v.op, inputs, v.params)
            _label(copies[v], v.name, provenance.lines_of(v))
    memo[id(variable)] = copies[variable]
    return copies[variable]
