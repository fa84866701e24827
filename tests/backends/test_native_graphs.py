"""Random graphs: the native backend against the NumPy backend."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import symgraph as sg

CHECKS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
UNARY = [
    sg.tanh, sg.sigmoid, sg.exp, lambda v: sg.log(v * v + 1.0), lambda v: sg.sqrt(sg.abs(v) + 0.1),
    lambda v: -v, lambda v: v * 0.5 + 1.0, sg.sin, lambda v: sg.where(v > 0, v, v * 0.1),
    lambda v: sg.clip(v, -1.0, 1.0), sg.softplus, lambda v: sg.cast(sg.floor(v), v.dtype),
]  # fmt: skip
BINARY = [
    sg.add, sg.subtract, sg.multiply, sg.maximum, sg.minimum, lambda a, b: a / (b * b + 1.0),
    lambda a, b: sg.where(a > b, a, b * 2.0),
]  # fmt: skip


@st.composite
def graphs(draw):
    """Inputs, outputs and values of a random graph over arrays, rows, columns and scalars."""
    dtype = draw(st.sampled_from(["float32", "float64"]))
    a, b = (
        draw(st.sampled_from([1, 2, 5, 15, 16, 17, 31, 64])),
        draw(st.sampled_from([1, 3, 7, 15, 16, 17, 33, 64])),
    )
    sizes = ("A", draw(st.sampled_from(["B", b])))
    inputs = [
        *(sg.tensor(name, sizes, dtype) for name in "xy"), sg.tensor("v", sizes[1:], dtype),
        sg.tensor("c", (sizes[0], 1), dtype), sg.tensor("w", (sizes[1], 4), dtype),
        sg.scalar("s", dtype),
    ]  # fmt: skip
    random = np.random.default_rng(draw(st.integers(0, 99)))
    shapes = [(a, b), (a, b), (b,), (a, 1), (b, 4), ()]
    values = [np.asarray(random.normal(size=shape), dtype) for shape in shapes]
    full, all_of_them = list(inputs[:2]), list(inputs)
    for _ in range(draw(st.integers(2, 14))):
        kind = draw(st.sampled_from(["unary", "binary", "row", "total", "view", "product", "mix"]))
        x = draw(st.sampled_from(full))
        if kind == "unary":
            new = draw(st.sampled_from(UNARY))(x)
        elif kind == "binary":
            new = draw(st.sampled_from(BINARY))(x, draw(st.sampled_from(full)))
        elif kind == "row":
            new = draw(st.sampled_from(BINARY))(x, draw(st.sampled_from(inputs[2:4] + inputs[5:])))
        elif kind == "total":
            axis = draw(st.sampled_from([0, 1, (0, 1)]))
            total = draw(st.sampled_from([sg.sum, sg.max, sg.mean, sg.min]))(
                x, axis=axis, keepdims=True
            )
            all_of_them.append(total)
            new = x - total
        elif kind == "view":
            new = draw(st.sampled_from([
                lambda v: v[::-1], lambda v: v.T.reshape(v.shape), lambda v: v[:, ::-1] * 2.0,
                lambda v: sg.concatenate([v[1:], v[:1]]), lambda v: v.T[::-1].T,
                lambda v: sg.cumsum(v, axis=0) * 0.1, lambda v: v.reshape((-1,)).reshape(v.shape),
            ]))(x)  # fmt: skip
        elif kind == "product":
            new = sg.tanh(x @ inputs[4]) @ inputs[4].T * 0.3
        else:
            new = sg.softmax(x, axis=draw(st.sampled_from([0, 1])))
        (full if new.type is inputs[0].type else all_of_them).append(new)
        all_of_them.append(new)
    outputs = draw(st.lists(st.sampled_from(all_of_them), min_size=1, max_size=4))
    if draw(st.booleans()):
        cost = sum((o.sum() for o in outputs[1:]), start=sg.sum(outputs[0]))
        wrt = [v for v in inputs if v in _ancestors(cost)]
        outputs = [*outputs, *sg.grad(cost, wrt)] if wrt else outputs
    used = _ancestors(*outputs)
    kept = [(v, value) for v, value in zip(inputs, values, strict=True) if v in used]
    return [v for v, _ in kept], outputs, [value for _, value in kept]


def _ancestors(*outputs):
    seen, stack = set(), list(outputs)
    while stack:
        v = stack.pop()
        if v not in seen:
            seen.add(v)
            stack.extend(v.inputs)
    return seen


@CHECKS
@given(graphs())
def test_random_graphs_agree(case):
    inputs, outputs, values = case
    with np.errstate(all="ignore"):
        wanted = sg.compile(inputs, outputs, backend="numpy")(*values)
    compiled = sg.compile(inputs, outputs, backend="native")
    for _ in range(2):
        found = compiled(*values)
        for a, b in zip(found, wanted, strict=True):
            assert np.shape(a) == np.shape(b)
            assert a.dtype == b.dtype
            tolerance = 1e-9 if a.dtype == np.float64 else 2e-3
            scale = max(1.0, float(np.abs(np.nan_to_num(b)).max(initial=0)))
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


@CHECKS
@given(
    st.integers(0, 6), st.sampled_from([1, 2, 16, 17]), st.sampled_from([1, 3, 16, 33]),
    st.booleans(), st.booleans(), st.integers(0, 50),
)  # fmt: skip
def test_loops_agree(steps, batch, units, backwards, last_only, seed):
    x = sg.tensor("x", ("T", "B", units), "float64")
    w, u = (sg.tensor(name, (units, units), "float64") for name in "wu")
    b = sg.tensor("b", (units,), "float64")

    def step(x_t, h, c):
        z = sg.tanh(x_t @ w + h @ u + b)
        c = 0.5 * c + sg.sigmoid(z) * z.mean(axis=1, keepdims=True)
        return sg.tanh(c) + h * 0.1, c

    zeros = sg.zeros((x.shape[1], units), "float64")
    h, c = sg.scan(step, [x], [zeros, zeros], go_backwards=backwards)
    random = np.random.default_rng(seed)
    shapes = [(steps + last_only, batch, units), (units, units), (units, units), (units,)]
    values = [random.normal(size=shape) for shape in shapes]
    cost = (h[-1] ** 2).sum() if last_only else (h * c).sum()
    outputs = [cost, *sg.grad(cost, [x, w, u, b])]
    wanted = sg.compile([x, w, u, b], outputs, backend="numpy")(*values)
    found = sg.compile([x, w, u, b], outputs, backend="native")(*values)
    for a, b_ in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b_, rtol=1e-9, atol=1e-9)


def test_a_chain_of_more_groups_than_stay_open():
    x, y = sg.vector("x", "float64"), sg.vector("y", "float64")
    z, terms = x, []
    for i in range(700):
        z = z - sg.mean(z) * 0.5 + 0.01
        terms.append(sg.sum(z * y) if i % 100 == 0 else z)
    late = sum(terms[::100], start=terms[0]) * y  # what it reads was closed long before
    values = [np.linspace(0, 1, 19), np.linspace(-1, 2, 19)]
    outputs = [z, late, sg.grad(sg.sum(late * z), x)]
    f = sg.compile([x, y], outputs, backend="native")
    wanted = sg.compile([x, y], outputs, backend="numpy")(*values)
    for a, b in zip(f(*values), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    assert f.report.distinct_kernels < 60
