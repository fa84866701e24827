"""Ops lowered by rules, sizes made known, and whatever rewrite_graph is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.exchange.templates.lower import lower_ops
from symgraph.ops.composite import is_composite, name_of_composite

x = sg.tensor("x", ("T", "B", 3))
X = np.random.default_rng(0).normal(size=(4, 2, 3)).astype("float32")
SWAP = sg.template("tanh(x)", "sin(x)")


def names_in(outputs: Any) -> set[str]:
    nodes = sg.ancestors(outputs)
    return {name_of_composite(v) if is_composite(v) else v.op.name for v in nodes}


# --- what is given -------------------------------------------------------------------------------


def test_what_goes_in_comes_out_alike() -> None:
    y, z = sg.tanh(x), sg.sin(x)
    assert sg.rewrite_graph(y, SWAP) is z
    assert sg.rewrite_graph([y, x], [SWAP]) == [z, x]
    assert sg.rewrite_graph((y,), [SWAP]) == [z]
    assert sg.rewrite_graph({"a": y, "b": x}, [SWAP]) == {"a": z, "b": x}
    assert sg.rewrite_graph([], [SWAP]) == []
    assert sg.rewrite_graph(y, []) is y
    assert sg.rewrite_graph(y) is y
    graph = sg.rewrite_graph(sg.Graph([x], [y]), [SWAP])
    assert graph.inputs == (x,)
    assert graph.outputs == (z,)
    f = sg.compile([x], y)
    assert sg.rewrite_graph(f.graph, [SWAP]).outputs[0].op.name == "sin"


def test_what_is_no_graph_is_an_error() -> None:
    f = sg.compile([x], sg.tanh(x))
    for wrong in (3, "x", [3], {"a": None}, None):
        with pytest.raises(sg.ExchangeError, match=r"not (.|\n)*test_rewrite_graph.py"):
            sg.rewrite_graph(wrong, [SWAP])  # type: ignore[call-overload]
    with pytest.raises(sg.ExchangeError, match=r"f\.graph"):
        sg.rewrite_graph(f, [SWAP])  # type: ignore[call-overload]


# --- lowering ------------------------------------------------------------------------------------


@sg.composite
def pad(x: Any, *, widths: Any) -> Any:
    return sg.pad(x, widths)


@sg.composite
def conv(x: Any, filters: Any, *, padding: Any = 0) -> Any:
    return sg.conv2d(x, filters, padding=padding)


def conv_without_padding(x: Any, filters: Any, padding: Any) -> Any:
    if not padding:
        return None
    return conv(pad(x, widths=((0, 0), (padding, padding), (padding, padding), (0, 0))), filters)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_a_convolution_with_padding_becomes_pad_and_convolution(backend: Any) -> None:
    image = sg.tensor("image", ("B", 5, 6, 2))
    first, second = (
        sg.shared(np.random.default_rng(i).normal(size=(3, 3, 2, 2)).astype("float32"))
        for i in range(2)
    )
    y = conv(sg.relu(conv(image, first, padding=1)), second)
    lowered = sg.rewrite_graph(y, lower={"conv": conv_without_padding})
    listing = sg.listing(lowered)
    assert listing.count("= conv(") == 2
    assert listing.count("= pad(") == 1
    assert "padding=0" in listing
    assert "padding=1" not in listing
    value = np.random.default_rng(3).normal(size=(2, 5, 6, 2)).astype("float32")
    f = sg.compile([image], lowered, backend=backend)
    np.testing.assert_array_equal(f(value), sg.compile([image], y, backend=backend)(value))
    # For a target that lacks pad as well.
    zeros = {"pad": lambda x, widths: sg.pad(x, widths, mode="constant")}
    bare = sg.rewrite_graph(y, lower={"conv": conv_without_padding} | zeros)
    assert "= pad(" not in sg.listing(bare)
    np.testing.assert_array_equal(bare.eval({image: value}), y.eval({image: value}))


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_functions_that_are_no_ops_are_lowered_by_what_they_build(backend: Any) -> None:
    image = sg.tensor("image", ("B", 5, 6, 2))
    filters = sg.shared(np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype("float32"))
    y = sg.relu(sg.conv2d(image, filters, padding=((1, 0), (2, 1)), stride=(1, 2)))
    seen: list[Any] = []

    def unpadded(x: Any, filters: Any, *, padding: Any, stride: Any) -> Any:
        seen.append((padding, stride))
        return conv_by_name(pad(x, widths=((0, 0), *padding, (0, 0))), filters, stride=stride)

    conv_by_name = sg.composite(
        lambda x, w, *, stride: sg.conv2d(x, w, stride=stride), name="conv_by_name"
    )
    lowered = sg.rewrite_graph(y, lower={"conv2d": unpadded})
    assert seen == [(((1, 0), (2, 1)), (1, 2))]
    assert names_in(lowered) >= {"pad", "conv_by_name", "relu"}
    value = np.random.default_rng(3).normal(size=(2, 5, 6, 2)).astype("float32")
    f = sg.compile([image], lowered, backend=backend)
    np.testing.assert_array_equal(f(value), sg.compile([image], y, backend=backend)(value))

    def joined(x: Any, widths: Any, constant_values: Any = 0) -> Any:
        seen.append((widths, constant_values))
        return pad_by_name(x, widths=widths)

    pad_by_name = sg.composite(lambda x, *, widths: sg.pad(x, widths), name="pad_by_name")
    lowered = sg.rewrite_graph(y, lower={"pad": joined})
    assert seen[-1] == (((0, 0), (1, 0), (2, 1), (0, 0)), 0.0)
    assert names_in(lowered) >= {"pad_by_name", "windows", "matmul"}
    np.testing.assert_array_equal(lowered.eval({image: value}), y.eval({image: value}))
    assert sg.rewrite_graph(sg.concatenate([x, x]), lower={"pad": joined}) is sg.concatenate([x, x])


def test_other_functions_by_name() -> None:
    mean = {"mean": lambda x, axis, keepdims: sg.sum(x, axis, keepdims=keepdims) * (1 / 3)}
    y = sg.tanh(x.mean(axis=-1, keepdims=True)) + sg.gelu(x)
    lowered = sg.rewrite_graph(y, lower=mean | {"gelu": lambda x: x * sg.sigmoid(1.702 * x)})
    assert names_in(lowered) >= {"sum", "sigmoid"}
    assert "erfc" not in names_in(lowered)
    a = sg.scan(lambda row, h: h + sg.silu(row), x, sg.zeros((x.shape[1], 3)))
    lowered = sg.rewrite_graph(a, lower={"silu": lambda x: x / (1 + sg.exp(-x))})
    assert "sigmoid" not in sg.listing(lowered)
    np.testing.assert_allclose(lowered.eval({x: X}), a.eval({x: X}), rtol=1e-5, atol=1e-6)


def test_rules_get_inputs_and_parameters_and_what_they_give_is_lowered_in_turn() -> None:
    seen: list[Any] = []

    def softmax(x: Any, *, axes: Any) -> Any:
        seen.append(axes)
        exponents = sg.exp(x - x.max(axis=axes, keepdims=True))
        return exponents / exponents.sum(axis=axes, keepdims=True)

    rules = {"softmax": softmax, "exp": lambda x: 2.0 ** x.astype("float64") ** 1}
    rules["exp"] = lambda x: sg.exp2(x * 1.442695)
    y = sg.softmax(x, axis=-1)
    lowered = sg.rewrite_graph(y, lower=rules)
    assert seen == [(2,)]
    assert names_in(lowered).isdisjoint(rules)
    np.testing.assert_allclose(lowered.eval({x: X}), y.eval({x: X}), rtol=1e-5)
    assert lower_ops([y], rules) == [lowered]


def test_ops_with_several_results_and_loops() -> None:
    @sg.composite
    def pair(x: Any) -> Any:
        return sg.tanh(x), x * 2

    def step(row: Any, h: Any) -> Any:
        a, b = pair(row)
        return a + sg.softplus(h) + b

    y = sg.scan(step, x, sg.zeros((x.shape[1], 3)))
    rules = {
        "pair": lambda x: (1 - 2 / (sg.exp(2 * x) + 1), x + x),
        "softplus": lambda x: sg.log1p(sg.exp(x)),
    }
    lowered = sg.rewrite_graph(y, lower=rules)
    listing = sg.listing(lowered)
    assert "pair" not in listing
    assert "softplus" not in listing
    assert "log1p" in listing
    np.testing.assert_allclose(lowered.eval({x: X}), y.eval({x: X}), rtol=1e-5, atol=1e-6)
    with pytest.raises(sg.ExchangeError, match="gives 1 results in place of 2"):
        sg.rewrite_graph(y, lower={"pair": lambda x: x})
    whole = sg.rewrite_graph(sg.tanh(y), lower={"tanh": lambda x: sg.sin(x) / sg.cos(x)})
    assert names_in(whole) >= {"sin", "cos", "scan"}


def test_a_rule_that_gives_its_op_again_is_an_error() -> None:
    y = sg.tanh(x)
    for rule in (lambda x: sg.tanh(x), lambda x: sg.tanh(x * 0.5) * 2, lambda x: y):
        with pytest.raises(sg.ExchangeError, match=r"the rule for 'tanh' gives 'tanh' again"):
            sg.rewrite_graph(y, lower={"tanh": rule})
    there_and_back = {"tanh": lambda x: sg.sin(x), "sin": lambda x: sg.tanh(x)}
    with pytest.raises(sg.ExchangeError, match="tanh → sin → tanh"):
        sg.rewrite_graph(y, lower=there_and_back)
    # What it is given may have the op.
    assert sg.rewrite_graph(sg.tanh(y), lower={"tanh": sg.sin}) is sg.sin(sg.sin(x))
    assert sg.rewrite_graph(y, lower={"tanh": lambda x: None}) is y


def test_errors_of_lowering() -> None:
    y = sg.tanh(pad(x, widths=1))
    wrong: list[tuple[Any, str]] = [
        ({"tahn": sg.sin}, "no op 'tahn', nor a composite in the graph; the graph has pad"),
        ({"pda": sg.sin}, "no op 'pda'"),
        ({"tanh": 3}, "the rule for 'tanh' is a function, not 3"),
        ({"tanh": lambda: 1}, "is called with 1 inputs: too many"),
        ({"tanh": lambda x, y: 1}, "is called with 1 inputs: missing"),
        ({"pad": lambda x: x}, "is called with 1 inputs, widths=: got an unexpected"),
        ({"tanh": lambda x: x[0]}, r"gives float32\[\d?.*\] in place of a result of tanh"),
        ({"tanh": lambda x: x.astype("float64")}, "gives float64"),
        ([("tanh", sg.sin)], "lower is a dict"),
    ]
    for lower, text in wrong:
        with pytest.raises(sg.ExchangeError, match=f"{text}(.|\n)*test_rewrite_graph.py"):
            sg.rewrite_graph(y, lower=lower)
    assert sg.rewrite_graph(x * 2, lower={"tanh": sg.sin}) is x * 2  # a known op that is not there


# --- sizes ---------------------------------------------------------------------------------------


def test_sizes_fold_through_shapes_and_ranges() -> None:
    positions = sg.arange(x.shape[0]).astype("float32") / sg.cast(x.shape[0], "float32")
    y = x * positions[:, None, None] + sg.reshape(x, (x.shape[0] * x.shape[1], 3)).shape[0]
    y = y.astype("float32") - x.mean(axis=(0, 1))
    known = sg.rewrite_graph(y, sizes={"T": 4, "B": 2})
    assert known.shape == (4, 2, 3)
    assert names_in(known).isdisjoint({"size", "iota"})
    np.testing.assert_allclose(known.eval({x: X}), y.eval({x: X}), rtol=1e-6)
    with pytest.raises(sg.CallError):
        known.eval({x: X[:3]})
    half = sg.rewrite_graph(y, sizes={"T": 4})
    assert half.type.shape[0] == 4
    assert str(half.type.shape[1]) == "B"
    np.testing.assert_allclose(half.eval({x: X}), y.eval({x: X}), rtol=1e-6)
    np.testing.assert_allclose(half.eval({x: X[:, :1]}), y.eval({x: X[:, :1]}), rtol=1e-6)


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_sizes_fold_inside_loops(backend: Any, steps: int) -> None:
    def step(row: Any, h: Any) -> Any:
        rows = sg.arange(row.shape[0]).astype("float32")[:, None]
        inner = sg.scan(lambda v, s: s + v / sg.cast(x.shape[0], "float32"), row, sg.zeros((3,)))
        total = inner.sum().astype("float32")
        return h + row * sg.arange(x.shape[0]).sum().astype("float32") + rows + total

    y = sg.scan(step, x, sg.zeros((x.shape[1], 3)))
    known = sg.rewrite_graph(y, sizes={"T": steps, "B": 2})
    listing = sg.listing(known)
    assert known.shape == (steps, 2, 3)
    assert "size(" not in listing.replace("check_size(", "")
    assert "iota" not in listing
    f = sg.compile([x], [known, sg.grad(known.sum(), x)], backend=backend)
    want = sg.compile([x], [y, sg.grad(y.sum(), x)], backend="numpy")(X[:steps])
    for got, expected in zip(f(X[:steps]), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_one_size_may_be_another() -> None:
    z = sg.tensor("z", ("S", "B", 3))
    y = sg.concatenate([x, z]) * x.shape[0]
    same = sg.rewrite_graph(y, sizes={"S": "T"})
    assert str(same.type.shape[0]) == "2*T"
    np.testing.assert_array_equal(same.eval({x: X, z: X}), y.eval({x: X, z: X}))
    with pytest.raises(sg.CallError):
        same.eval({x: X, z: X[:3]})


def test_patterns_that_need_sizes_are_found_once_these_are_known() -> None:
    rule = sg.template(lambda v: v.sum(axis=0) / 4, lambda v: v.mean(axis=0))
    y = x.mean(axis=0)
    assert sg.rewrite_graph(y, rule) is y
    seen: list[Any] = []
    watch = sg.template(lambda v: v.sum(axis=0) / 4, lambda v: seen.append(v))
    sg.rewrite_graph(y, watch, sizes={"T": 4})
    assert len(seen) == 1


def test_errors_of_sizes() -> None:
    wrong: list[tuple[Any, str]] = [
        ({"N": 3}, "no input has a size named 'N'; the names of sizes are 'B', 'T'"),
        ({"T": -1}, "the size 'T' is a number of at least 0(.|\n)*, not -1"),
        ({"T": 2.5}, "not 2.5"),
        ({"T": True}, "not True"),
        ({"T": "U"}, "not 'U'"),
        ([("T", 3)], "sizes are a dict"),
    ]
    for sizes, text in wrong:
        with pytest.raises(sg.ExchangeError, match=f"{text}(.|\n)*test_rewrite_graph.py"):
            sg.rewrite_graph(x * 2, sizes=sizes)
    with pytest.raises(sg.ExchangeError, match="the names of sizes are none"):
        sg.rewrite_graph(sg.scalar("s") * 2, sizes={"T": 3})
    fixed = x + np.zeros((5, 1, 3), "float32")  # T is 5 here
    with pytest.raises(sg.ExchangeError, match="has size 4, and 5 is needed"):
        sg.rewrite_graph(fixed, sizes={"T": 4})


# --- on the way out ------------------------------------------------------------------------------


def test_models_go_out_lowered() -> None:
    rules = {
        "tanh": lambda v: 2 * sg.sigmoid(2 * v) - 1,
        "gelu": lambda v: v * sg.sigmoid(1.702 * v),
    }
    y = sg.scan(lambda row, h: sg.tanh(row + h), sg.gelu(x), sg.zeros((x.shape[1], 3)))
    model = sg.export_onnx(y, inputs=[x], lower=rules, fused=False)
    written = str(model)
    assert '"Sigmoid"' in written
    assert '"Tanh"' not in written
    assert '"Erf"' not in written
    with pytest.raises(sg.ExchangeError, match="no op 'tahn'"):
        sg.export_onnx(y, inputs=[x], lower={"tahn": sg.sin})
