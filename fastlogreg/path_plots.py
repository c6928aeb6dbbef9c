"""Pictures of paths and of cross-validation, drawn as those of ``fastlogreg.plots`` are."""

import numpy as np

from fastlogreg.plots import BLUE, GREY, LINES, RED, _axes, _legend_above

# So many of the largest coefficients get a colour and a name.
NAMED = len(LINES) - 1


def coefficient_path(path, *, target=None, named=NAMED, ax=None):
    """Draw every coefficient against the strength of the penalty, strong on the left.

    Parameters
    ----------
    path : fitted LogisticRegressionPath
    target : label, optional
        For more than two classes: of which class; by default the first.
    named : int, default=6
        How many coefficients, those that become largest, get a colour and a name; the others are thin and grey.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If there is no such class.
    """
    n_rows = path.intercepts_.shape[1]
    row = 0
    if target is not None:
        found = np.flatnonzero(path.classes_ == target)
        if not found.size:
            raise ValueError(f"target={target!r} is none of the classes {path.classes_.tolist()}")
        row = int(found[0]) if n_rows > 1 else 0
    coefs = path.coefs_[row::n_rows].toarray()
    ax = _axes(ax)
    alphas = _positive(path.alphas_)
    order = np.argsort(-np.abs(coefs).max(axis=0), kind="stable")
    names = getattr(path, "feature_names_in_", None)
    named = min(named, NAMED)
    for j in order[named:]:
        ax.plot(alphas, coefs[:, j], color=GREY, linewidth=0.6, alpha=0.6)
    for colour, j in zip(LINES, order[:named], strict=False):
        label = str(names[j]) if names is not None else f"column {j}"
        ax.plot(alphas, coefs[:, j], color=colour, linewidth=1.8, label=label)
    ax.axhline(0.0, color=GREY, linewidth=0.6, linestyle=":")
    _strengths(ax, alphas, "alpha, strength of the penalty")
    ax.set(ylabel="coefficient" if n_rows == 1 else f"coefficient of class {path.classes_[row]}")
    if order[:named].size:
        _legend_above(ax)
    return ax


def deviance_path(path, *, ax=None):
    """Draw the share of the deviance that each strength explains, strong ones on the left, and the number of columns.

    Parameters
    ----------
    path : fitted LogisticRegressionPath
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Of the deviance; the number of columns has an axis of its own on the right.
    """
    ax = _axes(ax)
    alphas = _positive(path.alphas_)
    (explained,) = ax.plot(alphas, path.deviance_ratio_, color=BLUE, linewidth=2, label="deviance explained")
    _strengths(ax, alphas, "alpha, strength of the penalty")
    ax.set(ylabel="share of the deviance explained", ylim=(0.0, None))
    right = ax.twinx()
    (columns,) = right.plot(alphas, path.df_, color=RED, linewidth=1.2, drawstyle="steps-mid", label="columns in use")
    right.set(ylabel="columns in use", ylim=(0.0, None))
    ax.legend(handles=[explained, columns], loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False,
              fontsize="small")  # fmt: skip
    return ax


def cv_curve(model, *, ax=None):
    """Draw mean scores with bars of one standard error against C, strong penalties on the left, and both choices.

    Parameters
    ----------
    model : fitted LogisticRegressionCV
        With several l1_ratios each has a curve.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    ax = _axes(ax)
    Cs = np.asarray(model.Cs_, dtype=float)
    order = np.argsort(Cs)
    finite = np.isfinite(Cs[order])
    shown = _positive(1.0 / Cs[order])  # C = inf, no penalty, a step beyond the last
    for r, (means, errors) in enumerate(zip(model.mean_scores_, model.score_errors_, strict=True)):
        ratio = model.l1_ratios_[r]
        label = "mean of the folds ± standard error" if len(model.mean_scores_) == 1 else f"l1_ratio = {ratio:g}"
        errors = np.nan_to_num(errors[order])
        colour = BLUE if len(model.mean_scores_) == 1 else LINES[r % len(LINES)]
        ax.errorbar(1.0 / shown, means[order], yerr=errors, color=colour, linewidth=1.6, elinewidth=0.8, capsize=2,
                    marker="o", markersize=3, label=label)  # fmt: skip
    position = np.empty(len(Cs))
    position[order] = 1.0 / shown
    for index, style, colour, name in (
        (model.best_index_, "--", "black", "best"),
        (model.one_se_index_, ":", RED, "one standard error"),
    ):
        label = f"{name}, C = {Cs[index[1]]:.3g}"
        ax.axvline(position[index[1]], color=colour, linestyle=style, linewidth=1.4, label=label)
    ax.set(xscale="log", xlabel="C, inverse strength of the penalty", ylabel=_score_name(model))
    if not finite.all():
        ax.set_xlabel("C, inverse strength of the penalty; the last is no penalty")
    _legend_above(ax, columns=2)
    return ax


def _positive(alphas):
    """Return falling strengths with a positive one in place of zero, a step beyond the others."""
    alphas = np.asarray(alphas, dtype=float)
    some = alphas[alphas > 0.0]
    return np.where(alphas > 0.0, alphas, some.min() / 10.0 if some.size else 1.0)


def _strengths(ax, alphas, label):
    ax.set(xscale="log", xlabel=label)
    ax.set_xlim(alphas.max() * 1.02, alphas.min() / 1.02)


def _score_name(model):
    if callable(model.scoring):
        return "score"
    return "accuracy" if model.scoring in (None, "warn") else str(model.scoring).replace("_", " ")
