"""One evaluation each, compiled: loss and slope of a vector, fused passes by storage, Hessians, sparse rows."""

import numpy as np

from fastlogreg.design import as_design
from fastlogreg.objective import LogisticObjective

from . import problems

ENTRIES = 8_000_000


class _Evaluation:
    """An objective and a point; `warm` is the evaluation that the class times."""

    repeat = (5, 30, 0.5)

    def prepare(self, X, y, n_classes=2):
        self.objective = LogisticObjective(
            as_design(X), y.astype(np.float64) if n_classes == 2 else y, n_classes=n_classes
        )
        self.coef = np.linspace(-0.2, 0.2, self.objective.n_coef).reshape(self.objective.shape)
        self.vector = np.ones(self.objective.shape)
        self.warm()


class ValueGradient(_Evaluation):
    params = (tuple(problems.STORAGES), (10, 100))
    param_names = ("storage", "columns")

    def setup(self, storage, p):
        self.prepare(*problems.dense(ENTRIES // p, p, storage))

    def warm(self, *params):
        self.objective.value_gradient(self.coef)

    time_value_gradient = warm


class ValueGradientHessian(_Evaluation):
    params = (("C", "F"), (10, 100, 400))  # register tiles, register tiles, BLAS on panels
    param_names = ("storage", "columns")

    def setup(self, storage, p):
        self.prepare(*problems.dense(ENTRIES // 4 // p, p, storage))

    def warm(self, *params):
        self.objective.value_gradient_hessian(self.coef)

    time_value_gradient_hessian = warm


class HessianProduct(_Evaluation):
    params = (("C", "F"),)
    param_names = ("storage",)

    def setup(self, storage):
        self.prepare(*problems.dense(ENTRIES // 100, 100, storage))

    def warm(self, *params):
        self.objective.hessian_product(self.coef, self.vector)

    time_hessian_product = warm


class Multinomial(_Evaluation):
    params = ((3, 10),)
    param_names = ("classes",)

    def setup(self, n_classes):
        self.prepare(*problems.dense(40_000, 50, "C", n_classes), n_classes)

    def warm(self, *params):
        self.objective.value_gradient(self.coef)

    time_value_gradient = warm


class Sparse(_Evaluation):
    params = ((1000, 100_000),)
    param_names = ("columns",)

    def setup(self, p):
        self.prepare(*problems.sparse(50_000, p, 40))

    def warm(self, *params):
        self.objective.value_gradient(self.coef)

    time_value_gradient = warm


class Link:
    """Loss and slope of a million linear predictors on one thread."""

    repeat = (5, 30, 0.5)

    def setup(self):
        from fastlogreg.kernels.predict import loss_slope

        n = 1_000_000
        eta = 2.0 * np.random.default_rng(0).standard_normal(n)
        self.kernel, self.bounds = loss_slope, np.array([[0, n]])
        self.arrays = eta, (eta > 0.0).astype(np.float64), np.empty(n), np.empty(n)
        self.time_loss_slope()

    def time_loss_slope(self):
        eta, y, loss, slope = self.arrays
        self.kernel(eta, y, self.bounds, loss, slope)
