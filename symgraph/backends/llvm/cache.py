"""Machine code on disk: content-addressed entries that are checked before anything is mapped.

Every failure (no folder, no space, no permission, an entry cut short or written by somebody else)
costs a recompilation and at most one warning in a process. There are no locks: entries are written
aside and renamed, and writers of one key write the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import tempfile
import warnings
from pathlib import Path

import platformdirs

__all__ = ["DiskCache", "open_cache"]

_MAGIC = b"symgraph-object\n"
_VERSION = 2
# Magic, format version, length of the content, checksum of key and content.
_HEADER = struct.Struct("<16sIQ32s")


class DiskCache:
    """A folder of checked entries; lookups never raise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._has_warned = False

    def read(self, key: str) -> tuple[bytes | None, str]:
        """The content stored under the key, and "hit"; or None and why there is none."""
        try:
            data = self._path(key).read_bytes()
        except FileNotFoundError:
            return None, "not in the cache"
        except OSError as error:
            return None, f"the cache cannot be read: {error.strerror}"
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

    def write(self, key: str, content: bytes) -> None:
        """Store the content; a folder that cannot be written is one warning."""
        header = _HEADER.pack(_MAGIC, _VERSION, len(content), _checksum(key, content))
        try:
            path = self._path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, aside = tempfile.mkstemp(dir=path.parent, prefix=".new-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(header)
                    file.write(content)
                os.replace(aside, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(aside)
                raise
        except OSError as error:
            self._warn(error)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key[2:]}.o"

    def _warn(self, error: OSError) -> None:
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"compiled code cannot be kept in {self.folder}: {error.strerror}; "
                "set SYMGRAPH_CACHE_DIR to a folder that can be written",
                RuntimeWarning,
                stacklevel=2,
            )


def _checksum(key: str, content: bytes) -> bytes:
    # With the key, so that no entry is taken for another.
    return hashlib.blake2b(key.encode() + content, digest_size=32).digest()


def open_cache() -> DiskCache:
    """The cache in SYMGRAPH_CACHE_DIR, or in the user's cache folder."""
    chosen = os.environ.get("SYMGRAPH_CACHE_DIR")
    folder = os.path.expanduser(chosen) if chosen else platformdirs.user_cache_dir("symgraph")
    # Wherever the process goes from here.
    return DiskCache(Path(os.path.abspath(folder)) / "objects")
