"""The one node of the graph, and the table that makes equal nodes one object.

A variable is an op applied to variables. It is immutable and weakly interned on
(op, inputs, params): building the same expression twice gives the same object, which makes
common-subexpression elimination, equality and memo keys free. Inputs have smaller serials than
their users, so sorting by serial is a topological order.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from . import provenance
from .errors import SymbolicValueError, SymgraphTypeError
from .interned import InternTable
from .leaf import Constant, Leaf
from .op import Op
from .origins import origins
from .signatures import Signatures
from .types import TensorType, Type, tensor_type
from .values import as_array, brief, weak_kind

__all__ = [
    "CONSTANT",
    "INPUT",
    "ITEM",
    "PARAMETER",
    "Constant",
    "Leaf",
    "Variable",
    "ancestors",
    "constant_value",
    "existing_node",
    "infer_leaf",
    "insert",
    "item",
    "make_constant",
    "make_input",
    "make_parameter",
    "next_serial",
    "node",
    "walk",
]


class Variable(Signatures["Variable"]):
    """A symbolic array: the result of ``op`` on ``inputs``. Made by `node` alone.

    Operators and methods (``+``, ``@``, ``[]``, ``.sum``) are attached by
    `symgraph.ops.operators`, so that core knows no op; `Signatures` tells checkers of them. Equal
    expressions are one object. What needs a number or a truth is a `SymbolicValueError`.

    >>> x = sg.matrix("x")
    >>> x[0].sum() is x[0].sum(), x.ndim, x.dtype
    (True, 2, dtype('float32'))
    """

    __slots__ = ()

    op: Op
    inputs: tuple[Variable, ...]

    # NumPy arrays must leave mixed arithmetic to us.
    __array_priority__: int = 1000

    def __new__(cls, *_args: object, **_kwargs: object) -> NoReturn:
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

    @property
    def notes(self) -> Mapping[Hashable, Any]:
        """What `note` wrote down of this variable, by key."""
        return provenance.notes_of(self)

    def note(self, key: Hashable, value: Any) -> None:
        """Write something down of this variable, under a key of one's own.

        It goes along where the variable is built again on other parts, by `substitute`, a `Graph`,
        copies and pickles. Equal expressions are one object, so they share it. The value must not
        be made of the variable, which would live as long as the note.

        >>> x, y = sg.scalar("x"), sg.scalar("y")
        >>> z = sg.exp(x)
        >>> z.note("unit", "mV")
        >>> sg.substitute(z, {x: y}).notes["unit"]
        'mV'
        """
        provenance.add_note(self, key, value)

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

    if TYPE_CHECKING:

        def __hash__(self) -> int: ...
    else:
        __hash__ = object.__hash__

    def __bool__(self) -> NoReturn:
        raise SymbolicValueError.here(
            f"the truth of {provenance.describe(self)} is not known while the graph is built",
            remedy="Use sg.where or sg.ifelse to choose, sg.eq to compare elements, "
            "and & | ~ for logic.",
        )

    if not TYPE_CHECKING:  # a checker is to find float(x), range(x) and np.asarray(x)

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
        return f"<{self.name or self.op.title_of(self.params)}: {self.type}>"

    def __copy__(self) -> Variable:
        return self


_serials = itertools.count()


def next_serial() -> int:
    """A number between the serials of the variables made before and of those made after."""
    return next(_serials)


_nodes: InternTable[Variable] = InternTable()


def node(op: Op, inputs: Sequence[Variable], params: tuple[Any, ...] = ()) -> Variable:
    """The variable ``op(inputs; params)``; the same object for the same arguments."""
    key = (op, tuple(inputs), params)
    try:
        found = _nodes.get(key)
    except TypeError:
        raise SymgraphTypeError.here(
            f"{op.name} cannot be told apart by its parameters: {brief(params)} are not hashable"
        ) from None
    return insert(Variable, key, _inferred(*key)) if found is None else _written(found)


def _inferred(op: Op, inputs: tuple[Variable, ...], params: tuple[Any, ...]) -> Type:
    """The type that a node has, by the rule of its op."""
    if float in map(type, params):
        raise SymgraphTypeError.here(
            f"a parameter of {op.name} is a float: 0.0 and -0.0 would make one node of two",
            remedy="Give the number as an input of the op, with sg.constant.",
        )
    return op.infer(inputs, *params)


def insert(kind: type[Variable], key: tuple[Any, ...], inferred: Type) -> Variable:
    """The variable of an op, inputs and parameters, of which the type is known."""
    made = object.__new__(kind)
    made.op, made.inputs, made.params = key
    made.type = inferred
    made.serial = next(_serials)
    made.given_name = None
    made.places = ()
    made.is_derived = origins() is not None
    found = _nodes.keep_first(key, made)
    return made if found is made and provenance.recorded() == "none" else _written(found)


def _written(variable: Variable) -> Variable:
    """The variable, which somebody writes just now."""
    if variable.is_derived and origins() is None:
        provenance.claim(variable)
    which, traits = provenance.recorded(), variable.op.traits
    # A parameter or a constant is written by nobody in particular.
    if which != "none" and ("traced" in traits or (which != "traced" and "leaf" not in traits)):
        provenance.record(variable)
    return variable


# --- leaves -----------------------------------------------------------------------------------


def infer_leaf(inputs: Sequence[Variable], identity: Leaf, type: TensorType) -> TensorType:
    return type


def _infer_constant(inputs: Sequence[Variable], value: Constant) -> TensorType:
    return tensor_type(value.array.dtype, value.array.shape)


def _infer_item(inputs: Sequence[Variable], index: int) -> TensorType:
    return inputs[0].type.items[index]


INPUT = Op("input", infer_leaf, params=("leaf", "type"), traits=frozenset({"leaf", "traced"}))
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
    return _nodes.get((op, tuple(inputs), params))


def make_constant(value: Any, dtype: Any = None, *, what: str = "a constant") -> Variable:
    """The variable with this fixed value, copied. Python floats (in lists too) become float32."""
    return node(CONSTANT, (), (Constant(as_array(value, dtype, what)),))


def constant_value(variable: Variable) -> np.ndarray | None:
    """The read-only array of a constant, None for any other variable."""
    return variable.params[0].array if variable.op is CONSTANT else None


def item(variable: Variable, index: int) -> Variable:
    """One result of an op with several results."""
    return node(ITEM, (variable,), (index,))


# --- walks --------------------------------------------------------------------------------------


def ancestors(outputs: Iterable[Variable], stops: Iterable[Variable] = ()) -> list[Variable]:
    """All variables that the outputs are made of, themselves included, inputs before users.

    What only the ``stops`` are made of is left out.
    """
    seen, stops = set(outputs), frozenset(stops)
    stack = list(seen - stops)
    while stack:
        for source in stack.pop().inputs:
            if source not in seen:
                seen.add(source)
                if source not in stops:
                    stack.append(source)
    return sorted(seen, key=_serial)


def walk(outputs: Sequence[Variable], known: Iterable[Variable] = ()) -> list[Variable]:
    """What is known, then what the outputs are made of: operands first, in the order of a walk.

    That order is one for equal graphs, whenever their parts were made.
    """
    done = dict.fromkeys(known)
    stack = [(v, False) for v in reversed(outputs)]
    while stack:
        v, has_operands = stack.pop()
        if v in done:
            continue
        if has_operands:
            done[v] = None
        else:
            stack.append((v, True))
            stack.extend((x, False) for x in reversed(v.inputs) if x not in done)
    return list(done)


_serial = attrgetter("serial")
