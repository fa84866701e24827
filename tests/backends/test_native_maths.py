"""The vector mathematics against mpmath, in units of the last place, and NumPy at the edges."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest
from native_kernels import compiled
from scipy import special

from symgraph.backends.llvm.code.cpu import host

# The worst error allowed, in ULP: float32, float64.
UNARY = {
    "exp": (1.0, 1.0), "expm1": (1.5, 2.3), "exp2": (1.0, 1.1), "log": (0.8, 0.8),
    "log1p": (0.8, 0.8), "log2": (0.6, 1.1), "log10": (0.6, 1.1), "sin": (0.6, 1.4),
    "cos": (0.6, 1.4), "tan": (0.6, 2.6), "arcsin": (0.6, 1.8), "arccos": (0.6, 1.2),
    "arctan": (0.6, 1.2), "sinh": (2.5, 2.5), "cosh": (2.5, 2.5), "tanh": (2.0, 2.0),
    "arcsinh": (0.6, 2.5), "arccosh": (0.6, 2.5), "arctanh": (0.6, 2.0), "erf": (1.3, 1.3),
    "erfc": (3.6, 4.5), "erfinv": (0.6, 5.0), "sqrt": (0.6, 0.6), "sigmoid": (2.5, 2.5),
}  # fmt: skip
MP_NAMES = {
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh",
    "arccosh": "acosh", "arctanh": "atanh",
}  # fmt: skip
EDGES = [
    0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -1.0, 0.5, -0.5, 1e-30, -1e-30, 1e-40, -1e-40,
    1e30, -1e30, 88.7, 89.0, -87.5, -103.0, -104.0, 709.7, 710.0, -745.0, -746.0, 5e-324, 2.0,
    3.0, 1e5, 1e10, 1e300, np.pi, np.pi / 2, 0.999999, 1.000001, 2.0**28, 2.0**29,
]  # fmt: skip


def exact(name, x):
    """The function by mpmath, as an object array of rounded-to-80-bits numbers."""
    if name == "sigmoid":
        function = lambda v: 1 / (1 + mpmath.exp(-v))  # noqa: E731
    elif name in ("exp2", "log2"):
        function = (lambda v: mpmath.power(2, v)) if name == "exp2" else lambda v: mpmath.log(v, 2)
    else:
        function = getattr(mpmath, MP_NAMES.get(name, name))
    with mpmath.workprec(120):
        return [function(mpmath.mpf(float(v))) for v in x]


def reference(name):
    if name == "sigmoid":  # SciPy's and the plain formula give up among the subnormals
        return lambda x: (1 / (1 + np.exp(-x.astype(np.longdouble)))).astype(x.dtype)
    return getattr(np, name, None) or getattr(special, name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", UNARY)
def test_errors_stay_within_their_units(name, dtype):
    random = np.random.default_rng(0)
    x = np.concatenate([
        random.normal(size=250), random.uniform(-1, 1, 100), np.exp(random.uniform(-60, 60, 100)),
        random.uniform(-80, 80, 100), 1 + random.normal(size=50) * 1e-3,
    ]).astype(dtype)  # fmt: skip
    with np.errstate(all="ignore"):
        rough = reference(name)(x.astype(np.float64))
        good = np.isfinite(rough) & np.isfinite(rough.astype(dtype)) & (abs(rough) > 1e-37)
    x = x[good]
    found = compiled(lambda m, v: getattr(m, name)(v), dtype)(x)
    wanted = exact(name, x)
    spacing = np.spacing(np.abs(np.array([float(w) for w in wanted])).astype(dtype))
    with mpmath.workprec(100):
        errors = [
            abs(float((mpmath.mpf(float(f)) - w) / float(s)))
            for f, w, s in zip(found, wanted, spacing, strict=True)
        ]
    assert max(errors) <= UNARY[name][dtype == "float64"], x[int(np.argmax(errors))]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_erfc_needs_no_fused_multiply_add(dtype):
    x = np.random.default_rng(0).uniform(0.5, 8, 200).astype(dtype)
    plain = replace(host(), has_fma=False)
    found = compiled(lambda m, v: m.erfc(v), dtype, cpu=plain)(x)
    wanted = np.array([float(w) for w in exact("erfc", x)])
    np.testing.assert_allclose(found, wanted, rtol=5 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*UNARY, "gammaln", "digamma"])
def test_edges_are_numpys(name, dtype):
    with np.errstate(all="ignore"):
        x = np.array(EDGES, dtype)
        wanted = reference(name)(x)
        found = compiled(lambda m, v: getattr(m, name)(v), dtype)(x)
        # SciPy's erfc gives up among the subnormals.
        close = np.abs(found - wanted) <= 1e-300 + np.abs(wanted) * np.finfo(dtype).eps * 8
        same = (found == wanted) | (np.isnan(found) & np.isnan(wanted)) | close
    assert same.all(), list(zip(x[~same], found[~same], wanted[~same], strict=True))
    zero = (wanted == 0) & (found == 0)
    np.testing.assert_array_equal(np.signbit(found[zero]), np.signbit(wanted[zero]))


PAIRS = [-np.inf, -3.5, -2.0, -1.0, -0.0, 0.0, 0.3, 1.0, 2.0, 3.0, np.inf, np.nan]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "name", ["power", "arctan2", "floor_divide", "remainder", "maximum", "minimum", "divide"]
)
def test_pairs_are_numpys(name, dtype):
    random = np.random.default_rng(1)
    a, b = (g.ravel().astype(dtype) for g in np.meshgrid(PAIRS, PAIRS))
    a = np.concatenate([a, random.normal(size=200).astype(dtype)])
    b = np.concatenate([b, random.normal(size=200).astype(dtype)])
    with np.errstate(all="ignore"):
        wanted = getattr(np, name)(a, b)
    found = compiled(lambda m, x, y: getattr(m, name)(x, y), dtype, dtype)(a, b)
    np.testing.assert_allclose(found, wanted, rtol=np.finfo(dtype).eps * 4)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint32", "uint64"])
@pytest.mark.parametrize(
    "name",
    ["add", "subtract", "multiply", "floor_divide", "remainder", "maximum", "bit_and",
     "shift_left", "shift_right"],
)  # fmt: skip
def test_integers_wrap_and_divide_as_numpys(name, dtype):
    info, random = np.iinfo(dtype), np.random.default_rng(2)
    ends = np.array([info.min, info.max, 0, 1, info.max - 1, info.min + 1, 2, 3], dtype)
    a, b = (g.ravel() for g in np.meshgrid(ends, ends))
    more = random.integers(info.min, info.max, (2, 200), dtype=dtype)
    a, b = np.concatenate([a, more[0]]), np.concatenate([b, more[1]])
    numpy_name = {
        "bit_and": "bitwise_and",
        "shift_left": "left_shift",
        "shift_right": "right_shift",
    }
    if name.startswith("shift"):
        b = (b.astype("uint64") % (8 * info.dtype.itemsize + 3)).astype(dtype)
    with np.errstate(all="ignore"):
        wanted = getattr(np, numpy_name.get(name, name))(a, b)
    found = compiled(lambda m, x, y: getattr(m, name)(x, y), dtype, dtype)(a, b)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("source", ["bool", "int8", "int64", "uint32", "float32", "float64"])
@pytest.mark.parametrize("target", ["bool", "int16", "int64", "uint8", "float32", "float64"])
def test_casts_are_numpys(source, target):
    x = np.array([0, 1, 2, 100, 3, 0, 1], source)
    found = compiled(lambda m, v: m.cast(v, np.dtype(target)), source)(x)
    np.testing.assert_array_equal(found, x.astype(target))
