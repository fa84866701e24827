"""What the command `symgraph export` does: the kind of target says what is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import ExchangeError
from .native.export import export_native
from .onnx.write import export_onnx
from .python.export import export_python

__all__ = ["Options", "export_to"]


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
    return export_native(what, folder, name=options.name, target=options.machine, cpu=options.cpu)


# By the ending of the target's name; each returns the paths of what it wrote.
_EXPORTERS: dict[str, Callable[[Any, Path, Options], Sequence[Path]]] = {
    ".onnx": _export_onnx,
    ".py": _export_python,
}


def export_to(what: Any, target: Path, options: Options) -> Sequence[Path]:
    """The paths of what was written for a target: a model of ONNX for a name ending in .onnx, a
    program in Python for one ending in .py, an object file and what belongs to it for a folder.

    Raises `ExchangeError` for a target of another kind, and for what cannot go out.
    """
    is_folder = target.is_dir() or not target.suffix
    exporter = _export_native if is_folder else _EXPORTERS.get(target.suffix)
    if exporter is None:
        raise ExchangeError.here(
            f"export writes files ending in {', '.join(_EXPORTERS)}, or into a folder; found "
            f"{str(target)!r}"
        )
    return exporter(what, target, options)
