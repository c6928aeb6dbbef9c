"""The articles' optimisers on one problem: loss against passes and seconds; rates too small, right and too large."""

import time
import warnings

import numpy as np

from bench import data
from bench.report.drawing import canvas, count, difference, legend_below, picture, seconds, seconds_axis, timed
from bench.report.page import Section
from fastlogreg import DivergenceWarning, SGDLogisticRegression
from fastlogreg.design import as_design
from fastlogreg.objective import LogisticObjective
from fastlogreg.plots import LINES
from fastlogreg.solvers import SOLVERS

# name -> (colour, marker, optimizer, batch size, too small, right, too large); found by trying powers of ten
METHODS = {
    "gradient descent": (LINES[0], "o", "gd", None, 0.05, 2.0, 20.0),
    "SGD": (LINES[2], "v", "sgd", None, 1e-6, 2e-4, 1.0),
    "mini-batch, 64": (LINES[3], "s", "mini-batch", 64, 1e-4, 0.01, 100.0),
    "AdaGrad": (LINES[4], "D", "adagrad", None, 1e-3, 0.1, 100.0),
}
NEWTON = (LINES[1], "P")
CONDITION = 100.0
NEAR = 1e-3  # "near": the loss is within this of the optimum


def section(run):
    page = Section("optimisers", "The articles' optimisers side by side")
    n, p, epochs, iterations = (2000, 5, 5, 20) if run.quick else (100_000, 20, 40, 400)
    run.tell("data and Newton", 0.0)
    X, y = data.correlated(n, p, CONDITION)
    optimum, newton = _newton(X, y)
    page.text(
        f"One problem, {count(n)} rows of {p} correlated columns (condition number {CONDITION:g} of XᵀX / n), no "
        "penalty, zero start, constant rates. An epoch of a stochastic method, and an iteration of gradient "
        "descent, counts as one pass; so does an iteration of Newton's method, which starts from a sample of the rows."
    )
    runs = {}
    for k, (name, (_, _, optimizer, batch_size, *rates)) in enumerate(METHODS.items()):
        for j, rate in enumerate(rates):
            run.tell(f"{name}, rate {rate:g}", 0.1 + 0.85 * (k + j / 3) / len(METHODS))
            length = iterations if optimizer == "gd" else epochs
            runs[name, rate] = _fit(X, y, optimizer, batch_size, rate, length)
    right = {name: runs[name, rates[1]] for name, (_, _, _, _, *rates) in METHODS.items()}
    _side_by_side(page, right, newton, optimum)
    _rates(page, runs, optimum)
    return page


def _newton(X, y):
    """(the optimum of the loss, (passes, seconds, loss) of Newton's iterations)."""
    objective = LogisticObjective(as_design(X), y.astype(np.float64))
    SOLVERS["newton"].function(objective, np.zeros(objective.shape), tol=1e-12, max_iter=100, callback=None)  # compile
    stamps, start = [], 0.0

    def callback(progress):
        stamps.append(time.perf_counter() - start)
        return False

    start = time.perf_counter()
    objective = LogisticObjective(as_design(X), y.astype(np.float64))
    result = SOLVERS["newton"].function(
        objective, np.zeros(objective.shape), tol=1e-12, max_iter=100, callback=callback
    )
    loss, passes = result.history[:, 0], result.history[:, 2]
    took = np.linspace(0.0, time.perf_counter() - start, len(loss))
    took[len(took) - len(stamps) :] = stamps
    return float(loss.min()), (passes, took, loss)


def _fit(X, y, optimizer, batch_size, rate, epochs):
    """(passes, seconds, loss, what the estimator said if it gave up) of one run."""
    parameters = {} if batch_size is None else {"batch_size": batch_size}
    model = SGDLogisticRegression(
        optimizer=optimizer, learning_rate=rate, alpha=0.0, max_iter=epochs, tol=0.0, random_state=0, **parameters
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.set_params(max_iter=1).fit(X, y)  # compile
        caught.clear()
        took = timed(lambda: model.set_params(max_iter=epochs).fit(X, y))[0]
    loss = np.append(np.log(2.0), model.history_["train_loss"])
    said = next((str(w.message) for w in caught if issubclass(w.category, DivergenceWarning)), "")
    passes = np.arange(len(loss))
    return passes, took * passes / max(1, len(loss) - 1), loss, said


def _near(x, loss, optimum):
    """Where a run first comes near the optimum, NaN if it does not."""
    reached = np.flatnonzero(loss - optimum <= NEAR)
    return float(x[reached[0]]) if len(reached) else np.nan


def _side_by_side(page, right, newton, optimum):
    lines = {name: (METHODS[name][0], METHODS[name][1], *points[:3]) for name, points in right.items()}
    lines["Newton"] = (*NEWTON, *newton)
    figure, (left, middle) = canvas(1, 2, height=4.2, sharey=True)
    floor = 1e-12
    for name, (colour, marker, passes, took, loss) in lines.items():
        excess = np.maximum(loss - optimum, floor)
        end = int(np.argmax(excess <= floor)) + 1 if (excess <= floor).any() else len(excess)
        for ax, x in ((left, passes), (middle, took)):
            every = max(1, end // 12)
            first = 1 if ax is middle else 0  # no place for the start on a logarithmic axis
            ax.plot(
                x[first:end], excess[first:end], color=colour, marker=marker, markersize=5, markevery=every, label=name
            )
    left.set(xlabel="passes over X", ylabel="loss above the optimum", yscale="log")
    left.set_xscale("symlog", linthresh=1.0)
    left.set_xlim(0, None)
    left.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    middle.set(xlabel="time")
    middle.set_xscale("log")
    seconds_axis(middle.xaxis)
    legend_below(figure, *left.get_legend_handles_labels(), columns=5)
    ahead = min(lines, key=lambda name: np.nan_to_num(_near(lines[name][3], lines[name][4], optimum), nan=np.inf))
    newton_passes = newton[0][-1]
    first = seconds(_near(lines[ahead][3], lines[ahead][4], optimum), 2)
    title = (
        f"{ahead} is first within {NEAR:g} of the optimum, in {first}; Newton is at it after {newton_passes:.0f} passes"
    )
    caption = (
        "Each method with its right rate. Times of the stochastic methods include the second pass of an epoch that "
        "computes the loss drawn here; gradient descent has its loss for free."
    )
    page.add(picture(figure, "optimisers", title, caption))
    rows = []
    for name, (_, _, passes, took, loss) in lines.items():
        near_passes, near_seconds = _near(passes, loss, optimum), _near(took, loss, optimum)
        rows.append(
            [
                name,
                f"{METHODS[name][5]:g}" if name in METHODS else "–",
                f"{near_passes:.0f}" if np.isfinite(near_passes) else "not reached",
                seconds(near_seconds),
                seconds(took[-1] / max(1, passes[-1])),
                difference(max(loss[-1] - optimum, 0)),
            ]
        )
    page.table(
        ["optimiser", "rate", f"passes to {NEAR:g}", f"time to {NEAR:g}", "time of a pass", "loss above optimum, last"],
        rows,
        caption=f"Reaching a loss within {NEAR:g} of the optimum ({optimum:.6f}).",
    )


def _rates(page, runs, optimum):
    figure, axes = canvas(2, 2, height=6.4)
    said = []
    for ax, (name, (colour, _, _, _, *rates)) in zip(axes.flat, METHODS.items(), strict=True):
        for rate, style in zip(rates, (":", "-", "--"), strict=True):
            passes, _, loss, complaint = runs[name, rate]
            ax.plot(passes, loss - optimum, style, color=colour)
            if complaint:
                ax.plot(passes[-1], loss[-1] - optimum, "x", color="black", markersize=8, markeredgewidth=2)
                said.append((name, rate, complaint))
        ax.set(title=f"{name}: {', '.join(f'{rate:g}' for rate in rates)}", yscale="log")
        if name == "gradient descent":
            ax.set_xlabel("iterations, passes over X")
        ax.axhline(np.log(2.0) - optimum, color="#999999", linewidth=0.8)
    for ax in axes.flat[1:]:
        ax.set_xlabel("epochs")
    for ax in axes[:, 0]:
        ax.set_ylabel("loss above the optimum")
    for style, words in ((":", "too small"), ("-", "right"), ("--", "too large")):
        axes[0, 0].plot([], [], style, color="#555555", label=words)
    axes[0, 0].plot([], [], "x", color="black", markersize=8, markeredgewidth=2, label="stopped: diverged")
    legend_below(figure, columns=4)
    title = "A rate too small crawls, a rate too large bounces above the start or blows up"
    caption = "Above each panel its three rates. The grey line is the loss of the zero start."
    page.add(picture(figure, "optimisers-rates", title, caption))
    for name, rate, complaint in said:
        page.note(f"{name}, rate {rate:g}, stopped with: “{complaint}”")
