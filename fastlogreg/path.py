"""Warm-started paths: the same problem under one strength of the penalty after another.

Strengths are alpha = 1 / (C Σ w), on the scale of the mean loss: glmnet's lambda. Friedman, Hastie and Tibshirani,
Journal of Statistical Software (2010), sections 2.5 and 3.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import scipy.sparse

from fastlogreg.design import as_design
from fastlogreg.objective import LogisticObjective
from fastlogreg.result import Result
from fastlogreg.solvers.newton import Memory, newton

# glmnet's: a pure L2 path, for which no finite strength makes all coefficients zero, begins where that of this share of
# L1 does; it spans so much, where there are more rows than columns and where not; and it ends early, but not before
# MIN_VALUES strengths, where so much of the deviance is explained, or another strength explains but this part more.
L2_SHARE = 1e-3
SPAN = {True: 1e-4, False: 1e-2}
MIN_VALUES = 5
ENOUGH = 0.999
LITTLE = 1e-5
# The Hessians of a path are kept for other paths to begin with where they take at most so much memory.
HESSIANS_BYTES = 2**28


class Point(NamedTuple):
    """A strength, and the optimum there."""

    alpha: float
    result: Result  # coefficients in units of X, centred over classes
    loss: float
    hessian: np.ndarray | None  # of the mean loss, near the optimum


@dataclass(frozen=True)
class Null:
    """The model of an intercept alone.

    Attributes
    ----------
    loss : float
    gradient : ndarray of shape (n_features + 1,) or (n_classes, n_features + 1)
        Of the mean loss.
    """

    loss: float
    gradient: np.ndarray


def null_model(problem):
    """Return the Null of a problem; one pass over X."""
    objective = problem.unpenalised()
    coef = np.zeros(objective.shape)
    if problem.fit_intercept:
        n_rows = len(problem.y)
        nothing = scipy.sparse.csr_array((n_rows, 1))  # a column without entries
        intercepts = LogisticObjective(
            as_design(nothing),
            problem.target,
            weight=problem.weight,
            offset=problem.offset,
            l2=1.0,
            n_classes=problem.n_classes,
        )
        coef[..., -1] = newton(intercepts, np.zeros(intercepts.shape), tol=1e-12, max_iter=100).coef[..., -1]
    return Null(*objective.value_gradient(coef))


def alpha_grid(problem, null, l1_ratios, n_alphas=100, span=None):
    """Return falling strengths, equally spaced by their logarithms.

    The first is the least at which all coefficients are zero: max_j |gradient_j| / l1_ratio at the null model, with
    L2_SHARE for smaller ratios. The last is that times span. Several ratios share one grid that covers each of theirs.

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
    largest = float(np.abs(null.gradient[..., :-1]).max())
    if not largest > 0.0:
        raise ValueError(
            "No column of X is related to y at all, so that there is no strength of the penalty to begin with. Give "
            "the strengths yourself."
        )
    shares = np.maximum(l1_ratios, L2_SHARE)
    span = SPAN[n_rows > n_columns] if span is None else span
    return np.geomspace(largest / shares.min(), largest / shares.max() * span, n_alphas)


def follow(problem, alphas, l1_ratio, solver, *, tol, max_iter, guide=None, null=None, done=None):
    """Solve a problem at falling strengths, each from the last one's coefficients.

    Parameters
    ----------
    problem : Problem
    alphas : sequence of float
        Falling; 0 for no penalty.
    l1_ratio : float
    solver : Solver
    tol : float
    max_iter : int
    guide : list of Point, optional
        The path of a problem nearby, at as many strengths: its changes from strength to strength are expected here,
        and where the solver can use them, so are its Hessians. They decide where a solve begins, not where it ends.
    null : Null, optional
        End the path early as glmnet does, judged by the deviance of this.
    done : callable, optional
        Called after each strength.

    Returns
    -------
    list of Point
        Of each strength, as far as the path went.
    """
    points: list[Point] = []
    for i, alpha in enumerate(alphas):
        penalised = problem.penalised(alpha, l1_ratio)
        start = penalised.inner(_start(penalised.objective.shape, points, guide))
        memory = Memory()
        if l1_ratio < 1.0 and alpha > 0.0:  # without a penalty the null space of the Hessian matters, not only its size
            memory.hessian = points[-1].hessian if points else None
            if guide is not None and guide[i].hessian is not None:
                memory.hessian = guide[i].hessian
        options = {"memory": memory} if solver.remembers else {}
        result = solver.function(penalised.objective, start, tol=tol, max_iter=max_iter, **options)
        loss = penalised.loss(result)
        result = penalised.outer_result(result)
        result = replace(result, coef=penalised.centred(result.coef))
        if points and 8 * result.coef.size**2 * len(alphas) > HESSIANS_BYTES:
            points[-1] = points[-1]._replace(hessian=None)
        points.append(Point(alpha, result, loss, memory.hessian))
        if done is not None:
            done()
        if null is not None and _enough(points, null):
            break
    return points


def deviance_ratio(points, null):
    """Return the share of the null model's deviance that each point explains."""
    return np.array([1.0 - point.loss / null.loss for point in points])


def _start(shape, points, guide):
    """Return where to begin: the last coefficients, moved as those of the guide move."""
    if guide is None:
        return points[-1].result.coef if points else np.zeros(shape)
    there = guide[len(points)].result.coef
    if not points:
        return there
    last, before = points[-1].result.coef, guide[len(points) - 1].result.coef
    return np.where((there == 0.0) & (last == 0.0), 0.0, last + there - before)


def _enough(points, null):
    if len(points) < MIN_VALUES:
        return False
    before, now = deviance_ratio(points[-2:], null)
    return now > ENOUGH or now - before < LITTLE * now
