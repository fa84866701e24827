"""Templates of a user's on nets as PyTorch's exporters write them.

``files/make_parts.py`` and ``files/make.py`` made the files and what they compute.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.ops.composite import is_composite, name_of_composite

FOLDER = Path(__file__).parent / "files"


@sg.composite
def layer_norm(x: Any, scale: Any, shift: Any, *, eps: float) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True)
    deviation = sg.sqrt(sg.square(centred).mean(axis=-1, keepdims=True) + eps)
    return centred / deviation * scale + shift


@sg.composite
def gelu(x: Any, *, approximate: Any = "none") -> Any:
    return sg.gelu(x, approximate=approximate)


@sg.composite
def focus(x: Any) -> Any:
    corners = [(0, 0), (1, 0), (0, 1), (1, 1)]
    return sg.concatenate([x[:, :, i::2, j::2] for i, j in corners], axis=1)


def normalisation(x: Any, scale: Any, shift: Any, *, eps: float) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = sg.mean(centred**2, axis=-1, keepdims=True)
    return centred / sg.sqrt(variance + eps) * scale + shift


TEMPLATES = [
    sg.template(
        "concatenate([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], "
        "x[..., 1::2, 1::2]], axis=1)",
        focus,
    ),
    sg.template(normalisation, layer_norm),
    sg.template("x * 0.5 * (1 + erf(x / sqrt(2)))", gelu),
    sg.template(
        "0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))",
        lambda x: gelu(x, approximate="tanh"),
    ),
]


def composites(outputs: Any) -> list[str]:
    return [name_of_composite(v) for v in sg.ancestors(outputs) if is_composite(v)]


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("parts", ["focus", "layer_norm", "gelu", "gelu"]),
        ("parts_dynamo", ["focus", "layer_norm", "gelu", "gelu"]),
        ("normalised", ["layer_norm", "gelu"]),
        ("normalised_dynamo", ["layer_norm", "gelu"]),
        ("encoder_dynamo", ["layer_norm", "layer_norm", "gelu"]),
    ],
)
def test_parts_of_imported_nets_are_found(name: str, found: list[str], backend: Any) -> None:
    model = sg.import_onnx(FOLDER / f"{name}.onnx")
    outputs = sg.rewrite_graph(model, TEMPLATES)
    assert composites(list(outputs.values())) == found
    listing = sg.listing(outputs)
    assert all(f"= {each}(" in listing for each in found)
    assert not any(f"= {op}(" in listing for op in ("erf", "sqrt", "power", "concatenate"))
    arrays = np.load(FOLDER / f"{name.removesuffix('_dynamo')}.npz")
    f = sg.compile(list(model.inputs.values()), outputs["y"], backend=backend)
    for k in range(2):
        np.testing.assert_allclose(f(arrays[f"x{k}"]), arrays[f"y{k}"], rtol=1e-5, atol=2e-6)


def test_what_was_found_trains_on_and_takes_modules() -> None:
    model = sg.import_onnx(FOLDER / "parts.onnx")
    norm = nn.LayerNorm(8)
    rules = [*TEMPLATES[2:], sg.template(normalisation, lambda x: norm(x))]
    y = sg.rewrite_graph(model, rules)["y"]
    arrays = np.load(FOLDER / "parts.npz")
    loss = sg.square(y - arrays["y0"]).mean()
    params = [p for p in sg.ancestors(y) if isinstance(p, sg.SharedVariable)]
    assert set(norm.params) <= set(params)
    step = sg.compile(list(model.inputs.values()), loss, updates=nn.adam(loss, params, 0.02))
    first = last = step(arrays["x0"])
    for _ in range(60):
        last = step(arrays["x0"])
    assert last < first / 20


def test_the_python_that_comes_out_shows_them_by_name(tmp_path: Path) -> None:
    model = sg.import_onnx(FOLDER / "parts.onnx")
    y = sg.rewrite_graph(model, TEMPLATES)["y"]
    path = sg.export_python(y, tmp_path, inputs=list(model.inputs.values()), name="net")
    source = path.read_text("utf-8")
    for name in ("focus", "layer_norm", "gelu"):
        assert f"\ndef {name}(" in source
        assert source.count(f"{name}(") >= 2
    body = source[source.index("def net(") :]
    assert not any(word in body for word in ("erf", "sqrt", "tanh(", "concatenate", "::2"))
    script = (
        "import numpy as np, net\n"
        f"arrays = np.load({str(FOLDER / 'parts.npz')!r})\n"
        "for k in range(2):\n"
        "    np.testing.assert_allclose(net.net(arrays[f'x{k}']), arrays[f'y{k}'], 1e-5, 2e-6)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=60)


def test_a_model_of_onnx_has_them_as_functions() -> None:
    model = sg.import_onnx(FOLDER / "parts.onnx")
    y = sg.rewrite_graph(model, TEMPLATES)["y"]
    written = sg.export_onnx(y, inputs=list(model.inputs.values()))
    ops = [node.op_type for node in written.graph.node]
    assert {"focus", "layer_norm", "gelu"} <= set(ops)
    assert not {"Erf", "Sqrt", "Tanh", "Concat"} & set(ops)
    back = sg.import_onnx(written.SerializeToString())
    arrays = np.load(FOLDER / "parts.npz")
    f = sg.compile(list(back.inputs.values()), next(iter(back.outputs.values())))
    for k in range(2):
        np.testing.assert_allclose(f(arrays[f"x{k}"]), arrays[f"y{k}"], rtol=1e-5, atol=2e-6)
    again = sg.rewrite_graph(back, TEMPLATES)
    assert composites(list(again.values())) == ["focus", "layer_norm", "gelu", "gelu"]
