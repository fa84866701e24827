"""Ops of ONNX on named sizes come in and compute what onnxruntime does, at several sizes.

The standard's own tests (`test_onnx_standard`) have every op at one size, most of them a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

import symgraph as sg
from symgraph.testing import check_gradient

BACKENDS = ("native", "numpy")


@dataclass(frozen=True)
class Row:
    """A graph as onnx.parser reads it, and the shapes of its inputs, several times."""

    graph: str
    shapes: tuple[tuple[tuple[int, ...], ...], ...]
    opset: int = 21
    result: str = ""
    """The type of the first output, where names of sizes are to stay."""


def model_of(row: Row) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {row.opset}]>\n{row.graph}')


_CONV = (
    "g (float[N, 2, H, W] x, float[4, 2, 3, 2] w) => (float[A, B, C, D] y) {{ y = Conv<{}>(x, w) }}"
)
_IMAGES = (((2, 2, 5, 6), (4, 2, 3, 2)), ((1, 2, 3, 2), (4, 2, 3, 2)), ((0, 2, 4, 4), (4, 2, 3, 2)))
_POOL = "g (float[N, 2, H, W] x) => (float[A, B, C, D] y) {{ y = {}(x) }}"
_POOLED = (((2, 2, 5, 6),), ((1, 2, 3, 3),), ((2, 2, 8, 7),))
_RESIZE = (
    "g (float[N, 1, H, W] x) => (float[A, B, C, D] y) {{"
    " e = Constant<value = float[0] {{}}>()  s = Constant<value = float[4] {{{}}}>()"
    " y = Resize<{}>(x, e, s) }}"
)
_SMALL = (((1, 1, 4, 5),), ((2, 1, 1, 2),), ((1, 1, 3, 3),))
_MATRIX = (((3, 4),), ((1, 1),), ((5, 2),))

ROWS = {
    "conv same, stride 2": Row(
        _CONV.format('auto_pad = "SAME_UPPER", strides = [2, 2]'),
        _IMAGES,
        result="float32[N, 4, (H + 1)//2, (W + 1)//2]",
    ),
    "conv same, lower": Row(_CONV.format('auto_pad = "SAME_LOWER", strides = [3, 1]'), _IMAGES),
    "conv padded": Row(
        _CONV.format("pads = [1, 0, 2, 1], strides = [2, 1]"),
        _IMAGES,
        result="float32[N, 4, H//2 + 1, W]",
    ),
    "conv dilated": Row(
        _CONV.format("pads = [2, 1, 2, 1], dilations = [2, 2]"),
        _IMAGES,
        result="float32[N, 4, H, W]",
    ),
    "conv of three axes, in groups": Row(
        "g (float[N, 2, D, H, W] x, float[4, 1, 2, 2, 1] w, float[4] b) => (float[P, Q, R, S, T] y)"
        " { y = Conv<group = 2, pads = [0, 1, 0, 1, 0, 0]>(x, w, b) }",
        (((2, 2, 2, 3, 2), (4, 1, 2, 2, 1), (4,)),),
        result="float32[N, 4, D, H, W]",
    ),
    "transposed conv": Row(
        "g (float[N, 2, T] x, float[2, 3, 4] w) => (float[A, B, C] y)"
        " { y = ConvTranspose<strides = [3], pads = [1, 0], output_padding = [2]>(x, w) }",
        (((2, 2, 4), (2, 3, 4)), ((1, 2, 1), (2, 3, 4))),
        result="float32[N, 3, 3*T + 2]",
    ),
    "transposed conv in groups": Row(
        "g (float[N, 4, H, W] x, float[4, 1, 2, 3] w, float[2] b) => (float[A, B, C, D] y)"
        " { y = ConvTranspose<group = 2, dilations = [2, 1], strides = [1, 2]>(x, w, b) }",
        (((2, 4, 3, 2), (4, 1, 2, 3), (2,)),),
    ),
    "max pool, rounded up": Row(
        _POOL.format("MaxPool<kernel_shape = [3, 2], strides = [2, 3], ceil_mode = 1>"), _POOLED
    ),
    "max pool, padded": Row(
        _POOL.format("MaxPool<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>"),
        _POOLED,
    ),
    "average pool, same": Row(
        _POOL.format(
            'AveragePool<kernel_shape = [3, 2], strides = [2, 2], auto_pad = "SAME_UPPER">'
        ),
        _POOLED,
    ),
    "average pool, rounded up, padding counted": Row(
        _POOL.format(
            "AveragePool<kernel_shape = [2, 3], strides = [2, 2], pads = [1, 0, 0, 1],"
            " ceil_mode = 1, count_include_pad = 1>"
        ),
        (((2, 2, 5, 6),), ((1, 2, 3, 3),)),
    ),
    "lp pool": Row(_POOL.format("LpPool<kernel_shape = [2, 2], p = 3>"), _POOLED),
    "global pools": Row(_POOL.format("GlobalAveragePool"), _POOLED, result="float32[N, 2, 1, 1]"),
    "resize, nearest": Row(
        _RESIZE.format("1, 1, 2, 3", 'mode = "nearest"'), _SMALL, result="float32[N, 1, 2*H, 3*W]"
    ),
    "resize, linear": Row(_RESIZE.format("1, 1, 2, 2", 'mode = "linear"'), _SMALL),
    "resize, linear, smaller": Row(
        _RESIZE.format("1, 1, 0.5, 1.5", 'mode = "linear"'), (((1, 1, 4, 5),), ((2, 1, 7, 2),))
    ),
    "resize, cubic": Row(_RESIZE.format("1, 1, 2, 2", 'mode = "cubic"'), _SMALL),
    "resize to corners": Row(
        _RESIZE.format(
            "1, 1, 2, 1.5", 'mode = "linear", coordinate_transformation_mode = "align_corners"'
        ),
        (((1, 1, 4, 6),), ((2, 1, 2, 2),)),
    ),
    "batch norm": Row(
        "g (float[N, 3, T] x, float[3] s, float[3] b, float[3] m, float[3] v) => (float[A, B, C] y)"
        " { w = Abs(v) y = BatchNormalization(x, s, b, m, w) }",
        (((2, 3, 4), (3,), (3,), (3,), (3,)), ((1, 3, 0), (3,), (3,), (3,), (3,))),
        result="float32[N, 3, T]",
    ),
    "instance norm": Row(
        "g (float[N, C, T] x, float[C] s, float[C] b) => (float[N, C, T] y)"
        " { y = InstanceNormalization(x, s, b) }",
        (((2, 3, 4), (3,), (3,)), ((1, 1, 5), (1,), (1,))),
    ),
    "layer norm": Row(
        "g (float[N, T, D] x, float[D] s, float[D] b) => (float[N, T, D] y)"
        " { y = LayerNormalization<axis = -1>(x, s, b) }",
        (((2, 3, 4), (4,), (4,)), ((0, 1, 2), (2,), (2,))),
    ),
    "softmax of older versions": Row(
        "g (float[N, T, D] x) => (float[N, T, D] y) { y = Softmax<axis = 1>(x) }",
        (((2, 3, 4),), ((1, 1, 2),)),
        opset=11,
    ),
    "gemm": Row(
        "g (float[K, N] a, float[M, K] b, float[M] c) => (float[N, M] y)"
        " { y = Gemm<transA = 1, transB = 1, alpha = 0.5, beta = 2.0>(a, b, c) }",
        (((3, 2), (4, 3), (4,)), ((1, 1), (1, 1), (1,))),
        result="float32[N, M]",
    ),
    "einsum": Row(
        "g (float[B, T, D] x, float[B, S, D] z) => (float[B, T, S] y)"
        ' { y = Einsum<equation = "btd,bsd->bts">(x, z) }',
        (((2, 3, 4), (2, 5, 4)), ((1, 0, 2), (1, 3, 2))),
        result="float32[B, T, S]",
    ),
    "top": Row(
        "g (float[N, M] x) => (float[N, K] y, int64[N, K] i)"
        " { k = Constant<value = int64[1] {1}>() y, i = TopK<axis = 0>(x, k) }",
        _MATRIX,
        result="float32[1, M]",
    ),
    "running sums": Row(
        "g (float[N, M] x) => (float[N, M] y)"
        " { a = Constant<value = int64 {0}>() y = CumSum<exclusive = 1, reverse = 1>(x, a) }",
        (*_MATRIX, ((0, 2),)),
        result="float32[N, M]",
    ),
    "reflected": Row(
        "g (float[N, M] x) => (float[A, B] y)"
        ' { p = Constant<value = int64[4] {1, 0, 2, 1}>() y = Pad<mode = "reflect">(x, p) }',
        (((3, 4),), ((4, 2),)),
        result="float32[N + 3, M + 1]",
    ),
    "wrapped": Row(
        "g (float[N, M] x) => (float[A, B] y)"
        ' { p = Constant<value = int64[4] {1, 0, 2, 1}>() y = Pad<mode = "wrap">(x, p) }',
        (((3, 4),), ((4, 2),)),
    ),
    "cut by a pad": Row(
        "g (float[N, M] x) => (float[A, B] y)"
        " { p = Constant<value = int64[4] {-1, 0, 2, -1}>() y = Pad(x, p) }",
        (((3, 4),), ((4, 2),)),
    ),
    "scattered rows": Row(
        "g (float[N, M] x, float[2, M] u) => (float[N, M] y)"
        " { i = Constant<value = int64[2, 1] {2, 0}>()"
        '   y = ScatterND<reduction = "add">(x, i, u) }',
        (((3, 4), (2, 4)), ((5, 1), (2, 1))),
    ),
    "products scattered": Row(
        "g (float[N, M] x, float[2, 3] u) => (float[N, M] y)"
        " { i = Constant<value = int64[2, 3] {1, 1, 1, 0, 1, 0}>()"
        '   y = ScatterElements<axis = 0, reduction = "mul">(x, i, u) }',
        (((3, 4), (2, 3)), ((2, 3), (2, 3))),
        opset=18,
    ),
    "largest scattered": Row(
        "g (float[N, M] x, float[2, 3] u) => (float[N, M] y)"
        " { i = Constant<value = int64[2, 3] {1, 1, -1, 0, 1, 0}>()"
        '   y = ScatterElements<axis = 1, reduction = "max">(x, i, u) }',
        (((3, 4), (2, 3)), ((2, 3), (2, 3))),
        opset=18,
    ),
    "depth to space": Row(
        "g (float[N, 8, H, W] x) => (float[A, B, C, D] y)"
        ' { y = DepthToSpace<blocksize = 2, mode = "CRD">(x) }',
        (((2, 8, 3, 2),), ((1, 8, 1, 1),)),
        result="float32[N, 2, 2*H, 2*W]",
    ),
    "average of three": Row(
        "g (float[N, M] x) => (float[N, M] y) { a = Exp(x) b = Tanh(x) y = Mean(x, a, b) }", _MATRIX
    ),
    "attention": Row(
        "g (float[B, T, D] x, float[B, S, D] z) => (float[B, T, D] y) {"
        " k = Transpose<perm = [0, 2, 1]>(z) s = MatMul(x, k) p = Softmax(s) y = MatMul(p, z) }",
        (((2, 3, 4), (2, 5, 4)), ((1, 1, 1), (1, 1, 1))),
        result="float32[B, T, D]",
    ),
}


def arrays_of(shapes: tuple[tuple[int, ...], ...]) -> list[np.ndarray]:
    generator = np.random.default_rng(7)
    return [generator.normal(size=shape).astype("float32") for shape in shapes]


@pytest.mark.parametrize("name", ROWS)
def test_named_sizes(name: str) -> None:
    row = ROWS[name]
    data = model_of(row).SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    imported = sg.import_onnx(data)
    inputs, outputs = list(imported.inputs.values()), list(imported.outputs.values())
    if row.result:
        assert str(outputs[0].type) == row.result
    functions = [sg.compile(inputs, outputs, backend=backend) for backend in BACKENDS]
    for shapes in row.shapes:
        arrays = arrays_of(shapes)
        expected: Any = session.run(None, dict(zip(imported.inputs, arrays, strict=True)))
        for f in functions:
            for computed, right in zip(f(*arrays), expected, strict=True):
                assert computed.shape == right.shape
                np.testing.assert_allclose(computed, right, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ROWS)
def test_gradients(name: str) -> None:
    row = ROWS[name]
    ends, body = row.graph.split("{", 1)
    doubled = Row(f"{ends.replace('float[', 'double[')}{{{body}", row.shapes, row.opset)
    imported = sg.import_onnx(model_of(doubled).SerializeToString())
    check_gradient(imported, *arrays_of(row.shapes[0]), order=1)
