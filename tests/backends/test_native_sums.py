"""Long sums and reductions of views: as exact as sums can be, whatever the layout."""

import numpy as np
import pytest

import symgraph as sg


@pytest.mark.parametrize("layout", ["plain", "transposed", "reversed"])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((300_001,), None), ((100_000, 3), 0), ((3, 100_000), 1), ((400, 5, 64), (0, 1))],
)
def test_long_sums_lose_no_digits(shape, axis, layout):
    array = np.random.default_rng(0).uniform(0.1, 1, shape).astype("float32")
    x = sg.tensor("x", shape[::-1] if layout == "transposed" else shape)
    seen = {"plain": x, "transposed": x.T, "reversed": x[::-1]}[layout]
    given = np.ascontiguousarray(array.T) if layout == "transposed" else array
    f = sg.compile([x], [sg.sum(seen, axis=axis), sg.mean(seen, axis=axis), sg.var(seen, axis)])
    exact = (array[::-1] if layout == "reversed" else array).astype("float64")
    wanted = [exact.sum(axis=axis), exact.mean(axis=axis), exact.var(axis=axis)]
    for a, b in zip(f(given), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=3e-7)


@pytest.mark.parametrize("axis", [0, 1, 2, (0, 2), (1, 2), None])
@pytest.mark.parametrize("order", [(2, 1, 0), (1, 0, 2), (2, 0, 1)])
@pytest.mark.parametrize("sizes", [(3, 2, 4), (17, 5, 33)])
def test_totals_of_transposed_arrays_lie_where_they_belong(axis, order, sizes):
    x = sg.tensor("x", (None, None, None), "float64")
    y = x.transpose(order)
    f = sg.compile([x], [y.sum(axis=axis), y.max(axis=axis), y * 2 + 1, y.T.min(axis=axis)])
    array = np.random.default_rng(1).normal(size=sizes)
    z = array.transpose(order)
    wanted = [z.sum(axis=axis), z.max(axis=axis), z * 2 + 1, z.T.min(axis=axis)]
    for a, b in zip(f(array), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
