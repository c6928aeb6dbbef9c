"""Pictures of logistic regression, drawn with matplotlib, which is imported when the first one is asked for.

Every function draws into ``ax``, by default into the current axes of pyplot, and returns it, so that titles, limits
and ticks can be changed afterwards. matplotlib comes with ``pip install 'fastlogreg[plots]'``.
"""

import numpy as np

BLUE, RED, GREY = "#1F5FBF", "#D03A2E", "#555555"
PALE_BLUE, PALE_RED = "#DCE8F8", "#FBE1DD"
# Okabe and Ito's colours for colour-blind readers, for lines that stand for neither class.
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")


def decision_regions(estimator, X, y, *, points=200, margin=1.0, threshold=0.5, ax=None):
    """Draw where a fitted classifier with two features predicts which of two classes, and the data.

    Two filled regions, their boundary dashed, the first class as blue circles and the second as red squares.

    Parameters
    ----------
    estimator : fitted classifier
        Of two features and two classes, with ``predict_proba`` and ``classes_``.
    X : array-like of shape (n_samples, 2)
    y : array-like of shape (n_samples,)
    points : int, default=200
        The plane is evaluated on a grid of points × points.
    margin : float, default=1.0
        How far the picture reaches beyond the data, in units of each feature.
    threshold : float, default=0.5
        Probability of the second class from which on it is predicted.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If there are not two features, or not two classes.
    """
    X, y = np.asarray(X), np.asarray(y)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(f"decision regions need two features, X has shape {X.shape}")
    classes = _two_classes(estimator)
    ax = _axes(ax)
    low, high = X.min(axis=0) - margin, X.max(axis=0) + margin
    xs, ys = np.linspace(low[0], high[0], points), np.linspace(low[1], high[1], points)
    grid = np.column_stack([np.tile(xs, points), np.repeat(ys, points)])
    probability = estimator.predict_proba(grid)[:, 1].reshape(points, points)
    ax.contourf(xs, ys, probability, levels=[-np.inf, threshold, np.inf], colors=[PALE_BLUE, PALE_RED])
    if probability.min() < threshold < probability.max():
        ax.contour(xs, ys, probability, levels=[threshold], colors="black", linestyles="dashed", linewidths=1.2)
        ax.plot([], [], "k--", linewidth=1.2, label=f"boundary, p = {threshold:g}")
    for label, colour, marker in zip(classes, (BLUE, RED), "os", strict=True):
        chosen = y == label
        ax.scatter(
            X[chosen, 0], X[chosen, 1], s=16, marker=marker, c=colour, linewidths=0.3, edgecolors="white",
            alpha=0.8, label=f"class {label}",
        )  # fmt: skip
    ax.set(xlabel="feature 1", ylabel="feature 2", xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    _legend_above(ax)
    return ax


def scatter_classes(X, y, *, ax=None):
    """Draw two-dimensional data coloured by class: the lower label as blue circles, the higher as red squares.

    Parameters
    ----------
    X : array-like of shape (n_samples, 2)
    y : array-like of shape (n_samples,)
        With two different labels.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    X, y = np.asarray(X), np.asarray(y)
    ax = _axes(ax)
    for label, colour, marker in zip(np.unique(y), (BLUE, RED), "os", strict=True):
        ax.scatter(
            X[y == label, 0], X[y == label, 1], s=16, marker=marker, c=colour, linewidths=0.3, edgecolors="white",
            alpha=0.8, label=f"class {label}",
        )  # fmt: skip
    ax.set(xlabel="feature 1", ylabel="feature 2")
    _legend_above(ax)
    return ax


def loss_curves(history, *, quantity="loss", ax=None):
    """Draw a loss against the epoch: on the training data solid, on the validation data dashed.

    Parameters
    ----------
    history : fitted estimator with ``history_``, or mapping of names to arrays
        ``train_<quantity>``, and ``validation_<quantity>``, ``val_<quantity>`` or ``test_<quantity>`` where known.
    quantity : {"loss", "quadratic"}, default="loss"
        The logistic loss, or the squared difference of linear predictor and label, where it was recorded.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the history has no such quantity.
    """
    history = getattr(history, "history_", history)
    train = _recorded(history, quantity, ("train_",))
    if train is None:
        raise ValueError(f"the history has no train_{quantity}, only {sorted(history)}")
    held_out = _recorded(history, quantity, ("validation_", "val_", "test_"))
    ax = _axes(ax)
    colour = BLUE if quantity == "loss" else RED
    ax.plot(np.arange(1, len(train) + 1), train, "-", color=colour, linewidth=1.8, label="train")
    if held_out is not None:
        ax.plot(np.arange(1, len(held_out) + 1), held_out, "--", color=colour, linewidth=1.8, label="test")
    ax.set(xlabel="epoch", ylabel="mean logistic loss" if quantity == "loss" else "mean squared difference")
    ax.legend(loc="best")
    return ax


def sigmoid_curve(estimator, x=None, y=None, *, limits=None, points=100, mirror=False, ax=None):
    """Draw the probability that a classifier with one feature gives, its boundary, and the data.

    Parameters
    ----------
    estimator : fitted classifier
        Of one feature and two classes, with ``coef_`` and ``intercept_``.
    x, y : array-like of shape (n_samples,), optional
        Data to show at probability 0 (first class) and 1 (second class).
    limits : (float, float), optional
        Range of the feature; by default that of the data and a tenth more on each side.
    points : int, default=100
        Points of the curve.
    mirror : bool, default=False
        Draw the probability of the first class too, the mirror image of the other.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If there are neither data nor limits, not one feature, or not two classes.
    """
    classes = _two_classes(estimator)
    coef, intercept = np.ravel(estimator.coef_), float(np.ravel(estimator.intercept_)[0])
    if coef.size != 1:
        raise ValueError(f"a sigmoid curve needs one feature, this model has {coef.size}")
    if limits is None:
        if x is None:
            raise ValueError("give the data x or the limits of the feature")
        x = np.asarray(x, dtype=float).ravel()
        reach = 0.1 * (np.ptp(x) or 1.0)
        limits = x.min() - reach, x.max() + reach
    ax = _axes(ax)
    grid = np.linspace(limits[0], limits[1], points)
    eta = coef[0] * grid + intercept
    ax.axhline(0.5, color=GREY, linewidth=0.6, linestyle=":")
    ax.plot(grid, _sigmoid(eta), color=RED, linewidth=2, label=f"p(y = {classes[1]})")
    if mirror:
        ax.plot(grid, _sigmoid(-eta), color=BLUE, linewidth=2, label=f"p(y = {classes[0]})")
    if coef[0] != 0.0:
        boundary = -intercept / coef[0]
        ax.axvline(boundary, color="black", linestyle="--", linewidth=1.2, label=f"boundary, x = {_short(boundary)}")
    if x is not None and y is not None:
        x, y = np.ravel(x), np.ravel(y)
        for value, (label, colour, marker) in enumerate(zip(classes, (BLUE, RED), "os", strict=True)):
            chosen = x[y == label]
            ax.plot(chosen, np.full(len(chosen), value), marker, color=colour, clip_on=False, label=f"class {label}")
    ax.set(xlabel="feature", ylabel="probability", xlim=limits, ylim=(-0.05, 1.05))
    _legend_above(ax)
    return ax


def loss_branches(*, points=400, ax=None):
    """Draw what one sample costs: -log p where y = 1, -log(1 - p) where y = 0.

    Parameters
    ----------
    points : int, default=400
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    ax = _axes(ax)
    p = np.linspace(0.0, 1.0, points + 2)[1:-1]
    ax.plot(p, -np.log(p), color=RED, linewidth=2, label="y = 1: −log p")
    ax.plot(p, -np.log1p(-p), color=BLUE, linewidth=2, label="y = 0: −log(1 − p)")
    ax.plot(0.5, np.log(2.0), "ko", markersize=5, label="p = ½: log 2 = 0.693")
    ax.set(xlabel="probability p that the model gives to y = 1", ylabel="loss of one sample", xlim=(0, 1), ylim=(0, 5))
    ax.legend(loc="upper center")
    return ax


def convexity(x=(-8.0, -1.0, 0.25, 1.0), y=(1, 0, 0, 1), *, limits=(-6.0, 6.0), points=400, axes=None):
    """Draw the mean logistic loss beside the mean squared error of p, both against the one coefficient.

    The first is convex; the second has plateaus, and with the default data two minima.

    Parameters
    ----------
    x, y : array-like of shape (n_samples,)
        One feature without intercept, and labels 0 and 1.
    limits : (float, float)
        Range of the coefficient.
    points : int, default=400
    axes : pair of matplotlib Axes, optional
        By default a new figure with two.

    Returns
    -------
    ndarray of two matplotlib Axes
    """
    axes = _pair(axes)
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    coef = np.linspace(limits[0], limits[1], points)
    eta = coef[:, None] * x
    losses = np.mean(np.logaddexp(0.0, eta) - y * eta, axis=1)
    squares = np.mean((_sigmoid(eta) - y) ** 2, axis=1)
    for ax, values, colour, label in zip(
        axes, (losses, squares), (BLUE, RED), ("mean logistic loss", "mean squared error of p"), strict=True
    ):
        ax.plot(coef, values, color=colour, linewidth=2)
        inner = np.flatnonzero((values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])) + 1
        for i in inner:
            ax.plot(coef[i], values[i], "ko", markersize=5)
        noun = "minimum" if len(inner) == 1 else "minima"
        ax.set(xlabel="coefficient", ylabel=label, xlim=limits, title=f"{len(inner)} {noun}")
    return axes


def linear_versus_logistic(x, y, far_x, far_y, *, C=1.0, ax=None):
    """Draw the least-squares line through 0/1 labels and the logistic curve, before and after far points are added.

    The line's crossing of one half moves with points that only confirm the class; the logistic boundary stays.

    Parameters
    ----------
    x, y : array-like of shape (n_samples,)
        One feature, and labels 0 and 1.
    far_x, far_y : array-like of shape (n_far,)
        The points added.
    C : float, default=1.0
        Inverse strength of the penalty of the logistic fits.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    from fastlogreg.estimators.logistic import LogisticRegression

    ax = _axes(ax)
    x, y, far_x, far_y = (np.asarray(values, dtype=float).ravel() for values in (x, y, far_x, far_y))
    all_x, all_y = np.append(x, far_x), np.append(y, far_y)
    grid = np.linspace(min(0.0, all_x.min()), all_x.max() * 1.03, 400)
    for name, colour in (("line", BLUE), ("logistic", RED)):
        for xs, ys, style, when in ((x, y, "-", "before"), (all_x, all_y, "--", "after")):
            if name == "line":
                slope, intercept = np.polyfit(xs, ys, 1)
                curve, crossing = slope * grid + intercept, (0.5 - intercept) / slope
            else:
                model = LogisticRegression(C=C).fit(xs[:, None], ys)
                slope, intercept = model.coef_[0, 0], model.intercept_[0]
                curve, crossing = _sigmoid(slope * grid + intercept), -intercept / slope
            ax.plot(grid, curve, style, color=colour, linewidth=1.8, label=f"{name}, {when}: ½ at {_short(crossing)}")
    ax.axhline(0.5, color=GREY, linewidth=0.6, linestyle=":")
    ax.plot(x, y, "ko", markersize=5, label="data")
    ax.plot(far_x, far_y, "k^", markersize=7, clip_on=False, label="far points added")
    ax.set(xlabel="feature", ylabel="label, fitted value", xlim=(grid[0], grid[-1]), ylim=(-0.6, 1.5))
    _legend_above(ax, columns=2)
    return ax


def optimisers(runs, *, optimum=0.0, xlabel="passes over X", ax=None):
    """Draw the losses of several optimisers side by side.

    Parameters
    ----------
    runs : mapping of str to fitted estimator with ``history_``, or to a pair (x, loss) of arrays
        An estimator is drawn against its epochs.
    optimum : float, default=0.0
        Subtracted from every loss, which is then drawn on a logarithmic axis if positive.
    xlabel : str
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    ax = _axes(ax)
    for i, (name, run) in enumerate(runs.items()):
        if hasattr(run, "history_"):
            loss = np.asarray(run.history_["train_loss"])
            x = np.arange(1, len(loss) + 1)
        else:
            x, loss = np.asarray(run[0]), np.asarray(run[1])
        excess = loss - optimum
        if optimum:
            excess = np.where(excess > 0.0, excess, np.nan)  # below the optimum is rounding: a gap, not a cliff
        marker = "o" if len(x) < 25 else ""
        ax.plot(x, excess, marker=marker, markersize=4, color=LINES[i % len(LINES)], linewidth=1.8, label=name)
    ax.set(xlabel=xlabel, ylabel="loss above the optimum" if optimum else "mean logistic loss")
    if optimum:
        ax.set_yscale("log")
    _legend_above(ax)
    return ax


def _axes(ax):
    """Return ax, or pyplot's current axes."""
    return _pyplot().gca() if ax is None else ax


def _pair(axes):
    if axes is None:
        _, axes = _pyplot().subplots(1, 2, figsize=(9, 4), layout="constrained")
    return np.asarray(axes)


def _pyplot():
    try:
        import matplotlib.pyplot as pyplot
    except ImportError as error:
        raise ImportError(
            "fastlogreg.plots needs matplotlib, which is not installed: pip install 'fastlogreg[plots]'"
        ) from error
    return pyplot


def _legend_above(ax, columns=3):
    """Put the legend between title and axes, where it hides no data."""
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, frameon=False, fontsize="small")


def _two_classes(estimator):
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        raise ValueError("the estimator is not fitted; call fit first")
    if len(classes) != 2:
        raise ValueError(f"this picture is for two classes, the estimator has {len(classes)}")
    return classes


def _recorded(history, quantity, prefixes):
    return next((np.asarray(history[p + quantity]) for p in prefixes if p + quantity in history), None)


def _short(value):
    """Return four digits of a number, all digits before the point where there are more."""
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def _sigmoid(eta):
    from scipy.special import expit

    return expit(eta)
