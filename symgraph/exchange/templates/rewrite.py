"""`rewrite_graph`: templates, lowerings and sizes, on whatever graph there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar, overload

from ...compile.function import Function
from ...core.errors import ExchangeError
from ...core.graph import Graph
from ...core.variable import Variable
from .lower import Lowerings, lower_ops
from .parts import change_everywhere, nodes_of
from .sizes import with_known_sizes
from .template import Template

__all__ = ["rewrite_graph"]

K = TypeVar("K")


class HasOutputs(Protocol):
    """An imported model."""

    @property
    def outputs(self) -> Mapping[str, Variable]:
        """Its outputs by name."""
        ...


Rules = Template | Sequence[Template]


@overload
def rewrite_graph(
    outputs: Variable,
    rules: Rules = (),
    *,
    lower: Lowerings | None = None,
    sizes: Mapping[str, int | str] | None = None,
) -> Variable: ...
@overload
def rewrite_graph(
    outputs: Graph,
    rules: Rules = (),
    *,
    lower: Lowerings | None = None,
    sizes: Mapping[str, int | str] | None = None,
) -> Graph: ...
@overload
def rewrite_graph(
    outputs: HasOutputs,
    rules: Rules = (),
    *,
    lower: Lowerings | None = None,
    sizes: Mapping[str, int | str] | None = None,
) -> dict[str, Variable]: ...
@overload
def rewrite_graph(
    outputs: Mapping[K, Variable],
    rules: Rules = (),
    *,
    lower: Lowerings | None = None,
    sizes: Mapping[str, int | str] | None = None,
) -> dict[K, Variable]: ...
@overload
def rewrite_graph(
    outputs: Sequence[Variable],
    rules: Rules = (),
    *,
    lower: Lowerings | None = None,
    sizes: Mapping[str, int | str] | None = None,
) -> list[Variable]: ...
def rewrite_graph(
    outputs: Variable | Sequence[Variable] | Mapping[Any, Variable] | Graph | HasOutputs,
    rules: Rules = (),
    *,
    lower: Lowerings | None = None,
    sizes: Mapping[str, int | str] | None = None,
) -> Any:
    """The outputs with templates applied, ops lowered and sizes known; in the bodies of loops too.

    outputs
        A variable, which gives a variable; a list, which gives a list; a dict, which gives a dict;
        a `Graph`, which gives a graph; or what has ``.outputs``, such as an imported model, which
        gives a dict.
    rules
        Templates, made by `template`: each is looked for everywhere before the next one is,
        operands first. What one put there it does not find again.
    lower
        For ops by name rules ``rule(*inputs, **params)``, which give the same in terms of other
        ops: a variable, or several for an op with several results, or None where the op may stay.
        Composites have names, too. What a rule gives is lowered in turn; a rule that gives its own
        op again is an error.
    sizes
        ``{"T": 8}``: what sizes are, by name. What is made of sizes alone becomes constants. The
        inputs stay the same variables; that they have these sizes is checked at the call.

    Sizes come first, then templates, then lowering. Raises `ExchangeError` for what is none of
    these, for names that are nothing, and for replacements of another dtype or shape.

    >>> x = sg.tensor("x", ("T", 3))
    >>> y = sg.rewrite_graph(sg.softplus(x), lower={"softplus": lambda x: sg.log1p(sg.exp(x))})
    >>> [v.op.name for v in sg.ancestors(y)]
    ['input', 'exp', 'log1p']
    >>> sg.rewrite_graph(x.mean(axis=0), sizes={"T": 8}).inputs[1].eval()
    np.float32(8.0)
    """
    templates = _as_templates(rules)
    if isinstance(outputs, Graph):
        return Graph(outputs.inputs, _rewritten(outputs.outputs, templates, lower, sizes))
    if isinstance(outputs, Variable):
        return _rewritten([outputs], templates, lower, sizes)[0]
    keys, variables = _taken_apart(outputs)
    made = _rewritten(variables, templates, lower, sizes)
    return made if keys is None else dict(zip(keys, made, strict=True))


def _rewritten(
    outputs: Sequence[Variable],
    templates: Sequence[Template],
    lower: Lowerings | None,
    sizes: Mapping[str, int | str] | None,
) -> list[Variable]:
    made = list(outputs)
    if sizes is not None:
        made = with_known_sizes(made, sizes)
    for each in templates:
        if each.may_be_in({v.op for v in nodes_of(made)}):
            made = change_everywhere(made, each.finder())
    return made if lower is None else lower_ops(made, lower)


def _as_templates(rules: Any) -> list[Template]:
    listed = [rules] if isinstance(rules, Template) else rules
    if not isinstance(listed, (list, tuple)) or not all(isinstance(r, Template) for r in listed):
        raise ExchangeError.here(
            f"rules are templates, not {rules!r}",
            remedy='Make them with sg.template("x * sigmoid(1.702 * x)", "gelu(x)").',
        )
    return list(listed)


def _taken_apart(outputs: Any) -> tuple[list[Any] | None, list[Variable]]:
    """The keys, where there are any, and the variables."""
    if not isinstance(outputs, Function) and hasattr(outputs, "outputs"):
        outputs = outputs.outputs
    keys = list(outputs) if isinstance(outputs, Mapping) else None
    values = list(outputs.values()) if isinstance(outputs, Mapping) else outputs
    if isinstance(values, (list, tuple)) and all(isinstance(v, Variable) for v in values):
        return keys, list(values)
    remedy = "Of a compiled function rewrite f.graph." if isinstance(outputs, Function) else None
    raise ExchangeError.here(
        "rewrite_graph takes a variable, a list or dict of variables, a graph or an imported "
        f"model, not {outputs!r}",
        remedy=remedy,
    )
