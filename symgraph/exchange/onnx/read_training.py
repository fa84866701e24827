"""What ONNX has for training: losses, gradients of a graph's values, and steps of optimisers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...autodiff.reverse import grad
from ...core.graph import replace
from ...core.variable import Variable
from ...ops.comparison import eq, greater
from ...ops.create import ones_like
from ...ops.elementwise import add, divide, multiply, negative, square, subtract, where
from ...ops.positions import take, take_along_axis
from ...ops.promotion import cast_to
from ...ops.reduce import sum
from ...ops.shape import expand_dims, squeeze
from ...ops.softmax import log_softmax
from ...ops.transcendental import power, sqrt
from .read_node import Node
from .read_registry import reads
from .read_values import Value, as_variable

_DOMAIN = "ai.onnx.preview.training"

# --- losses -------------------------------------------------------------------------------------


@reads("NegativeLogLikelihoodLoss")
def _negative_log_likelihood(node: Node) -> Value:
    return _loss(node, node.variable(0))


@reads("SoftmaxCrossEntropyLoss")
def _softmax_cross_entropy(node: Node) -> tuple[Value, ...]:
    log_probabilities = log_softmax(node.variable(0), 1)
    return _loss(node, log_probabilities), log_probabilities


def _loss(node: Node, log_probabilities: Variable) -> Variable:
    """What the labels are unlikely by: ``-log p[n, label]``, weighted by the label."""
    labels, ignored = node.variable(1), node.attribute("ignore_index", None, kind=int)
    dtype = log_probabilities.dtype
    is_used = None
    if ignored is not None:
        is_used = subtract(1, cast_to(eq(labels, ignored), dtype))
        labels = where(eq(labels, ignored), 0, labels)
    likely = squeeze(take_along_axis(log_probabilities, expand_dims(labels, 1), 1), 1)
    weights = take(node.variable(2), labels, axis=0) if node.has(2) else None
    if is_used is not None:
        weights = is_used if weights is None else multiply(weights, is_used)
    losses = negative(likely if weights is None else multiply(likely, weights))
    reduction = node.attribute("reduction", "mean")
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum(losses)
    if reduction == "mean":
        return divide(sum(losses), sum(ones_like(losses) if weights is None else weights))
    raise node.refusal(f"the reduction is none, sum or mean, not {reduction!r}")


# --- gradients ----------------------------------------------------------------------------------


@reads("Gradient", domain=_DOMAIN)
def _gradient(node: Node) -> tuple[Value, ...]:
    """The derivatives of a value by others, all of which stand before the node, by name.

    The inputs are what these others are to be where the derivatives are taken.
    """
    names = node.attribute("xs", []) + node.attribute("zs", [])
    sources = [as_variable(node.scope.read(name), f"{name!r}") for name in names]
    if len(names) != len(node.inputs):
        raise node.refusal(f"it has {len(node.inputs)} inputs for {len(names)} names")
    y = node.required("y", str)
    total = sum(as_variable(node.scope.read(y), f"{y!r}"))
    by = sources[: len(node.attribute("xs", []))]
    derivatives = grad(total, by, disconnected="zero")
    points = {s: v for s, v in zip(sources, node.variables(), strict=True) if s is not v}
    return tuple(replace(derivatives, points) if points else derivatives)


# --- optimisers ---------------------------------------------------------------------------------

Step = Callable[[Node, Variable, Variable, Sequence[Variable]], list[Variable]]
"""The new value and the new state of a parameter, from the rate, the count of steps, and the
parameter, its gradient and its state."""


def _reads_optimiser(op_type: str, n_states: int) -> Callable[[Step], Step]:
    """A decorator for the step of an optimiser, which takes any number of parameters at once."""

    def register(step: Step) -> Step:
        def read(node: Node) -> tuple[Value, ...]:
            n = (len(node.inputs) - 2) // (n_states + 2)
            if len(node.inputs) != 2 + n * (n_states + 2) or n == 0:
                raise node.refusal(
                    f"{len(node.inputs)} inputs are no rate, count, and {n_states + 2} for each "
                    "parameter"
                )
            rate, count, *others = node.variables()
            parts = [others[k * n : (k + 1) * n] for k in range(n_states + 2)]
            new = [step(node, rate, count, each) for each in zip(*parts, strict=True)]
            return tuple(result for kind in zip(*new, strict=True) for result in kind)

        reads(op_type, domain=_DOMAIN)(read)
        return step

    return register


def _regularised(node: Node, x: Variable, g: Variable) -> Variable:
    """The gradient, with that of a norm of the parameter."""
    factor = node.attribute("norm_coefficient", 0.0)
    return add(g, multiply(x, factor)) if factor else g


@_reads_optimiser("Adagrad", 1)
def _adagrad(
    node: Node, rate: Variable, count: Variable, parts: Sequence[Variable]
) -> list[Variable]:
    x, g, h = parts
    g = _regularised(node, x, g)
    h = add(h, square(g))
    decay = node.attribute("decay_factor", 0.0)
    rate = divide(rate, add(1.0, multiply(cast_to(count, rate.dtype), decay)))
    scale = add(sqrt(h), node.attribute("epsilon", 1e-6))
    return [subtract(x, divide(multiply(rate, g), scale)), h]


@_reads_optimiser("Adam", 2)
def _adam(node: Node, rate: Variable, count: Variable, parts: Sequence[Variable]) -> list[Variable]:
    x, g, v, h = parts
    alpha, beta = node.attribute("alpha", 0.9), node.attribute("beta", 0.999)
    g = _regularised(node, x, g)
    v = add(multiply(v, alpha), multiply(g, 1 - alpha))
    h = add(multiply(h, beta), multiply(square(g), 1 - beta))
    steps = cast_to(count, rate.dtype)
    corrected = divide(
        multiply(rate, sqrt(subtract(1.0, power(beta, steps)))),
        subtract(1.0, power(alpha, steps)),
    )
    rate = where(greater(count, 0), corrected, rate)
    x = subtract(x, divide(multiply(rate, v), add(sqrt(h), node.attribute("epsilon", 1e-6))))
    return [multiply(x, 1 - node.attribute("norm_coefficient_post", 0.0)), v, h]


@_reads_optimiser("Momentum", 1)
def _momentum(
    node: Node, rate: Variable, count: Variable, parts: Sequence[Variable]
) -> list[Variable]:
    x, g, v = parts
    alpha, beta = node.required("alpha", float), node.required("beta", float)
    mode = node.required("mode", str)
    if mode not in ("standard", "nesterov"):
        raise node.refusal(f"the mode is standard or nesterov, not {mode!r}")
    g = _regularised(node, x, g)
    v = add(multiply(v, alpha), multiply(g, where(greater(count, 0), beta, 1.0)))
    direction = v if mode == "standard" else add(g, multiply(v, alpha))
    return [subtract(x, multiply(rate, direction)), v]
