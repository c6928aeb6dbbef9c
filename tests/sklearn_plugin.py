"""Run scikit-learn's own tests on fastlogreg: a pytest plugin that swaps the class in before they are collected.

Used by sklearn.ini and sklearn_users.ini. Every case that is expected to fail is listed here with its reason; one that
passes nevertheless fails the run, and so does an entry that matches no case.
"""

import os
from fnmatch import fnmatchcase

os.environ["SCIPY_ARRAY_API"] = "1"  # read by scipy when imported: without it, all tests of array APIs are skipped

import numpy as np
import pytest
import sklearn.linear_model

from fastlogreg import LogisticRegression, LogisticRegressionCV

# Tests of private helpers of scikit-learn.
PRIVATE = {
    "test_consistency_path",
    "test_logistic_cv_multinomial_score",
    "test_logistic_regression_path_coefs_multinomial",
    "test_logistic_regression_path_convergence_fail",
    "test_logistic_regression_path_init_coefs",
}

# What fastlogreg does otherwise on purpose: function, or function[pattern of the case]; at most SHARE of all cases.
SHARE = 0.03
DIFFERENT = {
    "64-bit indices of sparse matrices are accepted under every name of a solver": [
        "test_large_sparse_matrix[*-liblinear]",
        "test_large_sparse_matrix[*-sag]",
        "test_large_sparse_matrix[*-saga]",
    ],
    "callbacks work with every solver, and max_iter=0 is no iteration": [
        "test_logistic_regression_callback_support[0]",
        "test_logistic_regression_callback_support_warning",
    ],
    "entries above 1e30 are fitted under the name liblinear too": ["test_liblinear_with_large_values"],
    "n_jobs is the number of threads": ["test_logisticregression_warns_with_n_jobs"],
    "answers do not depend on random_state": ["test_liblinear_dual_random_state"],
    "newton-cholesky solves singular systems itself, without help from lbfgs": [
        "test_newton_cholesky_fallback_to_lbfgs"
    ],
    "the optimum is found where scikit-learn's sag stops short of it, or for data on which it gives up": [
        "test_sag_classifier_computed_correctly",
        "test_sag_multiclass_computed_correctly",
        "test_binary_classifier_class_weight",
        "test_step_size_alpha_error",
    ],
    "the test calls a private method, _predict_proba_lr": ["test_logreg_predict_proba_multinomial"],
}

# The same for sklearn_users.ini: of the users of the class, and of the common tests of the class itself.
DIFFERENT_USERS = {
    "the numbers that the test compares with are those of a fit that stopped short of the optimum": [
        "test_multiclass_multioutput_estimator_predict_proba"
    ],
}
SUITES: dict = {"sklearn": DIFFERENT, "sklearn_users": DIFFERENT_USERS}

fits = []  # of our classes in the running test


def pytest_configure(config):
    """Swap the classes in."""
    for swapped in (LogisticRegression, LogisticRegressionCV):
        swapped._validate_params = _counted(swapped._validate_params)
        setattr(sklearn.linear_model, swapped.__name__, swapped)


def _counted(validate):
    def validate_and_count(self):
        fits.append(self)
        validate(self)

    return validate_and_count


def pytest_collection_modifyitems(config, items):
    """Leave out what does not concern LogisticRegression; mark the cases of the lists."""
    config.hook.pytest_deselected(items=[item for item in items if not _concerns_us(item)])
    items[:] = [item for item in items if _concerns_us(item)]
    different = SUITES[config.inipath.stem]
    n_different = sum(_expect_failure(items, reason, entries) for reason, entries in different.items())
    if n_different > SHARE * len(items):
        raise pytest.UsageError(f"{n_different} of {len(items)} cases are different, more than {SHARE:.0%}")
    for item in items:
        if hasattr(item.module, "BinomialRegressor"):
            item.module.BinomialRegressor.fit = _fit
            item.module.BinomialRegressor.predict = _predict


def _concerns_us(item):
    package, _, module = item.module.__name__.rpartition(".")
    if module == "test_logistic":
        return item.originalname not in PRIVATE
    if module == "test_common" and package == "sklearn.tests":  # not the estimators that have one of ours inside
        return "[LogisticRegression(" in item.name or "Pipeline(steps=[('logisticregression'" in item.name
    if module == "test_common" or module == "test_glm":
        return {"test_common": "LogisticRegression", "test_glm": "BinomialRegressor"}[module] in item.name
    # test_sag has tests about Ridge and the bare algorithm, files of users tests about other estimators
    return "LogisticRegression" in item.function.__code__.co_names or "LogisticRegression" in item.name


def _expect_failure(items, reason, entries):
    """Mark the cases of the entries and return how many they are."""
    n_marked = 0
    for entry in entries:
        function, _, pattern = entry.rstrip("]").partition("[")
        cases = [item for item in items if item.originalname == function]
        cases = [item for item in cases if fnmatchcase(item.name[len(function) :].strip("[]"), pattern or "*")]
        if not cases:
            raise pytest.UsageError(f"{entry} matches no test of scikit-learn")
        for item in cases:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True), append=False)
        n_marked += len(cases)
    return n_marked


def _fit(self, X, y, sample_weight=None):
    """Fit a regressor of scikit-learn, whose y is a fraction and alpha the strength of L2, by our class."""
    weight = np.ones(len(y)) if sample_weight is None else sample_weight
    self.model_ = LogisticRegression(
        C=np.inf if self.alpha == 0 else 1 / (self.alpha * weight.sum()),
        fit_intercept=self.fit_intercept,
        solver=self.solver,
        tol=self.tol,
        max_iter=self.max_iter,
    )
    # A fraction is two rows: a success of weight y and a failure of weight 1 - y.
    self.model_.fit(np.vstack([X, X]), np.repeat([1, 0], len(y)), np.concatenate([weight * y, weight * (1 - y)]))
    self.coef_, (self.intercept_,) = self.model_.coef_[0], self.model_.intercept_
    return self


def _predict(self, X):
    return self.model_.predict_proba(X)[:, 1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Note whether the test fits LogisticRegression."""
    fits.clear()
    try:
        return (yield)
    finally:
        item.user_properties.append(("fits", len(fits)))


def pytest_terminal_summary(terminalreporter, config):
    """Count by reason."""
    different = SUITES[config.inipath.stem]
    stats = terminalreporter.stats
    ran = [report for outcome in ("passed", "failed", "xfailed") for report in stats.get(outcome, [])]
    n_fit = sum(bool(dict(report.user_properties).get("fits")) for report in ran)
    n_cases = len(ran) + len(stats.get("skipped", []))
    expected = [report.wasxfail for report in stats.get("xfailed", [])]
    n_different = sum(expected.count(reason) for reason in different)
    terminalreporter.section("scikit-learn's tests")
    terminalreporter.line(
        f"{n_cases} cases: {len(ran)} run, of which {n_fit} fit LogisticRegression; the rest skipped, most for want of "
        f"an array library. {len(stats.get('passed', []))} passed. {n_different} are different on purpose: "
        f"{n_different / max(1, n_cases):.1%} of all, {n_different / max(1, len(ran)):.1%} of those run."
    )
    for reason in different:
        terminalreporter.line(f"{expected.count(reason):4} different: {reason}")
