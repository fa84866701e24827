"""What templates find, whatever way it was written in, and what they leave alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg
import symgraph_nn as nn
from symgraph.ops.composite import is_composite, name_of_composite

F = np.float32
x = sg.tensor("x", ("T", "B", 6))
g = sg.shared(np.linspace(0.5, 2, 6).astype("float32"), "g")
b = sg.shared(np.linspace(-1, 1, 6).astype("float32"), "b")
X = np.random.default_rng(0).normal(size=(4, 2, 6)).astype("float32")


@sg.composite
def layer_norm(x: Any, gamma: Any, beta: Any, *, eps: float = 1e-5) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / sg.sqrt(sg.square(centred).mean(axis=-1, keepdims=True) + eps) * gamma + beta


@sg.composite
def gelu(x: Any) -> Any:
    return sg.gelu(x)


@sg.composite
def focus(x: Any) -> Any:
    return sg.concatenate(
        [x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], axis=1
    )


def norm_pattern(x: Any, gamma: Any, beta: Any, *, eps: float) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred / sg.sqrt(variance + eps) * gamma + beta


NORM = sg.template(norm_pattern, layer_norm)
GELU = sg.template("0.5 * x * (1 + erf(x / sqrt(2)))", gelu)
TANH_GELU = sg.template(
    "0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))",
    sg.composite(lambda x: sg.gelu(x, approximate="tanh"), name="gelu_tanh"),
)
FOCUS = sg.template(
    "concatenate([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], "
    "x[..., 1::2, 1::2]], axis=1)",
    focus,
)


def composites(outputs: Any) -> list[str]:
    nodes = sg.ancestors(outputs)
    return [name_of_composite(v) for v in nodes if is_composite(v)]


def check(before: Any, rules: Any, names: list[str], values: dict[Any, Any]) -> Any:
    """The graph with the rules applied: the composites in it are these, its values the same."""
    after = sg.rewrite_graph(before, rules)
    assert composites(after) == names
    expected = before.eval(values, backend="numpy")
    np.testing.assert_allclose(after.eval(values), expected, rtol=2e-5, atol=2e-6)
    return after


def mean(v: Any) -> Any:
    return sg.mean(v, axis=2, keepdims=True)


def norms() -> list[Callable[[Any, Any], Any]]:
    """Layer normalisation as it may be written, and as exporters write it."""
    return [
        lambda c, s: c / sg.sqrt(mean(c**2.0) + 1e-5) * g + b,
        lambda c, s: b + g * (c * sg.power(mean(c * c) + 1e-5, -0.5)),
        lambda c, s: (g * c) / sg.sqrt(F(1e-5) + mean(sg.square(c))) + b,
        lambda c, s: (
            c * sg.reciprocal(sg.sqrt(sg.sum(c * c, axis=2, keepdims=True) / 6 + 1e-5)) * g - (-b)
        ),
        lambda c, s: c * (g / ((1 / F(6)) * sg.sum(c**2, axis=2, keepdims=True) + 1e-5) ** 0.5) + b,
    ]


@pytest.mark.parametrize("write", range(5))
def test_layer_norm_is_found_however_it_is_written(write: int) -> None:
    centred = x - mean(x)
    found = check(norms()[write](centred, x), [NORM], ["layer_norm"], {x: X})
    assert found.inputs == (x, g, b)
    reference = (X - X.mean(-1, keepdims=True)) / np.sqrt(X.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(
        found.eval({x: X}), reference * g.get_value() + b.get_value(), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("shape", [(6,), ("n", 6), (3, 2, 6), (None, None), (2, 2, 2, 6)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_patterns_are_for_all_axes_and_dtypes(shape: Any, dtype: str) -> None:
    v = sg.tensor("v", shape, dtype)
    centred = v - sg.mean(v, axis=-1, keepdims=True)
    scale = sg.shared(np.ones(6, dtype), "scale")
    y = centred / sg.sqrt(sg.mean(centred**2, axis=-1, keepdims=True) + 1e-3) * scale + 2 * scale
    sizes = [s if isinstance(s, int) else 2 for s in shape[:-1]]
    value = np.random.default_rng(1).normal(size=(*sizes, 6))
    found = check(y, NORM, ["layer_norm"], {v: value.astype(dtype)})
    assert "eps=0.001" in sg.listing(found)


def test_both_forms_of_gelu_with_numbers_up_to_rounding() -> None:
    for y in (
        x * (1 + sg.erf(x * 0.70710677)) * 0.5,
        (sg.erf(x / F(1.4142135)) + 1.0) * (0.5 * x),
        x * 0.5 * (sg.erf(x / 2**0.5) + 1),
    ):
        check(y, GELU, ["gelu"], {x: X})
    cube = x * x * x
    for y in (
        0.5 * x * (1 + sg.tanh(0.79788456 * (x + 0.044715 * cube))),
        x
        * (sg.tanh((0.044715 * sg.power(x, 3.0) + x) * np.sqrt(2 / np.pi).astype("float32")) + 1)
        * 0.5,
        (x / 2) * (1 + sg.tanh(0.79788456 * (x + x * (0.044715 * sg.square(x))))),
    ):
        check(y, [GELU, TANH_GELU], ["gelu_tanh"], {x: X})


def test_the_complement_of_the_error_function_counts_as_one_minus_it() -> None:
    check(sg.gelu(x) + 1, GELU, ["gelu"], {x: X})
    ours = sg.template("gelu(x)", gelu)
    check(x * (1 + sg.erf(x * 0.70710677)) * 0.5, ours, ["gelu"], {x: X})
    check(sg.gelu(x), ours, ["gelu"], {x: X})
    other = x * (1 - sg.erf(x * 0.70710677)) * 0.5
    assert sg.rewrite_graph(other, [ours, GELU]) is other


def test_sizes_may_be_read_off_other_variables() -> None:
    v, w = sg.tensor("v", ("T", "N")), sg.tensor("w", ("N",))
    count = sg.cast(w.shape[0], "float32")
    centred = v - v.sum(axis=1, keepdims=True) / count
    variance = sg.sum(centred * centred, axis=1, keepdims=True) / count
    y = centred / sg.sqrt(variance + 1e-5) * w + w
    value = np.random.default_rng(2).normal(size=(3, 5)).astype("float32")
    check(y, NORM, ["layer_norm"], {v: value, w: value[0]})
    last = v[:, -1:] / sg.cast(v.shape[1], "float32")
    other = v / sg.cast(v.shape[0], "float32") + last
    assert sg.rewrite_graph(other, NORM) is other
    by_hole = sg.template("sum(x, axis=1) / n", lambda x, n: sg.mean(x, axis=1) + 0 * n)
    after = sg.rewrite_graph(v.sum(axis=1) / count, by_hole)
    assert count in sg.ancestors(after)


def test_numbers_that_differ_and_other_parameters_do_not_match() -> None:
    for y in (
        x * (1 + sg.erf(x * 0.7071)) * 0.5,
        x * (1 + sg.erf(x * 0.70710677)) * 0.25,
        x * (1.1 + sg.erf(x * 0.70710677)) * 0.5,
        x * (1 - sg.erf(x * 0.70710677)) * 0.5,
        x * (1 + sg.erfc(x * 0.70710677)) * 0.5,
        (x + 1) * (1 + sg.erf(x * 0.70710677)) * 0.5,
    ):
        assert sg.rewrite_graph(y, GELU) is y
    centred = x - x.mean(axis=0, keepdims=True)
    other = centred / sg.sqrt(mean(centred**2) + 1e-5) * g + b
    assert sg.rewrite_graph(other, NORM) is other
    assert sg.rewrite_graph(x.sum(axis=1), sg.template("sum(x, axis=0)", "x[0]")) is x.sum(axis=1)


def test_slices_joined() -> None:
    image = sg.tensor("image", ("B", 3, "H", "W"))
    quarters = [image[:, :, i::2, j::2] for j in (0, 1) for i in (0, 1)]
    y = sg.concatenate(quarters, axis=1)
    value = np.arange(2 * 3 * 4 * 6.0, dtype="float32").reshape(2, 3, 4, 6)
    check(y, FOCUS, ["focus"], {image: value})
    # By axes in turn, as exporters do; and in the pattern.
    rows = [image[:, :, ::2, :], image[:, :, 1::2, :]]
    y = sg.concatenate([r[:, :, :, j::2] for j in (0, 1) for r in rows], axis=1)
    check(y, FOCUS, ["focus"], {image: value})
    one_by_one = sg.template(
        lambda x: sg.concatenate(
            [r[..., j::2] for j in (0, 1) for r in (x[..., ::2, :], x[..., 1::2, :])], axis=1
        ),
        focus,
    )
    check(sg.concatenate(quarters, axis=1), one_by_one, ["focus"], {image: value})
    # Bounds that are written out, and a part of a part as what is cut.
    known = sg.tensor("known", (2, 3, 4, 6))
    cuts = [known[:, :, i:4:2, j:6:2] for j in (0, 1) for i in (0, 1)]
    check(sg.concatenate(cuts, axis=1), FOCUS, ["focus"], {known: value})
    part = known[1:]
    y = sg.concatenate([part[:, :, i::2, j::2] for j in (0, 1) for i in (0, 1)], axis=1)
    check(y, FOCUS, ["focus"], {known: value})
    swapped = sg.concatenate(quarters[::-1], axis=1)
    assert sg.rewrite_graph(swapped, FOCUS) is swapped


def test_a_hole_may_be_an_expression_and_has_to_be_the_same_one() -> None:
    quick = sg.template("x * sigmoid(1.702 * x)", gelu)
    z = x * g  # a product, within a product
    after = sg.rewrite_graph(z * sg.sigmoid(1.702 * z), quick)
    assert after.inputs[0] is z
    after = sg.rewrite_graph(sg.sigmoid(z * 1.702) * z, quick)
    assert after.inputs[0] is z
    y = x * sg.sigmoid(1.702 * z)
    assert sg.rewrite_graph(y, quick) is y
    s = x + g
    assert sg.rewrite_graph(s * sg.sigmoid((g + x) * 1.702), quick) is not None
    assert composites(sg.rewrite_graph(s * sg.sigmoid(1.702 * s), quick)) == ["gelu"]


def test_a_part_of_a_longer_product_or_sum() -> None:
    quick = sg.template("x * sigmoid(1.702 * x)", lambda x: gelu(x))
    y = (g * x) * sg.sigmoid(1.702 * x)
    after = sg.rewrite_graph(y, quick)
    assert after is gelu(x) * g
    both = sg.template("sin(x)**2 + cos(x)**2", "ones_like(x)")
    y = sg.sin(x) ** 2 + g + sg.square(sg.cos(x)) - b
    after = sg.rewrite_graph(y, both)
    assert "sin" not in sg.listing(after)
    np.testing.assert_allclose(after.eval({x: X}), y.eval({x: X}), rtol=1e-5, atol=1e-6)
    y = sg.sin(x) * sg.sin(x) - sg.cos(x) ** 2
    assert sg.rewrite_graph(y, both) is y


def test_several_patterns_repeated_in_one_graph_and_in_one_another() -> None:
    inner = norms()[0](x - mean(x), x)
    outer = norms()[1](inner - mean(inner), inner)
    y = outer * (1 + sg.erf(outer / F(2**0.5))) * 0.5 + inner
    check(y, [NORM, GELU], ["layer_norm", "layer_norm", "gelu"], {x: X})
    check(y, [GELU, NORM], ["layer_norm", "layer_norm", "gelu"], {x: X})
    alternatives = sg.template(
        ["x * sigmoid(x)", "x / (1 + exp(-x))"], sg.composite(lambda x: sg.silu(x), name="silu")
    )
    y = (x * sg.sigmoid(x)) + (b / (sg.exp(-b) + 1))
    check(y, alternatives, ["silu", "silu"], {x: X})


def test_what_inner_values_are_used_for_elsewhere_stays_right() -> None:
    scaled = x / F(2**0.5)
    error = sg.erf(scaled)
    y = x * (1 + error) * 0.5
    outputs = sg.rewrite_graph([y, error, y.sum() + scaled.sum()], GELU)
    assert composites(outputs) == ["gelu"]
    assert outputs[1] is error
    for got, want in zip(outputs, [y, error, y.sum() + scaled.sum()], strict=True):
        np.testing.assert_allclose(got.eval({x: X}), want.eval({x: X}), rtol=1e-5, atol=1e-6)
    cost, slope = y.sum(), sg.grad(y.sum(), x)
    after = sg.rewrite_graph({"cost": cost, "slope": slope}, GELU)
    np.testing.assert_allclose(after["slope"].eval({x: X}), slope.eval({x: X}), rtol=1e-5)
    np.testing.assert_allclose(
        sg.grad(after["cost"], x).eval({x: X}), slope.eval({x: X}), rtol=1e-4, atol=1e-6
    )


def test_arguments_are_bound() -> None:
    seen: list[Any] = []

    def note(x: Any, axis: Any) -> Any:
        seen.append(axis)
        return sg.log_softmax(x, axis=axis)

    rule = sg.template("log(softmax(x, axis=axis))", note)
    for axis in (0, 1, -1):
        after = sg.rewrite_graph(sg.log(sg.softmax(x, axis=axis)), rule)
        assert after is sg.log_softmax(x, axis=axis)
    assert seen == [0, 1, 2]
    found = sg.rewrite_graph(norms()[0](x - mean(x), x), sg.template(norm_pattern, layer_norm))
    assert "eps=1e-05" in sg.listing(found)
    leaky = sg.template("where(x > 0, x, slope * x)", lambda x, slope: sg.leaky_relu(x) * slope)
    after = sg.rewrite_graph(sg.where(x > 0, x, 0.2 * x), leaky)
    assert "0.2" in sg.listing(after)


def test_replacements_are_text_functions_composites_modules_or_nothing() -> None:
    y = sg.relu(x @ np.ones((6, 3), "float32"))
    dense = nn.Dense(6, 3, rng=0)
    after = sg.rewrite_graph(y, sg.template("x @ w", lambda x: dense(x)))
    assert dense.params[0] in sg.ancestors(after)
    module = sg.rewrite_graph(sg.tanh(x), sg.template("tanh(x)", nn.LayerNorm(6)))
    np.testing.assert_allclose(module.eval({x: X}).mean(axis=-1), 0, atol=1e-5)
    text = sg.rewrite_graph(sg.tanh(x), sg.template("tanh(x)", "2 * sigmoid(2 * x) - 1"))
    np.testing.assert_allclose(text.eval({x: X}), np.tanh(X), rtol=1e-5, atol=1e-6)
    only_scalars = sg.template("tanh(x)", lambda x: None if x.ndim else sg.sin(x))
    assert sg.rewrite_graph(sg.tanh(x), only_scalars) is sg.tanh(x)
    positions = sg.template("tanh(x) * y", lambda one, two: one - two)
    assert sg.rewrite_graph(sg.tanh(x) * g, positions) is x - g
    constant = sg.template("x * 0.0", "zeros_like(x)")
    np.testing.assert_array_equal(sg.rewrite_graph(x * 0.0, constant).eval({x: X}), 0 * X)


def test_composites_in_patterns() -> None:
    swish = sg.composite(lambda x, *, beta: x * sg.sigmoid(beta * x), name="swish")
    y = sg.tanh(swish(x, beta=2.0) * g)
    scaled = sg.template(lambda x, *, beta: swish(x, beta=beta), lambda x, beta: x * beta)
    assert sg.rewrite_graph(y, scaled) is sg.tanh(x * 2.0 * g)
    one = sg.template(lambda x: swish(x, beta=1.0), "x")
    assert sg.rewrite_graph(y, one) is y
    pair = sg.template(lambda x, y: swish(x, beta=2.0) * y, lambda x, y: y - x)
    assert sg.rewrite_graph(y, pair) is sg.tanh(g - x)


def test_holes_of_given_types() -> None:
    given = sg.tensor("v", (None, 3))
    rule = sg.template(lambda v=given: sg.exp(v), lambda v: sg.sin(v))
    three, four = sg.tensor("three", ("n", 3)), sg.tensor("four", ("n", 4))
    assert sg.rewrite_graph(sg.exp(three), rule) is sg.sin(three)
    assert sg.rewrite_graph(sg.exp(four), rule) is sg.exp(four)
    assert sg.rewrite_graph(sg.exp(x), rule) is sg.exp(x)


def test_convolutions_and_products_and_loops_as_patterns() -> None:
    image = sg.tensor("image", ("B", 8, 8, 3))
    filters = sg.shared(np.ones((3, 3, 3, 5), "float32"), "filters")
    y = sg.relu(sg.conv2d(image, filters, padding="same"))
    rule = sg.template("conv2d(x, w, padding='same')", lambda x, w: sg.conv2d(x, 2 * w, padding=1))
    assert sg.rewrite_graph(y, rule) is sg.relu(sg.conv2d(image, 2 * filters, padding=1))
    attention = sg.template(
        "softmax(q @ transpose(k, (0, 2, 1)) / sqrt(64), axis=-1) @ v",
        sg.composite(
            lambda q, k, v: sg.softmax(q @ k.transpose(0, 2, 1) / 8.0, axis=-1) @ v, name="attend"
        ),
    )
    q, k, v = (sg.tensor(name, ("n", "T", 64)) for name in "qkv")
    y = sg.softmax((q @ k.transpose(0, 2, 1)) * 0.125, axis=2) @ v
    assert composites(sg.rewrite_graph(y, attention)) == ["attend"]

    def decay(x: Any) -> Any:
        return sg.scan(lambda row, total: 0.5 * total + row, x, sg.zeros_like(x[0]))

    loop = sg.template(decay, sg.composite(decay, name="decay"))
    check(decay(x) * 2, loop, ["decay"], {x: X})


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_bodies_of_loops_are_searched_nested_ones_too(backend: Any, steps: int) -> None:
    def step(row: Any, h: Any) -> Any:
        inner = sg.scan(lambda v, s: s + v * sg.sigmoid(1.702 * v), row, sg.zeros((6,)))
        return h + row * sg.sigmoid(row * 1.702) + inner[-1]

    y = sg.scan(step, x, sg.zeros((x.shape[1], 6)), name="outer")
    quick = sg.composite(lambda x, g: x * sg.sigmoid(1.702 * x) + 0 * g, name="quick")
    after = sg.rewrite_graph(y, sg.template("x * sigmoid(1.702 * x)", lambda x: quick(x, g)))
    assert sg.listing(after).count("quick(") == 2
    assert "sigmoid" not in sg.listing(after)
    assert "'outer' = scan" in sg.listing(after)
    value = X[:steps]
    f = sg.compile([x], [after, sg.grad(after.sum(), x)], backend=backend)
    want = sg.compile([x], [y, sg.grad(y.sum(), x)], backend="numpy")(value)
    for got, expected in zip(f(value), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_loops_keep_what_they_are() -> None:
    def step(row: Any, older: Any, old: Any) -> Any:
        new = sg.tanh(row) + 0.5 * older + old
        return (new, new * 2), sg.until(new.sum() > 100)

    first = {"initial": sg.zeros((2, x.shape[1], 6)), "taps": [-2, -1]}
    before = sg.scan(step, [{"input": x, "taps": [0]}], [first, None], truncate_gradient=3)
    rule = sg.template("tanh(x)", "2 * sigmoid(2 * x) - 1")
    after = sg.rewrite_graph(before, rule)
    assert "tanh" not in sg.listing(after)
    assert "truncated to 3" in sg.listing(after)
    for old, new in zip(before, after, strict=True):
        assert new.type is old.type
        np.testing.assert_allclose(new.eval({x: X}), old.eval({x: X}), rtol=1e-5, atol=1e-6)
    plain = sg.scan(
        lambda row, h: h + sg.tanh(row), x, sg.zeros((x.shape[1], 6)), checkpoint_every=2
    )
    changed = sg.rewrite_graph(plain, rule)
    assert "checkpoints every 2" in sg.listing(changed)
    want = sg.grad(sg.square(plain).sum(), x).eval({x: X})
    np.testing.assert_allclose(
        sg.grad(sg.square(changed).sum(), x).eval({x: X}), want, rtol=1e-4, atol=1e-4
    )


def test_names_and_notes_stay() -> None:
    y = sg.tanh(x) + 1
    y.name = "squashed"
    y.note("unit", "mV")
    after = sg.rewrite_graph(y, sg.template("tanh(x)", "sin(x)"))
    assert after.name == "squashed"
    assert after.notes["unit"] == "mV"


def test_integers_and_conditions() -> None:
    k = sg.tensor("k", ("n",), "int64")
    assert sg.rewrite_graph(2 * k + 1, sg.template("x * 2 + 1", "x + x + 1")) is k + k + 1
    mask = sg.tensor("mask", ("n",), "bool")
    either = sg.template("where(c, x, -x)", lambda c, x: x * sg.where(c, 1, -1))
    after = sg.rewrite_graph(sg.where(mask, k, -k), either)
    np.testing.assert_array_equal(after.eval({k: [1, 2], mask: [True, False]}), [1, -2])
    y = k // 2
    assert sg.rewrite_graph(y, sg.template("x / 2", "x * 0.5")) is y


def test_replacements_that_cannot_be_called_are_errors_at_once() -> None:
    for replacement in (lambda p, q: p, lambda: 1, lambda x, *, y: x):
        with pytest.raises(sg.ExchangeError, match="cannot be called with x: "):
            sg.template("tanh(x)", replacement)


def test_errors_say_what_is_wrong_and_where() -> None:
    error = sg.ExchangeError
    wrong: list[tuple[Any, Any, str]] = [
        ("x * sigmoidd(x)", "x", "calls 'sigmoidd', which is no function"),
        ("x +", "x", "is a Python expression"),
        ("x", "x", "would match everything"),
        ("1 + 2", "3", "has no hole"),
        ("lambda x: x", "x", "there may be no 'lambda x: x'"),
        ("x.__class__", "x", "private"),
        ("x.foo + 1", "x", "the template 'x.foo \\+ 1': 'Variable' object has no attribute"),
        ("tanh(x)", "tanh(y)", "'y', which the pattern 'tanh\\(x\\)' has not; it has x"),
        ("tanh(x)", 3, "a replacement is text"),
        (3, "x", "a pattern is text"),
        ([], "x", "a pattern at least"),
        (["tanh(x)", "tanh(y)"], "x", "the same holes"),
        (lambda x, y: sg.tanh(x), "x", "holes that are not in its pattern: y"),
        (lambda *xs: 3, "x", "a parameter \\*xs"),
        (lambda x: (x, sg.tanh(x)), "x", "gives \\(<x"),
        (lambda x: x @ sg.zeros((3, 3, 3, 3, 3, 3, 3)) @ sg.zeros((4, 4)), "x", "cannot be built"),
    ]
    for pattern, replacement, text in wrong:
        with pytest.raises(error, match=f"{text}(.|\n)*test_templates.py"):
            sg.template(pattern, replacement)
    for replacement, text in (
        ("sum(x)", r"gives float32\[\] in place of a result of tanh float32\[T, B, 6\]"),
        ("x.astype('float64')", r"gives float64\[T, B, 6\] in place of"),
        (lambda x: [x, x], "gives several results"),
    ):
        with pytest.raises(error, match=f"{text}(.|\n)*test_templates.py"):
            sg.rewrite_graph(sg.tanh(x), sg.template("tanh(x)", replacement))
    with pytest.raises(error, match="rules are templates, not"):
        sg.rewrite_graph(sg.tanh(x), "tanh(x)")  # type: ignore[call-overload]
