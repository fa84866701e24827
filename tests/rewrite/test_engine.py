"""The sweep: what it applies, what it keeps, and that it ends."""

from __future__ import annotations

import gc
from collections import Counter

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import provenance
from symgraph.core.dims import named_size
from symgraph.core.errors import (
    DtypeError,
    GradientError,
    GraphError,
    IndexRangeError,
    ShapeError,
    SymgraphValueError,
)
from symgraph.core.graph import Graph
from symgraph.core.graph import rebuild as rebuild_node
from symgraph.core.shared import make_shared
from symgraph.core.types import tensor_type
from symgraph.core.variable import make_constant, make_input
from symgraph.core.verify import verify
from symgraph.ops.broadcast import broadcast_to
from symgraph.ops.elementwise import add, multiply, negative, subtract, where
from symgraph.ops.sizes import shape_of, size_of
from symgraph.ops.transcendental import exp, tanh
from symgraph.rewrite.engine import EVERY, FLOATS, Rule, RuleSet, rule, sweep

FLOAT32 = np.dtype("float32")


def variable(name: str, *shape: object, dtype: str = "float32"):
    sizes = [named_size(size) if isinstance(size, str) else size for size in shape]
    return make_input(tensor_type(np.dtype(dtype), sizes), name)


@rule("tanh", of=EVERY)
def tanh_to_exp(v):
    """tanh(x) → exp(x)."""
    return exp(v.inputs[0])


@rule("exp", of=EVERY)
def exp_to_negative(v):
    """exp(x) → -x."""
    return negative(v.inputs[0])


@rule("negative", of=EVERY)
def negative_to_exp(v):
    """-x → exp(x)."""
    return exp(v.inputs[0])


def test_a_function_is_asked_about_the_dtypes_for_which_it_holds():
    seen = []

    @rule("negative", of=FLOATS)
    def see(v):
        """-x → -x."""
        seen.append(v.dtype)

    for dtype in ("int32", "float32", "float64"):
        z = variable("z", 3, dtype=dtype)
        sweep(Graph([z], [negative(z)]), RuleSet(see))
    assert seen == ["float32", "float64"]


def test_a_rule_takes_its_name_and_formula_from_its_function():
    assert tanh_to_exp.name == "tanh_to_exp"
    assert tanh_to_exp.ops == ("tanh",)
    assert tanh_to_exp.formula == "tanh(x) → exp(x)"


def test_an_unchanged_graph_is_itself():
    x = variable("x", "T")
    graph = Graph([x], [tanh(x)])
    assert sweep(graph, RuleSet(exp_to_negative)) is graph


def test_inputs_stay_and_outputs_keep_their_number():
    x, unread = variable("x", "T"), variable("unread", 3)
    y = tanh(x)
    graph = sweep(Graph([x, unread], [y, x, y]), RuleSet(tanh_to_exp))
    assert graph.inputs == (x, unread)
    assert graph.outputs == (exp(x), x, exp(x))


def test_rules_are_applied_to_what_rules_made():
    x = variable("x", "T")
    hits: Counter[str] = Counter()
    graph = sweep(Graph([x], [tanh(tanh(x))]), RuleSet(tanh_to_exp, exp_to_negative), hits)
    assert graph.outputs == (negative(negative(x)),)
    assert hits == {"tanh_to_exp": 2, "exp_to_negative": 2}


def test_rules_are_applied_below_the_root_of_what_a_rule_made():
    @rule("add", of=EVERY)
    def nest(v):
        """x + y → -tanh(x)."""
        return negative(tanh(v.inputs[0]))

    x, y = variable("x", "T"), variable("y", "T")
    graph = sweep(Graph([x, y], [add(x, y)]), RuleSet(nest, tanh_to_exp))
    assert graph.outputs == (negative(exp(x)),)


def test_a_rule_may_return_a_node_that_is_rewritten_elsewhere():
    @rule("subtract", of=EVERY)
    def first(v):
        """x - y → x."""
        return v.inputs[0]

    x = variable("x", "T")
    y = tanh(x)
    graph = sweep(Graph([x], [subtract(y, x), y]), RuleSet(first, tanh_to_exp))
    assert graph.outputs == (exp(x), exp(x))


def test_the_first_rule_that_fires_wins():
    x = variable("x", "T")
    stop = Rule("stop", ("tanh",), EVERY, lambda v: v.inputs[0])
    assert sweep(Graph([x], [tanh(x)]), RuleSet(stop, tanh_to_exp)).outputs == (x,)
    assert sweep(Graph([x], [tanh(x)]), RuleSet(tanh_to_exp, stop)).outputs == (exp(x),)


def test_rule_sets_add_up_in_their_order():
    both = RuleSet(tanh_to_exp) + RuleSet(exp_to_negative)
    assert list(both) == [tanh_to_exp, exp_to_negative]
    assert len(both) == 2


def test_a_rule_sees_only_nodes_that_read_what_it_asks_for():
    seen = []
    spy = Rule("spy", ("tanh",), EVERY, lambda v: seen.append(v), reads=("exp", "negative"))
    x = variable("x", "T")
    reads = [tanh(exp(x)), tanh(negative(x))]
    sweep(Graph([x], [tanh(x), tanh(tanh(x)), *reads]), RuleSet(spy))
    assert seen == reads


def test_a_rule_without_ops_sees_every_node():
    seen = []
    spy = Rule("spy", (), EVERY, lambda v: seen.append(v.op.name))
    x = variable("x", "T")
    sweep(Graph([x], [add(tanh(x), x)]), RuleSet(spy, tanh_to_exp))
    assert sorted(seen) == ["add", "exp", "tanh"] or sorted(seen) == ["add", "exp"]


def test_rules_that_undo_one_another_come_to_an_end():
    x = variable("x", "T")
    graph = Graph([x], [tanh(negative(x))])
    result = sweep(graph, RuleSet(tanh_to_exp, exp_to_negative, negative_to_exp))
    verify(result)
    assert result.outputs[0].type is x.type


def test_rules_that_make_ever_more_work_are_reported():
    grow = Rule("grow", ("exp",), EVERY, lambda v: tanh(exp(exp(v))))
    x = variable("x", "T")
    with pytest.raises(GraphError, match="grow"):
        sweep(Graph([x], [exp(x)]), RuleSet(grow))


def test_a_result_of_another_type_names_the_rule():
    narrow = Rule("narrow", ("tanh",), EVERY, lambda v: make_constant(1.0))
    x = variable("x", "T")
    with pytest.raises(GraphError, match="narrow"):
        sweep(Graph([x], [tanh(x)]), RuleSet(narrow))


def test_names_and_lines_go_to_the_replacement():
    x = variable("x", "T")
    y = tanh(x)
    y.name = "y"
    provenance.set_lines(y, (provenance.Line("model.py", 7, "build"),))
    (made,) = sweep(Graph([x], [y]), RuleSet(tanh_to_exp)).outputs
    assert made.name == "y"
    assert provenance.line_of(made) == "model.py:7"


def test_what_a_rule_made_of_shared_nodes_is_looked_at_once(monkeypatch):
    def double(v):
        made = v.inputs[0]
        for _ in range(16):
            made = add(made, made)
        return made

    x = variable("x", "T")
    with provenance.without_lines():
        y = tanh(x)
        provenance.set_name(y, "y")  # written nowhere that is known
    handed = []
    hand_on = provenance.hand_on
    monkeypatch.setattr(provenance, "hand_on", lambda *pair: handed.append(hand_on(*pair)))
    result = sweep(Graph([x], [y]), RuleSet(Rule("double", ("tanh",), EVERY, double))).outputs[0]
    assert result.name == "y"
    assert len(handed) <= 16


def test_a_leaf_is_never_renamed():
    x = variable("x", "T")
    x.name = None
    y = tanh(x)
    y.name = "y"
    drop = Rule("drop", ("tanh",), EVERY, lambda v: v.inputs[0])
    assert sweep(Graph([x], [y]), RuleSet(drop)).outputs == (x,)
    assert x.name is None


def test_shared_variables_are_leaves_like_others():
    w = make_shared(np.ones(3, "float32"), "w")
    graph = sweep(Graph([w], [tanh(w)]), RuleSet(tanh_to_exp))
    assert graph.inputs == (w,)
    assert graph.outputs == (exp(w),)


def test_a_size_that_depends_on_data_stays_the_same_size():
    condition = variable("c", dtype="bool")
    n, m = variable("n", dtype="int64"), variable("m", dtype="int64")
    size = where(condition, n, add(m, m))
    zeros = broadcast_to(make_constant(0.0), [size])
    double = Rule("double", ("add",), EVERY, lambda v: multiply(v.inputs[0], 2))
    graph = sweep(Graph([condition, n, m], [zeros]), RuleSet(double))
    verify(graph)
    assert graph.outputs[0].type is zeros.type
    assert graph.outputs[0].inputs[1].inputs[2].op.name == "multiply"


def test_what_is_made_of_a_size_goes_by_the_number_that_replaces_it():
    condition = variable("c", dtype="bool")
    n, m = variable("n", dtype="int64"), variable("m", dtype="int64")
    size = where(condition, n, m)
    zeros = broadcast_to(make_constant(0.0), [add(size, 1)])
    assert size_of(n) != size_of(size)
    take = Rule("take", ("where",), EVERY, lambda v: v.inputs[1])
    graph = sweep(Graph([condition, n, m], [zeros]), RuleSet(take))
    verify(graph)
    assert graph.outputs == (broadcast_to(make_constant(0.0), [add(n, 1)]),)
    assert graph.outputs[0].type.shape == (size_of(n) + 1,)


def test_another_rebuild_can_be_given():
    seen = []

    def rebuild(v, inputs):
        seen.append(v.op.name)
        return rebuild_node(v, inputs)

    x = variable("x", "T")
    sweep(Graph([x], [negative(tanh(x))]), RuleSet(tanh_to_exp), rebuild=rebuild)
    assert seen == ["negative"]


@pytest.mark.parametrize("error", [ShapeError, IndexRangeError, DtypeError, GradientError])
def test_a_node_stays_where_sizes_do_not_fit_and_nothing_else_is_passed_over(error):
    def rebuild(v, inputs):
        raise error("on the new operand")

    x = variable("x", "T")
    graph, rules = Graph([x], [negative(tanh(x))]), RuleSet(tanh_to_exp)
    if error in (ShapeError, IndexRangeError):
        assert sweep(graph, rules, rebuild=rebuild) is graph
    else:
        with pytest.raises(error, match="on the new operand"):
            sweep(graph, rules, rebuild=rebuild)


def test_rewriting_leaves_nothing_behind():
    x = variable("x", "T")
    graph = Graph([x], [tanh(add(x, 1.0))])
    result = sweep(graph, RuleSet(tanh_to_exp))
    made = result.outputs[0].serial
    del result
    gc.collect()
    assert exp(add(x, 1.0)).serial > made  # the first one is gone


def test_a_deep_chain_is_swept_without_recursion():
    x = variable("x", "T")
    v = x
    for _ in range(25_000):
        v = tanh(negative(v))
    graph = Graph([x], [v])
    hits: Counter[str] = Counter()
    result = sweep(graph, RuleSet(tanh_to_exp), hits)
    assert hits["tanh_to_exp"] == 25_000
    assert len(result.nodes) == len(graph.nodes) == 50_001
    assert sweep(result, RuleSet(tanh_to_exp)) is result
    assert sum(map(size_matters, result.nodes)) == 0


def size_matters(v) -> bool:
    """Whether the node reads a size."""
    return v.op.name == "size"


def test_shapes_are_read_from_their_source():
    x = variable("x", "T", "B")
    y = broadcast_to(make_constant(1.0), shape_of(tanh(x)))
    graph = sweep(Graph([x], [y]), RuleSet(tanh_to_exp))
    verify(graph)
    assert graph.outputs[0].type is y.type


@pytest.mark.parametrize(
    "names", [{"ops": ("mulitply",)}, {"ops": ("add",), "reads": ("mulitply",)}]
)
def test_a_rule_that_names_an_unknown_op_is_refused_where_it_is_defined(names):
    message = r"the rule fuse names an op 'mulitply'[\s\S]*test_engine.py:\d+\n  Write 'multiply'"
    with pytest.raises(SymgraphValueError, match=message):

        @rule(*names["ops"], of=EVERY, reads=names.get("reads", ()))
        def fuse(v):
            """x * y → x."""
            return v.inputs[0]

    with pytest.raises(SymgraphValueError, match=message):
        Rule("fuse", names["ops"], EVERY, lambda v: None, reads=names.get("reads", ()))


def sizes_of_data():
    """Programs whose sizes only data tell, and which rules would compute from a node they share."""
    x, n, ns = sg.vector("x"), sg.scalar("n", "int32"), sg.vector("ns", "int32")
    for size in (lambda n: n * 1, lambda n: n + 0, lambda n: sg.negative(-n)):
        yield [n], sg.zeros(size(n)), (3,)
        yield [ns], sg.map(lambda row, size=size: sg.ones(size(row)).sum(), ns), ([3, 2],)
    yield [x], x.reshape(sg.stack([x.shape[0] * 1, 1])), ([1, 2],)


def test_counts_do_not_depend_on_what_else_is_alive():
    counts = []
    alive = []
    for _ in range(2):
        for inputs, output, arguments in sizes_of_data():
            f = sg.compile(inputs, output, backend="numpy")
            f(*arguments)
            counts.append((f.report.nodes_built, f.report.nodes))
            alive.append(f)
    plain, looped, reshaped = counts[0], counts[1], counts[6]
    assert counts == [*([plain, looped] * 3), reshaped] * 2
