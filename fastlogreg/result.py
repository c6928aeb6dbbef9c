"""What a solver returns, and the warnings the estimators raise from it."""

import dataclasses
import enum

import numpy as np
from sklearn.exceptions import ConvergenceWarning as _SklearnConvergenceWarning


class ConvergenceWarning(_SklearnConvergenceWarning):
    """A solver stopped before it reached its tolerance; the message says how far it got and what to change."""


class SeparationWarning(ConvergenceWarning):
    """The classes are separated, in all rows or in some, and no penalty bounds the coefficients: no finite optimum."""


class DivergenceWarning(ConvergenceWarning):
    """Gradient steps grew without bound; the message names the feature and a learning rate that works."""


class StoredByName:
    """State of a dataclass with a status: an enum under its name, so that files hold plain values (skops, pickle)."""

    status: enum.Enum

    def __getstate__(self):
        """Return the fields."""
        return {**vars(self), "status": self.status.name}

    def __setstate__(self, state):
        """Take the fields."""
        kind = type(self).__annotations__["status"]
        vars(self).update({**state, "status": kind[state["status"]]})


class Status(enum.Enum):
    """How a solver ended; the value is the message for the user."""

    CONVERGED = "the conditions of optimality hold to within tol"
    PRECISION = "no step lowers the objective any more in floating-point arithmetic"
    MAX_ITER = "max_iter iterations were used up before the violation fell below tol"
    OUT_OF_PASSES = "the passes over X that this solver was given were used up"
    STOPPED = "the callback asked to stop"
    SEPARATED = "the classes are separated, all rows or some, so that without a penalty there is no finite optimum"


@dataclasses.dataclass(frozen=True)
class Result(StoredByName):
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
        Estimate of objective minus its optimum, ½ gᵀH⁻¹g, with the solver's own estimate of the Hessian; NaN where it
        has none yet. With L1 or bounds the duality gap, an upper bound, in which derivatives of unpenalised
        coefficients count to first order.
    n_iter : int
    n_passes : float
        Sweeps over X, the cost of the fit.
    history : ndarray of shape (n_iter + 1, 3)
        Objective, violation and passes so far, at the start and after every iteration.
    step : ndarray shaped like coef, or None
        Estimate of the Newton step that remains, -H⁻¹g: how far coef is from the optimum.
    dependent : ndarray of int
        Columns of X that depend on others (or are constant beside an intercept, or zero) in a fit without penalty: many
        coefficients fit equally well and those given are the shortest, so that these have no meaning one by one.
    recession : ndarray shaped like coef, or None
        With status SEPARATED, the proof: a direction along which no row gets worse and some get better for ever. For
        every row, eta of its class is at least that of the other classes there, intercepts included, and in some more.
    """

    coef: np.ndarray
    status: Status
    objective: float
    violation: float
    suboptimality: float
    n_iter: int
    n_passes: float
    history: np.ndarray
    step: np.ndarray | None = None
    dependent: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, dtype=np.intp))
    recession: np.ndarray | None = None

    @property
    def converged(self):
        """Whether the answer is as good as was asked for, or as arithmetic allows."""
        return self.status in (Status.CONVERGED, Status.PRECISION)
