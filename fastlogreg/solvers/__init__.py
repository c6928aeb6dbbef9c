"""Optimum solvers: one file a method, one signature, one table.

``solver(objective, start, *, tol, max_iter, callback=None) -> Result`` minimises the objective from ``start`` until
its violation is at most tol.
"""

from collections.abc import Callable
from typing import NamedTuple

from fastlogreg.solvers.lbfgs import lbfgs
from fastlogreg.solvers.newton import newton
from fastlogreg.solvers.newton_cg import newton_cg


class Solver(NamedTuple):
    """A row of the solver table."""

    function: Callable
    cost: str  # of an iteration


SOLVERS = {
    "newton": Solver(newton, "one pass, O(n p²) for the Hessian, O(p³) for its factor (p times K for K classes)"),
    "newton-cg": Solver(newton_cg, "one pass and one more per conjugate-gradient step"),
    "lbfgs": Solver(lbfgs, "one to two passes"),
}

# Coefficients up to which a full Hessian is cheaper than the products that replace it.
NEWTON_BINARY = 1024
NEWTON_MULTINOMIAL = 768


def choose(n_samples, n_features, n_classes):
    """Return the name of the solver for "auto".

    Parameters
    ----------
    n_samples, n_features, n_classes : int
    """
    if n_classes == 2 and n_features <= min(NEWTON_BINARY, max(64, n_samples)):
        return "newton"  # five to ten passes whatever the conditioning; p³ is small beside n p²
    if n_classes > 2 and n_classes * n_features <= NEWTON_MULTINOMIAL:
        return "newton"  # the Hessian costs K² p² a row: only small problems
    return "newton-cg"  # no p × p array; conditioning costs products, not iterations
