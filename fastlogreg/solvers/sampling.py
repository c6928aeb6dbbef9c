"""Starts from samples of the rows: how near to its optimum to go, and what of it all rows share."""

import numpy as np

from fastlogreg.design import SAMPLE_PART

# With so many rows per coefficient, where a pass is dear, solvers start at the optimum of one row in SAMPLE_PART.
SAMPLE_RATIO = 80
SAMPLE_TOL = 0.05  # of the spread of a coordinate of the gradient between samples, about 1 / sqrt(n_sampled)
# Doubles a row that a sample rich in rare events may copy, how many times as many others it must hold, and how many
# neighbours are taken together.
ENRICHED_DOUBLES, RARE, NEIGHBOURS = 2.0, 4, 16


def enriched(objective):
    """Return the objective of all rows of a rare class and of some others, weighted to stand for all, or None.

    What is known of rare events rests on them: with all of a thousand events and one row in fifteen of a million
    others the optimum is ten times nearer than with one row in eight of each. None where neither class is rare
    enough for such rows, as many as leave a copy small, to be mostly of the other. A run of neighbours is read at
    once.

    References
    ----------
    King and Zeng, Political Analysis 9 (2001) 137-163: weighting.
    """
    if not objective.binary or objective.design.runs is not None:
        return None
    n_rows, n_columns = objective.design.shape
    y, weight, _ = objective.row_values
    share = y.mean() if weight.size else objective.positive_share
    n_rare = n_rows * min(share, 1.0 - share)
    n_others = int(n_rows * min(ENRICHED_DOUBLES / n_columns, 0.5 / SAMPLE_PART))
    if not max(1, RARE * n_rare, NEIGHBOURS * objective.n_coef) <= n_others:
        return None
    common = 0.0 if share < 0.5 else 1.0
    rare = np.flatnonzero(y != common)
    edges = np.arange(n_others // NEIGHBOURS + 1) * n_rows // (n_others // NEIGHBOURS)
    starts = np.random.default_rng(0).integers(edges[:-1], edges[1:] - NEIGHBOURS + 1)
    others = (starts[:, None] + np.arange(NEIGHBOURS)).ravel()
    others = others[y[others] == common]
    weight = weight if weight.size else np.ones(n_rows)
    taken = weight[others].sum()
    if taken == 0.0:
        return None
    factor = (objective.total_weight - weight[rare].sum()) / taken
    weights = np.concatenate([weight[rare], factor * weight[others]])
    return objective.rows_at(np.concatenate([rare, others]), weights)


def sampling_error(objective, n_sampled):
    """Return how small a violation is asked of a sample of so many rows."""
    share = objective.positive_share if objective.binary else 0.5
    share = min(max(share, 1e-6), 1.0 - 1e-6)
    return SAMPLE_TOL * 2.0 * float(np.sqrt(share * (1.0 - share) / n_sampled))


def at_odds(objective, start):
    """Return start with the intercept of the classes' odds: with rare events Newton's way from zero to it is long."""
    if not (objective.binary and objective.fit_intercept) or start.any():
        return start
    coef = start.copy()
    coef[-1] = _logit(objective.positive_share)
    return coef


def with_odds_of(objective, sample, coef):
    """Return coefficients of a sample with the intercept that all rows would have.

    Other odds in the sample, of rows sorted by class or rare events, change the intercept and little else (King and
    Zeng, Political Analysis 9 (2001) 137-163).
    """
    if not (objective.binary and objective.fit_intercept):
        return coef
    coef = coef.copy()
    coef[-1] += _logit(objective.positive_share) - _logit(sample.positive_share)
    return coef


def _logit(share):
    share = min(max(share, 1e-6), 1.0 - 1e-6)
    return float(np.log(share / (1.0 - share)))
