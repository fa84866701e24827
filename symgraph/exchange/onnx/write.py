"""`export_onnx`: what was built, as a model of ONNX."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..._version import __version__
from ...compile.program import In
from ...core.errors import ExchangeError, SymgraphTypeError
from ...core.flags import check_flags
from ...core.graph import Graph
from ...core.shared import SharedVariable
from ...core.types import TensorType
from ...core.variable import Variable
from ..subject import Exportable, Subject, subject_of
from ..templates.lower import Lowerings, lower_ops
from . import library
from .modules import Modules, with_modules
from .needed import made_by, rename
from .weights import Folding
from .write_file import check_model, is_large, save_model
from .write_passes import Options, rewritten
from .writer import Model, Value, Writer, declared

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

__all__ = ["export_onnx"]

LOWEST_OPSET = 18
"""Reductions take their axes as an input from this version on."""


def export_onnx(
    what: Exportable,
    path: str | os.PathLike[str] | None = None,
    *,
    inputs: Sequence[Variable | In] | None = None,
    opset: int = 21,
    fused: bool = True,
    modules: Modules = (),
    lower: Lowerings | None = None,
    check: bool = True,
) -> ModelProto:
    """The model, which is written to a file where a path is given.

    One of more than 2 GiB has its tensors in a file beside it, ``NAME.data``.

    ``what``
        A compiled function, a variable, a list or dict of variables, or a module (or another
        callable), which is called on ``inputs``.
    ``inputs``
        The inputs of variables and modules; variables have those that they depend on where this is
        left out.
    ``opset``
        The version of ONNX's ops.
    ``fused``
        Whether a loop that is an LSTM, a GRU or a plain recurrent layer goes out as that op, two of
        them over one sequence in both directions as one. onnxruntime runs these faster than loops,
        but for a plain recurrent layer on large batches. It ends the process where it is given an
        LSTM and a batch of none.
    ``modules``
        Modules of which each call goes out as one node, of a local function; ``"all"`` for all that
        are called within what is exported, or a layer that is all of it. Composites always do.
    ``lower``
        For ops, composites and functions by name rules ``rule(*inputs, **params)`` that give the
        same in terms of others, as `rewrite_graph` takes them: what a target does not run.
    ``check``
        Whether onnx's own checker looks at the model, which it does with inferred shapes.

    Named sizes are sizes of that name in the model, for its outputs too. Shared variables are
    initialisers under their names; those that are updated are inputs besides, whose default is the
    present value, and their new values are outputs under the name ``…_next``. So one training step
    is a model, which is called with the state that the call before returned.

    Loops go out as Scan, or as Loop where `until` may end them, and are never unrolled; where there
    may be no step, If stands around them, since onnxruntime's Scan takes no empty sequences. Nodes
    of recurrent layers stand at the top level for all sizes.

    Raises `ExchangeError` for what ONNX cannot say, with the op and the user's line.

    >>> x = sg.tensor("x", ("T", 3))
    >>> model = sg.export_onnx(sg.tanh(x).sum(axis=0))
    >>> [node.op_type for node in model.graph.node]
    ['Tanh', 'ReduceSum']
    """
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise SymgraphTypeError.here(f"path is that of a file, a str or a Path, not {path!r}")
    check_flags("export_onnx", fused=fused, check=check)
    subject = subject_of(what, inputs)
    model = Model(_check_opset(opset))
    ends = _Ends(model, subject)
    graph = Graph([*subject.inputs.values(), *subject.shared.values()], subject.results)
    if modules:
        graph = with_modules(graph, modules)
    if lower is not None:
        graph = Graph(graph.inputs, lower_ops(graph.outputs, lower))
    fold = Folding([subject.shared[name] for name in subject.updates])
    graph = rewritten(graph, fold, options=Options(opset, fused, frozenset(lower or ())))
    w = Writer(model, graph)
    ends.define_inputs(w)
    ends.define_folded(w, fold.more)
    ends.write_outputs(w, graph.outputs)
    w.nodes[:0] = model.constant_nodes
    onnx = library.onnx
    proto = onnx.helper.make_model(
        w.graph(subject.name, ends.inputs, ends.outputs, [*ends.shared, *model.initialisers]),
        functions=[*model.functions.values()],
        producer_name="symgraph",
        producer_version=__version__,
        opset_imports=[
            onnx.helper.make_opsetid(domain, version)
            for domain, version in {"": model.opset, **model.domains}.items()
        ],
    )
    proto.ir_version = onnx.helper.find_min_ir_version_for([*proto.opset_import], True)
    large = is_large(proto)
    if check and not large:
        check_model(proto)
    if path is not None:
        save_model(proto, Path(path))
        if check and large:
            check_model(Path(path))
    return proto


def _check_opset(opset: int) -> int:
    newest = library.onnx.defs.onnx_opset_version()
    if isinstance(opset, bool) or not isinstance(opset, int) or not LOWEST_OPSET <= opset <= newest:
        raise ExchangeError.here(
            f"opset is an int from {LOWEST_OPSET} to {newest}, which the onnx package has; found "
            f"{opset!r}"
        )
    return opset


class _Ends:
    """The inputs and outputs of the model, and its shared variables among them."""

    def __init__(self, model: Model, subject: Subject) -> None:
        self._subject = subject
        model.names.update((*subject.inputs, *subject.shared, *subject.outputs))
        self._next = {name: model.unique(f"{name}_next") for name in subject.updates}
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []
        self.shared = [
            library.onnx.numpy_helper.from_array(v.get_value(), name)
            for name, v in subject.shared.items()
        ]

    @property
    def names(self) -> list[str]:
        """The names of the outputs, then of the new values of shared variables."""
        return [*self._subject.outputs, *self._next.values()]

    def define_inputs(self, w: Writer) -> None:
        """Let the inputs be values: shared variables that are updated are inputs too."""
        for name, v in (*self._subject.inputs.items(), *self._subject.shared.items()):
            w.define(v, Value(name, v.dtype))
            if name in self._subject.inputs or name in self._subject.updates:
                self.inputs.append(declared(name, v.type))

    def define_folded(self, w: Writer, folded: Iterable[Variable]) -> None:
        """Let what has come in the place of shared variables have the names of these."""
        needed, subject = set(w.program.nodes), self._subject
        unread = {name for name, v in subject.shared.items() if v not in needed}
        unread -= subject.updates.keys()
        w.model.names -= unread
        self.shared = [tensor for tensor in self.shared if tensor.name not in unread]
        for v in folded:
            if v in needed and isinstance(v, SharedVariable):
                w.define(v, w.initialiser(v.get_value(), v.name or "weights"))

    def write_outputs(self, w: Writer, outputs: Sequence[Variable]) -> None:
        """Write all that is needed, and let the outputs have their names."""
        w.wanted = dict(zip(reversed(outputs), reversed(self.names), strict=True))
        w.write(outputs)
        own: dict[str, str] = {}
        for name, v, built in zip(self.names, outputs, self._subject.results, strict=True):
            assert isinstance(built.type, TensorType)
            value = w.value(v)
            if value.name == name:
                pass
            elif value.name in made_by(w.nodes) - own.keys() - set(self.names):
                own[value.name] = name
            else:
                w.emit_several("Identity", [value], [v.dtype], exactly=[name])
            self.outputs.append(declared(name, built.type))
        rename(w.nodes, own)
