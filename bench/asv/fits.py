"""Whole fits through the public estimators: every solver of the table, and the learning-rate family."""

from fastlogreg import LogisticRegression, SGDLogisticRegression
from fastlogreg.solvers import SOLVERS

from . import problems

# asv knows a parameter by its position: the history stays true as long as new solvers are appended to the table.
NAMES = ("auto", *SOLVERS)


class Fit:
    params = (NAMES, tuple(problems.FITS))
    param_names = ("solver", "problem")
    repeat = (3, 12, 0.8)
    rounds = 1
    compiled = False

    def setup(self, solver, problem):
        if not problems.fits(solver, problem):
            raise NotImplementedError  # by which asv leaves a combination out
        self.X, self.y = problems.fresh(problem)
        if not self.compiled:
            self.time_fit(solver, problem)
            self.compiled = True

    def time_fit(self, solver, problem):
        LogisticRegression(solver=solver).fit(self.X, self.y)


class Epochs:
    """Three epochs of the learning-rate family, with the history of the training loss."""

    params = (("gd", "mini-batch", "sgd", "adagrad"), ("200000 x 20", "20000 x 5000, sparse"))
    param_names = ("optimizer", "problem")
    repeat = (3, 12, 0.8)
    rounds = 1
    compiled = False

    def setup(self, optimizer, problem):
        self.X, self.y = problems.fresh(problem)
        if not self.compiled:
            self.time_three_epochs(optimizer, problem)
            self.compiled = True

    def time_three_epochs(self, optimizer, problem):
        rate = {"learning_rate": 0.01, "schedule": "constant", "tol": 0.0, "early_stopping": False}
        SGDLogisticRegression(optimizer, max_iter=3, random_state=0, **rate).fit(self.X, self.y)
