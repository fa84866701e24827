"""Random numbers: the published answers of Threefry, statistics, keys and streams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import symgraph as sg
from symgraph.ops.threefry import threefry
from symgraph.testing import evaluate

KEY = sg.random.key(42)


@pytest.mark.parametrize(
    ("key", "counter", "answer"),
    [  # kat_vectors of Random123, threefry2x32 with 20 rounds
        ("00000000 00000000", "00000000 00000000", "6b200159 99ba4efe"),
        ("ffffffff ffffffff", "ffffffff ffffffff", "1cb996fc bb002be7"),
        ("13198a2e 03707344", "243f6a88 85a308d3", "c4923a9c 483df7a0"),
    ],
)
def test_known_answers(key: str, counter: str, answer: str) -> None:
    words = [np.array([int(w, 16)], np.uint32) for w in (key + " " + counter).split()]
    assert " ".join(f"{int(w[0]):08x}" for w in threefry(*words)) == answer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions(dtype: str) -> None:
    n = (20_000,)
    uniform, scaled, normal = evaluate(
        [
            sg.random.uniform(KEY, n, dtype=dtype),
            sg.random.uniform(KEY, n, -3.0, 5.0, dtype=dtype),
            sg.random.normal(KEY, n, 2.0, 3.0, dtype=dtype),
        ],
        {},
    )
    assert uniform.dtype == scaled.dtype == normal.dtype == dtype
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert stats.kstest(uniform, stats.uniform().cdf).pvalue > 0.01
    assert stats.kstest(scaled, stats.uniform(-3, 8).cdf).pvalue > 0.01
    assert stats.kstest(normal, stats.norm(2, 3).cdf).pvalue > 0.01
    assert abs(np.corrcoef(uniform[:-1], uniform[1:])[0, 1]) < 0.03


def test_bernoulli_and_categorical() -> None:
    p = np.array([0.0, 0.2, 0.7, 1.0], np.float32)
    draws = evaluate(sg.random.bernoulli(KEY, (8000, 4), p), {})
    assert draws.dtype == np.float32
    np.testing.assert_allclose(draws.mean(0), p, atol=0.02)
    assert sg.random.bernoulli(KEY, p=p, dtype="bool").type.shape == (4,)
    logits = np.log(np.tile(np.array([0.1, 0.0, 0.6, 0.3]) + 1e-300, (8000, 1)))
    logits[:, 1] = -np.inf
    chosen = evaluate(sg.random.categorical(KEY, logits), {})
    assert chosen.dtype == np.int64
    np.testing.assert_allclose(
        np.bincount(chosen, minlength=4) / 8000, [0.1, 0, 0.6, 0.3], atol=0.02
    )
    assert sg.random.categorical(KEY, np.zeros((3, 5, 2)), axis=1).type.shape == (3, 2)


def test_the_upper_bound_is_never_reached() -> None:
    low, high = np.float32(1), np.nextafter(np.float32(1), np.float32(2))
    draws = evaluate(sg.random.uniform(KEY, (1000,), low, high), {})
    assert (draws == low).all()
    assert evaluate(sg.random.uniform(KEY, (3,), 2.0, 2.0), {}).tolist() == [2, 2, 2]


def test_equal_keys_draw_equally() -> None:
    n = sg.scalar("n", "int64")
    draws = evaluate(
        [
            sg.random.normal(KEY, (3, 4)),
            sg.random.normal(sg.random.key(42), (n, 4)),
            sg.random.normal(sg.random.key(n * 14), (3, 4)),
            sg.random.normal(sg.random.key(43), (3, 4)),
        ],
        {n: np.int64(3)},
    )
    np.testing.assert_array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(draws[0], draws[2])
    assert not np.isin(draws[0], draws[3]).any()
    # An element does not depend on the shape.
    longer = evaluate(sg.random.normal(KEY, (100,)), {})
    np.testing.assert_array_equal(longer[:12], draws[0].ravel())


def test_keys_that_are_made_differ() -> None:
    keys = sg.random.split(KEY, 100)
    made = [
        KEY,
        *(keys[i] for i in range(100)),
        *(sg.random.fold_in(KEY, i) for i in range(-50, 50)),
    ]
    values = {tuple(v) for v in evaluate(made, {})}
    assert len(values) == 201
    draws = evaluate(sg.random.uniform(KEY, (50,)), {})
    others = evaluate([sg.random.uniform(k, (50,)) for k in made[1:20]], {})
    assert not np.isin(others, draws).any()
    assert sg.random.split(KEY).type.shape == (2, 2)


def test_expansion_gives_the_same() -> None:
    n = sg.scalar("n", "int64")
    bits = sg.random.split(KEY, n)
    folded = sg.random.fold_in(KEY, n)
    for made in (bits, folded):
        for value in (0, 3, 5):
            given = {n: np.int64(value)}
            np.testing.assert_array_equal(
                evaluate(made, given), evaluate(made.op.expand(made), given)
            )


def test_gradients_flow_to_mean_and_deviation() -> None:
    mean, std = sg.scalar("mean", "float64"), sg.scalar("std", "float64")
    draw = sg.random.normal(KEY, (1000,), mean, std, dtype="float64")
    by_mean, by_std = sg.grad(draw.mean(), [mean, std])
    values = {mean: np.float64(1), std: np.float64(2)}
    assert evaluate(by_mean, values) == pytest.approx(1)
    value, slope = evaluate([draw.mean(), by_std], values)
    assert slope == pytest.approx((value - 1) / 2)


def test_a_stream_advances_with_each_call() -> None:
    stream = sg.random.Stream(7)
    first, second = stream.uniform((4,)), stream.normal((4,))
    f = sg.compile([], [first, first * 1, second, stream.bernoulli((4,))], backend="numpy")
    one, two = f(), f()
    np.testing.assert_array_equal(one[0], one[1])
    for a, b in zip(one[:3], two[:3], strict=True):
        assert not np.isin(a, b).any()
    assert stream.counter.get_value() == 2
    stream.counter.set_value(np.int64(0))
    np.testing.assert_array_equal(f()[0], one[0])
    again = sg.random.Stream(7)
    np.testing.assert_array_equal(sg.compile([], again.uniform((4,)), backend="numpy")(), one[0])


def test_a_stream_draws_afresh_at_each_step() -> None:
    stream = sg.random.Stream(1)
    outer = sg.scan(
        lambda: sg.scan(lambda: stream.uniform((3,)), n_steps=4),
        n_steps=5,
    )
    draws = np.asarray(sg.compile([], outer, backend="numpy")())
    assert draws.shape == (5, 4, 3)
    assert len(np.unique(draws)) == 60


def test_scan_over_keys_equals_draws_one_by_one() -> None:
    keys = sg.random.split(KEY, 5)
    looped = sg.scan(lambda key: sg.random.normal(key, (2,)), sequences=keys)
    single = [sg.random.normal(keys[i], (2,)) for i in range(5)]
    f = sg.compile([], [looped, sg.stack(single)], backend="numpy")
    np.testing.assert_array_equal(*f())


@pytest.mark.parametrize(
    "call",
    [
        lambda: sg.random.key(1.5),
        lambda: sg.random.key("seed"),
        lambda: sg.random.key(sg.scalar("x")),
        lambda: sg.random.uniform(42),
        lambda: sg.random.uniform(sg.vector("k", "uint32"), dtype="int32"),
        lambda: sg.random.normal(KEY, (3,), dtype="int64"),
        lambda: sg.random.normal(KEY, (-1,)),
        lambda: sg.random.normal(KEY, (2.5,)),
        lambda: sg.random.normal(KEY, std=-1.0),
        lambda: sg.random.bernoulli(KEY, p=1.5),
        lambda: sg.random.fold_in(KEY, 0.5),
        lambda: sg.random.uniform(KEY, (3,), low=sg.tensor("low", (4,))),
        lambda: sg.random.categorical(KEY, sg.tensor("x", (4,)), axis=1),
    ],
)
def test_mistakes(call: Any) -> None:
    with pytest.raises(sg.SymgraphError, match=r"test_random\.py"):
        call()


def test_seeds_of_any_size() -> None:
    values = [tuple(sg.random.key(seed).eval()) for seed in (0, 1, -1, 2**32, 2**64 - 1, 2**70 + 5)]
    assert values[2] == values[4]
    assert len(set(values)) == 5
