"""Gradients scaled to a norm, at the ends of the float types, against long doubles."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

BACKENDS = ["native", "numpy"]


def reference(arrays, max_norm):
    """The definition, in long doubles."""
    wide = [a.astype(np.longdouble) for a in arrays]
    norm = np.sqrt(sum(((a**2).sum() for a in wide), start=np.longdouble(0)))
    scale = np.longdouble(max_norm) / norm if norm > max_norm else np.longdouble(1)
    return [(a * scale).astype(g.dtype) for a, g in zip(wide, arrays, strict=True)]


def clipped(arrays, max_norm, backend):
    inputs = [sg.tensor(f"g{i}", a.shape, a.dtype.name) for i, a in enumerate(arrays)]
    return sg.compile(inputs, nn.clip_norm(inputs, max_norm), backend=backend)(*arrays)


def draw(*shapes, dtype="float32", scale=1.0):
    rng = np.random.default_rng(len(shapes))
    return [(rng.normal(size=shape) * scale).astype(dtype) for shape in shapes]


CASES = {
    "below": draw((3, 2), (4,), scale=1e-3),
    "above": draw((3, 2), (4,), (), scale=100),
    "squares overflow": draw((3, 2), (4,), scale=1e20),
    "the norm overflows": [np.full(5, 3e38, "float32"), np.full(7, -3e38, "float32")],
    "squares vanish": draw((3, 2), (4,), scale=1e-25),
    "one element": [np.array([-2e30], "float32")],
    "scalar": [np.float32(5).reshape(())],
    "zeros": [np.zeros((2, 2), "float32"), np.zeros(3, "float32")],
    "zeros and others": [np.zeros((2, 2), "float32"), np.full(3, 7, "float32")],
    "empty": [np.zeros((0, 3), "float32"), np.full(3, 7, "float32")],
    "nothing but empty": [np.zeros((0, 3), "float32")],
    "two dtypes": [*draw((3,), scale=1e10), *draw((2,), dtype="float64", scale=1e200)],
    "two dtypes below": [*draw((3,)), *draw((2,), dtype="float64", scale=1e-200)],
    "float64": draw((3, 2), (4,), dtype="float64", scale=1e200),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("max_norm", [0, 1e-30, 0.5, 5, float("inf")])
@pytest.mark.parametrize("name", CASES)
def test_gradients_of_any_size_get_the_norm(name, max_norm, backend):
    arrays = CASES[name]
    found = clipped(arrays, max_norm, backend)
    for ours, wanted, given in zip(found, reference(arrays, max_norm), arrays, strict=True):
        assert ours.dtype == given.dtype
        np.testing.assert_allclose(ours, wanted, rtol=2e-6, atol=1e-44)
        if max_norm == float("inf"):
            np.testing.assert_array_equal(ours, given)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_norm_that_is_a_variable(backend):
    g, limit = sg.vector("g"), sg.scalar("limit", "float64")
    clip = sg.compile([g, limit], nn.clip_norm([g], limit)[0], backend=backend)
    values = np.array([3e20, -4e20], "float32")
    np.testing.assert_allclose(clip(values, 2.5), [1.5, -2.0], rtol=1e-6)
    np.testing.assert_array_equal(clip(values, 0.0), [0, 0])
    np.testing.assert_array_equal(clip(values, 1e30), values)
    assert clip(np.zeros(0, "float32"), 1.0).shape == (0,)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_stays_to_be_seen(broken, backend):
    arrays = [np.array([1.0, broken], "float32"), np.array([9.0, -9.0], "float32")]
    for ours, given in zip(clipped(arrays, 1.0, backend), arrays, strict=True):
        np.testing.assert_array_equal(ours, given)


def test_limits_that_are_none():
    g = sg.vector("g")
    for limit, kind in [
        (-1, ValueError), (float("nan"), ValueError), (np.float32(-1), ValueError),
        (np.array([1.0]), ValueError), (g, ValueError), (True, TypeError), ("1", TypeError),
        (None, TypeError),
    ]:  # fmt: skip
        for clip in (nn.clip_norm, nn.clip_value):
            with pytest.raises(kind) as caught:
                clip([g], limit)
            assert isinstance(caught.value, sg.SymgraphError)
            assert __file__ in str(caught.value)
    assert nn.clip_norm([], 1.0) == []


def test_gradients_of_integers_are_refused():
    g, whole = sg.vector("g"), sg.vector("whole", "int64")
    for call in (
        lambda: nn.clip_norm([g, whole], 1.0),
        lambda: nn.clip_value([whole], 1.0),
        lambda: nn.weight_decay([whole], [sg.shared(np.ones(2, "float32"))], 0.1),
    ):
        with pytest.raises(sg.SymgraphError, match="gradients are floats; found 'whole'") as caught:
            call()
        assert isinstance(caught.value, TypeError)
        assert __file__ in str(caught.value)
