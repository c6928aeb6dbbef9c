"""Logistic maths of one number, written so that LLVM vectorises the loop around it.

numba has no vector math library: ``math.exp`` in a loop is a scalar call and blocks vectorisation (measured 7 times
slower). So exp and log1p are polynomials here, each on the one half-line the logistic functions need.
Coefficients are minimax in relative error (Remez exchange in 60 digits), 3.6e-18 for exp and 5.0e-17 for log1p.

With AVX2 LLVM fetches most of the constants anew in every step. To hide them from it by llvm.arithmetic.fence took 0.6
of the time for exp and 0.75 for slopes, in cache; but 0.93 to 1.08 for predictions, passes and fits, 1.2 for gradient
descent, whose sums then lost their registers.
"""

import numpy as np

from fastlogreg.kernels.jit import pointwise

LOG2_E = np.float64(1.4426950408889634)
LN_2 = np.float64(0.6931471805599453)
# ln 2 in two parts (Cody and Waite 1980, ch. 6): k * LN2_HIGH is exact for |k| < 2**20.
LN2_HIGH = np.float64(0.6931471803691238)
LN2_LOW = np.float64(1.9082149292705877e-10)
# Adding 1.5 * 2**52 rounds to the nearest integer and leaves it in the low bits of the sum.
ROUND = np.float64(6755399441055744.0)
# The exponent of 1.0, and how many bits of a float64 are below exponents.
BIAS, FRACTION = 1023, 52
# Below this, exp is no normal number and is flushed to zero.
UNDERFLOW = np.float64(-708.3964185322641)


# For vectors links.py has others in place of these three: Python chooses, shifts bits and takes roots of numbers only.


@pointwise
def select(condition, a, b):
    """Return a where the condition holds, b elsewhere."""
    return a if condition else b


@pointwise
def power_of_two(shifted):
    """Return 2**k for the integer k in the low bits of a float64."""
    return np.int64((np.float64(shifted).view(np.int64) + BIAS) << FRACTION).view(np.float64)


@pointwise
def root(x):
    """Return the square root of x."""
    return np.sqrt(x)


@pointwise
def exp_negative(x):
    """Return exp(x) for x <= 0; zero where the result would be subnormal, NaN for NaN."""
    bounded = select(x < UNDERFLOW, UNDERFLOW, x)
    shifted = bounded * LOG2_E + ROUND
    k = shifted - ROUND
    r = (bounded - k * LN2_HIGH) - k * LN2_LOW
    # Even and odd powers apart: one chain of ten products kept the processor waiting for half of its time.
    z = r * r
    odd = np.float64(2.5000102107682378e-08)
    odd = odd * z + 2.7557586246922546e-06
    odd = odd * z + 0.00019841269506718731
    odd = odd * z + 0.0083333333334943985
    odd = odd * z + 0.16666666666666413
    even = np.float64(2.7630248171174921e-07)
    even = even * z + 2.4801493099528505e-05
    even = even * z + 0.0013888888943629520
    even = even * z + 0.041666666666530160
    even = even * z + 0.50000000000000106
    # |r| <= ln(2)/2, so the rounding error of this small sum is what is left of the error.
    value = 1.0 + (r + z * (even + odd * r))
    return select(x < UNDERFLOW, 0.0, value * power_of_two(shifted))


@pointwise
def exp_difference(x, largest):
    """Return exp(x - largest) for x <= largest, zero where the result would be subnormal, NaN for NaN.

    A difference of -100 is rounded by up to 7e-15, which would be the relative error of the result; the part that
    rounding takes away is recovered (TwoSum: Knuth, TAOCP vol. 2, 4.2.2) and put back to first order.
    """
    x, largest = np.float64(x), np.float64(largest)
    difference = x - largest
    shift = difference - x
    lost = (x - (difference - shift)) - (largest + shift)
    value = exp_negative(difference)
    return 0.0 if difference < UNDERFLOW else value + value * lost


@pointwise
def log1p_unit(e):
    """Return log(1 + e) for 0 <= e <= 1, as 2 atanh(s) with s = e / (2 + e)."""
    s = e / (2.0 + e)
    z = s * s
    q = np.float64(0.088595836551504229)
    q = q * z + 0.049567784996923544
    q = q * z + 0.067919827294898850
    q = q * z + 0.076822875573022579
    q = q * z + 0.090913972259715962
    q = q * z + 0.11111096862781092
    q = q * z + 0.14285714519169764
    q = q * z + 0.19999999998145031
    q = q * z + 0.33333333333338294
    # 2 s + 2 s z q, with 2 s = e - e s: the leading term is exact and only corrections are rounded.
    return e - s * (e - 2.0 * (z * q))


@pointwise
def sigmoids(size):
    """Return the sigmoids of size >= 0 and of -size, which add up to one."""
    e = exp_negative(-size)
    q = 1.0 / (1.0 + e)
    return q, e * q


@pointwise
def sigmoid(eta):
    """Return 1 / (1 + exp(-eta))."""
    high, low = sigmoids(abs(eta))
    return low if eta < 0.0 else high


@pointwise
def log1pexp(eta):
    """Return log(1 + exp(eta))."""
    value = log1p_unit(exp_negative(-abs(eta)))
    return eta + value if eta > 0.0 else value


@pointwise
def loss_terms(eta, y):
    """Return e, excess, slope and curvature of one row, for 0 <= y <= 1: the loss is log(1 + e) + excess.

    Written as sums of non-negative terms, so that nothing cancels, for the loss log(1 + exp(eta)) - y eta:
    e = exp(-|eta|), excess = (1 - y) max(eta, 0) + y max(-eta, 0), slope = (1 - y) p - y (1 - p).
    """
    e = exp_negative(-abs(eta))
    q = 1.0 / (1.0 + e)
    wrong = select(eta > 0.0, 1.0 - y, y)  # how much of the row is on the other side
    right = select(eta > 0.0, y, 1.0 - y)
    excess = select(wrong == 0.0, 0.0, wrong * abs(eta))  # no loss where an infinite eta is right
    size = q * (wrong - right * e)
    return e, excess, select(eta > 0.0, size, -size), e * q * q


@pointwise
def rooted_terms(eta, y):
    """Return e, excess, slope and the root of the curvature of one row: see loss_terms."""
    e, excess, slope, curvature = loss_terms(eta, y)
    return e, excess, slope, root(curvature)


@pointwise
def loss_slope_curvature(eta, y):
    """Return the loss log(1 + exp(eta)) - y eta of one row and its first two derivatives in eta, for 0 <= y <= 1."""
    e, excess, slope, curvature = loss_terms(eta, y)
    return log1p_unit(e) + excess, slope, curvature


@pointwise
def log1p_nonnegative(t):
    """Return log(1 + t) for t >= 0."""
    u = np.float64(1.0 + t)
    bits = u.view(np.int64)
    exponent = (bits >> FRACTION) - BIAS
    fraction = np.int64((bits & 0xFFFFFFFFFFFFF) | (BIAS << FRACTION)).view(np.float64)
    # For t < 1 the fraction of 1 + t has lost the low bits of t, so t itself is used.
    return log1p_unit(fraction - 1.0 if t >= 1.0 else t) + (exponent * LN_2 if t >= 1.0 else 0.0)


# Kernels may reorder sums (`jit.FAST`); what follows must not be, or 1 swallows all that is left.


@pointwise
def all_but_one(rest, ties):
    """Return rest + ties - 1, ties being a whole number of at least 1."""
    return rest + (ties - 1.0)


@pointwise
def softmax_loss(rest, largest, eta):
    """Return log(1 + rest) + largest - eta."""
    return log1p_nonnegative(rest) + (largest - eta)


@pointwise
def log_share(eta, largest, log_total):
    """Return (eta - largest) - log_total, in this order: largest + log_total would swallow a small log_total."""
    return (eta - largest) - log_total
