"""Buffers that follow values of loops: each step moves them once, against NumPy loops."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
import weakref

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn

BACKENDS = ["native", "numpy"]
RNG = np.random.default_rng(3)
X = RNG.normal(size=(5, 4, 2)).astype("float32")
MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]], bool)
U = np.array([[0.5, -0.2], [0.1, 0.4]], "float32")


class Cell(nn.Module):
    """h' = BatchNorm(tanh(x + h U)); the output is the state, or twice it."""

    def __init__(self, *, has_output=False, again=False):
        self.norm, self.U = nn.BatchNorm(2), sg.shared(U)
        self.has_output, self.again = has_output, again

    def initial_state(self, batch):
        return sg.zeros((batch, 2))

    def step(self, x_t, h):
        h = self.norm(sg.tanh(x_t + sg.dot(h, self.U)), training=True)
        if self.again:
            h = self.norm(sg.exp(h), training=True)
        return (2 * h if self.has_output else h), h


def normalised(z, state):
    """One batch through the layer, which moves the running mean and variance."""
    mean, variance = z.mean(axis=0), z.var(axis=0)
    state[0] = 0.9 * state[0] + 0.1 * mean
    state[1] = 0.9 * state[1] + 0.1 * variance
    return (z - mean) / np.sqrt(variance + 1e-5)


def expected(x, state, *, mask=None, again=False, reverse=False):
    h = np.zeros(x.shape[1:])
    if mask is not None:  # as the layer has it, so that paddings of NaN do no harm
        x = np.where(mask[: len(x), :, None], x, 0)
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        before = [s.copy() for s in state]
        new = normalised(np.tanh(x[t] + h @ U), state)
        if again:
            new = normalised(np.exp(new), state)
        if mask is not None:
            new = np.where(mask[t][:, None], new, h)
            if not mask[t].any():
                state[:] = before
        h = new


def start():
    return [np.zeros(2), np.ones(2)]


def check(norm, state, rtol=2e-5):
    np.testing.assert_allclose(norm.mean.variable.get_value(), state[0], rtol=rtol, atol=1e-6)
    np.testing.assert_allclose(norm.variance.variable.get_value(), state[1], rtol=rtol)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_steps", [0, 1, 5])
@pytest.mark.parametrize(
    "options", [{}, {"has_output": True}, {"again": True}, {"reverse": True}, {"given": "grads"}]
)
@pytest.mark.parametrize("masked", [False, True])
def test_a_norm_within_a_cell_moves_at_each_step(masked, options, n_steps, backend):
    options = dict(options)
    reverse, given = options.pop("reverse", False), options.pop("given", "loss")
    layer = nn.Recurrent(Cell(**options), reverse=reverse)
    x, mask = sg.tensor("x", ("T", "B", 2)), sg.tensor("mask", ("T", "B"), "bool")
    y = layer(x, mask=mask) if masked else layer(x)
    loss = sg.sum(y**2 * np.array([1, 3], "float32"))
    updates = nn.sgd(loss if given == "loss" else sg.grad(loss, layer.params), layer.params, 0.0)
    assert set(updates) == {*layer.params, *layer.buffers}
    inputs = [x, mask] if masked else [x]
    train = sg.compile(inputs, loss, updates=updates, backend=backend)
    assert train.report.bodies <= 2  # a loop and its gradient
    arrays, state = [a[:n_steps] for a in ([X, MASK] if masked else [X])], start()
    for _ in range(2):
        train(*arrays)
        expected(
            X[:n_steps], state, mask=MASK if masked else None, reverse=reverse,
            again=options.get("again", False),
        )  # fmt: skip
        check(layer.cell.norm, state)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_norm_within_a_scan_of_ones_own(backend):
    norm, x = nn.BatchNorm(2), sg.tensor3("x")
    rows = sg.map(lambda row: norm(row, training=True), x)
    loss = sg.sum(rows**3) + sg.sum(norm(x[0], training=True))  # and once outside, afterwards
    train = sg.compile([x], loss, updates=nn.sgd(loss, norm.params, 0.0), backend=backend)
    train(X)
    states = [start(), start()]
    for order, state in zip((True, False), states, strict=True):
        for row in [X[0], *X] if order else [*X, X[0]]:
            normalised(row.astype("float64"), state)
    found = norm.mean.variable.get_value()
    assert any(np.allclose(found, state[0], rtol=1e-5) for state in states)


@pytest.mark.parametrize("backend", BACKENDS)
def test_loops_in_loops_and_those_that_end_early(backend):
    norm, x = nn.BatchNorm(3), sg.tensor4("x")
    values = RNG.normal(size=(3, 4, 6, 3)).astype("float32")

    def rows(block):
        return sg.scan(
            lambda row: (norm(row, training=True), sg.until(row[0, 0] > 1e9)), block
        ).sum()

    loss = sg.sum(sg.map(rows, x) ** 2)
    train = sg.compile([x], loss, updates=nn.sgd(loss, norm.params, 0.0), backend=backend)
    values[1, 2, 0, 0] = 2e9
    train(values)
    state = [np.zeros(3), np.ones(3)]
    for i, block in enumerate(values.astype("float64")):
        for row in block[: 3 if i == 1 else 4]:
            normalised(row, state)
    check(norm, state)


def test_checkpoints_change_nothing():
    norm, x = nn.BatchNorm(2), sg.tensor("x", ("T", "B", 2))
    state_of = lambda h, row: norm(sg.tanh(row + h), training=True)  # noqa: E731
    y = sg.scan(lambda row, h: state_of(h, row), x, [sg.zeros(x.shape[1:])], checkpoint_every=2)
    loss = sg.sum(y**3)
    sg.compile([x], loss, updates=nn.sgd(loss, norm.params, 0.0))(X)
    state, h = start(), 0
    for row in X.astype("float64"):
        h = normalised(np.tanh(row + h), state)
    check(norm, state)


def test_the_same_layer_called_twice_on_the_same_input_moves_once():
    """The two are one expression, as outside of loops."""
    layer, x = nn.Recurrent(Cell()), sg.tensor("x", ("T", "B", 2))
    loss = sg.sum(layer(x) ** 3) + sg.mean(layer(x) ** 3)
    sg.compile([x], loss, updates=nn.sgd(loss, layer.params, 0.0))(X)
    state = start()
    expected(X, state)
    check(layer.cell.norm, state)


def test_a_loss_of_another_call_moves_nothing():
    layer, x = nn.Recurrent(Cell()), sg.tensor("x", ("T", "B", 2))
    used, unused = layer(x), layer(x * 2)
    loss = sg.sum(used**3)
    assert len(nn.buffer_updates(loss)) == 2
    sg.compile([x], loss, updates=nn.sgd(loss, layer.params, 0.0))(X)
    state = start()
    expected(X, state)
    check(layer.cell.norm, state)
    assert nn.buffer_updates(sg.sum(unused)).keys() == set(layer.buffers)
    assert not nn.buffer_updates(sg.sum(x))


def test_the_table_of_moves_keeps_no_loop_alive():
    layer, x = nn.Recurrent(Cell()), sg.tensor("x", ("T", "B", 2))
    y = layer(x)
    loop = y
    while loop.op.name != "scan":
        loop = loop.inputs[0]
    alive = weakref.ref(loop)
    del y, loop
    gc.collect()
    assert alive() is None


# --- losses that are built again ------------------------------------------------------------------


def norm_loss(x):
    norm = nn.BatchNorm(2)
    return norm, sg.sum(norm(x, training=True) ** 3)


def loop_loss(x):
    layer = nn.Recurrent(Cell())
    return layer, sg.sum(layer(x) ** 3)


def norm_moves(x, state):
    normalised(x.reshape(-1, 2), state)


def parts(kind):
    """A symbol, a layer, its loss, and a NumPy function that moves what the layer moves."""
    x = sg.tensor("x", ("T", "B", 2))
    make, moves = {"norm": (norm_loss, norm_moves), "loop": (loop_loss, expected)}[kind]
    return x, *make(x), moves


def check_state(layer, moves, *seen):
    """The buffers are where they are after seeing the arrays."""
    state = start()
    for array in seen:
        moves(array.astype("float64"), state)
    check(layer.cell.norm if isinstance(layer, nn.Recurrent) else layer, state)


def train(inputs, arrays, loss_or_grads, layer, backend="native"):
    updates = nn.sgd(loss_or_grads, layer.params, 0.0)
    assert set(layer.buffers) <= set(updates)
    sg.compile(inputs, None, updates=updates, backend=backend)(*arrays)


KINDS = pytest.mark.parametrize("kind", ["norm", "loop"])


@KINDS
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_steps", [1, 5])
def test_buffers_follow_a_loss_in_which_an_input_was_replaced(n_steps, backend, kind):
    x, layer, loss, moves = parts(kind)
    y, array = sg.tensor("y", ("N", "M", 2)), X[:n_steps]
    train([y], [array], sg.substitute(loss, {x: 2 * y + 1}), layer, backend)
    check_state(layer, moves, 2 * array + 1)


@KINDS
def test_buffers_follow_a_loss_that_is_replaced_twice(kind):
    x, layer, loss, moves = parts(kind)
    y = sg.tensor("y", ("T", "B", 2))
    train([x], [X], sg.substitute(sg.substitute(loss, {x: y}), {y: x - 1}), layer)
    check_state(layer, moves, X - 1)


@KINDS
def test_buffers_follow_gradients_that_are_replaced(kind):
    x, layer, loss, moves = parts(kind)
    y = sg.tensor("y", ("T", "B", 2))
    train([y], [X], sg.substitute(sg.grad(loss, layer.params), {x: y + 1}), layer)
    check_state(layer, moves, X + 1)


@KINDS
def test_buffers_follow_a_graph_that_is_called(kind):
    x, layer, loss, moves = parts(kind)
    y = sg.tensor("y", ("T", "B", 2))
    (called,) = sg.Graph([x, *layer.params], [loss])(3 * y, *layer.params)
    train([y], [X], called, layer)
    check_state(layer, moves, 3 * X)


@KINDS
def test_buffers_follow_two_versions_of_a_loss_one_after_the_other(kind):
    x, layer, loss, moves = parts(kind)
    y = sg.tensor("y", ("T", "B", 2))
    train([x, y], [X, 2 * X], loss + sg.substitute(loss, {x: y}), layer)
    check_state(layer, moves, X, 2 * X)


@KINDS
@pytest.mark.parametrize("order", [1, -1])
def test_a_copy_of_a_module_and_its_loss_moves_the_copy(order, kind):
    x, layer, loss, moves = parts(kind)
    before = layer.state()
    copied, copied_loss = copy.deepcopy([layer, loss][::order])[::order]
    train([x], [X], copied_loss, copied)
    check_state(copied, moves, X)
    for path, value in layer.state().items():
        np.testing.assert_array_equal(value, before[path])


@KINDS
def test_a_pickle_of_a_module_and_its_loss_moves_what_is_loaded(kind):
    x, layer, loss, moves = parts(kind)
    x, layer, loss = pickle.loads(pickle.dumps((x, layer, loss)))
    train([x], [X], loss, layer)
    check_state(layer, moves, X)


def test_a_pickle_moves_what_is_loaded_in_another_process(tmp_path):
    x, norm, loss, moves = parts("norm")
    (tmp_path / "parts").write_bytes(pickle.dumps((x, norm, loss)))
    np.save(tmp_path / "x.npy", X)
    script = (
        "import pickle, numpy as np, symgraph as sg, symgraph_nn as nn\n"
        "x, norm, loss = pickle.load(open('parts', 'rb'))\n"
        "sg.compile([x], loss, updates=nn.sgd(loss, norm.params, 0.0))(np.load('x.npy'))\n"
        "nn.save(norm, 'norm.safetensors')\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    nn.load(norm, tmp_path / "norm.safetensors")
    check_state(norm, moves, X)


def test_of_two_layers_on_one_input_the_one_in_the_loss_moves():
    x = sg.tensor("x", ("T", "B", 2))
    (norm, loss), (other, other_loss) = norm_loss(x), norm_loss(x)
    before = other.state()
    train([x], [X], loss, norm)
    train([x], [X], sg.grad(loss, norm.params), norm)
    check_state(norm, norm_moves, X, X)
    for path, value in other.state().items():
        np.testing.assert_array_equal(value, before[path])
    assert nn.buffer_updates([loss, other_loss]).keys() == {*norm.buffers, *other.buffers}


def test_gradients_that_depend_on_no_result_of_the_layer_move_it():
    x, norm = sg.tensor("x", ("T", "B", 2)), nn.BatchNorm(2)
    train([x], [X], sg.grad(sg.sum(norm(x, training=True)), norm.params), norm)
    check_state(norm, norm_moves, X)


def test_givens_move_the_buffers_by_what_takes_the_place():
    x, norm, loss, moves = parts("norm")
    y = sg.tensor("y", ("T", "B", 2))
    updates = nn.sgd(loss, norm.params, 0.0)
    sg.compile([y], loss, updates=updates, givens={x: 2 * y})(X)
    check_state(norm, moves, 2 * X)


def test_a_buffer_stays_where_what_it_follows_is_replaced():
    norm, x = nn.BatchNorm(2), sg.tensor("x", ("T", "B", 2))
    loss = sg.sum(norm(x, training=True))
    replaced = sg.substitute(loss, {sg.mean(x, axis=(0, 1)): sg.zeros((2,))})
    assert set(nn.buffer_updates(loss)) - set(nn.buffer_updates(replaced)) == {norm.mean.variable}


# --- what a loop hands out -----------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loop_hands_out_values_of_each_step(backend):
    x, received, notes = sg.vector("x"), [], []

    def step(row, total):
        loop = sg.current_loop()
        notes.append(loop.notes)
        loop.notes["product"] = row * total
        loop.keep(lambda: [loop.notes["product"], row + 1], lambda *t: received.append(t))
        loop.keep(lambda: [total], lambda trace: received.append(trace))
        return row + total

    assert sg.current_loop() is None
    totals = sg.scan(step, x, [np.float32(0)])
    assert sg.current_loop() is None
    (products, more), before = received
    f = sg.compile([x], [totals, products, more, before], backend=backend)
    for found, wanted in zip(
        f([1, 2, 3]), ([1, 3, 6], [0, 2, 9], [2, 3, 4], [0, 1, 3]), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
