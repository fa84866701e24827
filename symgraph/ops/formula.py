"""The scalar protocol in which elementwise ops are written, and NumPy's implementation of it.

An elementwise op states one ``formula(maths, *values)``. Each backend implements `Maths` once, and
has every elementwise op. Values are the backend's own (arrays here, registers in native code);
Python numbers are allowed beside them and take their dtype.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from . import special

__all__ = ["Maths", "NumpyMaths", "numpy_maths"]

Value = Any


class Maths(Protocol):
    """Scalar functions on values of one dtype; comparisons give bool values.

    Integers wrap; floor division and remainder have the divisor's sign; division of integers by
    zero gives 0. Maximum and minimum give NaN where an operand is NaN.
    """

    def add(self, x: Value, y: Value, /) -> Value: ...
    def subtract(self, x: Value, y: Value, /) -> Value: ...
    def multiply(self, x: Value, y: Value, /) -> Value: ...
    def divide(self, x: Value, y: Value, /) -> Value: ...
    def floor_divide(self, x: Value, y: Value, /) -> Value: ...
    def remainder(self, x: Value, y: Value, /) -> Value: ...
    def power(self, x: Value, y: Value, /) -> Value: ...
    def arctan2(self, x: Value, y: Value, /) -> Value: ...
    def maximum(self, x: Value, y: Value, /) -> Value: ...
    def minimum(self, x: Value, y: Value, /) -> Value: ...

    def negative(self, x: Value, /) -> Value: ...
    def absolute(self, x: Value, /) -> Value: ...
    def sign(self, x: Value, /) -> Value: ...
    def floor(self, x: Value, /) -> Value: ...
    def ceil(self, x: Value, /) -> Value: ...
    def trunc(self, x: Value, /) -> Value: ...
    def rint(self, x: Value, /) -> Value: ...
    def sqrt(self, x: Value, /) -> Value: ...
    def exp(self, x: Value, /) -> Value: ...
    def exp2(self, x: Value, /) -> Value: ...
    def expm1(self, x: Value, /) -> Value: ...
    def log(self, x: Value, /) -> Value: ...
    def log2(self, x: Value, /) -> Value: ...
    def log10(self, x: Value, /) -> Value: ...
    def log1p(self, x: Value, /) -> Value: ...
    def sin(self, x: Value, /) -> Value: ...
    def cos(self, x: Value, /) -> Value: ...
    def tan(self, x: Value, /) -> Value: ...
    def arcsin(self, x: Value, /) -> Value: ...
    def arccos(self, x: Value, /) -> Value: ...
    def arctan(self, x: Value, /) -> Value: ...
    def sinh(self, x: Value, /) -> Value: ...
    def cosh(self, x: Value, /) -> Value: ...
    def tanh(self, x: Value, /) -> Value: ...
    def sigmoid(self, x: Value, /) -> Value: ...
    def arcsinh(self, x: Value, /) -> Value: ...
    def arccosh(self, x: Value, /) -> Value: ...
    def arctanh(self, x: Value, /) -> Value: ...
    def erf(self, x: Value, /) -> Value: ...
    def erfc(self, x: Value, /) -> Value: ...
    def erfinv(self, x: Value, /) -> Value: ...
    def gammaln(self, x: Value, /) -> Value: ...
    def digamma(self, x: Value, /) -> Value: ...

    def eq(self, x: Value, y: Value, /) -> Value: ...
    def ne(self, x: Value, y: Value, /) -> Value: ...
    def lt(self, x: Value, y: Value, /) -> Value: ...
    def le(self, x: Value, y: Value, /) -> Value: ...
    def gt(self, x: Value, y: Value, /) -> Value: ...
    def ge(self, x: Value, y: Value, /) -> Value: ...
    def isnan(self, x: Value, /) -> Value: ...
    def isinf(self, x: Value, /) -> Value: ...
    def isfinite(self, x: Value, /) -> Value: ...

    # On bools these are the logical operations.
    def bit_and(self, x: Value, y: Value, /) -> Value: ...
    def bit_or(self, x: Value, y: Value, /) -> Value: ...
    def bit_xor(self, x: Value, y: Value, /) -> Value: ...
    def bit_not(self, x: Value, /) -> Value: ...
    def shift_left(self, x: Value, y: Value, /) -> Value: ...
    def shift_right(self, x: Value, y: Value, /) -> Value: ...

    def select(self, condition: Value, x: Value, y: Value, /) -> Value: ...
    # Of floats to integers: without the fraction, by way of int32 (int64 for itself, uint32 and
    # uint64) of which the lowest bits are kept, as NumPy has it on x86-64. Where C leaves it open,
    # for NaN and what those cannot hold, they take their least value; uint64 counts on from 2**63.
    def cast(self, x: Value, dtype: np.dtype, /) -> Value: ...


# Half of what uint64 counts.
_HALF = 2.0**63
_BY_INT64 = (np.dtype("int64"), np.dtype("uint32"))


def _whole(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Floats as a signed integer dtype, which takes its least value for what it does not hold."""
    limit = x.dtype.type(2.0 ** (8 * dtype.itemsize - 1))
    return np.where((x >= -limit) & (x < limit), x, -limit).astype(dtype)


class NumpyMaths:
    """`Maths` on NumPy arrays."""

    add = staticmethod(np.add)
    subtract = staticmethod(np.subtract)
    multiply = staticmethod(np.multiply)
    divide = staticmethod(np.divide)
    floor_divide = staticmethod(np.floor_divide)
    remainder = staticmethod(np.remainder)
    arctan2 = staticmethod(np.arctan2)
    maximum = staticmethod(np.maximum)
    minimum = staticmethod(np.minimum)

    negative = staticmethod(np.negative)
    absolute = staticmethod(np.absolute)
    sign = staticmethod(np.sign)
    floor = staticmethod(np.floor)
    ceil = staticmethod(np.ceil)
    trunc = staticmethod(np.trunc)
    rint = staticmethod(np.rint)
    sqrt = staticmethod(np.sqrt)
    exp = staticmethod(np.exp)
    exp2 = staticmethod(np.exp2)
    expm1 = staticmethod(np.expm1)
    log = staticmethod(np.log)
    log2 = staticmethod(np.log2)
    log10 = staticmethod(np.log10)
    log1p = staticmethod(np.log1p)
    sin = staticmethod(np.sin)
    cos = staticmethod(np.cos)
    tan = staticmethod(np.tan)
    arcsin = staticmethod(np.arcsin)
    arccos = staticmethod(np.arccos)
    arctan = staticmethod(np.arctan)
    sinh = staticmethod(np.sinh)
    cosh = staticmethod(np.cosh)
    tanh = staticmethod(np.tanh)
    arcsinh = staticmethod(np.arcsinh)
    arccosh = staticmethod(np.arccosh)
    arctanh = staticmethod(np.arctanh)

    @staticmethod
    def power(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """C's ``pow``, by a scalar too, where NumPy takes the square root for 0.5."""
        result = np.power(x, y)
        if np.ndim(y) == 0 and y == 0.5:
            return np.where(np.isneginf(x) | (x == 0), np.absolute(x), result)
        return result

    @staticmethod
    def sigmoid(x: np.ndarray) -> np.ndarray:
        """The logistic function."""
        return 1.0 / (np.exp(-x) + 1.0)

    @staticmethod
    def erf(x: np.ndarray) -> np.ndarray:
        """See `scipy.special.erf`."""
        return special.erf(x)

    @staticmethod
    def erfc(x: np.ndarray) -> np.ndarray:
        """See `scipy.special.erfc`."""
        return special.erfc(x)

    @staticmethod
    def erfinv(x: np.ndarray) -> np.ndarray:
        """See `scipy.special.erfinv`."""
        return special.erfinv(x)

    @staticmethod
    def gammaln(x: np.ndarray) -> np.ndarray:
        """See `scipy.special.gammaln`."""
        return special.gammaln(x)

    @staticmethod
    def digamma(x: np.ndarray) -> np.ndarray:
        """See `scipy.special.digamma`."""
        return special.digamma(x)

    eq = staticmethod(np.equal)
    ne = staticmethod(np.not_equal)
    lt = staticmethod(np.less)
    le = staticmethod(np.less_equal)
    gt = staticmethod(np.greater)
    ge = staticmethod(np.greater_equal)
    isnan = staticmethod(np.isnan)
    isinf = staticmethod(np.isinf)
    isfinite = staticmethod(np.isfinite)

    bit_and = staticmethod(np.bitwise_and)
    bit_or = staticmethod(np.bitwise_or)
    bit_xor = staticmethod(np.bitwise_xor)
    bit_not = staticmethod(np.invert)
    shift_left = staticmethod(np.left_shift)
    shift_right = staticmethod(np.right_shift)

    select = staticmethod(np.where)

    @staticmethod
    def cast(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The array converted as `Maths.cast` says."""
        x = np.asarray(x)
        if x.dtype.kind != "f" or dtype.kind not in "iu":
            return x.astype(dtype)
        if dtype == np.uint64:
            high = x >= _HALF
            low = _whole(np.where(high, x - x.dtype.type(_HALF), x), np.dtype("int64"))
            return low.astype(dtype) ^ (high.astype(dtype) << np.uint64(63))
        return _whole(x, np.dtype("int64" if dtype in _BY_INT64 else "int32")).astype(dtype)


numpy_maths: Maths = NumpyMaths()
