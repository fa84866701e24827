"""Nodes that Python computes in the middle of a program, by an op's own ``evaluate``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ....core.binding import shape_numbers
from ....core.dims import Atom, Dim
from ....core.errors import CallError, IndexRangeError, SymgraphError
from ....core.origins import call_in_steps
from ....core.variable import Variable
from ....ops.sizes import size_of
from ...numpy import reference_call
from ...plan import Operand, call_of, in_step
from ...plan import explained as explained_error
from ..lowering.program import PythonNode, PythonResult, Turn
from ..machine.frame import Frame, Status
from .call_memory import array_at

__all__ = ["PythonNodes", "error_of", "error_on_shapes", "in_steps"]


class PythonNodes:
    """The nodes of one program; what they make lives until the call ends."""

    def __init__(self, nodes: Sequence[PythonNode], n_slots: int) -> None:
        calls = [reference_call(each.node) for each in nodes]
        arrays: dict[int, list[np.ndarray]] = {}
        errors: dict[int, Exception] = {}

        # A closure and no method: nothing that it holds may hold it.
        def run(address: int, number: int) -> int:
            each = nodes[number]
            frame = Frame(array_at(address, [n_slots], (1,), np.dtype(np.int64)))
            try:
                with np.errstate(all="ignore"):
                    values = calls[number](*_inputs(each, frame))
                values = values if isinstance(values, tuple) else (values,)
                for result in each.results:
                    _store(result, frame, np.asarray(values[result.number]), arrays[address])
            except Exception as error:
                errors[address] = _complete_error(error, each, frame)
                return Status.PYTHON
            return 0

        self._run = run
        self._arrays = arrays
        self._errors = errors
        self.address = id(run)
        """Of the function that programs call; it lives as long as this."""

    def begin(self, address: int) -> None:
        """A call with the frame at this address begins."""
        self._arrays[address] = []

    def end(self, address: int) -> None:
        """The call is over."""
        del self._arrays[address]
        self._errors.pop(address, None)

    def error(self, address: int) -> Exception:
        """What a node raised in the call."""
        return self._errors[address]


def _inputs(each: PythonNode, frame: Frame) -> list[np.ndarray]:
    return [
        array_at(
            frame[x.base],
            [frame[s] for s in x.shape],
            [frame[s] for s in x.strides],
            x.dtype,
        )
        for x in each.inputs
    ]


def _store(target: PythonResult, frame: Frame, array: np.ndarray, arrays: list) -> None:
    if target.strides is not None:
        numbers = [frame[s] for s in target.shape]
        if list(array.shape) != numbers:
            raise CallError(f"the result has shape {array.shape}; {tuple(numbers)} is expected")
        strides = [frame[s] for s in target.strides]
        array_at(frame[target.base], numbers, strides, target.dtype)[...] = array
        return
    array = np.array(array, target.dtype, order="C")
    arrays.append(array)
    frame[target.base] = array.__array_interface__["data"][0]
    for slot, size in zip(target.shape, array.shape, strict=True):
        if slot >= 0:
            frame[slot] = size


def _complete_error(error: Exception, each: PythonNode, frame: Frame) -> Exception:
    """The error as symgraph's own: the op, its operands, the user's line, the step of each loop."""
    operands = [Operand(x.dtype, tuple(frame[s] for s in x.shape)) for x in each.inputs]

    def tell() -> Exception:
        told = explained_error(error, each.node, operands)
        told.__cause__ = error
        return told

    return in_steps(tell, each.loops, frame)


def in_steps(tell: Callable[[], Exception], loops: Sequence[Turn], frame: Frame) -> Exception:
    """The error that ``tell()`` gives within these loops, with the step that each was in."""
    return call_in_steps([loop for _, loop, _ in loops], lambda: _in_steps(tell(), loops, frame))


def _in_steps(error: Exception, loops: Sequence[Turn], frame: Frame) -> Exception:
    if not isinstance(error, SymgraphError):
        return error
    cause = error.__cause__
    for slot, loop, first in reversed(loops):
        number = 0 if first is None else int(array_at(frame[first], (), (), np.dtype("int64")))
        error = in_step(error, number + frame[slot], loop)
    error.__cause__ = cause
    return error


def error_on_shapes(node: Variable, sizes: Mapping[Atom, int]) -> Exception:
    """What the op says of operands with the shapes that it was given; elements do not matter."""
    try:
        call_of(node)(*_stand_ins(node, sizes))
    except Exception as error:
        return explained_error(error, node, _operands(node, sizes))
    return CallError(f"{node.op.name}: sizes do not fit")


def error_of(
    node: Variable,
    error: type[SymgraphError],
    text: str,
    sizes: Mapping[Atom, int],
    place: tuple[int, ...] = (),
) -> Exception:
    """An error of the node with this text, its operands and the user's line; ``place``: of an index
    that is out of range, in the indices."""
    bare = error(text)
    if isinstance(bare, IndexRangeError):
        bare.place = place
    return explained_error(bare, node, _operands(node, sizes))


def _operands(node: Variable, sizes: Mapping[Atom, int]) -> list[Operand]:
    return [
        Operand(x.dtype, tuple(n or 0 for n in shape_numbers(x.type.shape, sizes)))
        for x in node.inputs
    ]


def _stand_ins(node: Variable, sizes: Mapping[Atom, int]) -> list[np.ndarray]:
    """Arrays of the operands' shapes, whose elements do not matter."""
    stand_ins = []
    for x, operand in zip(node.inputs, _operands(node, sizes), strict=True):
        number = size_of(x) if not x.ndim and x.dtype.kind in "iu" else 0
        if isinstance(number, Dim):
            number = number.evaluate(sizes) or 0
        stand_ins.append(np.broadcast_to(np.asarray(number, x.dtype), operand.shape))
    return stand_ins
