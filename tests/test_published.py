"""Coefficients that others have published, to the digits they print.

statsmodels ships them with its own tests: Stata 11 (Spector and Mazzeo's grades, the 1996 American National Election
Study) and R's glmnet. Its datasets bring the data.
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


def half_units(values):
    """Half a unit in the last digit of numbers as printed: what rounding them may have changed."""
    exponents = [Decimal(repr(float(value))).as_tuple().exponent for value in np.ravel(values)]
    return 0.5 * 10.0 ** np.reshape(exponents, np.shape(values))


def assert_as_printed(found, printed, digits):
    """Compare with numbers of so many significant digits; zeros at their end are lost in the files we read."""
    printed = np.asarray(printed, dtype=float)
    unit = np.maximum(10.0 ** (np.floor(np.log10(np.abs(printed))) + 1 - digits), 2e-16 * np.abs(printed))
    off = np.abs(found - printed) / unit
    assert off.max() <= 0.5 * (1 + 1e-6), f"off by {off.max():.3g} units in the last digit"


@pytest.fixture(params=["auto", *SOLVERS])
def solver(request):
    return request.param


def log_likelihood(model, X, y):
    return float(model.predict_log_proba(X)[np.arange(len(y)), np.searchsorted(model.classes_, y)].sum())


def test_spector_logit(solver):
    """Stata's logit of GRADE on GPA, TUCE and PSI."""
    data, stata = statsmodels.datasets.spector.load_pandas(), Spector.logit
    model = LogisticRegression(C=np.inf, solver=solver, tol=1e-12).fit(data.exog, data.endog)
    found = np.append(model.coef_, model.intercept_)
    print(found, stata.params, log_likelihood(model, data.exog, data.endog), stata.llf)
    print(np.abs(model.predict_proba(data.exog)[:, 1]-stata.phat).max(), np.abs(model.decision_function(data.exog)-stata.yhat).max())


def test_anes_multinomial(solver):
    """Stata's mlogit of party identification on five columns; class 0 is the base."""
    data, stata = statsmodels.datasets.anes96.load_pandas(), Anes.mnlogit_basezero
    model = LogisticRegression(C=np.inf, solver=solver, tol=1e-12).fit(data.exog, data.endog)
    found = np.column_stack([model.coef_, model.intercept_])
    found = (found - found[0])[1:].T
    print(np.abs(found - stata.params).max(), np.abs(found / stata.params-1).max(), log_likelihood(model, data.exog, data.endog), stata.llf)
    print((np.abs(found-stata.params)/half_units(stata.params)))
