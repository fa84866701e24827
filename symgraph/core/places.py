"""Lines of source as tables show them: short, where messages have whole paths."""

from __future__ import annotations

import functools
import os
import re

__all__ = ["short_place", "short_places"]

# How many letters a file may have from the current folder on.
_LONGEST_FILE = 36


def short_place(place: str) -> str:
    """A line as tables show it, ``file:line``: from the current folder on where the file is not far
    below it, else with its folder alone."""
    file, colon, line = place.rpartition(":")
    if not colon or not os.path.isabs(file):
        return place
    return f"{_short_file(file, _current_folder())}:{line}"


def short_places(text: str) -> str:
    """The text with its lines of source in short."""
    return re.sub(r"[^\s:]+:\d+", lambda found: short_place(found[0]), text)


def _current_folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it is gone
        return ""


@functools.lru_cache(maxsize=256)
def _short_file(file: str, folder: str) -> str:
    below = os.path.join(folder, "")
    if folder and file.startswith(below) and len(file) - len(below) <= _LONGEST_FILE:
        return file[len(below) :]
    return os.path.join(*file.split(os.sep)[-2:])
