"""Optimum solvers: one file a method, one signature, one table.

``solver(objective, start, *, tol, max_iter, callback=None) -> Result`` minimises the objective from ``start`` until
its violation is at most tol. Those that handle L1 and bounds take them as ``penalty=``, a Penalty.
"""

from collections.abc import Callable
from typing import NamedTuple

from fastlogreg.objective import SPARSE
from fastlogreg.solvers.hybrid import hybrid
from fastlogreg.solvers.lbfgs import lbfgs
from fastlogreg.solvers.newton import SAMPLE_RATIO, newton
from fastlogreg.solvers.newton_cg import newton_cg
from fastlogreg.solvers.prox_newton import prox_newton
from fastlogreg.solvers.row_space import row_space


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
    "row-space": Solver(row_space, "n² in place of n p entries a pass; O(n² p) once for X Xᵀ, and O(n³)"),
    "lbfgs": Solver(lbfgs, "one to two passes"),
    "prox-newton": Solver(
        prox_newton,
        "one pass, one more over the working set W and O(n |W|²) for a new Hessian of it",
        penalty=True,
        remembers=True,
    ),
}

# (two classes, sparse X) -> coefficients up to which a full Hessian beats the products that replace it.
NEWTON_LIMITS = {
    (True, False): 8192,  # five to ten passes whatever the conditioning; the factor takes p³
    (True, True): 256,  # the sum over rows is cheap, but the factor is dense: 476 one-hot columns take 3 times longer
    (False, False): 768,  # the Hessian costs K² p² a row; digits (650): 13 passes against 1200 of newton-cg
    (False, True): 96,  # the multinomial Hessian works on dense panels, products on the stored entries only
}
# Coefficients above which a Hessian is made only where lbfgs (from the optimum of a sample, where there are rows enough
# for one) or newton-cg did not get by without.
FIRST_WITHOUT = 256
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
    sampled = n_classes > 2 and n_samples >= SAMPLE_RATIO * n_coef
    return "newton" if sampled or n_coef <= FIRST_WITHOUT else "hybrid"
