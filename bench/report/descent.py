"""Article 1's gradient descent three ways: Python's loop over samples, whole-array NumPy, compiled with numba."""

import math
import warnings
from dataclasses import dataclass

import numpy as np

from bench import baselines, data
from bench.report.drawing import (
    canvas,
    count,
    counts_axis,
    in_turns,
    legend_below,
    median,
    picture,
    seconds,
    seconds_axis,
    timed,
    times,
)
from bench.report.page import Section
from bench.rivals import COLOURS
from fastlogreg import SGDLogisticRegression

LOOP, VECTORISED, NUMBA = "naive loop", "NumPy", "fastlogreg"
NAMES = {LOOP: "naive loop", VECTORISED: "vectorised NumPy", NUMBA: "fastlogreg (numba)"}
MARKERS = {LOOP: "v", VECTORISED: "s", NUMBA: "o"}
RATE, MAX_ITER, TOL = 0.1, 10_000, 1e-3
HISTORIES = ("train_loss", "test_loss", "train_quadratic", "test_quadratic")


@dataclass
class Runs:
    """One size: seconds of a whole run a method, and from how many iterations a method's run is extrapolated."""

    n: int
    n_iter: int
    seconds: dict
    extrapolated: dict


def gradient_descent():
    """Article 1's run as the public estimator does it."""
    return SGDLogisticRegression(
        optimizer="gd", learning_rate=RATE, alpha=0.0, max_iter=MAX_ITER, tol=TOL, quadratic_cost=True
    )


def histories(model):
    """The estimator's histories under the names of the baselines."""
    names = ("train_loss", "val_loss", "train_quadratic", "val_quadratic")
    return {ours: np.asarray(model.history_[name]) for ours, name in zip(HISTORIES, names, strict=True)}


def coefficients(model):
    """Coefficients with the intercept last."""
    return np.append(model.coef_.ravel(), model.intercept_)


# n, iterations that the loop runs (None: all), iterations of vectorised NumPy, repeats of the compiled run
PLAN = (
    (1_000, None, None, 9),
    (10_000, 60, None, 5),
    (100_000, 6, None, 3),
    (1_000_000, 1, 40, 1),
    (2_000_000, 0, 20, 1),
)
QUICK = ((1_000, 20, None, 2), (4_000, 3, 50, 1))


def section(run):
    page = Section("descent", "The same gradient descent: loop, vectorised, numba")
    page.text(
        "Article 1 trains on two Gaussian blobs in the plane (four fifths of the rows train, one fifth tests) by full-"
        f"batch gradient descent from zero with rate {RATE}, until a step is shorter than {TOL:g}, and records four "
        "costs after every iteration: logistic and quadratic, on train and on test. Three programs do exactly that: "
        "Python looping over samples, whole-array NumPy, and `SGDLogisticRegression(optimizer='gd')`."
    )
    plan = QUICK if run.quick else PLAN
    runs, models, whole = [], [], []
    for k, (n, loop_iterations, array_iterations, repeats) in enumerate(plan):
        done, model, results = _measure(run, n, loop_iterations, array_iterations, repeats, 0.85 * k / len(plan))
        runs.append(done)
        models.append(model)
        whole.append(results)
    _trajectory(page, models[0], whole[0])
    _pictures(page, runs)
    _table(page, runs)
    _prediction(run, page, models[0], [n for n, *_ in plan if n <= 1_000_000])
    return page


def _measure(run, n, loop_iterations, array_iterations, repeats, fraction):
    """Time the three at one size: whole runs, or so many iterations and the rest extrapolated.

    (Runs, the fitted estimator, the results of the baselines that ran to their end).
    """
    run.tell(f"gradient descent, {count(n)} rows", fraction)
    X, y, X_test, y_test = data.article1(n)
    taken = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two iterations are for the compiler only: each size may need another kernel
        gradient_descent().set_params(max_iter=2).fit(X, y, X_val=X_test, y_val=y_test)
    for _ in range(repeats):
        copies = X.copy(), y.copy()
        model = gradient_descent()
        taken.append(timed(lambda m=model, c=copies: m.fit(*c, X_val=X_test, y_val=y_test))[0])
    n_iter = int(np.max(model.n_iter_))
    found, extrapolated, whole = {NUMBA: median(taken)}, {}, {}
    for name, descent, iterations in (
        (VECTORISED, baselines.vectorised_descent, array_iterations),
        (LOOP, baselines.naive_descent, loop_iterations),
    ):
        if iterations == 0:
            continue
        run.tell(f"gradient descent, {count(n)} rows, {NAMES[name]}", fraction)
        limit = min(iterations or MAX_ITER, n_iter)
        elapsed, result = timed(
            lambda d=descent, m=limit: d(X, y, X_test, y_test, learning_rate=RATE, max_iter=m, tol=TOL)
        )
        found[name] = elapsed * n_iter / result.n_iter
        if result.n_iter < n_iter:
            extrapolated[name] = result.n_iter
        else:
            whole[name] = result
    return Runs(n, n_iter, found, extrapolated), model, whole


def _trajectory(page, model, results):
    """Whether all walk the same path."""
    same = max(
        float(np.max(np.abs(recorded - other.history[name]))) if len(recorded) == other.n_iter else math.inf
        for other in results.values()
        for name, recorded in histories(model).items()
    )
    weights = max(float(np.max(np.abs(coefficients(model) - other.coef))) for other in results.values())
    if same > 1e-9 or weights > 1e-9:
        raise AssertionError(f"the paths differ: histories by {same:.1e}, weights by {weights:.1e}")
    page.text(
        f"The paths are the same: at 1 000 rows all stop after {np.max(model.n_iter_)} iterations; fastlogreg's four "
        f"histories differ from those of the {' and '.join(NAMES[name] for name in results)} by at most {same:.0e} "
        f"anywhere, the final weights by {weights:.0e}. What differs is how the work is done."
    )


def _pictures(page, runs):
    figure, ax = canvas(height=4.4)
    for name in (LOOP, VECTORISED, NUMBA):
        _line(ax, name, [(r.n, r.seconds[name], name in r.extrapolated) for r in runs if name in r.seconds])
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set(xlabel="rows, n", ylabel="time of the whole run")
    counts_axis(ax.xaxis)
    seconds_axis(ax.yaxis)
    ax.plot([], [], "o--", color="#555555", markerfacecolor="white", label="extrapolated")
    legend_below(figure, columns=4)
    large = next(r for r in reversed(runs) if LOOP in r.seconds)
    words = "would take" if LOOP in large.extrapolated else "takes"
    title = (
        f"At {count(large.n)} rows the loop {words} {seconds(large.seconds[LOOP], 2)}, "
        f"compiled code takes {seconds(large.seconds[NUMBA], 2)}"
    )
    caption = (
        "Hollow markers and dashed lines are extrapolated: the time of the first iterations, times the number of "
        "iterations of the whole run (the table says how many ran). All else is measured from beginning to end."
    )
    page.add(picture(figure, "descent-times", title, caption))

    figure, ax = canvas(height=3.8)
    for name in (LOOP, VECTORISED):
        ratios = [(r.n, r.seconds[name] / r.seconds[NUMBA], name in r.extrapolated) for r in runs if name in r.seconds]
        _line(ax, name, ratios, label=f"over the {NAMES[name]}")
        for n, ratio, _ in ratios:
            ax.annotate(times(ratio), (n, ratio), (0, 8), textcoords="offset points", ha="center", fontsize=9)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set(xlabel="rows, n", ylabel="speed-up of fastlogreg")
    low, high = ax.get_ylim()
    ax.set_ylim(min(1.0, low), high * 2.5)
    counts_axis(ax.xaxis)
    ax.yaxis.set_major_formatter(lambda value, _: times(value))
    ax.plot([], [], "o--", color="#555555", markerfacecolor="white", label="extrapolated")
    legend_below(figure)
    over_loop = [r.seconds[LOOP] / r.seconds[NUMBA] for r in runs if LOOP in r.seconds]
    over_numpy = [r.seconds[VECTORISED] / r.seconds[NUMBA] for r in runs]
    title = (
        f"Compiled code is {times(min(over_loop))} to {times(max(over_loop))} faster than the loop, "
        f"{times(min(over_numpy))} to {times(max(over_numpy))} faster than whole-array NumPy"
    )
    page.add(picture(figure, "descent-speedups", title, "Hollow markers: one of the two times is extrapolated."))
    for r in runs:
        if LOOP in r.seconds and r.n in (1_000, 100_000):
            mark = " (the loop's time extrapolated)" if LOOP in r.extrapolated else ""
            page.findings.append(
                (
                    times(r.seconds[LOOP] / r.seconds[NUMBA]),
                    f"faster than the naive loop: article 1's gradient descent, {count(r.n)} rows{mark}",
                )
            )


def _line(ax, name, points, label=None):
    """Measured points solid, extrapolated ones hollow on a dashed line that starts at the last measured one."""
    colour, marker = COLOURS[name], MARKERS[name]
    solid = [(x, y) for x, y, guessed in points if not guessed]
    dashed = solid[-1:] + [(x, y) for x, y, guessed in points if guessed]
    ax.plot(*np.transpose(solid or dashed), marker=marker, color=colour, label=label or NAMES[name])
    if len(dashed) > len(solid[-1:]):
        ax.plot(*np.transpose(dashed), linestyle="--", marker=marker, color=colour, markerfacecolor="white")
        if solid:
            ax.plot(*solid[-1], marker=marker, color=colour)


def _table(page, runs):
    def cell(r, name):
        if name not in r.seconds:
            return "not run"
        return seconds(r.seconds[name]) + ("\N{NO-BREAK SPACE}*" if name in r.extrapolated else "")

    rows = []
    for r in runs:
        ratios = [
            times(r.seconds[name] / r.seconds[NUMBA]) if name in r.seconds else "–" for name in (LOOP, VECTORISED)
        ]
        rows.append([count(r.n), str(r.n_iter), *(cell(r, name) for name in (LOOP, VECTORISED, NUMBA)), *ratios])
    page.table(
        ["rows", "iterations", *NAMES.values(), "over the loop", "over NumPy"],
        rows,
        caption="Time of the whole run with its four histories.",
    )
    notes = [
        f"{NAMES[name]} at {count(r.n)} rows from {iterations} of {r.n_iter} iterations"
        for r in runs
        for name, iterations in r.extrapolated.items()
    ]
    if notes:
        page.note("* extrapolated: " + "; ".join(notes) + ".")


def _prediction(run, page, model, sizes):
    """Labels of n rows, and the 200 × 200 grid of the decision picture."""
    coef = coefficients(model)
    calls = {
        LOOP: lambda X: baselines.naive_predict(coef, X),
        VECTORISED: lambda X: baselines.vectorised_predict(coef, X),
        NUMBA: model.predict,
    }
    lines, rows = {name: [] for name in calls}, []
    for k, n in enumerate(sizes):
        run.tell(f"prediction, {count(n)} rows", 0.85 + 0.13 * k / len(sizes))
        X = np.concatenate(data.article1(n)[::2])
        labels = [call(X) for name, call in calls.items() if name != LOOP]
        disagree = int(np.sum(labels[0] != labels[1]))
        taken = {LOOP: timed(lambda X=X: calls[LOOP](X))[0]}
        fast = {name: (lambda X=X, call=call: call(X)) for name, call in calls.items() if name != LOOP}
        taken |= {name: median(values) for name, values in in_turns(fast, 5).items()}
        for name in calls:
            lines[name].append((n, taken[name], False))
        rows.append([f"predict, {count(n)} rows", *_cells(taken), str(disagree)])
    run.tell("decision grid", 0.98)
    X = data.article1()[0]
    taken = {LOOP: timed(lambda: baselines.naive_grid(coef, X))[0]}
    grids = {VECTORISED: lambda: baselines.vectorised_grid(coef, X)[2], NUMBA: lambda: _grid(model, X)}
    disagree = int(np.sum(grids[VECTORISED]() != grids[NUMBA]()))
    taken |= {name: median(values) for name, values in in_turns(grids, 5).items()}
    rows.append(["decision grid, 200 × 200", *_cells(taken), str(disagree)])

    figure, ax = canvas(height=4.0)
    for name in calls:
        _line(ax, name, lines[name])
        ax.plot(40_000, taken[name], "*", color=COLOURS[name], markersize=13)
    ax.plot([], [], "*", color="#555555", markersize=11, label="the 200 × 200 grid")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set(xlabel="rows predicted", ylabel="time")
    counts_axis(ax.xaxis)
    seconds_axis(ax.yaxis)
    legend_below(figure, columns=4)
    n, loop, _ = lines[LOOP][-1]
    ratio = loop / lines[NUMBA][-1][1]
    title = f"Predicting {count(n)} rows: {times(ratio)} faster than a call a sample"
    page.add(picture(figure, "descent-predict", title))
    page.table(
        ["what", *NAMES.values(), "over the loop", "over NumPy", "labels that differ"],
        rows,
        caption="Prediction, all measured. Labels are compared between NumPy and fastlogreg.",
    )
    page.text(
        "In training, whole-array NumPy already removes the interpreter; what is left to gain is that compiled code "
        "reads each row once an iteration for the update and all costs, makes no temporary arrays, and uses all cores. "
        "In prediction the NumPy line checks nothing, while `predict` checks its input as scikit-learn does: this "
        f"fixed cost, about {seconds(lines[NUMBA][0][1], 2)}, is most of its time on small data."
    )


def _cells(taken):
    return [
        *(seconds(taken[name]) for name in NAMES),
        times(taken[LOOP] / taken[NUMBA]),
        times(taken[VECTORISED] / taken[NUMBA]),
    ]


def _grid(model, X, points=200):
    xs, ys = baselines.grid_axes(X, points)
    return model.predict(np.column_stack([np.tile(xs, points), np.repeat(ys, points)])).reshape(points, points)
