"""`export_python`: a program as a file of readable source."""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...compile.program import In
from ...core.errors import ExchangeError
from ...core.graph import Graph
from ...core.provenance import record_lines
from ...core.types import format_shape
from ...core.variable import Variable
from ..subject import Exportable, Subject, subject_of
from .arguments import arguments_of, defaults_of
from .expression import Expression
from .function import FunctionWriter
from .handover import Handover, fresh_ones
from .identifiers import MODULES, RESERVED
from .layout import Statement, lines_of, with_value_returned
from .numpy_framework import NumpyFramework
from .parameters import write_npz
from .passes import prepared
from .program import Program
from .sources import with_what_they_call
from .surroundings import Framework
from .torch_framework import TorchFramework

__all__ = ["export_python"]

_NARROWEST = 72
_FRAMEWORKS = {"numpy": NumpyFramework, "torch": TorchFramework}


def export_python(
    what: Exportable,
    folder: str | PathLike[str],
    *,
    inputs: Sequence[Variable | In] | None = None,
    name: str = "model",
    framework: Literal["numpy", "torch"] = "numpy",
    width: int = 96,
) -> Path:
    """The path of ``name.py`` in the folder, a program that needs NumPy (or PyTorch) alone.

    Its function ``name(*inputs)`` takes arrays (tensors) and gives what the compiled function
    gives; that of a function with updates gives a pair, the second of which has the new values of
    shared variables by name. Values of shared variables are in ``name.npz``, which it reads into
    ``params``; another dict is taken as ``name(*inputs, params=...)``. Loops are loops, what the
    user named has its name, and formatters leave the file as it is at that ``width``.

    ``what``, ``inputs``
        A compiled function; or a variable, a list or dict of them, or a module, with ``inputs``.

    An `ExchangeError` for an op that cannot be written, with its line, and for a ``name`` that is
    no identifier.

    >>> x = sg.vector("x")
    >>> path = sg.export_python(sg.tanh(x) * 2, "programs", inputs=[x], name="twice")
    >>> path.name
    'twice.py'
    """
    chosen = _checked(name, framework, width)
    with record_lines():
        subject = subject_of(what, inputs, name=name)
    writer = _File(subject, defaults_of(what, inputs), chosen, name, width)
    path = Path(folder) / f"{name}.py"
    text = writer.text()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if writer.values:
            write_npz(path.with_suffix(".npz"), writer.values)
    except OSError as error:
        raise ExchangeError.here(f"{path} cannot be written: {error}") from None
    return path


def _checked(name: str, framework: str, width: int) -> Any:
    if not isinstance(framework, str) or framework not in _FRAMEWORKS:
        raise ExchangeError.here(
            f"there is no framework {framework!r}",
            remedy=f"There are {' and '.join(map(repr, _FRAMEWORKS))}.",
        )
    if not isinstance(width, int) or width < _NARROWEST:
        raise ExchangeError.here(f"lines are at least {_NARROWEST} characters wide, not {width!r}")
    chosen = _FRAMEWORKS[framework]()
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise ExchangeError.here(f"the function's name is an identifier, not {name!r}")
    if name in RESERVED or name in chosen.functions:
        raise ExchangeError.here(
            f"the function cannot be called {name!r}, which the program uses itself",
            remedy="Give it another name.",
        )
    if name in MODULES:
        raise ExchangeError.here(
            f"the function cannot be called {name!r}: the file would hide a module of Python's",
            remedy="Give it another name.",
        )
    return chosen


class _File:
    """The text of a file, and the values beside it."""

    def __init__(
        self,
        subject: Subject,
        defaults: Sequence[np.ndarray | None],
        framework: Framework,
        name: str,
        width: int,
    ) -> None:
        self._subject, self._framework, self._name, self._width = subject, framework, name, width
        self._graph, composites = prepared(
            Graph((*subject.inputs.values(), *subject.shared.values()), subject.results), framework
        )
        self._keys: dict[Variable, str] = {v: key for key, v in subject.shared.items()}
        self._program = Program(framework, width, self._graph, name, self._keys, composites)
        self._arguments = arguments_of(
            subject.inputs, defaults, self._program.names_of_functions, self._keys.values()
        )
        self.values: dict[str, np.ndarray] = {}

    def text(self) -> str:
        """The text of the file."""
        main = self._main()
        steps = self._program.write_functions()
        read = set(self._graph.nodes)
        self.values = {
            key: self._framework.stored(v.get_value())
            for key, v in self._subject.shared.items()
            if v in read
        }
        for key, value in self._program.constants.items():
            self.values[key] = self._framework.stored(value)
        self.values |= {
            a.key: a.default for a in self._arguments if a.key and a.default is not None
        }
        functions = self._framework.functions
        blocks = [functions[name] for name in with_what_they_call(self._program.used, functions)]
        blocks += ["\n".join(lines_of(step, self._width)) for step in steps]
        blocks.append("\n".join(lines_of(main, self._width)))
        needs_math = any("math." in block for block in blocks)
        return "\n\n\n".join([self._head(needs_math=needs_math), *blocks]) + "\n"

    def _head(self, *, needs_math: bool) -> str:
        lines = [*self._docstring(), ""]
        modules = ["import math"] if needs_math else []
        modules += ["from pathlib import Path"] if self.values else []
        imports = self._framework.imports(loads=bool(self.values))
        lines += [*modules, "", *imports] if modules else imports
        if self.values:
            lines += ["", *self._framework.loading(f"{self._name}.npz")]
        if self._program.constants:
            lines += ["constants = params"]
        return "\n".join(lines)

    def _has_values(self) -> bool:
        """Whether the function reads values that stand beside it."""
        nodes = set(self._graph.nodes)
        keys = [argument.key for argument in self._arguments if argument.key]
        return bool(keys) or any(v in nodes for v in self._keys)

    def _docstring(self) -> list[str]:
        """What the file is: one line, and what it hands over where there are updates."""
        inputs = ", ".join(
            a.name + (format_shape(a.variable.type.shape) if a.variable.ndim else "")
            for a in self._arguments
        )
        end = f" for {self._framework.title}, written by symgraph."
        first = f'"""{self._name}({inputs}){end}'
        if len(first) + len('"""') > self._width:
            first = f'"""{self._name}(){end}'
        if not self._subject.updates:
            return [first + '"""']
        return [
            first,
            "",
            f"{self._name} returns its outputs, and the new values of params by name:",
            f"params.update({self._name}(...)[1]) keeps them.",
            '"""',
        ]

    def _main(self) -> list[Statement]:
        expressions = {a.variable: Expression(a.name) for a in self._arguments}
        expressions |= {v: Expression(f'params["{key}"]') for v, key in self._keys.items()}
        writer = FunctionWriter(self._program, self._graph, expressions)
        for argument in self._arguments:
            writer.statements += argument.statements(self._framework)
        for v in self._keys:
            if writer.live_uses[v] > 1:
                writer.named(v)
        written, outputs = writer.write(), self._graph.outputs
        results = [
            self._program.handed_over(x, v)
            if is_fresh or x.is_number or writer.is_fresh(x)
            else self._framework.copied(x)
            for x, v, is_fresh in zip(written, outputs, fresh_ones(outputs, written), strict=True)
        ]
        returned = Handover(writer, self._subject).statements(results)
        parameters = [argument.declared for argument in self._arguments]
        if self._has_values():
            parameters.append("params=params")
        statements = [Statement(0, f"def {self._name}(", tuple(parameters), "):")]
        if self._framework.decorator:
            statements.insert(0, Statement(0, self._framework.decorator))
        body = with_value_returned([*writer.statements, *returned]) or [Statement(1, "pass")]
        return [*statements, *body]
