"""What every iterative solver keeps: history, the stopping decision, the Result."""

import numpy as np

from fastlogreg.result import Result, Status


class Progress:
    """History of one solve; ``record`` decides whether it goes on.

    Attributes
    ----------
    value, violation : float
        At the current iterate.
    n_iter : int
        Iterations done.
    """

    def __init__(self, objective, tol, max_iter, callback):
        self.objective, self.tol, self.max_iter, self.callback = objective, tol, max_iter, callback
        self.history = []

    @property
    def n_iter(self):
        """Number of iterations done."""
        return len(self.history) - 1

    @property
    def value(self):
        """Objective at the current iterate."""
        return self.history[-1][0]

    @property
    def violation(self):
        """Violation at the current iterate."""
        return self.history[-1][1]

    def record(self, value, violation):
        """Append an iterate; return the Status that ends the solve, or None."""
        self.history.append((value, violation, self.objective.n_passes))
        if violation <= self.tol:
            return Status.CONVERGED
        if self.callback is not None and self.callback(self):
            return Status.STOPPED
        return Status.MAX_ITER if self.n_iter >= self.max_iter else None

    def predicted_violation(self):
        """Extrapolate quadratic convergence from the last two iterates; infinity where there is none."""
        if len(self.history) < 2:
            return np.inf
        before, now = self.history[-2][1], self.history[-1][1]
        return np.inf if now > 0.1 * before else (now / before) ** 2 * now

    def result(self, coef, status, suboptimality=np.nan):
        """Return the Result for the current iterate."""
        return Result(
            coef=coef,
            status=status,
            objective=self.value,
            violation=self.violation,
            suboptimality=float(np.maximum(0.0, suboptimality)),
            n_iter=self.n_iter,
            n_passes=self.objective.n_passes,
            history=np.array(self.history),
        )
