"""What a solver returns, and the warnings the estimators raise from it."""

import dataclasses
import enum

import numpy as np
from sklearn.exceptions import ConvergenceWarning as _SklearnConvergenceWarning


class ConvergenceWarning(_SklearnConvergenceWarning):
    """A solver stopped before it reached its tolerance; the message says how far it got and what to change."""


class SeparationWarning(ConvergenceWarning):
    """The classes can be separated without error and no penalty bounds the coefficients: no finite optimum exists."""


class DivergenceWarning(ConvergenceWarning):
    """Gradient steps grew without bound; the message names the feature and a learning rate that works."""


class Status(enum.Enum):
    """How a solver ended; the value is the message for the user."""

    CONVERGED = "the violation of the optimality conditions is below tol"
    PRECISION = "no step lowers the objective any more in floating-point arithmetic"
    MAX_ITER = "max_iter iterations were used up before the violation fell below tol"
    STOPPED = "the callback asked to stop"
    SEPARATED = "the classes are separated without error, so that without a penalty there is no finite optimum"


@dataclasses.dataclass(frozen=True)
class Result:
    """Outcome of a solver.

    Attributes
    ----------
    coef : ndarray of shape (n_features + 1,) or (n_classes, n_features + 1)
        Coefficients, intercept last.
    status : Status
    objective : float
        Weighted mean loss plus penalty at coef.
    violation : float
        Max-norm of the gradient of the objective in centred and scaled coordinates: (gradient_j - mean_j ·
        gradient_intercept) / s_j with s_j the power of two nearest the standard deviation of column j, 1 for the
        intercept. Without an intercept columns are not centred. With L1 or bounds, of the distances between derivatives
        and what the penalty balances (see Penalty.excess). Solvers stop when it is at most tol.
    suboptimality : float
        Estimate of objective minus its optimum, ½ gᵀH⁻¹g; NaN where the solver has no Hessian. With L1 or bounds the
        duality gap, an upper bound, in which derivatives of unpenalised coefficients count to first order.
    n_iter : int
    n_passes : float
        Sweeps over X, the cost of the fit.
    history : ndarray of shape (n_iter + 1, 3)
        Objective, violation and passes so far, at the start and after every iteration.
    """

    coef: np.ndarray
    status: Status
    objective: float
    violation: float
    suboptimality: float
    n_iter: int
    n_passes: float
    history: np.ndarray

    @property
    def converged(self):
        """Whether the answer is as good as was asked for, or as arithmetic allows."""
        return self.status in (Status.CONVERGED, Status.PRECISION)
