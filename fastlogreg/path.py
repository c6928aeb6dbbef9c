"""Warm-started paths: the same problem under one strength of the penalty after another.

Strengths are alpha = 1 / (C Σ w), on the scale of the mean loss: glmnet's lambda. Friedman, Hastie and Tibshirani,
Journal of Statistical Software (2010), sections 2.5 and 3.
"""

from copy import copy
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from fastlogreg import lockstep
from fastlogreg.result import Result
from fastlogreg.screening import AHEAD, Screen
from fastlogreg.solvers.curvature import Memory
from fastlogreg.solvers.prox_newton import prox_newton

# glmnet's: a pure L2 path, for which no finite strength makes all coefficients zero, begins where that of this share of
# L1 does; it spans so much, where there are more rows than columns and where not; and it ends early, but not before
# MIN_VALUES strengths, where so much of the deviance is explained, or another strength explains but this part more.
L2_SHARE = 1e-3
SPAN = {True: 1e-4, False: 1e-2}
MIN_VALUES = 5
ENOUGH = 0.999
LITTLE = 1e-5
ROUNDING = 1e-12  # a strength is so much larger than needed, relatively, for coefficients that are to be exactly zero
# The loosest tol of a path: with a looser one a solve that begins near its end would not move.
LOOSEST = 1e-5
# The Hessians of a path are kept for other paths to begin with where they take at most so much memory.
HESSIANS_BYTES = 2**28


class Point(NamedTuple):
    """A strength, and the optimum there."""

    alpha: float
    result: Result  # coefficients in units of X, centred over classes
    loss: float
    memory: Memory  # of the solver


@dataclass(frozen=True)
class Null:
    """The model of the intercept alone, and of columns that no penalty holds back.

    Attributes
    ----------
    coef : ndarray of shape (n_features + 1,) or (n_classes, n_features + 1)
    loss : float
    gradient : ndarray of that shape
        Of the mean loss.
    """

    coef: np.ndarray
    loss: float
    gradient: np.ndarray


def null_model(problem):
    """Return the Null of a problem; one pass over X."""
    objective = problem.unpenalised()
    coef = np.zeros(objective.shape)
    columns = np.append(np.flatnonzero(problem.sizes() == 0.0), -1)
    if len(columns) > 1 or problem.fit_intercept:
        inner, penalty = problem.columns(columns[:-1])
        least = prox_newton(inner, np.zeros(inner.shape), penalty=penalty, tol=1e-15, max_iter=100).coef
        coef[..., columns] = least[..., -len(columns) :]
    return Null(coef, *objective.value_gradient(coef))


def alpha_grid(problem, null, l1_ratios, n_alphas=100, span=None):
    """Return falling strengths, equally spaced by their logarithms.

    The first is the least at which all coefficients are zero: max_j |gradient_j| / (l1_ratio size_j) at the null model
    (grouped, the 2-norm over classes), with L2_SHARE for smaller ratios. The last is that times span. A grid of several
    ratios covers all of theirs.

    Parameters
    ----------
    problem : Problem
    null : Null
    l1_ratios : sequence of float
    n_alphas : int
    span : float, optional
        1e-4 where there are more rows than columns, else 1e-2.

    Raises
    ------
    ValueError
        If no column has anything to do with y.
    """
    n_rows, n_columns = problem.design.shape
    low, high = problem.terms.bounds
    sizes, gradient = problem.sizes(), null.gradient[..., :-1]
    held = (sizes == 0.0) | np.where(gradient > 0.0, low == 0.0, high == 0.0)
    steepness = np.where(held, 0.0, np.abs(gradient))
    if problem.terms.grouped:
        steepness = np.linalg.norm(steepness, axis=0)
    largest = float(np.divide(steepness, sizes, out=np.zeros_like(steepness), where=sizes > 0.0).max())
    if not largest > 0.0:
        raise ValueError(
            "No column of X is related to y at all, so that there is no strength of the penalty to begin with. Give "
            "the strengths yourself."
        )
    shares = np.maximum(l1_ratios, L2_SHARE)
    span = SPAN[n_rows > n_columns] if span is None else span
    largest *= 1.0 + ROUNDING
    return np.geomspace(largest / shares.min(), largest / shares.max() * span, n_alphas)


def follow(
    problem, alphas, l1_ratio, solver, *, tol, max_iter, guide=None, null=None, early=False, done=None, kept=False
):
    """Solve a problem at falling strengths, each from the last one's coefficients.

    Parameters
    ----------
    problem : Problem
    alphas : sequence of float
        Falling; 0 for no penalty.
    l1_ratio : float
    solver : Solver
    tol : float
        More than LOOSEST counts as that.
    max_iter : int
    guide : list of Point, optional
        The path of a problem nearby, at as many strengths: its changes from strength to strength are expected here,
        and where the solver can use them, so are its Hessians. They decide where a solve begins, not where it ends.
    null : Null, optional
        Where to begin, if there is no guide.
    early : bool, default=False
        End the path early as glmnet does, judged by the deviance of the null model.
    done : callable, optional
        Called after each strength.
    kept : bool, default=False
        Keep the Hessians of the solver for other paths to begin with.

    Returns
    -------
    list of Point
        Of each strength, as far as the path went.
    """
    points: list[Point] = []
    limit = min(tol, LOOSEST)
    screen = Screen()
    known = None if null is None or guide is not None else (null.coef, null.loss, null.gradient)
    for i, alpha in enumerate(alphas):
        penalised = problem.penalised(alpha, l1_ratio)
        objective = penalised.objective
        memory = Memory()
        if alpha > 0.0:  # without a penalty the null space of the Hessian matters, not only its size
            for near, shared in ((guide[i : i + 1] if guide else [], True), (points[-1:], kept)):
                if near and near[0].memory.hessian is not None:
                    memory = copy(near[0].memory)
                    memory.shared = shared
        options = {"tol": limit, "max_iter": max_iter} | ({"memory": memory} if solver.remembers else {})
        if solver.penalty and known is not None and not penalised.rescaled:
            start, memory.at = known[0], known
        else:
            start = penalised.inner(_start(objective.shape, points, guide, null))
        if memory.at is not None and alpha * l1_ratio > 0.0:
            before = points[-1].alpha / alpha if points else None
            ahead = alphas[min(i + AHEAD, len(alphas) - 1)] / alpha
            result = screen.minimise(objective, penalised.penalty, before, ahead, **options)
        else:
            result = penalised.solver(solver)(objective, start, **options)
        loss = penalised.loss(result)
        at, inner = memory.at, result.coef
        result = penalised.outer_result(result)
        result = replace(result, coef=penalised.centred(result.coef))
        # Shifts of all classes change no gradient.
        known = (result.coef, *at[1:]) if at is not None and at[0] is inner and not penalised.rescaled else None
        memory.at, memory.shared = None, kept
        large = memory.hessian is not None and memory.hessian.nbytes * len(alphas) > HESSIANS_BYTES
        if points and (large or not kept):
            points[-1] = points[-1]._replace(memory=Memory())
        points.append(Point(alpha, result, loss, memory))
        if done is not None:
            done()
        if early and _enough(points, null):
            break
    return points


def follow_folds(folds, alphas, l1_ratio, solver, *, guide, tol, max_iter, done=None):
    """Solve folds of a problem at falling strengths, from the optima of all rows; many of them at a time where it pays.

    Parameters
    ----------
    folds : list of Problem
        Of the same rows, with other weights.
    alphas : list of sequences of float
        The strengths of each.
    guide : list of Point
        The path of all rows, at as many strengths.
    l1_ratio, solver, tol, max_iter, done
        As for follow.

    Returns
    -------
    list of list of Point
        Without memories.
    """
    options = {"tol": tol, "max_iter": max_iter, "done": done}
    if not lockstep.suits(folds[0], solver) or any(fold.lacks_classes for fold in folds):
        of_folds = zip(folds, alphas, strict=True)
        return [follow(fold, strengths, l1_ratio, solver, guide=guide, **options) for fold, strengths in of_folds]
    found: list[list[Point]] = [[] for _ in folds]
    # Where a sample was enough for newton to begin with, it left no Hessian: the next strength's is near.
    nearby = zip(guide, [*guide[1:], guide[-1]], strict=True)
    memories = [(after if here.memory.hessian is None else here).memory for here, after in nearby]
    limit = min(tol, LOOSEST)
    size = max(1, lockstep.AT_ONCE // len(folds))
    for first in range(0, len(guide), size):
        tasks = []
        for points, fold, strengths in zip(found, folds, alphas, strict=True):
            for there, memory, alpha in list(zip(guide, memories, strengths, strict=True))[first : first + size]:
                start = there.result.coef
                if points:
                    start = _moved(start, points[-1].result.coef, guide[first - 1].result.coef)
                penalised = fold.penalised(alpha, l1_ratio)
                penalty = penalised.penalty if solver.penalty else None
                start = penalised.inner(start)
                runner = lockstep.Runner(penalised.objective, penalty, start, memory, limit, max_iter)
                # Where a column is zero, only a Hessian that knows leaves its coefficient at exactly zero.
                runner.lost = runner.lost or penalised.rescaled or alpha == 0.0 or fold.lacks_columns
                tasks.append((points, there, alpha, penalised, runner))
        lockstep.run([runner for *_, runner in tasks if not runner.lost])
        for points, there, alpha, penalised, runner in tasks:
            if runner.lost:
                memory = copy(there.memory) if alpha > 0.0 else Memory()
                start = runner.trial if runner.coef is None else runner.coef
                solve = penalised.solver(solver)
                result = solve(penalised.objective, start, tol=limit, max_iter=max_iter, memory=memory)
            else:
                result = runner.result()
            loss = penalised.loss(result)
            points.append(Point(alpha, penalised.outer_result(result), loss, Memory()))
            if done is not None:
                done()
    return found


def deviance_ratio(points, null):
    """Return the share of the null model's deviance that each point explains."""
    return np.array([1.0 - point.loss / null.loss for point in points])


def _start(shape, points, guide, null):
    """Return where to begin: the last coefficients, moved as those of the guide move."""
    if guide is None:
        first = np.zeros(shape) if null is None else null.coef
        return points[-1].result.coef if points else first
    there = guide[len(points)].result.coef
    if not points:
        return there
    return _moved(there, points[-1].result.coef, guide[len(points) - 1].result.coef)


def _moved(there, last, before):
    """Return coefficients as far from those of the guide as the last were; what is zero in both stays so."""
    return np.where((there == 0.0) & (last == 0.0), 0.0, last + there - before)


def _enough(points, null):
    if len(points) < MIN_VALUES:
        return False
    before, now = deviance_ratio(points[-2:], null)
    return now > ENOUGH or now - before < LITTLE * now
