"""What a value is called that the user gave no name: a word for what its op makes."""

from __future__ import annotations

__all__ = ["word_for"]

_WORDS = {
    "add": "total",
    "subtract": "difference",
    "multiply": "scaled",
    "scale": "scaled",
    "divide": "ratio",
    "unscale": "ratio",
    "negative": "negated",
    "square": "squares",
    "sqrt": "root",
    "power": "powers",
    "absolute": "magnitude",
    "exp": "weights",
    "log": "logs",
    "matmul": "product",
    "sum": "total",
    "mean": "mean",
    "product_of_rows": "projected",
    "prod": "product",
    "max": "largest",
    "min": "least",
    "maximum": "larger",
    "minimum": "smaller",
    "clip": "clipped",
    "where": "chosen",
    "tanh": "bent",
    "sigmoid": "gate",
    "relu": "positive",
    "softplus": "bent",
    "softmax": "shares",
    "log_softmax": "log_shares",
    "logsumexp": "log_total",
    "slice": "part",
    "gather": "picked",
    "set_slice": "changed",
    "add_slice": "changed",
    "scatter_set": "changed",
    "scatter_add": "changed",
    "reshape": "flat",
    "rearrange": "turned",
    "broadcast_to": "wide",
    "concatenate": "joined",
    "iota": "positions",
    "argmax": "best",
    "argmin": "worst",
    "argsort": "order",
    "sort": "ordered",
    "cumsum": "totals",
    "cumprod": "products",
    "random_bits": "bits",
    "fold_in": "key",
    "cast": "converted",
    "size": "size",
    "check_size": "checked",
    "in_range": "checked",
    "windows": "stretches",
    "overlap_add": "overlaid",
    "floor": "whole",
    "rint": "whole",
    "any": "found",
    "all": "holds",
    "invert": "others",
}
# fmt: off
_COMPARISONS = frozenset({
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal",
    "isnan", "isinf", "isfinite",
})
# fmt: on


def word_for(op: str) -> str:
    """A word for what an op, or an idiom, makes."""
    return "condition" if op in _COMPARISONS else _WORDS.get(op, "value")
