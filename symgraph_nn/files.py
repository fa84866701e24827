"""Files that are whole or not there, and errors that name them."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from symgraph.errors import (
    SymgraphError,
    SymgraphTypeError,
    SymgraphValueError,
    explain,
    user_line,
)

try:
    import fcntl
except ImportError:  # Windows, where nobody can remove a file that is open
    fcntl = None

__all__ = ["FileError", "as_path", "check_target", "naming", "write_whole"]


class FileError(SymgraphError, OSError):
    """A file that cannot be read or written."""


class _MissingFile(FileError, FileNotFoundError):
    pass


class _ForbiddenFile(FileError, PermissionError):
    pass


class _Folder(FileError, IsADirectoryError):
    pass


_KINDS = (
    (FileNotFoundError, _MissingFile),
    (PermissionError, _ForbiddenFile),
    (IsADirectoryError, _Folder),
)
# What other programs write under these names.
_FOREIGN = {
    ".bin", ".h5", ".hdf5", ".json", ".keras", ".npy", ".npz", ".onnx", ".pickle", ".pkl", ".pt",
    ".pth", ".tar", ".zip",
}  # fmt: skip


class naming:
    """A context in which errors of the system become a `FileError` of the path."""

    # A class, as a generator's frames would hide the user's line.
    path: str | os.PathLike[str]
    what: str

    def __init__(self, path: str | os.PathLike[str], what: str) -> None:
        self.path, self.what = path, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if not isinstance(error, OSError) or isinstance(error, FileError):
            return
        ours = next((ours for theirs, ours in _KINDS if isinstance(error, theirs)), FileError)
        reason = error.strerror or str(error)
        explained = ours(explain(f"{os.fspath(self.path)} {self.what}: {reason}", line=user_line()))
        explained.errno = error.errno
        raise explained from error


def as_path(path: Any) -> Path:
    """The path; an error where it can be none."""
    try:
        text = os.fspath(path)
    except TypeError:
        text = path
    if not isinstance(text, str):
        raise SymgraphTypeError.here(f"the path of a file is expected, not {path!r}")
    if not text or "\0" in text:
        raise SymgraphValueError.here(f"{path!r} cannot be the path of a file")
    return Path(text)


def check_target(path: Any) -> Path:
    """The path of a file to write; an error where it is of another format, or no file at all.

    Files are put in place by renaming: a device or a pipe would be gone.
    """
    target = as_path(path)
    with naming(target, "cannot be written"):
        if target.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        if target.exists() and not target.is_file():
            raise FileExistsError(None, "it is a device, a pipe or a socket, and no regular file")
    if target.suffix.lower() in _FOREIGN:
        raise SymgraphValueError.here(
            f"{target} is not what is written: values are saved as safetensors",
            remedy=f"Call it {target.with_suffix('.safetensors').name!r}; for another format, "
            "write module.state() with its own library.",
        )
    return target


def write_whole(path: Path, content: bytes) -> None:
    """Write a file aside, force it to disk and rename it: it is complete or not there.

    The path is one that `check_target` lets pass.
    """
    with naming(path, "cannot be written"):
        target = Path(os.path.realpath(path))
        _clear_stale(target)
        with _aside(target) as (file, aside):
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if fcntl is None:
                file.close()
            os.replace(aside, target)
        _sync_folder(target.parent)


@contextlib.contextmanager
def _aside(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file beside the target, held as long as it is written, and gone if that fails."""
    while True:
        path = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
        with path.open("xb") as file:
            try:
                # Another process that clears stale files may have been between open and hold.
                if _hold(file) is not False and path.exists():
                    yield file, path
                    return
            except BaseException:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                raise


def _clear_stale(target: Path) -> None:
    """Remove what processes that are no more began to write for the target."""
    name = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{12}}\.tmp")
    with contextlib.suppress(OSError):
        for entry in os.scandir(target.parent):
            if name.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _remove_abandoned(entry.path)


def _remove_abandoned(path: str) -> None:
    if fcntl is None:
        os.unlink(path)
        return
    with open(path, "r+b") as file:
        if _hold(file):
            os.unlink(path)


def _hold(file: BinaryIO) -> bool | None:
    """Whether the file is held by us from now on, not by another; None where nobody can tell.

    Who writes a file holds it until it is renamed, or until his process ends, however that does.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _sync_folder(folder: Path) -> None:
    """Force the new name to disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
