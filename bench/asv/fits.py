"""Whole fits through the public estimators: every solver of the table, and the learning-rate family."""

from fastlogreg import LogisticRegression
from fastlogreg.solvers import SOLVERS

from . import problems

# asv knows a parameter by its position: the history stays true as long as new solvers are appended to the table.
NAMES = ("auto", *SOLVERS)


class Fit:
    params = (NAMES, tuple(problems.FITS))
    param_names = ("solver", "problem")
    repeat = (3, 10, 1.5)
    rounds = 1
    compiled = False

    def setup(self, solver, problem):
        if not problems.fits(solver, problem):
            raise NotImplementedError
        self.X, self.y = problems.fresh(problem)
        if not self.compiled:
            self.time_fit(solver, problem)
            self.compiled = True

    def time_fit(self, solver, problem):
        LogisticRegression(solver=solver).fit(self.X, self.y)
