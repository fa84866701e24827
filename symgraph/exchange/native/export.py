"""`export_native`: a compiled function as files from which a program in C is made."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..._version import __version__
from ...compile.function import Function
from ...compile.signature import Parameter
from ...core.errors import ExchangeError
from ...core.shared import SharedVariable
from ..subject import subject_of
from .header import header_text
from .interface import check_name
from .main_program import main_text
from .module import object_file
from .page import page_text
from .program import native_program
from .sample import sample_of
from .targets import target_of
from .wasm_link import link

__all__ = ["export_native"]


def export_native(
    f: Function,
    folder: str | os.PathLike[str],
    *,
    name: str = "model",
    target: str = "host",
    cpu: str | None = None,
) -> tuple[Path, ...]:
    """The paths of an object file, its header and a program in C that runs it on a sample.

    The object file holds all that the function is: kernels, loops, constants and the values that
    its shared variables have now. It needs the C library alone, and its header declares a function
    of C, ``int32_t NAME(inputs…, sizes…, outputs…, workspace)``, whose arrays lie in C order and
    whose sizes are the named and unknown ones of the inputs, in order of first appearance. Shared
    variables that the function updates are inputs after the others, and their new values outputs
    after the others, under the name ``…_next``: what keeps a state gives it in and gets it out. On
    the processor that it is made for it computes what the function computes, bit for bit.

    ``folder``
        Where ``NAME.o``, ``NAME.h`` and ``main.c`` go; it is made where it is missing.
    ``name``
        What the function in C is called.
    ``target``
        ``"host"``, or ``"x86_64-linux-gnu"``, ``"aarch64-linux-gnu"``, ``"aarch64-linux-android"``,
        ``"x86_64-pc-windows-msvc"``, ``"arm64-apple-macosx"``, ``"x86_64-apple-macosx"``, or
        ``"wasm32"``.
    ``cpu``
        A processor as LLVM names it, such as ``"x86-64-v3"`` or ``"cortex-a72"``, which tells how
        wide vectors are; None: for the host its own, else one that all such machines are at least.

    Raises `ExchangeError` for what needs Python (such as `sort`) or SciPy, results whose sizes only
    the run tells, and for targets and processors that LLVM does not know.

    >>> x = sg.vector("x")
    >>> f = sg.compile([x], sg.tanh(x).sum())
    >>> [path.name for path in sg.export_native(f, "build", name="total")]
    ['total.o', 'total.h', 'main.c']
    """
    if not isinstance(f, Function):
        raise ExchangeError.here(
            f"export_native takes a compiled function; found {f!r}",
            remedy="Compile it: f = sg.compile([x], y).",
        )
    machine = target_of(target, cpu)
    subject = subject_of(f, name=check_name(name))
    program = native_program(subject, machine.cpu)
    interface = program.interface
    given = {**subject.shared, **dict(zip(subject.inputs, f.program.parameters, strict=True))}
    sample = sample_of(program, [_value(given[x.text]) for x in interface.inputs])
    code = object_file(program, machine)
    contents = {
        f"{name}.o": code,
        f"{name}.h": header_text(interface, __version__, machine.triple, machine.cpu.name).encode(),
        "main.c": main_text(interface, sample).encode(),
    }
    if machine.is_wasm:
        module = link(code, [name, f"{name}_workspace", f"{name}_status"])
        is_one = isinstance(subject.structure, str) and not subject.updates
        page = page_text(interface, module, sample, __version__, is_one=is_one)
        contents[f"{name}.html"] = page.encode()
        contents[f"{name}.wasm"] = module
    paths = _write(Path(folder), contents)
    return tuple(path for path in paths if path.suffix != ".wasm")


def _value(end: Parameter | SharedVariable) -> np.ndarray | None:
    """The value that an argument of the C function has already: a default, or a state."""
    return end.default if isinstance(end, Parameter) else end.get_value()


def _write(folder: Path, contents: dict[str, bytes]) -> tuple[Path, ...]:
    paths = [folder / file for file in contents]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in zip(paths, contents.values(), strict=True):
            path.write_bytes(content)
    except OSError as error:
        raise ExchangeError.here(f"{folder} cannot be written: {error}") from None
    return tuple(paths)
