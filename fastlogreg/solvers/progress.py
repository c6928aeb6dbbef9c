"""What every iterative solver keeps: history, the stopping decision, the Result."""

import numpy as np

from fastlogreg.result import Result, Status

# Newton-like steps that each leave less than this part of what they were to gain converge: what the next one will leave
# is then known beforehand. LEFT_OVER of tol may be left, relatively: the model may be a few times too sanguine. With a
# tenth 96 random problems ended within 8e-10 of the least at a tol of 1e-8, with a fifth 153 others within 5e-9.
FAST, LEFT_OVER = 0.2, 0.1
# So many iterations without halving the violation or lowering the objective beyond rounding end a solve.
PATIENCE = 20
LEAST = 1e-16  # violation to hope for, where tol is less
# As a part of the objective, a violation that may be rounding.
ROUNDED = np.finfo(float).eps


class Progress:
    """History of one solve; ``record`` decides whether it goes on.

    Attributes
    ----------
    value, violation : float
        At the current iterate.
    n_iter : int
        Iterations done.
    """

    def __init__(self, objective, tol, max_iter, callback, after=None):
        self.objective, self.tol, self.max_iter, self.callback = objective, tol, max_iter, callback
        # A solver that goes on after another looks at the other's last iterate once more; the callback has seen it.
        self.history = [] if after is None else [tuple(entry) for entry in after.history[:-1]]
        self._seen = 0 if after is None else len(after.history)
        self._stopped = after is not None and after.status is Status.STOPPED
        self.promises: list = []  # what each step was to lower the objective by
        self._halved = np.inf, 0  # the violation when it last fell by half, and the iterates recorded until then

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

    def record(self, value, violation, tol=None):
        """Append an iterate; return the Status that ends the solve, or None; tol is that of the solve by default."""
        self.objective.check_finite(violation)
        before = self.violation if self.history else np.inf
        self.history.append((value, violation, self.objective.n_passes))
        if violation <= (self.tol if tol is None else tol):
            return Status.CONVERGED
        if self.callback is not None and len(self.history) > self._seen:
            self._stopped = self.callback(self)
        if self._stopped:
            return Status.STOPPED
        if self.n_iter >= self.max_iter:
            return Status.MAX_ITER
        # Terms of about the size of the loss make the gradient: what is left of it, and falls no more, is rounding, and
        # a step from that leads anywhere.
        rounding = violation <= ROUNDED * abs(value) and violation > 0.5 * before
        return Status.PRECISION if rounding or self._stalled() else None

    def _stalled(self):
        """Whether the last iterates differ by rounding only: what a tol below rounding ends in."""
        value, violation, _ = self.history[-1]
        if violation < 0.5 * self._halved[0]:
            self._halved = violation, len(self.history)
        if len(self.history) - self._halved[1] < PATIENCE:
            return False
        return self.history[-PATIENCE][0] - value <= PATIENCE * np.finfo(float).eps * abs(value)

    def promise(self, promised):
        """Take what the step in hand is to lower the objective by; return what it will leave, infinity if unknown."""
        self.promises.append(promised)
        last = self.promises[-3:]
        rate = max((now / before for before, now in zip(last, last[1:], strict=False)), default=np.inf)
        return promised * rate if rate < FAST else np.inf

    def passes_left(self):
        """Return how many more steps it takes at the rate of the last three; zero where there were not so many."""
        if len(self.promises) <= 3:
            return 0.0
        before, now = self.promises[-4], self.promises[-1]
        wanted = LEFT_OVER * self.tol * self.value
        if now <= wanted:
            return 0.0
        return 3.0 * float(np.log(now / wanted) / np.log(before / now)) if now < before else np.inf

    def iterations_left(self, told=1):
        """Return how many more take the violation to tol at the rate of the last so many; infinity for no fall."""
        before, now = self.history[-1 - told][1], self.history[-1][1]
        return told * float(np.log(max(self.tol, LEAST) / now) / np.log(now / before)) if now < before else np.inf

    def correct(self, value, violation):
        """Put what an answer moved after its last iteration has in place of the last entry."""
        self.history[-1] = (value, violation, self.objective.n_passes)

    def predicted_violation(self):
        """Extrapolate quadratic convergence from the last two iterates; infinity where there is none."""
        if len(self.history) < 2:
            return np.inf
        before, now = self.history[-2][1], self.history[-1][1]
        return np.inf if now > 0.1 * before else (now / before) ** 2 * now

    def result(self, coef, status, suboptimality=np.nan, **more):
        """Return the Result for the current iterate, whose entry bears the passes that came after it."""
        self.correct(self.value, self.violation)
        return Result(
            coef=coef,
            status=status,
            objective=self.value,
            violation=self.violation,
            suboptimality=float(np.maximum(0.0, suboptimality)),
            n_iter=self.n_iter,
            n_passes=self.objective.n_passes,
            history=np.array(self.history),
            **more,
        )
