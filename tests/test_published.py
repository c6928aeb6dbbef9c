"""Coefficients that others have published, to the digits they print.

statsmodels ships them with its own tests: Stata 11 (Spector and Mazzeo's grades; the American National Election Study
of 1996) and R's glmnet. Its datasets bring the data.
"""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import statsmodels.datasets
from sklearn.datasets import load_iris
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


# glmnet 4.1 at the same strengths with thresh=1e-16.
GLMNET = [
    [0.004032038, 0.01433666, 0.01265636, 0.006173347, 0.01067706],
    [0.0218024, 0.07769615, 0.06756467, 0.03156416, 0.05851879],
    [0.07111134, 0.2544934, 0.2110325, 0.08577712, 0.1984387],
    [0.004991594, 0.2838647, 0.2167916, 0.02368866, 0.209665],
    [0.07089334, 0.3791101, 0.2938355, 0.0750577, 0.2982275],
    [0.1066816, 0.4327286, 0.3362172, 0.1019436, 0.3479962],
    [0.0, 0.3085883, 0.2300853, 0.0114188, 0.2291589],
    [0.07022551, 0.3966481, 0.304428, 0.07151049, 0.3130127],
    [0.1049636, 0.4385229, 0.3391724, 0.09907039, 0.3527417],
]


@pytest.mark.parametrize("row", range(9))
def test_glmnet(row, solver):
    """R's glmnet(intercept=FALSE, standardize=FALSE) on standardised columns: ridge, elastic net and L1.

    The R script reads the file with its first row taken for names of columns. glmnet's coordinate descent ends when
    steps are below 1e-7 of the deviance, so that of the seven digits that statsmodels ships four to seven are right;
    with a smaller `thresh` glmnet prints what we find.
    """
    l1_ratio, strength, *printed = getattr(glmnet_r_results, f"rslt_binomial_{row}")
    if l1_ratio > 0.0 and solver != "auto" and not SOLVERS[solver].penalty:
        pytest.skip("no L1")
    data = np.loadtxt(Path(glmnet_r_results.__file__).with_name("enet_binomial.csv"), delimiter=",", skiprows=1)
    X, y = (data[:, 1:] - data[:, 1:].mean(axis=0)) / data[:, 1:].std(axis=0, ddof=1), data[:, 0]
    model = LogisticRegression(alpha=strength, l1_ratio=l1_ratio, fit_intercept=False, solver=solver, tol=1e-12)
    coef = np.append(model.fit(X, y).coef_[0], 0.0)
    terms = {"l1": strength * l1_ratio, "l2": strength * (1.0 - l1_ratio), "fit_intercept": False}
    assert naive.penalty_violation(X, y, coef, **terms) < 1e-10
    assert units_off(coef[:-1], [float(f"{value:.7g}") for value in GLMNET[row]]) <= 1.0
    theirs = np.append(printed, 0.0)
    np.testing.assert_allclose(coef, theirs, rtol=2e-3, atol=1e-12)
    np.testing.assert_array_equal(coef == 0.0, theirs == 0.0)

    def value(coef):
        return naive.objective(X, y, coef, l2=terms["l2"]) + naive.penalty(coef, terms["l1"])

    assert -1e-15 <= value(theirs) - value(coef) <= 6e-11


# (grouped, l1_ratio): glmnet 4.1 on iris, lambda=0.02, thresh=1e-17, standardize=FALSE: intercept and coefficients.
IRIS = {
    (False, 1.0): [
        [11.04578, 0, 0, -2.854228, 0],
        [3.264991, 0, 0, 0, 0],
        [-14.31077, 0, 0, 3.149171, 1.319715],
    ],
    (False, 0.5): [
        [8.21513, 0, 0.2566557, -2.245782, -0.3440125],
        [2.600358, 0.003586763, 0, 0, -0.1353729],
        [-10.81549, 0, 0, 2.198702, 1.479385],
    ],
    (True, 1.0): [
        [12.54881, 0, 0, -3.393612, -0.3742881],
        [3.82552, 0, 0, -0.09997869, -0.611625],
        [-16.37433, 0, 0, 3.493591, 0.9859131],
    ],
    (True, 0.5): [
        [8.319799, -0.06025126, 0.3046853, -2.24053, -0.7718509],
        [2.607899, 0.08417572, -0.1563354, 0.007925145, -0.6071093],
        [-10.9277, -0.02392446, -0.1483499, 2.232605, 1.37896],
    ],
}


@pytest.mark.parametrize(("grouped", "l1_ratio"), IRIS)
def test_glmnet_for_three_classes(grouped, l1_ratio):
    """type.multinomial="ungrouped" and "grouped": the digits in which glmnet itself is right, and the same zeros."""
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(alpha=0.02, l1_ratio=l1_ratio, group_classes=grouped, tol=1e-11).fit(X, y)
    expected = np.array(IRIS[grouped, l1_ratio])
    np.testing.assert_allclose(model.intercept_, expected[:, 0], rtol=1e-6)
    np.testing.assert_allclose(model.coef_, expected[:, 1:], rtol=1e-5, atol=3e-7)
    np.testing.assert_array_equal(model.coef_ == 0.0, expected[:, 1:] == 0.0)
