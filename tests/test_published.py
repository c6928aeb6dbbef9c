"""Coefficients that others have published, to the digits they print.

statsmodels ships them with its own tests: Stata 11 (Spector and Mazzeo's grades; the American National Election Study
of 1996) and R's glmnet. Its datasets bring the data.
"""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import statsmodels.datasets
from statsmodels.discrete.tests.results.results_discrete import Anes, Spector
from statsmodels.genmod.tests.results import glmnet_r_results

import naive
from fastlogreg import LogisticRegression
from fastlogreg.solvers import SOLVERS


@pytest.fixture(params=["auto", *SOLVERS])
def solver(request):
    return request.param


def as_in_stata(dataset):
    """X and y of a dataset; Stata holds variables in single precision, which changes Spector's seventh digit."""
    data = dataset.load_pandas()
    return data.exog.to_numpy(dtype=np.float32).astype(np.float64), data.endog.to_numpy()


def units_off(found, printed):
    """Largest difference in units of the last digit printed."""
    found, printed = np.ravel(found), np.ravel(printed)
    units = [10.0 ** Decimal(repr(float(value))).as_tuple().exponent for value in printed]
    return np.max(np.abs(found - printed) / units)


def log_likelihood(model, X, y):
    return model.predict_log_proba(X)[np.arange(len(y)), y.astype(int)].sum()


def certified(model, X, y, **terms):
    """Coefficients and intercept, (1 or n_classes, n_features + 1), after a proof that they are optimal."""
    coef = np.column_stack([model.coef_, model.intercept_])
    single = coef[0] if len(coef) == 1 else coef
    labels = y if len(coef) == 1 else y.astype(int)
    assert naive.kkt_violation(X, labels, single, **terms) < 1e-10
    return coef


def test_units_off():
    assert units_off([0.125, 2.5], [0.12, 2.5]) == pytest.approx(0.5)
    assert units_off([-13.2], [-13.0]) == pytest.approx(2.0)


def test_grades(solver):
    """Stata's `logit`: twelve digits, of which its iterations leave the last one open by up to two."""
    X, y = as_in_stata(statsmodels.datasets.spector)
    tol = 1e-12 if solver != "prox-newton" else 1e-14  # the only one here that ends far from quadratically
    model = LogisticRegression(C=np.inf, solver=solver, tol=tol).fit(X, y)
    assert units_off(certified(model, X, y), Spector.logit.params) <= 2.0
    assert units_off(log_likelihood(model, X, y), Spector.logit.llf) <= 0.5


def test_election_study(solver):
    """Stata's `mlogit` with class 0 as base: every digit printed."""
    X, y = as_in_stata(statsmodels.datasets.anes96)
    model = LogisticRegression(C=np.inf, solver=solver, tol=1e-12).fit(X, y)
    coef = certified(model, X, y)
    stata = Anes.mnlogit_basezero
    assert units_off((coef - coef[0])[1:].T, stata.params) <= 0.5
    assert units_off(log_likelihood(model, X, y), stata.llf) <= 0.5


@pytest.mark.parametrize("row, rtol", [(0, 1e-6), (1, 1e-6), (2, 3e-5)])
def test_glmnet_ridge(row, rtol, solver):
    """R's glmnet(alpha=0, intercept=FALSE, standardize=FALSE) on standardised columns.

    The R script reads the file with its first row taken for names of columns. glmnet's coordinate descent ends when
    steps are below 1e-7 of the deviance: seven digits are printed, six or, where the penalty is least, five are right.
    Because the objective is convex with at least lambda, its own gradient bounds how far it is from the optimum.
    """
    alpha, strength, *printed = getattr(glmnet_r_results, f"rslt_binomial_{row}")
    assert alpha == 0
    data = np.loadtxt(Path(glmnet_r_results.__file__).with_name("enet_binomial.csv"), delimiter=",", skiprows=1)
    X, y = (data[:, 1:] - data[:, 1:].mean(axis=0)) / data[:, 1:].std(axis=0, ddof=1), data[:, 0]
    model = LogisticRegression(C=1 / (len(y) * strength), fit_intercept=False, solver=solver, tol=1e-12).fit(X, y)
    terms = {"l2": strength, "fit_intercept": False}
    coef = certified(model, X, y, **terms)[0]
    theirs = np.append(printed, 0.0)
    np.testing.assert_allclose(coef, theirs, rtol=rtol)
    assert naive.objective(X, y, coef, l2=strength) <= naive.objective(X, y, theirs, l2=strength) + 1e-15
    left_open = np.linalg.norm(naive.gradient(X, y, theirs, **terms)) / strength
    assert np.linalg.norm(coef - theirs) <= left_open
