"""Functions that exported programs bring along, as they are copied into them: NumPy alone.

Each does what the op of symgraph does, to the last bit. No line of theirs is longer than 72
characters, and no statement takes several, so that formatters leave them alone at any width.
"""

# pyright: basic

from __future__ import annotations

import math

import numpy as np


def sigmoid(x):
    """The logistic function."""
    return 1.0 / (np.exp(-x) + 1.0)


def softplus(x):
    """log(1 + exp(x)), without overflow."""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def log1mexp(x):
    """log(1 - exp(x)), exact for every x below 0."""
    near, far = np.log(-np.expm1(x)), np.log1p(-np.exp(x))
    return np.where(x > -0.6931471805599453, near, far)


def logaddexp(x, y):
    """log(exp(x) + exp(y)), without overflow."""
    distance = np.abs(x - y)
    result = np.maximum(x, y) + np.log1p(np.exp(-distance))
    return np.where(x == y, x + 0.6931471805599453, result)


def hypot(x, y):
    """sqrt(x**2 + y**2), without overflow."""
    x, y = np.abs(x), np.abs(y)
    large, small = np.maximum(x, y), np.minimum(x, y)
    whole = np.where(large == 0.0, 1.0, large).astype(large.dtype)
    ratio = small / whole
    length = large * np.sqrt(ratio * ratio + 1.0)
    return np.where(np.isinf(x) | np.isinf(y), np.inf, length)


def one_minus_square(x):
    """1 - x**2, exact near 1."""
    return (1.0 - x) * (x + 1.0)


def scale(x, y):
    """x * y, but 0 wherever either is, whatever the other."""
    return np.where((y != 0) & (x != 0), x * y, 0)


def unscale(x, y):
    """x / y, but 0 wherever x is, whatever y."""
    return np.where(x == 0, 0, x / y)


def power(x, y):
    """x**y; the square root of minus infinity is infinite."""
    result = np.power(x, y)
    if np.ndim(y) == 0 and y == 0.5:
        return np.where(np.isneginf(x) | (x == 0), np.abs(x), result)
    return result


def whole(x, dtype):
    """Floats without fractions; what does not fit is the least."""
    limit = x.dtype.type(2.0 ** (8 * np.dtype(dtype).itemsize - 1))
    fits = (x >= -limit) & (x < limit)
    return np.where(fits, x, -limit).astype(dtype)


def to_integer(x, dtype):
    """Floats as integers, as C converts them on x86-64."""
    x, dtype = np.asarray(x), np.dtype(dtype)
    if dtype == np.uint64:
        high = x >= 2.0**63
        low = np.where(high, x - x.dtype.type(2.0**63), x)
        low = whole(low, np.int64)
        return low.astype(dtype) ^ (high.astype(dtype) << np.uint64(63))
    wide = np.int64 if dtype in (np.int64, np.uint32) else np.int32
    return whole(x, wide).astype(dtype)


def softmax(x, axis):
    """exp(x) divided by its sum over the axis."""
    weights = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return weights / np.sum(weights, axis=axis, keepdims=True)


def finite_maximum(x, axis):
    """The largest element over the axis, 0 where it is not finite."""
    largest = np.max(x, axis=axis, keepdims=True)
    return np.where(np.isfinite(largest), largest, x.dtype.type(0))


def log_softmax(x, axis):
    """log(softmax(x)), without underflow."""
    distance = x - finite_maximum(x, axis)
    total = np.sum(np.exp(distance), axis=axis, keepdims=True)
    return distance - np.log(total)


def logsumexp(x, axis, *, keepdims=False):
    """log(sum(exp(x))) over the axis, without overflow."""
    shift = finite_maximum(x, axis)
    total = np.sum(np.exp(x - shift), axis=axis, keepdims=True)
    total = np.log(total) + shift
    return total if keepdims else np.squeeze(total, axis=axis)


def product_of_rows(x, matrix):
    """x @ matrix, as one product for all leading axes."""
    *leading, columns = x.shape
    rows = x.reshape(int(np.prod(leading)), columns)
    return (rows @ matrix).reshape(*leading, matrix.shape[1])


def quotient(x, y):
    """x // y of Python ints, 0 where y is."""
    return x // y if y else 0


def rest(x, y):
    """x % y of Python ints, 0 where y is."""
    return x % y if y else 0


def same_size(x, axis, other, other_axis):
    """x, which has to be as long on an axis as other on its own."""
    if x.shape[axis] != other.shape[other_axis]:
        raise ValueError(f"{x.shape} and {other.shape} do not fit")
    return x


def in_range(indices, size, what):
    """The indices, each of which has to be from 0 to below a size."""
    wrong = np.asarray((indices < 0) | (indices >= size))
    if wrong.any():
        raise IndexError(f"{what} is not from 0 to below {size}")
    return indices


def reshaped(x, *shape):
    """x in another shape, none of whose sizes is left open."""
    if any(size < 0 for size in shape):
        raise ValueError(f"a shape has a negative size: {shape}")
    return x.reshape(shape)


def stacked(rows, shape, dtype):
    """The rows as one array; each has this shape, if there are any."""
    return np.stack(rows) if rows else np.empty((0, *shape), dtype)


def linear_recurrence(added, factors, axis):
    """s[i] = added[i] + factors[i] * s[i - 1] along an axis."""
    states = added.copy()
    rows = np.moveaxis(states, axis, 0)
    factors = np.moveaxis(factors, axis, 0)
    for i in range(1, len(rows)):
        rows[i] += factors[i] * rows[i - 1]
    return states


def add_at(x, values, indices, axes, place):
    """A copy of x with values added at indices of some axes."""
    result = np.array(x)
    target = np.moveaxis(result, axes, range(len(axes)))
    sizes = target.shape[: len(axes)]
    common = np.broadcast_shapes(*map(np.shape, indices))
    flat = np.zeros(common, np.int64)
    for index, size in zip(indices, sizes, strict=True):
        if np.any((index < -size) | (index >= size)):
            raise IndexError(f"an index is outside a size of {size}")
        index = np.asarray(index).astype(np.int64)
        flat = flat * size + np.where(index < 0, index + size, index)
    if not values.size:
        return result
    source = range(place, place + len(common))
    rows = np.moveaxis(values, source, range(len(common)))
    rows = rows.reshape(flat.size, -1)
    order = np.argsort(flat, axis=None, kind="stable")
    ordered = flat.reshape(-1)[order]
    changes = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    starts = np.flatnonzero(changes)
    sums = np.add.reduceat(rows[order], starts, axis=0, dtype=x.dtype)
    hit = np.unravel_index(ordered[starts], sizes)
    target[hit] += sums.reshape(len(starts), *target.shape[len(axes) :])
    return result


def windows(x, axis, size, stride, dilation):
    """The stretches of an axis under a moving window."""
    span = (size - 1) * dilation + 1
    every = np.lib.stride_tricks.sliding_window_view(x, span, axis)
    before = (slice(None),) * axis
    every = every[(*before, slice(None, None, stride))]
    return np.moveaxis(every[..., ::dilation], -1, axis + 1)


def overlap_add(x, length, axis, stride, dilation):
    """Windows put back where they came from, and added up."""
    shape = (*x.shape[:axis], length, *x.shape[axis + 2 :])
    result = np.zeros(shape, x.dtype)
    count, size = x.shape[axis : axis + 2]
    before = (slice(None),) * axis
    for i in range(size):
        start = i * dilation
        stop = start + (count - 1) * stride + 1
        target = (*before, slice(start, stop, stride))
        result[target] += x[(*before, slice(None), i)]
    return result


def threefry(key, first, second):
    """Two random words for counters under a key (Salmon 2011)."""
    k0, k1 = key[:1], key[1:]
    keys = (k0, k1, k0 ^ k1 ^ np.uint32(0x1BD11BDA))
    first, second = first + k0, second + k1
    for group in range(5):
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            first = first + second
            left, right = np.uint32(turn), np.uint32(32 - turn)
            second = (second << left) | (second >> right)
            second = second ^ first
        first = first + keys[(group + 1) % 3]
        second = second + keys[(group + 2) % 3] + np.uint32(group + 1)
    return first, second


def random_bits(key, shape, domain):
    """Random words; draws and keys are domains of their own."""
    total = int(np.prod(shape, dtype=np.int64))
    blocks = np.arange((total + 1) // 2, dtype=np.uint32)
    words = threefry(key, np.full_like(blocks, domain), blocks)
    return np.stack(words, axis=1).reshape(-1)[:total].reshape(shape)


def fold_in(key, data):
    """The key that belongs to a key and a number."""
    number = int(data) & 0xFFFFFFFFFFFFFFFF
    high = np.array([((number >> 32) + 2) & 0xFFFFFFFF], np.uint32)
    low = np.array([number & 0xFFFFFFFF], np.uint32)
    return np.concatenate(threefry(key, high, low))


# The rational functions of Blair, Edwards and Johnson's kind by which Boost and
# SciPy approximate the inverse error function, from its centre outwards.
CENTRE_P = (
    -0.0005087819496582806,
    -0.008368748197417368,
    0.03348066254097446,
    -0.012692614766297404,
    -0.03656379714117627,
    0.02198786811111689,
    0.008226878746769157,
    -0.005387729650712429,
)
CENTRE_Q = (
    1.0,
    -0.9700050433032906,
    -1.5657455823417585,
    1.5622155839842302,
    0.662328840472003,
    -0.7122890234154284,
    -0.05273963823400997,
    0.07952836873415717,
    -0.0023339375937419,
    0.0008862163904564247,
)
MIDDLE_P = (
    -0.20243350835593876,
    0.10526468069939171,
    8.3705032834312,
    17.644729840837403,
    -18.851064805871424,
    -44.6382324441787,
    17.445385985570866,
    21.12946554483405,
    -3.6719225470772936,
)
MIDDLE_Q = (
    1.0,
    6.242641248542475,
    3.971343795334387,
    -28.66081804998,
    -20.14326346804852,
    48.560921310873994,
    10.826866735546016,
    -22.643693341313973,
    1.7211476576120028,
)
OUTER_P = (
    -0.1311027816799519,
    -0.16379404719331705,
    0.11703015634199525,
    0.38707973897260434,
    0.3377855389120359,
    0.14286953440815717,
    0.029015791000532906,
    0.0021455899538880526,
    -6.794655751811263e-07,
    2.8522533178221704e-08,
    -6.81149956853777e-10,
)
OUTER_Q = (
    1.0,
    3.4662540724256723,
    5.381683457070069,
    4.778465929458438,
    2.5930192162362027,
    0.848854343457902,
    0.15226433829533179,
    0.011059242293464892,
)
TAIL_P = (
    -0.0350353787183178,
    -0.0022242652921344794,
    0.018557330651423107,
    0.009508047013259196,
    0.0018712349281955923,
    0.00015754461742496055,
    4.60469890584318e-06,
    -2.304047769118826e-10,
    2.6633922742578204e-12,
)
TAIL_Q = (
    1.0,
    1.3653349817554064,
    0.7620591645536234,
    0.22009110576413124,
    0.03415891436709477,
    0.00263861676657016,
    7.646752923027944e-05,
)
END_P = (
    -0.016743100507663373,
    -0.0011295143874558028,
    0.001056288621524929,
    0.00020938631748758808,
    1.4962478375834237e-05,
    4.4969678992770644e-07,
    4.625961635228786e-09,
    -2.811287356288318e-14,
    9.905570997331033e-17,
)
END_Q = (
    1.0,
    0.5914293448864175,
    0.1381518657490833,
    0.016074608709367652,
    0.0009640118070051656,
    2.7533547476472603e-05,
    2.82243172016108e-07,
)


def polynomial(coefficients, x):
    """A polynomial, of which even and odd powers are summed apart."""
    even, odd = (np.zeros_like(x), np.zeros_like(x))
    for coefficient in coefficients[::2][::-1]:
        even = even * (x * x) + x.dtype.type(coefficient)
    for coefficient in coefficients[1::2][::-1]:
        odd = odd * (x * x) + x.dtype.type(coefficient)
    return even + odd * x


def each(function, x):
    """A function of Python's module math on every element."""
    values = np.frompyfunc(function, 1, 1)(x)
    return np.asarray(values, np.float64).astype(x.dtype)


# The rational functions by which Cephes and SciPy approximate the error function
# near 0, and what its complement is times exp(x**2) below 8 and from there on.
ERF_OVER = (
    9.604973739870516,
    90.02601972038427,
    2232.005345946843,
    7003.325141128051,
    55592.30130103949,
)
ERF_UNDER = (
    1.0,
    33.56171416475031,
    521.3579497801527,
    4594.323829709801,
    22629.000061389095,
    49267.39426086359,
)
ERFC_OVER = (
    2.461969814735305e-10,
    0.5641895648310689,
    7.463210564422699,
    48.63719709856814,
    196.5208329560771,
    526.4451949954773,
    934.5285271719576,
    1027.5518868951572,
    557.5353353693994,
)
ERFC_UNDER = (
    1.0,
    13.228195115474499,
    86.70721408859897,
    354.9377788878199,
    975.7085017432055,
    1823.9091668790973,
    2246.3376081871097,
    1656.6630919416134,
    557.5353408177277,
)
ERFC_OVER_8 = (
    0.5641895835477551,
    1.275366707599781,
    5.019050422511805,
    6.160210979930536,
    7.409742699509489,
    2.9788666537210022,
)
ERFC_UNDER_8 = (
    1.0,
    2.2605286322011726,
    9.396035249380015,
    12.048953980809666,
    17.08144507475659,
    9.608968090632859,
    3.369076451000815,
)


def horner(coefficients, x):
    """A polynomial; the first coefficient has the highest power."""
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


def erf_near_0(x):
    """The error function from -1 to 1."""
    square = x * x
    return x * horner(ERF_OVER, square) / horner(ERF_UNDER, square)


def erfc_from_1(x, dtype):
    """1 - erf(x) of numbers from 1 on."""
    square = x * x
    exact = dtype == np.float64
    power = each(math.exp, -square) if exact else np.exp(-square)
    result = power * horner(ERFC_OVER, x) / horner(ERFC_UNDER, x)
    if np.any(x >= 8.0):
        far = power * horner(ERFC_OVER_8, x) / horner(ERFC_UNDER_8, x)
        result = np.where(x < 8.0, result, far)
    return np.where(square > 709.782712893384, 0.0, result)


def erf(x):
    """The error function."""
    wide = np.asarray(x, np.float64)
    far = 1.0 - erfc_from_1(np.abs(wide), x.dtype)
    far = np.copysign(far, wide)
    near = erf_near_0(wide)
    return np.where(np.abs(wide) > 1.0, far, near).astype(x.dtype)


def erfc(x):
    """1 - erf(x), without cancellation."""
    wide = np.asarray(x, np.float64)
    far = erfc_from_1(np.abs(wide), x.dtype)
    far = np.where(wide < 0, 2.0 - far, far)
    near = 1.0 - erf_near_0(wide)
    return np.where(np.abs(wide) < 1.0, near, far).astype(x.dtype)


def log_or_infinity(x):
    """The logarithm, minus infinity at 0, NaN below."""
    return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan


def erfinv(x):
    """The number whose error function is x."""
    size = np.abs(np.asarray(x))
    rest = 1 - size
    ratio = polynomial(CENTRE_P, size) / polynomial(CENTRE_Q, size)
    factor = size * (size + 10)
    result = factor * 0.08913147449493408 + factor * ratio
    shift = rest - size.dtype.type(0.25)
    ratio = polynomial(MIDDLE_P, shift) / polynomial(MIDDLE_Q, shift)
    log_rest = each(log_or_infinity, rest)
    ratio = size.dtype.type(2.249481201171875) + ratio
    middle = np.sqrt(-2 * log_rest) / ratio
    result = np.where(size <= 0.5, result, middle)
    root = np.sqrt(-log_rest)
    outer = 0.807220458984375, 1.125, OUTER_P, OUTER_Q
    tail = 0.9399557113647461, 3.0, TAIL_P, TAIL_Q
    end = 0.983628273010254, 6.0, END_P, END_Q
    for offset, start, over, under in (outer, tail, end):
        shift = root - start
        ratio = polynomial(over, shift) / polynomial(under, shift)
        beyond = (rest < 0.25) & ((root >= start) | (start < 3))
        result = np.where(beyond, offset * root + ratio * root, result)
    result = np.where(size < 1, result, np.nan)
    result = np.where(size == 1, np.inf, result)
    return np.copysign(result, x)


def log_gamma(x):
    """The logarithm of the absolute value of the gamma function."""
    if math.isinf(x) or (x <= 0 and x == math.floor(x)):
        return x if x == -math.inf else math.inf
    try:
        return math.lgamma(x)
    except OverflowError:
        return math.inf


def gammaln(x):
    """The logarithm of the absolute value of the gamma function."""
    return each(log_gamma, x)


def zeta(order, x):
    """The sum of 1 / (x + k)**order over all k from 0 on."""
    total, x = np.zeros_like(x), np.array(x)
    n_terms = 0
    while n_terms < 10 or np.any(x < 10):
        total, x, n_terms = total + x**-order, x + 1, n_terms + 1
    total = total + x ** (1 - order) / (order - 1) + x**-order / 2
    factor = order * x ** (-order - 1)
    for k, bernoulli in enumerate(BERNOULLI, 1):
        term = factor * bernoulli / math.factorial(2 * k)
        total = total + term
        more = (order + 2 * k - 1) * (order + 2 * k)
        factor = factor * more / (x * x)
    return total


BERNOULLI = (
    0.16666666666666666,
    -0.03333333333333333,
    0.023809523809523808,
    -0.03333333333333333,
    0.07575757575757576,
    -0.2531135531135531,
    1.1666666666666667,
    -7.092156862745098,
    54.971177944862156,
    -529.1242424242424,
)


def polygamma(order, x):
    """The derivative of this order of digamma."""
    wide = np.asarray(x, np.float64)
    poles = (wide <= 0) & (wide == np.floor(wide))
    values = zeta(order + 1, np.where(poles, 1.0, wide))
    values = np.where(poles, np.inf, values)
    values = (-1.0) ** (order + 1) * math.factorial(order) * values
    return values.astype(x.dtype)


def digamma(x):
    """The derivative of the logarithm of the gamma function."""
    wide = np.asarray(x, np.float64)
    result = digamma_right(np.where(wide > 0, wide, 1.0 - wide))
    turned = result - np.pi / np.tan(np.pi * (wide - np.rint(wide)))
    result = np.where(wide > 0, result, turned)
    for root, value, reach in DIGAMMA_ROOTS:
        is_near = np.abs(wide - root) < reach
        distance = np.where(is_near, wide - root, 0.0)
        near = np.full_like(distance, value)
        for n in range(1, 60):
            power = (-distance) ** n
            near = near - zeta(n + 1, np.float64(root)) * power
        result = np.where(is_near, near, result)
    pole = np.where(wide == 0, -np.copysign(np.inf, wide), np.nan)
    whole = (wide <= 0) & (wide == np.floor(wide))
    return np.where(whole, pole, result).astype(x.dtype)


# Where digamma is 0 but for rounding, what it is there, and how near a series holds.
DIGAMMA_ROOTS = (
    (1.4616321449683622, -9.2412655217294275e-17, 0.5),
    (-0.504083008264455409, 7.2897639029768949e-17, 0.3),
)


def digamma_right(x):
    """digamma of numbers above 0, by its asymptotic series."""
    result = np.zeros_like(x)
    while np.any(x < 10):
        small = x < 10
        result = result - np.where(small, 1 / x, 0.0)
        x = np.where(small, x + 1, x)
    for k, bernoulli in enumerate(BERNOULLI, 1):
        result = result - bernoulli / (2 * k) * x ** (-2 * k)
    return result + (np.log(x) - 0.5 / x)
