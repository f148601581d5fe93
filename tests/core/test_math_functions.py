"""exp, tanh and sigmoid of the compiled core against wide references, in units in the last place.

float32 is held against float64, float64 against mpmath. The bounds are those that
src/cpp/isa/simd/math.hpp documents; they hold on every instruction set (see test_isa.py). The
square root is correctly rounded, as NumPy's is.
"""

import numpy as np
import pytest

mpmath = pytest.importorskip("mpmath")

pytestmark = pytest.mark.kernels

FUNCTIONS = pytest.mark.parametrize("function", ["exp", "tanh", "sigmoid"])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
LARGEST_ERROR = {
    ("exp", "float32"): 1.02,
    ("exp", "float64"): 1.02,
    ("sigmoid", "float32"): 2.0,
    ("sigmoid", "float64"): 2.0,
    ("tanh", "float32"): 1.99,
    ("tanh", "float64"): 1.5,
}
BITS = {"float32": np.dtype("uint32"), "float64": np.dtype("uint64")}

# Where the functions change how they compute, saturate, overflow or become subnormal.
BREAKPOINTS = {
    "float32": [9.01, 16.64, 17.33, 40.0, 87.34, 88.72284, 89.0, 103.2789, 103.9721, 104.5],
    "float64": [
        19.06, 36.74, 37.43, 80.0, 708.3964, 709.782713, 710.0, 744.4401, 745.133219, 746.0,
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def compute(native_core):
    """``compute(function, x)`` on the compiled core."""

    def call(function, x):
        functions = getattr(native_core, f"functions_{x.dtype}")
        return getattr(functions, function)(x)

    return call


def around(center, count, dtype):
    """The ``count`` floats on either side of a float, and itself."""
    bits = np.array(center, dtype).view(BITS[dtype]).astype(np.int64)
    offsets = np.arange(max(-count, -int(bits)), count + 1)
    return (bits + offsets).astype(BITS[dtype]).view(dtype)


def breakpoints(dtype):
    halves = np.arange(1, 13) * np.log(2) / 4  # odd multiples are where n of 2^n moves on
    return [0.0, 0.17, 0.25, 0.52, *halves, *BREAKPOINTS[dtype]]


def points(dtype, near, count):
    """Finite arguments, both signs: ``near`` around each breakpoint, the rest drawn."""
    generator = np.random.default_rng(0)
    info = np.finfo(dtype)
    exponents = generator.uniform(np.log2(float(info.smallest_subnormal)), info.maxexp, count)
    positive = np.concatenate(
        [
            *(around(center, near, dtype) for center in breakpoints(dtype)),
            np.exp2(exponents).astype(dtype),
            generator.uniform(0, 1.1, 2 * count).astype(dtype),
            generator.uniform(0, 30, count).astype(dtype),
            generator.uniform(0, 750, count).astype(dtype),
            np.array([info.max, info.tiny, info.smallest_subnormal], dtype),
        ]
    )
    positive = positive[np.isfinite(positive)]
    return np.concatenate([positive, -positive])


def wide(function, x):
    """The function of float64 numbers that came from float32."""
    with np.errstate(over="ignore"):
        if function == "sigmoid":
            return 1 / (1 + np.exp(-x))
        return getattr(np, function)(x)


def errors_of_float32(function, x, got):
    """In units in the last place; an infinity stands for 2^128, the next after the largest."""
    expected = np.minimum(wide(function, x.astype(np.float64)), 2.0**128)
    result = np.where(np.isposinf(got), 2.0**128, got.astype(np.float64))
    exponent = np.clip(np.frexp(expected)[1] - 24, -149, 104)
    return np.ldexp(np.abs(result - expected), -exponent)


def errors_of_float64(function, x, got):
    """The same against mpmath, where an infinity stands for 2^1024."""
    with mpmath.workdps(60):
        exact = {
            "exp": mpmath.exp,
            "tanh": mpmath.tanh,
            "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
        }[function]
        top = mpmath.mpf(2) ** 1024
        errors = []
        for argument, result in zip(x.tolist(), got.tolist(), strict=True):
            expected = min(exact(mpmath.mpf(argument)), top)
            exponent = min(max(mpmath.frexp(expected)[1] - 53, -1074), 971)
            value = top if result == np.inf else mpmath.mpf(result)
            errors.append(float(mpmath.ldexp(abs(value - expected), -exponent)))
    return np.array(errors)


def check_errors(function, x, got, errors):
    worst = int(errors.argmax())
    bound = LARGEST_ERROR[function, str(x.dtype)]
    assert errors[worst] <= bound, (
        f"{function}({x[worst]!r}) = {got[worst]!r} is off by {errors[worst]} ULP, not {bound}"
    )


@FUNCTIONS
def test_errors_of_float32(compute, function):
    every_4099th = np.arange(0, 2**32, 4099, dtype=np.uint64).astype(np.uint32).view(np.float32)
    drawn = points("float32", 2000, 100_000)
    x = np.concatenate([every_4099th[np.isfinite(every_4099th)], drawn])
    got = compute(function, x)
    check_errors(function, x, got, errors_of_float32(function, x, got))


@FUNCTIONS
def test_errors_of_float64(compute, function):
    x = points("float64", 60, 1200)
    got = compute(function, x)
    check_errors(function, x, got, errors_of_float64(function, x, got))


@pytest.mark.long
@FUNCTIONS
def test_errors_of_every_float32(compute, function):
    for start in range(0, 2**32, 2**22):
        x = np.arange(start, start + 2**22, dtype=np.uint64).astype(np.uint32).view(np.float32)
        got = compute(function, x)
        assert np.array_equal(np.isnan(got), np.isnan(x))
        finite = np.isfinite(x)
        if finite.any():
            errors = errors_of_float32(function, x[finite], got[finite])
            check_errors(function, x[finite], got[finite], errors)


@pytest.mark.long
@FUNCTIONS
def test_errors_of_many_float64(compute, function):
    if np.finfo(np.longdouble).nmant < 63:
        pytest.skip("long double is no wider than double")
    for seed in range(40):
        generator = np.random.default_rng(seed)
        x = generator.uniform(-1.2, 1.2, 500_000) * generator.choice([0.1, 1, 20, 600], 500_000)
        got = compute(function, x)
        expected = wide(function, x.astype(np.longdouble))
        inside = expected < np.finfo(np.float64).max
        exponent = np.maximum(np.frexp(expected)[1] - 53, -1074)[inside]
        errors = np.ldexp(np.abs(got[inside] - expected[inside]), -exponent).astype(np.float64)
        check_errors(function, x[inside], got[inside], errors)


def squares(dtype):
    """Of all magnitudes, next to powers of two, and next to squares, which halfway cases are."""
    generator = np.random.default_rng(0)
    info = np.finfo(dtype)
    powers = np.ldexp(np.ones(1, dtype), np.arange(info.minexp - info.nmant, info.maxexp))
    roots = generator.integers(1, 2 ** (info.nmant // 2 + 1), 100_000).astype(dtype)
    exponents = generator.integers(info.minexp, info.maxexp, 100_000)
    magnitudes = np.ldexp(generator.uniform(1, 2, 100_000), exponents)
    centers = np.concatenate([powers, roots * roots, (1 + generator.random(100_000)) ** 2])
    centers = centers.astype(dtype)
    with np.errstate(over="ignore", under="ignore"):
        wide_range = np.concatenate([magnitudes.astype(dtype), points(dtype, 9, 100_000)])
        beside = [np.nextafter(centers, np.array(limit, dtype)) for limit in (0, np.inf)]
    return np.concatenate([centers, *beside, np.abs(wide_range)])


@DTYPES
def test_square_roots_are_correctly_rounded(compute, same_bits, dtype):
    x = squares(dtype)
    same_bits(compute("sqrt", x), np.sqrt(x))
    for special in (0.0, -0.0, np.inf):
        among = np.where(np.arange(37) % 5, x[:37], np.array(special, dtype))
        same_bits(compute("sqrt", among), np.sqrt(among))
    assert np.isnan(compute("sqrt", np.array([np.nan, -1, -np.inf] * 13, dtype))).all()


@pytest.mark.long
def test_every_square_root_of_float32(compute, same_bits):
    for start in range(0, 255 << 23, 2**22):
        x = np.arange(start, start + 2**22, dtype=np.uint32).view(np.float32)
        same_bits(compute("sqrt", x), np.sqrt(x))


@DTYPES
@pytest.mark.parametrize(
    ("function", "limits"),
    [
        ("exp", (1.0, 1.0, np.inf, 0.0)),
        ("tanh", (0.0, -0.0, 1.0, -1.0)),
        ("sigmoid", (0.5, 0.5, 1.0, 0.0)),
    ],
)
def test_limits(compute, same_bits, function, limits, dtype):
    """Exact, and with the right sign, in every lane of a vector and behind its end."""
    info = np.finfo(dtype)
    for arguments, expected in zip(
        ([0.0], [-0.0], [np.inf, info.max, 1e4], [-np.inf, info.min, -1e4]), limits, strict=True
    ):
        for argument in arguments:
            got = compute(function, np.full(37, argument, dtype))
            same_bits(got, np.full(37, expected, dtype), f"{function}({argument})")
    assert np.isnan(compute(function, np.full(37, np.nan, dtype))).all()


@DTYPES
def test_subnormal_arguments(compute, dtype):
    info = np.finfo(dtype)
    tiny = np.array([info.smallest_subnormal, 77 * info.smallest_subnormal, info.tiny / 2], dtype)
    x = np.concatenate([tiny, -tiny])
    assert np.array_equal(compute("tanh", x), x)
    assert np.array_equal(compute("exp", x), np.ones(6, dtype))
    assert np.array_equal(compute("sigmoid", x), np.full(6, 0.5, dtype))


@DTYPES
@pytest.mark.parametrize("function", ["exp", "sigmoid"])
def test_results_pass_through_the_subnormals(compute, function, dtype):
    """Gradual underflow: no result is flushed to zero, and they fall from one to the next."""
    info = np.finfo(dtype)
    low = np.log(float(info.smallest_subnormal)) - 2
    x = np.linspace(low, np.log(float(info.tiny)) + 1, 2000).astype(dtype)
    got = compute(function, x)
    assert (np.diff(got) >= 0).all()
    assert got[0] == 0
    assert got[-1] > info.tiny
    assert ((got > 0) & (got < info.tiny)).sum() > 500


@DTYPES
def test_ranges_and_symmetry(compute, dtype):
    x = points(dtype, 100, 2000)
    tanh, sigmoid, exp = (compute(f, x) for f in ("tanh", "sigmoid", "exp"))
    assert (np.abs(tanh) <= 1).all()
    assert ((sigmoid >= 0) & (sigmoid <= 1)).all()
    assert (exp >= 0).all()
    assert np.array_equal(compute("tanh", -x), -tanh)


@DTYPES
@FUNCTIONS
def test_a_number_alone_is_the_same_as_among_others(compute, same_bits, function, dtype):
    x = np.random.default_rng(0).uniform(-9, 9, 70).astype(dtype)
    whole = compute(function, x)
    for count in range(len(x)):
        same_bits(compute(function, x[:count]), whole[:count])
    same_bits(compute(function, x.reshape(7, 5, 2)), whole.reshape(7, 5, 2))
    same_bits(compute(function, x[::-3]), whole[::-3])


@FUNCTIONS
@DTYPES
def test_monotone(compute, function, dtype):
    """A larger argument never gives a smaller value: stretches of neighbouring numbers."""
    generator = np.random.default_rng(0)
    near = 256
    centers = np.concatenate(
        [
            breakpoints(dtype)[1:],
            generator.uniform(0, 4, 1500),
            generator.uniform(0, 25, 500),
            np.exp2(generator.uniform(-40, 1, 500)),
        ]
    )
    for center in centers:
        x = around(center, near, dtype)
        x = x[np.isfinite(x)]
        up, down = compute(function, x), compute(function, -x)
        assert (up[1:] >= up[:-1]).all(), center
        assert (down[1:] <= down[:-1]).all(), -center


def test_errors_of_the_logarithm(compute):
    info = np.finfo("float64")
    generator = np.random.default_rng(0)
    near_one = np.concatenate([around(c, 40, "float64") for c in (1.0, 0.5**0.5, 2.0**0.5, 2.0)])
    drawn = np.exp(generator.uniform(np.log(info.tiny), np.log(info.max), 800))
    x = np.concatenate([near_one, drawn, 1 + generator.uniform(-0.1, 0.1, 400)])
    x = np.concatenate([x, [info.max, info.tiny, info.smallest_subnormal]])
    got = compute("log", x)
    with mpmath.workdps(60):
        exact = [mpmath.log(mpmath.mpf(float(number))) for number in x]
        errors = [abs(float(mpmath.mpf(float(g)) - e)) for g, e in zip(got, exact, strict=True)]
    units = np.spacing(np.abs(np.array([float(e) for e in exact])))
    assert (np.array(errors) <= units).all()
    with np.errstate(divide="ignore", invalid="ignore"):
        special = np.array([0.0, -0.0, np.inf, -1.0, -np.inf, np.nan, 1.0])
        np.testing.assert_array_equal(compute("log", special), np.log(special))


def test_errors_of_softplus(compute):
    x = np.concatenate([np.linspace(-750, 750, 2001), np.linspace(-3, 3, 1001)])
    got = compute("softplus", x)
    with mpmath.workdps(60):
        exact = [mpmath.log1p(mpmath.exp(mpmath.mpf(float(number)))) for number in x]
        errors = [abs(float(mpmath.mpf(float(g)) - e)) for g, e in zip(got, exact, strict=True)]
    units = np.spacing(np.array([float(e) for e in exact]))
    assert (np.array(errors) <= 4 * units).all()
