"""Every demonstration runs in its quick form, and ends with the line of its result."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from symgraph_nn.demo import NAMES, Demo, run_demo

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_demonstration_runs_quickly(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    demo = Demo(name, tmp_path / name, quick=True)
    results = run_demo(demo)
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == results[-1]
    assert re.fullmatch(rf"result {name}: [a-z0-9 ]+ -?\d+(\.\d+)?", results[-1])
    written = {path.name for path in demo.folder.iterdir()}
    assert {"graph.dot", "trace.json", "checkpoint.safetensors"} <= written
    assert any(file.endswith(".png") for file in written)


def test_every_example_is_a_demonstration() -> None:
    files = {path.stem for path in (ROOT / "docs" / "examples").glob("*.py")}
    assert files == set(NAMES)
