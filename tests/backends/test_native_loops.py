"""Loops that share packed operands, take no step, or have sizes that only values tell."""

import numpy as np
import pytest

import symgraph as sg


def agree(inputs, outputs, values, tolerance=1e-9):
    wanted = sg.compile(inputs, outputs, backend="numpy")(*values)
    found = sg.compile(inputs, outputs, backend="native")(*values)
    for a, b in zip(found, wanted, strict=True):
        assert (a.dtype, np.shape(a)) == (b.dtype, np.shape(b))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def numbers(*shape):
    return np.random.default_rng(0).normal(size=shape) * 0.5


def rnn():
    x, h = sg.tensor("x", ("T", "B", 5), "float64"), sg.tensor("h", ("B", 5), "float64")
    return x, sg.tensor("w", (5, 5), "float64"), h


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_nested_loops_multiply_by_one_weight(steps):
    x, w, h = rnn()

    def outer(rows, state):
        inner = sg.scan(lambda r, g: sg.tanh(r + g @ w), [rows], [state.sum(axis=0)])
        return sg.tanh(inner + state @ w) @ w

    y = sg.scan(outer, [x], [h])
    outputs = [y, *sg.grad(sg.sum(y * y), [x, w, h])]
    agree([x, w, h], outputs, [numbers(steps, 3, 5), numbers(5, 5), numbers(3, 5)])


@pytest.mark.parametrize("steps", [0, 1, 2, 7])
def test_checkpoints_keep_the_gradient(steps):
    x, w, h = rnn()
    y = sg.scan(lambda r, g: sg.tanh(r + g @ w), [x], [h], checkpoint_every=3)
    outputs = [y, *sg.grad(sg.sum(y * y), [x, w, h])]
    agree([x, w, h], outputs, [numbers(steps, 3, 5), numbers(5, 5), numbers(3, 5)])


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 6])
def test_taps_ahead_and_behind_read_nothing_without_a_step(rows):
    x, _, h = rnn()
    y = sg.scan(lambda a, b, g: sg.tanh(a * b + g), [{"input": x, "taps": [-1, 1]}], [h])
    agree([x, h], [y, y.sum()], [numbers(rows, 2, 5), numbers(2, 5)])


@pytest.mark.parametrize("size", [0, 1, 2, 3, 9])
@pytest.mark.parametrize("shift", [2, -3, 7])
def test_sizes_that_a_fused_scalar_computes(size, shift):
    x = sg.vector("x", "int64")
    found = sg.compile([x], sg.roll(x, shift, 0), backend="native")(np.arange(size))
    assert found.tolist() == np.roll(np.arange(size), shift).tolist()


@pytest.mark.parametrize("length", [0, 1, 5, -2])
def test_a_negative_range_is_empty_and_a_negative_size_is_an_error(length):
    n = sg.scalar("n", "int64")
    total = sg.compile([n], [sg.arange(n), sg.sum(sg.arange(n))], backend="native")
    assert [r.tolist() for r in total(length)] == [list(range(length)), sum(range(length))]
    make = sg.compile([n], sg.zeros((n, 3)), backend="native")
    if length >= 0:
        assert make(length).shape == (length, 3)
    else:
        with pytest.raises(ValueError, match=r"a size is negative: \[-2, 3\]\n  on .*'n'"):
            make(length)


def test_an_index_out_of_range_tells_the_operands():
    x, i = sg.matrix("x"), sg.vector("i", "int64")
    ones = np.ones((3, 2), "float32")
    for read in (x[i], x.set(i, 1.0), x.add_at(i, 1.0)):
        f = sg.compile([x, i], read, backend="native")
        for wrong in (3, -4, 2**62):
            with pytest.raises(IndexError, match=rf"index {wrong} is outside axis 0.*\n  on 'x'"):
                f(ones, [0, wrong])


def test_an_index_out_of_range_is_an_error_even_where_nothing_is_read():
    x, i = sg.matrix("x"), sg.vector("i", "int64")
    for read in (x[:, i], x.set((slice(None), i), 1.0)):
        f = sg.compile([x, i], read, backend="native")
        assert f(np.ones((0, 3), "float32"), [0, 2]).shape[0] == 0
        with pytest.raises(IndexError, match="index 3 is outside axis 1"):
            f(np.ones((0, 3), "float32"), [0, 3])


LAYOUTS = {
    "as it lies": lambda x: x,
    "reversed": lambda x: x[::-1],
    "batch first": lambda x: sg.transpose(x, (1, 0, 2)),
    "batch first, reversed": lambda x: sg.transpose(x, (1, 0, 2))[::-1],
    "columns": lambda x: x[:, :, 1:4],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", [0, 1, 3, 31, 33])
def test_rows_of_several_steps_are_multiplied_at_once(layout, batch):
    x = sg.tensor("x", (None, None, 5), "float64")
    rows = LAYOUTS[layout](x)
    w_shape = (7, 3 if layout == "columns" else 5)
    w, h = sg.tensor("w", w_shape, "float64"), sg.tensor("h", (None, 7), "float64")
    y = sg.scan(lambda x_t, h: sg.tanh(x_t @ w.T + h), [rows], [h])
    outputs = [y, *sg.grad(sg.sum(y * y), [x, w, h])]
    functions = [sg.compile([x, w, h], outputs, backend=b) for b in ("numpy", "native")]
    for steps in (0, 1, 10, 11, 35):
        shape = (batch, steps, 5) if "batch" in layout else (steps, batch, 5)
        values = numbers(*shape), numbers(*w_shape), numbers(batch, 7)
        for wanted, found in zip(*(f(*values) for f in functions), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("batch", [1, 20])
def test_rows_are_multiplied_ahead_of_a_loop_that_ends_by_a_condition(batch):
    x = sg.tensor("x", ("T", batch, 5), "float64")
    w = sg.tensor("w", (5, 5), "float64")

    def step(x_t, h):
        h = h + x_t @ w
        return h, sg.until(h.sum() > 13.2)

    y = sg.scan(step, [x], [sg.zeros((batch, 5), "float64")])
    for steps in (1, 70):
        agree([x, w], [y, y.shape[0]], [np.ones((steps, batch, 5)), np.ones((5, 5)) / 50])
