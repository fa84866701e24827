"""Products that native loops compute for several steps at once: of rows read, of rows computed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.backends.llvm.lowering.image import lower
from symgraph.backends.llvm.machine.runtime import runtime_kernels

N_IN, N = 5, 40
random = np.random.default_rng(7)
U, V = (0.3 * random.normal(size=size) for size in ((N_IN, N), (N_IN, N_IN)))
W = 0.1 * random.normal(size=(N, N))
TABLE = random.normal(size=(6, N_IN))
B = random.normal(size=N_IN)

Step = Callable[..., Any]

# What a step adds to the state's product, of a row, of one of symbols, by NumPy and in graphs; and
# how many products are computed for several steps at once.
FORMS: dict[str, tuple[Step, int]] = {
    "a row": (lambda m, x, i, h: x @ U, 1),
    "a row turned": (lambda m, x, i, h: x[..., ::-1] @ U, 1),
    "a computed row": (lambda m, x, i, h: (m.exp(x) + B) @ U, 1),
    "a layer": (lambda m, x, i, h: m.tanh(x @ V + B) @ U, 2),
    "two products of one": (lambda m, x, i, h: m.exp(x) @ U * (m.exp(x) @ U[::-1]), 2),
    "a row of a table": (lambda m, x, i, h: m.asarray(TABLE)[i] @ U, 1),
    "a row of a table, scaled": (lambda m, x, i, h: (m.asarray(TABLE)[i] * x) @ U, 1),
    "numbers in a column": (lambda m, x, i, h: x[..., :1] @ U[:1], 1),
    "rows of numbers": (lambda m, x, i, h: x[..., 0][..., None] @ U[:1], 1),
    "with a state": (lambda m, x, i, h: (x + h[..., :N_IN]) @ U, 0),
    "rows that are read as well": (lambda m, x, i, h: m.exp(x) @ U + m.exp(x).sum(-1).sum(), 1),
    "a norm": (lambda m, x, i, h: (x / (x * x).sum(-1)[..., None]) @ U, 1),
}


class Graphs:
    """The functions of the forms, of graphs."""

    exp, tanh, asarray = sg.exp, sg.tanh, staticmethod(sg.constant)


def states_by_numpy(form: Step, x: np.ndarray, i: np.ndarray) -> np.ndarray:
    h = np.zeros((*x.shape[1:-1], N))
    rows = []
    for row, index in zip(x, i, strict=True):
        h = np.tanh(form(np, row, index, h) + h @ W)
        rows.append(h)
    return np.array(rows).reshape(len(x), *x.shape[1:-1], N)


def compiled(form: Step, batch: tuple[Any, ...], outputs: str, **options: Any) -> sg.Function:
    x = sg.tensor("x", ("T", *batch, N_IN), "float64")
    i = sg.tensor("i", ("T", *batch), "int64")
    h = sg.scan(
        lambda x, i, h: sg.tanh(form(Graphs, x, i, h) + h @ W),
        [x, i],
        [sg.zeros((*x.shape[1:-1], N), "float64")],
        name="cell",
        **options,
    )
    results: Any = {"all": h, "last": h[-1], "gradient": None}[outputs]
    if results is None:
        results = [h, sg.grad(sg.square(h).sum(), x, disconnected="zero")]
    return sg.compile([x, i], results, backend="native", unused="ignore")


def products_ahead(f: sg.Function) -> int:
    """How many products of the program are computed for several steps at once."""
    kernel = runtime_kernels()["sometimes"]
    return sum(k == kernel for _, k in lower(f.graph).image.main.kernels)


@pytest.mark.parametrize("batch", [(), (1,), (2,), (5,), ("B",), (40,)], ids=str)
@pytest.mark.parametrize("name", FORMS)
def test_rows_ahead_are_those_of_the_steps(name: str, batch: tuple[Any, ...]) -> None:
    form, count = FORMS[name]
    is_large = batch == (40,)  # of which a product of one step is worth its name
    f = compiled(form, batch, "all")
    assert products_ahead(f) == count or (is_large and products_ahead(f) <= count)
    last = compiled(form, batch, "last")
    shape = tuple(3 if size == "B" else size for size in batch)
    for n in (1, 2, 31, 33, 70):
        x = random.normal(size=(n, *shape, N_IN))
        i = random.integers(-6, 6, (n, *shape))
        expected = states_by_numpy(form, x, i)
        np.testing.assert_allclose(f(x, i), expected, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(last(x, i), expected[-1], rtol=1e-11, atol=1e-12)
    none = f(np.zeros((0, *shape, N_IN)), np.zeros((0, *shape), np.int64))
    assert none.shape == (0, *shape, N)


@pytest.mark.parametrize("batch", [(), (2,)], ids=str)
@pytest.mark.parametrize("options", [{"go_backwards": True}, {"checkpoint_every": 5}], ids=str)
@pytest.mark.parametrize("name", FORMS)
def test_gradients_are_differences(
    name: str, options: dict[str, Any], batch: tuple[int, ...]
) -> None:
    form, _ = FORMS[name]
    f = compiled(form, batch, "gradient", **options)
    x, i = random.normal(size=(37, *batch, N_IN)), random.integers(0, 6, (37, *batch))
    turned = slice(None, None, -1 if "go_backwards" in options else 1)

    def cost(x: np.ndarray) -> float:
        return float((states_by_numpy(form, x[turned], i[turned]) ** 2).sum())

    states, gradient = f(x, i)
    np.testing.assert_allclose(
        states, states_by_numpy(form, x[turned], i[turned]), rtol=1e-11, atol=1e-12
    )
    along = random.normal(size=x.shape)
    slope = (cost(x + 1e-5 * along) - cost(x - 1e-5 * along)) / 2e-5
    np.testing.assert_allclose((gradient * along).sum(), slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("batch", [(), (2,)], ids=str)
@pytest.mark.parametrize("t", [0, 31, 32, 40, 69])
def test_an_index_out_of_range_has_the_step_that_reads_there(
    t: int, batch: tuple[int, ...]
) -> None:
    f = compiled(FORMS["a row of a table"][0], batch, "all")
    i = np.zeros((70, *batch), np.int64)
    i[t] = 6
    with pytest.raises(sg.IndexRangeError, match=f"in step {t} of loop 'cell'"):
        f(np.zeros((70, *batch, N_IN)), i)


def test_rows_after_the_last_step_of_an_until_are_not_read() -> None:
    i = sg.vector("i", dtype="int64")
    h = sg.scan(
        lambda i, h: (sg.tanh(sg.constant(TABLE)[i] @ U + h @ W), sg.until(sg.eq(i, 5))),
        [i],
        [sg.zeros((N,), "float64")],
    )
    f = sg.compile([i], h, backend="native")
    assert f([0, 1, 5, 99]).shape == (3, N)


def test_what_a_step_prints_comes_before_what_the_next_one_cannot_read(capsys: Any) -> None:
    i = sg.vector("i", dtype="int64")

    def step(i: sg.Variable, h: sg.Variable) -> sg.Variable:
        return sg.tanh(sg.constant(TABLE)[sg.debug_print(i, "i")] @ U + h @ W)

    h = sg.scan(step, [i], [sg.zeros((N,), "float64")])
    f = sg.compile([i], h, backend="native")
    with pytest.raises(sg.IndexRangeError):
        f([0, 1, 99])
    assert capsys.readouterr().out.count("i") >= 3


def test_a_last_value_takes_no_memory_for_rows_of_all_steps() -> None:
    for name, (form, _) in FORMS.items():
        f = compiled(form, (), "last")
        few, many = (f.report.call_bytes(T=n) for n in (100, 100_000))
        assert many - few < 1000, name
