"""The C of the manual's page on native programs: what it says is compiled, run, and printed."""

from __future__ import annotations

import doctest
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "native-programs.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the page chooses levels of x86-64")
def test_the_programs_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of C whose first line names a file are that file; text after a command is what the
    command prints."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    printed = None
    for language, content in FENCE.findall(PAGE.read_text("utf-8")):
        if language == "python":
            exec(content, namespace)
            printed = None
        elif language == "c" and (named := re.match(r"/\* (\S+) \*/\n", content)):
            Path(named[1]).write_text(content)
        elif language == "sh":
            done = subprocess.run(["sh", "-e", "-c", content], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            printed = done.stdout
        elif language == "text" and printed is not None:
            options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            assert doctest.OutputChecker().check_output(content, printed, options), printed
            printed = None
