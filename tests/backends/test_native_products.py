"""Products of matrices by the micro-kernels, for sizes around those of tiles and blocks."""

import numpy as np
import pytest
from native_kernels import call

from symgraph.backends.llvm.code.engine import engine
from symgraph.backends.llvm.kernels.gemm import (
    K_BLOCK,
    pack_kernel,
    packed_product_kernel,
    product_kernel,
    room_for,
)
from symgraph.backends.llvm.kernels.panels import tile_for

SIZES = (0, 1, 2, 3, 7, 16, 17, 63, 65, 130)
SHAPES = [(m, n) for m in SIZES for n in SIZES if (m + n) % 3 == 0 or 1 in (m, n)]
# More columns than are packed at a time where K is deep, for rows that need packing and for few.
SHAPES += [(5, 331), (70, 331)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
def test_products_of_all_sizes(dtype, transposed):
    cpu, random = engine().cpu, np.random.default_rng(0)
    tile = tile_for(cpu, np.dtype(dtype))
    kernels = [
        pack_kernel(tile),
        packed_product_kernel(tile),
        product_kernel(tile),
    ]
    loaded = engine().load(kernels)
    pack, packed_product, product = kernels
    for m, n in SHAPES:
        for k in (0, 1, 5, K_BLOCK - 1, K_BLOCK, K_BLOCK + 1, 2 * K_BLOCK + 3):
            a = random.normal(size=(k, m) if transposed[0] else (m, k)).astype(dtype)
            b = random.normal(size=(n, k) if transposed[1] else (k, n)).astype(dtype)
            left, right = (x.T if t else x for x, t in zip((a, b), transposed, strict=True))
            strides = [s // a.itemsize for s in (*left.strides, *right.strides)]
            before = random.normal(size=(m, n + 3)).astype(dtype)
            adds = (m + k) % 2
            wanted = left.astype("float64") @ right.astype("float64") + adds * before[:, :n]
            panels = -(-n // tile.width)
            packed = np.full(panels * k * tile.width + 1, np.nan, dtype)
            room = np.full(room_for(tile, n, k) + 1, np.nan, dtype)
            call(pack, loaded, b, packed, k, n, *strides[2:])
            assert np.isnan(packed[-1])  # nothing is written past the panels
            for kernel, arguments in (
                (packed_product, (a, packed, m, n, k, *strides[:2])),
                (product, (a, b, room, m, n, k, *strides)),
            ):
                c = before.copy()
                head, sizes = arguments[:2], arguments[2:]
                call(
                    kernel, loaded, *head, c, *sizes, n + 3, adds
                ) if kernel is packed_product else (
                    call(kernel, loaded, a, b, c, room, m, n, k, *strides, n + 3, adds)
                )
                assert np.isnan(room[-1])
                np.testing.assert_array_equal(c[:, n:], before[:, n:])
                eps = np.finfo(dtype).eps * 4 * max(k, 1)
                np.testing.assert_allclose(c[:, :n], wanted, rtol=eps, atol=eps)
