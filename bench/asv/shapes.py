"""Fits with default settings, and predictions, by shape of data: the workloads of bench.shapes at a smaller size."""

import numpy as np

from fastlogreg import LogisticRegression

from . import problems


class Shape:
    params = (tuple(problems.SHAPES),)
    param_names = ("shape",)
    repeat = (3, 12, 0.8)
    rounds = 1
    compiled = False

    def setup(self, shape):
        self.X, self.y = problems.fresh(shape)
        if not self.compiled:
            self.time_fit(shape)
            self.compiled = True

    def time_fit(self, shape):
        LogisticRegression(C=np.inf if "unpenalised" in shape else 1.0).fit(self.X, self.y)


class Prediction:
    def setup(self):
        self.X, y = problems.dense(500_000, 20)
        self.model = LogisticRegression().fit(self.X, y)
        self.time_predict_proba()

    def time_predict_proba(self):
        self.model.predict_proba(self.X)
