"""The pictures: what they draw, not how it looks; and what happens without matplotlib."""

import subprocess
import sys
from types import SimpleNamespace

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.figure import Figure

from bench import data
from fastlogreg import LogisticRegression, plots


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture(scope="module")
def blobs():
    X, y, *_ = data.article1()
    return LogisticRegression().fit(X, y), X, y


@pytest.fixture(scope="module")
def hours():
    x, y = np.arange(1.0, 6.0), np.array([0, 0, 0, 1, 1])
    return LogisticRegression().fit(x[:, None], y), x, y


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_decision_regions_have_two_fills_a_dashed_boundary_and_both_classes(ax, blobs):
    model, X, y = blobs
    assert plots.decision_regions(model, X, y, ax=ax) is ax
    filled, boundary, *points = ax.collections
    assert len(filled.get_facecolor()) == 2
    assert boundary.get_linestyle()[0][1] is not None  # dashes
    assert [len(part.get_offsets()) for part in points] == [np.sum(y == 0), np.sum(y == 1)]
    colours = [matplotlib.colors.to_hex(part.get_facecolor()[0]).upper() for part in points]
    assert colours == [plots.BLUE, plots.RED]
    assert labels(ax) == ["boundary, p = 0.5", "class 0", "class 1"]


def test_decision_boundary_lies_where_the_linear_predictor_is_zero(ax, blobs):
    model, X, y = blobs
    plots.decision_regions(model, X, y, points=50, ax=ax)
    vertices = np.concatenate([path.vertices for path in ax.collections[1].get_paths()])
    step = np.ptp(X, axis=0).max() / 50
    distance = model.decision_function(vertices) / np.linalg.norm(model.coef_)
    assert np.abs(distance).max() < step


def test_decision_regions_without_a_boundary_in_sight(ax, blobs):
    model, X, y = blobs
    plots.decision_regions(model, X, y, threshold=1.0, ax=ax)
    assert labels(ax) == ["class 0", "class 1"]


def test_decision_regions_refuse_three_features(ax, blobs):
    with pytest.raises(ValueError, match="two features"):
        plots.decision_regions(blobs[0], np.ones((4, 3)), np.ones(4), ax=ax)


@pytest.mark.parametrize("function", [plots.decision_regions, plots.sigmoid_curve])
def test_three_classes_and_unfitted_estimators_are_refused(ax, function):
    X = np.ones((4, 2))
    with pytest.raises(ValueError, match="two classes"):
        function(SimpleNamespace(classes_=np.arange(3)), X, np.arange(4), ax=ax)
    with pytest.raises(ValueError, match="not fitted"):
        function(LogisticRegression(), X, np.arange(4), ax=ax)


def test_scatter_shows_the_lower_label_in_blue(ax):
    plots.scatter_classes(np.eye(2), np.array(["b", "a"]), ax=ax)
    assert labels(ax) == ["class a", "class b"]
    assert matplotlib.colors.to_hex(ax.collections[0].get_facecolor()[0]).upper() == plots.BLUE


def test_loss_curves_are_solid_for_train_and_dashed_for_held_out(ax):
    plots.loss_curves({"train_loss": [0.6, 0.5], "test_loss": [0.7, 0.6]}, ax=ax)
    train, held_out = ax.lines
    assert (train.get_linestyle(), held_out.get_linestyle()) == ("-", "--")
    assert train.get_xdata().tolist() == [1, 2]
    assert held_out.get_ydata().tolist() == [0.7, 0.6]


def test_loss_curves_name_what_the_history_lacks(ax):
    with pytest.raises(ValueError, match=r"no train_quadratic, only \['train_loss'\]"):
        plots.loss_curves({"train_loss": [0.6]}, quantity="quadratic", ax=ax)


def test_sigmoid_curve_has_its_boundary_in_the_legend(ax, hours):
    model, x, y = hours
    plots.sigmoid_curve(model, x, y, limits=(0, 6), ax=ax)
    assert "boundary, x = 3.58" in labels(ax)
    curve = next(line for line in ax.lines if line.get_label() == "p(y = 1)")
    assert len(curve.get_xdata()) == 100
    np.testing.assert_allclose(curve.get_ydata(), model.predict_proba(np.linspace(0, 6, 100)[:, None])[:, 1])


def test_mirror_of_the_sigmoid_sums_to_one(ax, hours):
    model, x, y = hours
    plots.sigmoid_curve(model, x, y, mirror=True, ax=ax)
    curves = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(curves["p(y = 0)"] + curves["p(y = 1)"], 1.0)


def test_sigmoid_curve_needs_a_range_and_one_feature(ax, hours, blobs):
    with pytest.raises(ValueError, match="limits"):
        plots.sigmoid_curve(hours[0], ax=ax)
    with pytest.raises(ValueError, match="one feature, this model has 2"):
        plots.sigmoid_curve(blobs[0], limits=(0, 1), ax=ax)


def test_flat_sigmoid_has_no_boundary(ax):
    flat = SimpleNamespace(classes_=np.array([0, 1]), coef_=np.zeros((1, 1)), intercept_=np.zeros(1))
    plots.sigmoid_curve(flat, limits=(0, 1), ax=ax)
    assert not any("boundary" in label for label in labels(ax))


def test_loss_branches_cross_at_log_two(ax):
    plots.loss_branches(ax=ax)
    one, zero, _ = ax.lines
    np.testing.assert_allclose(one.get_ydata(), zero.get_ydata()[::-1])
    assert np.interp(0.5, one.get_xdata(), one.get_ydata()) == pytest.approx(np.log(2), abs=1e-4)


def test_convexity_one_minimum_beside_two():
    axes = plots.convexity(axes=Figure().subplots(1, 2))
    assert [ax.get_title() for ax in axes] == ["1 minimum", "2 minima"]
    logistic = axes[0].lines[0].get_ydata()
    assert (np.diff(logistic, 2) > -1e-12).all()


def test_line_moves_with_far_points_and_the_logistic_boundary_stays(ax):
    income = np.arange(1000.0, 6001.0, 500.0)
    plots.linear_versus_logistic(income, income <= 3500, [15000, 20000, 25000], [0, 0, 0], ax=ax)
    before, after, logistic_before, logistic_after = (label.rsplit(" ", 1)[1] for label in labels(ax)[:4])
    assert (before, after) == ("3667", "5247")
    assert 3500 < float(logistic_before) < 4000
    assert 3500 < float(logistic_after) < 4000


def test_optimisers_draw_estimators_and_arrays(ax):
    runs = {"a": SimpleNamespace(history_={"train_loss": [3.0, 2.0]}), "b": ([0.0, 1.0, 2.0], [3.0, 1.5, 1.0])}
    plots.optimisers(runs, optimum=1.0, ax=ax)
    assert labels(ax) == ["a", "b"]
    assert ax.get_yscale() == "log"
    assert ax.lines[0].get_ydata().tolist() == [2.0, 1.0]
    assert np.isnan(ax.lines[1].get_ydata()[-1])


def test_default_axes_are_pyplot_s():
    import matplotlib.pyplot as pyplot

    ax = plots.loss_branches()
    assert ax is pyplot.gca()
    assert len(plots.convexity()) == 2
    pyplot.close("all")


def test_module_imports_no_matplotlib_and_says_which_extra_brings_it():
    code = (
        "import sys\n"
        "from fastlogreg import plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "sys.modules['matplotlib'] = sys.modules['matplotlib.pyplot'] = None\n"
        "try:\n    plots.loss_branches()\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "pip install 'fastlogreg[plots]'" in done.stdout
