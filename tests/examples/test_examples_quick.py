"""Every demonstration runs in its quick form, and ends with the line of its result."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import symgraph as sg
from symgraph_nn.demo import NAMES, Demo, run_demo
from symgraph_nn.extras import MissingPackage

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_demonstration_runs_quickly(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    if name == "compression":
        pytest.importorskip("skimage", reason="scikit-image is not installed")
    demo = Demo(name, tmp_path / name, quick=True)
    results = run_demo(demo)
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == results[-1]
    assert re.fullmatch(rf"result {name}: [a-z0-9 ]+ -?\d+(\.\d+)?", results[-1])
    written = {path.name for path in demo.folder.iterdir()}
    assert {"graph.dot", "trace.json", "checkpoint.safetensors"} <= written
    assert any(file.endswith(".png") for file in written)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingPackage, match=r"'ctc'.*sklearn(.|\n)*pip install"):
        run_demo(Demo("ctc"))


def test_none_runs_where_one_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingPackage, match="'ctc'"):
        run_demo(Demo("vowels", tmp_path / "vowels", quick=True), Demo("ctc", tmp_path / "ctc"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "told"), [("ctc", "no file DIGIT_"), ("digits", "there is no ")])
def test_a_folder_without_the_data_is_named(name: str, told: str, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    (tmp_path / "one.wav").write_bytes(b"")
    with pytest.raises(sg.SymgraphValueError, match=f"{told}.*{tmp_path.name}"):
        run_demo(Demo(name, tmp_path / "out", quick=True, data=tmp_path))


def test_every_example_is_a_demonstration() -> None:
    files = {path.stem for path in (ROOT / "docs" / "examples").glob("*.py")}
    assert files == set(NAMES)
