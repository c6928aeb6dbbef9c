"""Pictures of paths and of cross-validation: what they draw, not how it looks."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from fastlogreg import LogisticRegressionCV, logistic_path, path_plots, plots
from problems import BINARY, SEVERAL

X, Y = BINARY.X, BINARY.y.astype(int)


@pytest.fixture
def ax():
    return Figure().subplots()


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_coefficient_path_names_the_largest(ax):
    path = logistic_path(X, Y, l1_ratio=1.0, n_alphas=8)
    assert path_plots.coefficient_path(path, named=2, ax=ax) is ax
    coefs = path.coefs_.toarray()
    largest = np.argsort(-np.abs(coefs).max(axis=0))[:2]
    assert labels(ax) == [f"column {j}" for j in largest]
    drawn = {line.get_label(): line for line in ax.lines}
    np.testing.assert_array_equal(drawn[f"column {largest[0]}"].get_ydata(), coefs[:, largest[0]])
    np.testing.assert_array_equal(drawn[f"column {largest[0]}"].get_xdata(), path.alphas_)
    assert sum(to_hex(line.get_color()).upper() == plots.GREY for line in ax.lines) == 3 + 1  # the rest, and zero
    assert ax.get_xscale() == "log" and ax.get_xlim()[0] > ax.get_xlim()[1]


def test_coefficient_path_of_a_class(ax):
    path = logistic_path(SEVERAL.X, np.array(["a", "b", "c"])[SEVERAL.y], n_alphas=4)
    path_plots.coefficient_path(path, target="b", ax=ax)
    assert ax.get_ylabel() == "coefficient of class b"
    line = next(line for line in ax.lines if line.get_label() == "column 0")
    np.testing.assert_array_equal(line.get_ydata(), path.coefs_[1::3].toarray()[:, 0])
    with pytest.raises(ValueError, match="target='d' is none of the classes"):
        path_plots.coefficient_path(path, target="d", ax=ax)


def test_deviance_path_has_an_axis_for_the_columns(ax):
    path = logistic_path(X, Y, l1_ratio=1.0, n_alphas=8)
    path_plots.deviance_path(path, ax=ax)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), path.deviance_ratio_)
    (right,) = (other for other in ax.figure.axes if other is not ax)
    np.testing.assert_array_equal(right.lines[0].get_ydata(), path.df_)
    assert labels(ax) == ["deviance explained", "columns in use"]


def test_cv_curve_has_error_bars_and_both_choices(ax):
    model = LogisticRegressionCV(
        Cs=[1.0, 0.01, np.inf], l1_ratios=(0,), scoring="neg_log_loss", use_legacy_attributes=False
    ).fit(X, Y)
    path_plots.cv_curve(model, ax=ax)
    curve = ax.containers[0].lines[0]
    np.testing.assert_allclose(curve.get_xdata(), [0.01, 1.0, 10.0])  # no penalty a step beyond
    np.testing.assert_array_equal(curve.get_ydata(), model.mean_scores_[0, [1, 0, 2]])
    bars = ax.containers[0].lines[2][0].get_segments()
    heights = [np.ptp(bar[:, 1]) for bar in bars]
    np.testing.assert_allclose(heights, 2 * model.score_errors_[0, [1, 0, 2]])
    best, one = (model.Cs_[index[1]] for index in (model.best_index_, model.one_se_index_))
    assert {f"best, C = {best:.3g}", f"one standard error, C = {one:.3g}"} < set(labels(ax))
    assert ax.get_ylabel() == "neg log loss" and "no penalty" in ax.get_xlabel()


def test_cv_curve_has_one_line_for_each_ratio(ax):
    model = LogisticRegressionCV(
        Cs=[0.1, 1.0], l1_ratios=(0.5, 1.0), scoring=lambda model, X, y: 1.0, use_legacy_attributes=False, cv=2
    ).fit(X, Y)
    path_plots.cv_curve(model, ax=ax)
    assert {"l1_ratio = 0.5", "l1_ratio = 1"} < set(labels(ax))
    assert ax.get_ylabel() == "score"
