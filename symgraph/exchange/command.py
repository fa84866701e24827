"""What the commands do: `symgraph export`, where the kind of target says what is written, and
`symgraph import`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..compile.function import Function, compile
from ..core.errors import ExchangeError
from ..core.variable import Variable
from ..viz.text import listing
from .native.export import export_native
from .onnx.read import Imported, import_onnx
from .onnx.write import export_onnx
from .python.export import export_python
from .subject import subject_of

__all__ = ["Options", "describe", "export_to", "import_from"]


@dataclass(frozen=True)
class Options:
    """What a user may say besides; each kind of target takes what it knows."""

    name: str
    """What is exported is called in the user's file."""
    inputs: Sequence[Any] | None = None
    opset: int = 21
    machine: str = "host"
    cpu: str | None = None
    framework: Any = "numpy"


def _export_onnx(what: Any, path: Path, options: Options) -> Sequence[Path]:
    export_onnx(what, path, inputs=options.inputs, opset=options.opset)
    return [path]


def _export_python(what: Any, path: Path, options: Options) -> Sequence[Path]:
    framework = options.framework
    written = export_python(
        what, path.parent, inputs=options.inputs, name=path.stem, framework=framework
    )
    values = written.with_suffix(".npz")
    return [written, values] if values.name in written.read_text("utf-8") else [written]


def _export_native(what: Any, folder: Path, options: Options) -> Sequence[Path]:
    f = _compiled(what, options.inputs)
    return export_native(f, folder, name=options.name, target=options.machine, cpu=options.cpu)


def _compiled(what: Any, inputs: Sequence[Any] | None) -> Function:
    """A function as it is; variables, or a module called on inputs, as a function."""
    if isinstance(what, Function) and inputs is None:
        return what
    subject = subject_of(what, inputs)
    is_one = isinstance(subject.structure, str)
    outputs = subject.outputs[subject.structure] if is_one else dict(subject.outputs)
    return compile(list(subject.inputs.values()), outputs, unused="ignore")


# By the ending of the target's name; each returns the paths of what it wrote.
_EXPORTERS: dict[str, Callable[[Any, Path, Options], Sequence[Path]]] = {
    ".onnx": _export_onnx,
    ".py": _export_python,
}


# The options that one kind of target alone knows, as the command has them.
_FLAGS: dict[str, tuple[str, object]] = {
    "opset": ("--opset", _export_onnx),
    "framework": ("--framework", _export_python),
    "machine": ("--target", _export_native),
    "cpu": ("--cpu", _export_native),
}


def export_to(what: Any, target: Path, options: Options) -> Sequence[Path]:
    """The paths of what was written for a target: a model of ONNX for a name ending in .onnx, a
    program in Python for one ending in .py, an object file and what belongs to it for a folder.

    Raises `ExchangeError` for a target of another kind, and for what cannot go out.
    """
    is_folder = target.is_dir() or not target.suffix
    exporter = _export_native if is_folder else _EXPORTERS.get(target.suffix)
    if exporter is not None:
        _refuse_unused(options, target, exporter)
    if exporter is None:
        raise ExchangeError.here(
            f"export writes files ending in {', '.join(_EXPORTERS)}, or into a folder; found "
            f"{str(target)!r}"
        )
    return exporter(what, target, options)


def _refuse_unused(options: Options, target: Path, exporter: object) -> None:
    """An error for an option that this kind of target does not know."""
    for name, (flag, user) in _FLAGS.items():
        if getattr(options, name) != getattr(Options, name) and user is not exporter:
            raise ExchangeError.here(
                f"{flag} says nothing of {str(target)!r}",
                remedy="--opset is for models of ONNX, --framework for programs in Python, "
                "--target and --cpu for a folder with a program for C.",
            )


def import_from(source: Path, python: Path | None = None) -> tuple[Imported, Sequence[Path]]:
    """The model of ONNX in a file, and the paths of what was written of it as Python, if anything.

    Raises `ExchangeError` for a file of another kind, and for what cannot come in or go out.
    """
    if source.suffix != ".onnx":
        raise ExchangeError.here(f"import reads files ending in .onnx; found {str(source)!r}")
    imported = import_onnx(source)
    if python is None:
        return imported, []
    if python.suffix != ".py":
        raise ExchangeError.here(f"--python takes a name ending in .py; found {str(python)!r}")
    options = Options(source.stem, list(imported.inputs.values()))
    return imported, _export_python(imported.outputs, python, options)


def describe(imported: Imported) -> Iterator[str]:
    """The lines that tell of a model: its inputs, outputs and parameters, and its listing."""
    ends: dict[str, Mapping[str, Variable]] = {
        "inputs": imported.inputs,
        "outputs": imported.outputs,
        "parameters": imported.params,
    }
    width = max((len(name) for part in ends.values() for name in part), default=0)
    for title, part in ends.items():
        if part:
            yield title
        yield from (f"    {name:{width}}  {v.type}" for name, v in part.items())
    yield ""
    yield listing(list(imported.outputs.values()))
