"""Optimum solvers: one file a method, one signature, one table.

``solver(objective, start, *, tol, max_iter, callback=None) -> Result`` minimises the objective from ``start`` until
its violation is at most tol. Those that handle L1 and bounds take them as ``penalty=``, a Penalty.
"""

from collections.abc import Callable
from typing import NamedTuple

from fastlogreg.objective import SPARSE
from fastlogreg.solvers.curvature import sparse_hessian_cost
from fastlogreg.solvers.hybrid import hybrid
from fastlogreg.solvers.lbfgs import lbfgs
from fastlogreg.solvers.newton import newton
from fastlogreg.solvers.newton_cg import newton_cg
from fastlogreg.solvers.prox_newton import prox_newton
from fastlogreg.solvers.row_space import row_space
from fastlogreg.solvers.sampling import SAMPLE_RATIO
from fastlogreg.solvers.small import is_small as is_small
from fastlogreg.solvers.small import small_newton


class Solver(NamedTuple):
    """A row of the solver table."""

    function: Callable
    cost: str  # of an iteration
    penalty: bool = False  # whether it takes one
    remembers: bool = False  # whether it takes ``memory=``, a Memory


SOLVERS = {
    "newton": Solver(
        newton, "one pass, O(n p²) for the Hessian, O(p³) for its factor (p times K for K classes)", remembers=True
    ),
    "newton-cg": Solver(newton_cg, "one pass and one more per conjugate-gradient step"),
    "hybrid": Solver(hybrid, "that of lbfgs or newton-cg, then of newton; at most twice the better one's"),
    "row-space": Solver(
        row_space,
        "two passes a product of conjugate gradients; or O(n³), and O(n² p) once for all strengths and folds",
    ),
    "lbfgs": Solver(lbfgs, "one to two passes"),
    "prox-newton": Solver(
        prox_newton,
        "one pass, one more over the working set W and O(n |W|²) for a new Hessian of it",
        penalty=True,
        remembers=True,
    ),
}

# What "newton" is for the few rows of `is_small`, in ordinary fits.
SMALL = Solver(small_newton, "one pass and O(p³), without a step in Python")

# (two classes, sparse X) -> coefficients up to which a full Hessian beats the products that replace it.
NEWTON_LIMITS = {
    (True, False): 8192,  # five to ten passes whatever the conditioning; the factor takes p³
    (True, True): 1024,  # the sum over rows is cheap, but the factor is dense
    (False, False): 768,  # the Hessian costs K² p² a row; digits (650): 20 passes against 286 of newton-cg, 0.6 times
    (False, True): 96,  # the multinomial Hessian works on dense panels, products on the stored entries only
}
# The same for several classes where there are rows enough for a sample: newton-cg takes 0.8 of the time of newton for
# 2e5 × 50 in ten classes (510), and 1.4 of it for 1e5 × 50 in five (255).
SAMPLED_CLASSES = 384
# Coefficients above which a Hessian is made only where lbfgs (from the optimum of a sample, where there are rows enough
# for one) or newton-cg did not get by without.
FIRST_WITHOUT = 256
# Sparse X with more coefficients than that, too: p² up to which the factor is found in the time of the products that
# it replaces, for each row and share of stored entries, and gradients that a Hessian may take as long as.
FACTOR_SPARSE, HESSIAN_SPARSE = 1000.0, 13.0
# Columns per row from which the span of the rows is the smaller space, and most rows for which X Xᵀ is worth a factor.
WIDE, MOST_ROWS = 2.0, 4096


def choose(n_samples, n_features, n_classes, density=1.0, penalty=False):
    """Return the name of the solver for "auto".

    Parameters
    ----------
    n_samples, n_features, n_classes : int
    density : float, default=1.0
        Share of the entries of X that are stored.
    penalty : bool, default=False
        Whether there are L1 penalties or bounds.
    """
    if penalty:
        return "prox-newton"
    sparse = density < SPARSE
    n_coef = n_features * (1 if n_classes == 2 else n_classes)
    # Up to 100 coefficients a Hessian is factored in 20 µs, and the answer of newton is far better than tol.
    if n_coef <= 100:
        return "newton"
    if not sparse and WIDE * n_samples <= n_features and n_samples <= MOST_ROWS:
        return "row-space"
    # With fewer rows than coefficients the Hessian is larger than X.
    if n_coef > min(NEWTON_LIMITS[n_classes == 2, sparse], n_samples):
        return "newton-cg"
    if sparse and n_classes == 2 and n_coef > FIRST_WITHOUT:
        factored = n_coef**2 <= FACTOR_SPARSE * n_samples * density
        summed = sparse_hessian_cost(density * n_features, n_coef) <= HESSIAN_SPARSE
        return "newton" if factored and summed else "newton-cg"
    sampled = n_classes > 2 and n_samples >= SAMPLE_RATIO * n_coef
    if sampled and n_coef > SAMPLED_CLASSES:
        return "newton-cg"
    return "newton" if sampled or n_coef <= FIRST_WITHOUT else "hybrid"
