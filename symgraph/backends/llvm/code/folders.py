"""Where compiled code is kept, and whether nobody but this user can have put anything there.

What lies in the cache is run as it is, so whoever can write there can run code as this user.
Folders are made for the user alone, and whatever belongs to somebody else, or can be written by
others, is refused. Systems without numbers for users guard the user's own folder by other means.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

import platformdirs

__all__ = ["Chosen", "chosen_bound", "chosen_folder", "make_folder", "objection", "objection_to"]

_DEFAULT_BOUND = 1 << 30
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}


class Chosen(NamedTuple):
    """A folder for the cache, and why it cannot be used; nothing if it can, for all that is known
    without a look at it."""

    folder: Path
    obstacle: str


def chosen_folder() -> Chosen:
    """The folder that SYMGRAPH_CACHE_DIR names, or the user's cache folder.

    One that is not absolute would be another one wherever the process goes: it is refused, as is
    ``~name`` for a name that nobody has. A user without a name and a home has no cache folder.
    """
    chosen = os.environ.get("SYMGRAPH_CACHE_DIR")
    try:
        folder = os.path.expanduser(chosen) if chosen else platformdirs.user_cache_dir("symgraph")
    except (RuntimeError, KeyError, OSError):  # in the words of several versions of platformdirs
        folder = "~"
    if os.path.isabs(folder):
        return Chosen(Path(os.path.normpath(folder)), "")
    if folder.startswith("~") and not chosen:
        return Chosen(Path(folder), "this user has no home folder")
    name = "SYMGRAPH_CACHE_DIR" if chosen else "the user's cache folder"
    return Chosen(Path(folder), f"{name} is {chosen or folder!r}, which is no absolute path")


def chosen_bound() -> int:
    """How many bytes the cache may hold: SYMGRAPH_CACHE_SIZE (``500MB``, ``2GiB``), else 1 GiB."""
    text = os.environ.get("SYMGRAPH_CACHE_SIZE", "").strip().lower()
    match = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([kmg]?i?)b?", text)
    if match is None or match[2] not in _UNITS:
        return _DEFAULT_BOUND
    return int(float(match[1]) * _UNITS[match[2]])


def objection(status: os.stat_result) -> str:
    """Why somebody else may have written what is described so; nothing if nobody can have."""
    if not hasattr(os, "geteuid"):
        return ""
    if status.st_uid != os.geteuid():
        return f"belongs to user {status.st_uid}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written by other users"
    return ""


def objection_to(folder: Path) -> str:
    """Why the folder is not to be used; nothing if it may be, or if there is none yet."""
    try:
        status = os.lstat(folder)
        if stat.S_ISLNK(status.st_mode):
            # The modes of links say nothing, but their owners say who made them.
            if hasattr(os, "geteuid") and status.st_uid not in (0, os.geteuid()):
                return f"is a link that belongs to user {status.st_uid}"
            status = os.stat(folder)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    if not stat.S_ISDIR(status.st_mode):
        return "is no folder"
    return objection(status)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another process was faster
            path.mkdir(0o700)
