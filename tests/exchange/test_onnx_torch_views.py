"""Views, indices and shapes as PyTorch's exporters write them, at several sizes.

The files and what they compute were made by ``files/make_views.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import symgraph as sg

_FOLDER = Path(__file__).parent / "files"


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("name", ["views", "views_dynamo"])
def test_views(name: str, backend: str) -> None:
    imported, arrays = sg.import_onnx(_FOLDER / f"{name}.onnx"), np.load(_FOLDER / "views.npz")
    outputs = list(imported.outputs.values())
    f = sg.compile(list(imported.inputs.values()), outputs, backend=backend)
    for k in range(2):
        for i, computed in enumerate(f(arrays[f"x{k}"])):
            expected = arrays[f"y{k}_{i}"]
            assert computed.shape == expected.shape, i
            np.testing.assert_allclose(computed, expected, rtol=1e-5, atol=1e-6, err_msg=str(i))


@pytest.mark.parametrize("name", ["views", "views_dynamo"])
def test_sizes_of_views_keep_their_names(name: str) -> None:
    imported = sg.import_onnx(_FOLDER / f"{name}.onnx")
    (x,) = imported.inputs.values()
    batch, time, _ = x.type.shape
    assert [str(v.type) for v in list(imported.outputs.values())[:8]] == [
        f"float32[{batch}, {time}, 4]",
        f"float32[{batch}, {time}, 4]",
        f"float32[{batch}, {time}, 2, 4]",
        f"float32[{batch}, {time}, 4]",
        f"float32[{batch}, {time}, 2]",
        f"float32[2*{batch}, {time}, 2]",
        f"float32[{batch}, {time}, 4]",
        f"float32[{batch}, ({time} + 1)//2, 4]",
    ]
