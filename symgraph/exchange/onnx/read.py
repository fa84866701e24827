"""ONNX models as variables: `import_onnx`, and the `Imported` that it returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.annotations import ArrayLike
from ...core.dims import fresh_size
from ...core.errors import ExchangeError, ShapeError, SymgraphError, SymgraphTypeError
from ...core.flags import check_flags
from ...core.graph import substitute
from ...core.shared import SharedVariable
from ...core.types import size_from, tensor_type
from ...core.values import array_for
from ...core.variable import Variable, make_input
from ...ops.promotion import as_variable as variable_of
from . import read_tables
from .limits import Budget
from .load import LoadedModel, ModelSource, load_model
from .read_dtypes import DTYPES_BY_NUMBER, name_of_dtype
from .read_node import Model, Place
from .read_scope import Scope
from .read_values import Parameter, Value, as_variable, unsupported

if TYPE_CHECKING:
    from onnx import GraphProto, ValueInfoProto

__all__ = ["Imported", "import_onnx"]

assert read_tables  # which fills the registry of ops


class Imported:
    """An ONNX model as expressions of its inputs and shared variables; called like a module.

    >>> import onnx.helper as oh
    >>> ends = [oh.make_tensor_value_info(name, 1, ["B", 2]) for name in "xy"]
    >>> graph = oh.make_graph([oh.make_node("Tanh", ["x"], ["y"])], "g", ends[:1], ends[1:])
    >>> model = sg.import_onnx(oh.make_model(graph).SerializeToString())
    >>> x = sg.matrix("x")
    >>> model(x).eval({x: [[0.0, 0.5]]})
    array([[0.        , 0.46211717]], dtype=float32)
    """

    def __init__(
        self,
        inputs: Mapping[str, Variable],
        outputs: Mapping[str, Variable],
        params: Mapping[str, SharedVariable],
    ) -> None:
        self.inputs: dict[str, Variable] = dict(inputs)
        """The model's inputs by name, but for those whose values were given."""
        self.outputs: dict[str, Variable] = dict(outputs)
        """The expressions of the model's outputs by name."""
        self.params: dict[str, SharedVariable] = dict(params)
        """What was stored as floats in the model and is computed with, by name."""

    def __call__(self, *inputs: ArrayLike, **by_name: ArrayLike) -> Any:
        """The output on these inputs, in the model's order or by name; a tuple of several."""
        given = self._given(inputs, by_name)
        results = substitute(list(self.outputs.values()), given)
        return results[0] if len(results) == 1 else tuple(results)

    def _given(
        self, inputs: tuple[ArrayLike, ...], by_name: Mapping[str, ArrayLike]
    ) -> dict[Variable, Variable]:
        names = list(self.inputs)
        values = dict(zip(names, inputs, strict=False)) | dict(by_name)
        twice = len(values) != len(inputs) + len(by_name)
        if twice or values.keys() != self.inputs.keys():
            raise ExchangeError.here(
                f"the ONNX model is called on {', '.join(names) or 'no inputs'}; found "
                f"{len(inputs)} inputs" + (f" and {', '.join(by_name)}" if by_name else "")
            )
        return {self.inputs[name]: variable_of(value) for name, value in values.items()}

    def __repr__(self) -> str:
        inputs = ", ".join(f"{name}: {v.type}" for name, v in self.inputs.items())
        outputs = ", ".join(f"{name}: {v.type}" for name, v in self.outputs.items())
        return f"<Imported ({inputs}) -> ({outputs}), {len(self.params)} parameters>"


def import_onnx(
    path_or_bytes: ModelSource,
    *,
    known: Mapping[str, ArrayLike] | None = None,
    trainable: bool = True,
    folder: str | PathLike[str] | None = None,
) -> Imported:
    """The ONNX model of a file, or of its bytes, as expressions that train on.

    Tensors of floats that the model stores become shared variables under their names (also what
    its normalisations counted while it was trained); integers and scalars are constants, and with
    ``trainable=False`` the floats are as well. What is an input too is a shared variable in any
    case, such as an optimiser's count of steps. Sizes that the model names are named sizes.
    ``known`` gives inputs their values, by name: an array where a shape depends on its elements,
    such as the axes of a reduction, or a variable in place of the input. Tensors that are stored in
    other files are read below ``folder`` alone, by default that of the file.

    >>> import onnx.helper as oh
    >>> ends = [oh.make_tensor_value_info(name, 1, ["B", 2]) for name in "xy"]
    >>> graph = oh.make_graph([oh.make_node("Abs", ["x"], ["y"])], "g", ends[:1], ends[1:])
    >>> sg.import_onnx(oh.make_model(graph).SerializeToString()).inputs
    {'x': <x: float32[B, 2]>}

    What cannot be read is an `ExchangeError` that names the op, the node and the reason.
    """
    check_flags("import_onnx", trainable=trainable)
    loaded = load_model(path_or_bytes, folder=folder)
    graph = loaded.graph
    scope, parameters = _outermost(loaded, trainable)
    stored = {tensor.name for tensor in graph.initializer}
    declared = [info for info in graph.input if info.name not in stored]
    given = _checked(known)
    _refuse_unknown_names(given, [info.name for info in declared])
    try:
        inputs = _read(scope, graph, declared, given, _named_sizes())
    except ExchangeError as error:
        if not isinstance(error.__cause__, ShapeError):
            raise
        # Some exporters name every size anew, where the same size is meant.
        scope.values.clear()
        scope.model.budget = Budget()
        try:
            inputs = _read(scope, graph, declared, given, _nameless_sizes())
        except ExchangeError:
            raise error from error.__cause__
    outputs = {
        result.name: as_variable(scope.read(result.name), f"output {result.name!r}")
        for result in graph.output
    }
    params = {p.name: p.shared for p in parameters.values() if p.shared is not None}
    return Imported(inputs, outputs, params)


def _outermost(
    loaded: LoadedModel,
    trainable: bool,  # noqa: FBT001
) -> tuple[Scope, dict[tuple[Place, str], Parameter]]:
    """The scope of a model's graph, and the dict that its parameters will be in."""
    parameters: dict[tuple[Place, str], Parameter] = {}
    names: Counter[str] = Counter()

    def initialiser(tensor: Any, place: Place, name: str) -> Value:
        if (place, name) in parameters:  # of a body that is read again
            return parameters[place, name]
        array = loaded.array(tensor)
        is_state = not place and name in loaded.states
        if not is_state and (not trainable or array.dtype.kind != "f" or array.ndim == 0):
            return array
        unique = f"{name}_{names[name]}" if names[name] else name
        names[name] += 1
        return parameters.setdefault((place, name), Parameter(unique, array))

    model = Model(loaded.functions, initialiser, loaded.array, loaded.budget)
    return Scope(model, loaded.opsets), parameters


def _checked(known: Any) -> dict[str, Any]:
    if known is not None and not isinstance(known, Mapping):
        raise SymgraphTypeError.here(
            f"known is a dict of values by the names of inputs, not {known!r}",
            remedy='Write known={"axes": np.array([0, 1])}.',
        )
    return dict(known or {})


def _refuse_unknown_names(given: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in given:
        if name not in names:
            raise ExchangeError.here(
                f"known: the ONNX model has no input {name!r}",
                remedy=f"Its inputs are {', '.join(names) or 'none'}.",
            )


def _read(
    scope: Scope,
    graph: GraphProto,
    declared: list[ValueInfoProto],
    given: Mapping[str, Any],
    size_for: Callable[[str], Any],
) -> dict[str, Variable]:
    """The inputs by name, once the scope has read the graph."""
    inputs: dict[str, Variable] = {}
    for info in declared:
        if info.name in given:
            scope.values[info.name] = _known(info, given[info.name])
        else:
            inputs[info.name] = scope.values[info.name] = _input(info, size_for)
    scope.read_graph(graph)
    return inputs


# --- inputs -------------------------------------------------------------------------------------


def _known(info: ValueInfoProto, value: Any) -> Value:
    """The value that the user gives an input, in the dtype that the model declares."""
    tensor = info.type.tensor_type
    dtype = DTYPES_BY_NUMBER.get(tensor.elem_type)
    if not isinstance(value, Variable):
        value = np.asarray(value)
        if dtype is not None:
            try:
                value = array_for(value, dtype, f"known[{info.name!r}]")
            except SymgraphError as error:
                raise ExchangeError(str(error)) from None
    elif dtype is not None and value.dtype != dtype:
        raise ExchangeError.here(f"known: input {info.name!r} is {dtype}, not {value.dtype}")
    ndim = len(tensor.shape.dim) if tensor.HasField("shape") else value.ndim
    if isinstance(value, np.ndarray) and value.size == 1:
        return value.reshape([1] * ndim)
    if ndim != value.ndim:
        raise ExchangeError.here(f"known: input {info.name!r} has {ndim} axes, not {value.ndim}")
    if isinstance(value, np.ndarray):
        _refuse_other_sizes(info, value)
    return value


def _refuse_other_sizes(info: ValueInfoProto, array: np.ndarray) -> None:
    for axis, dim in enumerate(info.type.tensor_type.shape.dim):
        if dim.HasField("dim_value") and array.shape[axis] != dim.dim_value:
            raise ExchangeError.here(
                f"known: axis {axis} of input {info.name!r} has size {dim.dim_value}, "
                f"not {array.shape[axis]}"
            )


def _input(info: ValueInfoProto, size_for: Callable[[str], Any]) -> Variable:
    """The variable for a declared input."""
    kind = info.type.WhichOneof("value")
    if kind != "tensor_type":
        raise ExchangeError.here(
            f"input {info.name!r} of the ONNX model is a {(kind or 'value').split('_')[0]}; "
            "inputs are tensors"
        )
    tensor = info.type.tensor_type
    dtype = DTYPES_BY_NUMBER.get(tensor.elem_type)
    if dtype is None:
        what = f"input {info.name!r} of the ONNX model"
        raise unsupported(name_of_dtype(tensor.elem_type), what)
    if not tensor.HasField("shape"):
        raise ExchangeError.here(
            f"input {info.name!r} of the ONNX model has no number of axes",
            remedy=f"Give it a variable: known={{{info.name!r}: sg.matrix()}}.",
        )
    shape = [_size(dim, size_for) for dim in tensor.shape.dim]
    return make_input(tensor_type(dtype, shape), info.name)


def _size(dim: Any, size_for: Callable[[str], Any]) -> Any:
    kind = dim.WhichOneof("value")
    if kind == "dim_value" and dim.dim_value >= 0:
        return int(dim.dim_value)
    return size_for(dim.dim_param) if kind == "dim_param" and dim.dim_param else fresh_size()


def _named_sizes() -> Callable[[str], Any]:
    """Sizes with their names in the model; those with compound names are equal to each other."""
    others = _nameless_sizes()
    return lambda name: size_from(name) if name.isidentifier() else others(name)


def _nameless_sizes() -> Callable[[str], Any]:
    """Sizes without names, one for each name in the model."""
    found: dict[str, Any] = {}

    def size_for(name: str) -> Any:
        if name not in found:
            found[name] = fresh_size()
        return found[name]

    return size_for
