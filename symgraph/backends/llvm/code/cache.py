"""Compiled code on disk: content-addressed entries that are checked before they are used.

Every failure (no folder, no space, no permission, an entry cut short or written by somebody else)
costs a recompilation and at most one warning in a process. There are no locks: entries are written
aside and renamed, and writers of one key write the same bytes.

The time at which an entry was changed is when it was last used. What exceeds the bound goes, the
oldest first; so that this need not be looked at each time, a ledger grows by a byte for each KiB
that is written, whoever writes, and entries are counted when it says that there are too many.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .folders import chosen_bound, chosen_folder, make_folder, objection, objection_to

__all__ = ["DiskCache", "Entry", "open_cache"]

_MAGIC = b"symgraph-object\n"
_VERSION = 3
# Magic, format version, length of the content, checksum of key and content.
_HEADER = struct.Struct("<16sIQ32s")
_LEDGER = "written"
_LEDGER_UNIT = 1024
# A process that was killed while it wrote leaves a file: after so many seconds nobody writes it.
_ABANDONED = 3600
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Entry(NamedTuple):
    """An entry as the folder shows it."""

    used: int
    """When it was written or last read, in nanoseconds."""
    size: int
    """In bytes."""
    path: Path


class DiskCache:
    """A folder of checked entries; lookups never raise.

    ``within``
        Folders around it that have to be the user's own as well.
    ``bound``
        How many bytes its entries may have together.
    ``obstacle``
        Why it is not to be used at all.
    """

    def __init__(
        self,
        folder: Path,
        *,
        within: Sequence[Path] = (),
        bound: int | None = None,
        obstacle: str = "",
    ) -> None:
        self.folder = folder
        self.bound: int = chosen_bound() if bound is None else bound
        self._guarded = (*within, folder)
        self._obstacle = obstacle
        self._has_warned = False

    @property
    def obstacle(self) -> str:
        """Why the cache is off; nothing where it is not."""
        if self._obstacle:
            return self._obstacle
        for folder in self._guarded:
            obstacle = objection_to(folder)
            if obstacle:
                return f"{folder} {obstacle}"
        return ""

    def read(self, key: str) -> tuple[bytes | None, str]:
        """The content stored under the key, and "hit"; or None and why there is none."""
        obstacle = self.obstacle
        if obstacle:
            self._warn(obstacle)
            return None, obstacle
        path = self._path(key)
        try:
            obstacle = objection_to(path.parent)
            if obstacle:
                return None, f"the folder of the entry {obstacle}"
            with open(os.open(path, _READ), "rb", buffering=0) as file:
                obstacle = self._objection_to_entry(os.fstat(file.fileno()))
                if obstacle:
                    return None, f"the entry {obstacle}"
                data = file.read()
        except FileNotFoundError:
            return None, "not in the cache"
        except OSError as error:
            return None, f"the cache cannot be read: {error.strerror}"
        content, reason = _content(key, data)
        if content is not None:
            self._mark_as_used(path)
        return content, reason

    def write(self, key: str, content: bytes) -> None:
        """Store the content; a folder that cannot be written is one warning."""
        header = _HEADER.pack(_MAGIC, _VERSION, len(content), _checksum(key, content))
        path = self._path(key)
        try:
            if not self.obstacle:
                make_folder(path.parent)
            obstacle = self.obstacle or objection_to(path.parent)
            if obstacle:
                self._warn(obstacle)
                return
            _write_aside(path, header, content)
            self._note(len(header) + len(content))
        except OSError as error:
            self._warn(f"{self.folder}: {error.strerror}")

    def entries(self) -> Iterator[Entry]:
        """What is in the cache, of this version of symgraph and of others."""
        for path in self.folder.glob("??/*.o"):
            with contextlib.suppress(OSError):  # another process may have removed it
                status = path.lstat()
                yield Entry(status.st_mtime_ns, status.st_size, path)

    def clear(self) -> int:
        """How many entries there were; there are none left."""
        count = 0
        for entry in self.entries():
            with contextlib.suppress(FileNotFoundError):
                entry.path.unlink()
                count += 1
        self._remove_abandoned(0)
        (self.folder / _LEDGER).unlink(missing_ok=True)
        for folder in self.folder.glob("??"):
            with contextlib.suppress(OSError):  # somebody writes into it
                folder.rmdir()
        return count

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key[2:]}.o"

    @staticmethod
    def _objection_to_entry(status: os.stat_result) -> str:
        return objection(status) if stat.S_ISREG(status.st_mode) else "is no file"

    # --- the bound ------------------------------------------------------------------------------

    @staticmethod
    def _mark_as_used(path: Path) -> None:
        now = time.time_ns()
        with contextlib.suppress(OSError):  # removed meanwhile, or on a disk that cannot be written
            os.utime(path, ns=(now, now))

    def _note(self, size: int) -> None:
        """Enter into the ledger that so many bytes were written, and make room if there are many.

        Without a ledger nobody knows how many there are, so that they are counted as well.
        """
        units = -(-size // _LEDGER_UNIT)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        ledger = os.open(self.folder / _LEDGER, flags, 0o600)
        try:
            os.write(ledger, bytes(units))
            total = os.fstat(ledger).st_size
            if total == units or total * _LEDGER_UNIT > self.bound:
                os.ftruncate(ledger, -(-self._make_room() // _LEDGER_UNIT))
        finally:
            os.close(ledger)

    def _make_room(self) -> int:
        """How many bytes the entries have, once those least recently used are gone that exceed the
        bound; with them goes a sixteenth of it, so that it is not reached again at once."""
        self._remove_abandoned(_ABANDONED)
        entries = sorted(self.entries())
        total = sum(entry.size for entry in entries)
        wanted = total if total <= self.bound else self.bound - self.bound // 16
        for entry in entries:
            if total <= wanted:
                break
            entry.path.unlink(missing_ok=True)
            total -= entry.size
        return total

    def _remove_abandoned(self, seconds: float) -> None:
        for path in self.folder.glob("??/.new-*"):
            with contextlib.suppress(OSError):
                if time.time() - path.lstat().st_mtime >= seconds:
                    path.unlink()

    def _warn(self, obstacle: str) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        # Where warnings are errors the compilation is worth more than this one.
        with contextlib.suppress(RuntimeWarning):
            warnings.warn(
                f"compiled code cannot be kept: {obstacle}; set SYMGRAPH_CACHE_DIR to the absolute "
                "path of a folder that this user alone can write",
                RuntimeWarning,
                stacklevel=2,
            )


def _content(key: str, data: bytes) -> tuple[bytes | None, str]:
    """The content of an entry, and "hit"; or None and what is wrong with it."""
    if len(data) < _HEADER.size:
        return None, "the entry is cut short"
    magic, version, length, checksum = _HEADER.unpack_from(data)
    content = data[_HEADER.size :]
    if magic != _MAGIC or version != _VERSION:
        return None, "the entry is of another format"
    if length != len(content):
        return None, "the entry is cut short"
    if checksum != _checksum(key, content):
        return None, "the entry is damaged"
    return content, "hit"


def _write_aside(path: Path, *parts: bytes) -> None:
    """Make a file of the parts, which nobody sees before it is whole."""
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


def _checksum(key: str, content: bytes) -> bytes:
    # With the key, so that no entry is taken for another.
    return hashlib.blake2b(key.encode() + content, digest_size=32).digest()


def open_cache() -> DiskCache:
    """The cache in SYMGRAPH_CACHE_DIR, or in the user's cache folder."""
    folder, obstacle = chosen_folder()
    return DiskCache(folder / "objects", within=[folder], obstacle=obstacle)
