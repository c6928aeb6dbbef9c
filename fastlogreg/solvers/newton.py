"""Newton's method with Cholesky solves (iteratively reweighted least squares), damped."""

from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.linalg import eigh, qr
from scipy.linalg.lapack import dpotrf, dpotrs  # their wrappers in scipy.linalg take as long as a small factor

from fastlogreg.design import SAMPLE_PART
from fastlogreg.kernels.gram import SCATTER
from fastlogreg.result import Status
from fastlogreg.solvers.pairs import MEMORY, remember, two_loops
from fastlogreg.solvers.progress import LEFT_OVER, Progress
from fastlogreg.threads import factoring

ARMIJO = 1e-4
MIN_STEP = 2.0**-40
# Pivots or eigenvalues of the scaled Hessian below this many roundings per column are treated as zero.
RANK, RANK_SINGLE = 100.0, 10.0
# Multiply-adds of a Hessian above which its products are float32: half the time, the same iterations (Kelley, SIAM
# Review 2022), because the gradient is float64. Where a float32 pivot is too small to trust, float64 takes over.
SINGLE_WORK = 1e8
# With this many rows per coefficient, where a pass is dear, the start is the optimum of one row in SAMPLE_PART.
SAMPLE_RATIO = 80
# A sample begins with a sample of its own where that has forty rows per coefficient: with fifteen, rare levels were
# separated there, and Newton took ten Hessians to come back.
SAMPLE_OF_SAMPLE = 320
# Gradients of all rows that a Hessian at the sample's optimum saves: at 100 columns two or three, and it costs one; at
# 500 one or none, and it costs three.
LAST_HESSIAN = 2.0
SAMPLE_TOL = 0.05  # of the spread of a coordinate of the gradient between samples, about 1 / sqrt(n_sampled)
FEW_MISSED = 0.1  # of the columns, that a sample hardly holds
# Up to so many coefficients the Hessian rides along with the gradient nearly for free, and one kernel less is
# compiled in a cold process.
CHEAP_HESSIAN = 32
# Above so many multiply-adds a Hessian of even so few takes a few gradients: at 10⁶ x 30 four, on a Zen 3.
CHEAP_WORK = 5e8
# {two classes: coefficients for which a Hessian takes as long as a gradient}, and how many Hessians are expected where
# one is not enough.
HESSIAN_COST = {True: 16.0, False: 4.0}
RENEWALS = 1.5
# Gradients up to whose time a Hessian is found at every iterate. Rows in CSR with m entries take 0.6 m² ns of one
# thread for it, or as long as a dense panel where that is less, and 3 m + 8 ns for a gradient. A sample then has to be
# nearer to the optimum than two steps from zero, which takes more rows for each coefficient.
CHEAP, CHEAP_RATIO = 3.0, 1000
ROUGHLY = 5.0  # gradients to a rough answer from a Hessian far away
# Roundings of the objective within which violation² may lie if a failed Newton step is put down to rounding, for about
# half of violation² is to be gained; and the longest step tried where it is not.
FLAT = 64.0
LONGEST = 2.0**30
# A linear predictor that moves by less along a direction of size 1 in scaled coordinates does not move.
UNCHANGED = 1e-4
NOISE = 1e-9  # of a null vector of size 1
ROUNDING = 1e-16  # the least violation to hope for, where tol is less
# Violation above which L-BFGS goes on where no Newton step helps: offsets of 10⁴ leave hardly any curvature, and what
# there is misleads.
STUCK = 1e-5
# Where a pass is dear, tol bounds the relative suboptimality that the Hessian tells, too: so much of it where that is
# the Hessian of the iterate, and so much where it is older, or a sample's, in which a rare column may count too much.
SURE, UNSURE = 0.25, 0.02
# Elsewhere so many iterations more are made where it is above LEFT · tol² for each coefficient still: with one event
# in 10⁵ rows all gradients are small, and a violation of 10⁻⁸ is three digits of the intercept.
MORE, LEFT = 3, 10.0


def scattered(objective):
    """Whether the Hessian is summed entry by entry of sparse rows."""
    entries = objective.design.entries_per_row
    return objective.binary and objective.design.sparse and SCATTER * entries**2 < objective.n_coef**2


def hessian_cost(objective):
    """Return the number of gradients that take as long as a Hessian."""
    if not objective.binary or not objective.design.sparse:
        return objective.n_coef / HESSIAN_COST[objective.binary]
    return sparse_hessian_cost(objective.design.entries_per_row, objective.n_coef)


def sparse_hessian_cost(entries, n_coef):
    """Return the number of gradients that take as long as a Hessian, for two classes and so many entries a row."""
    return 0.6 * min(entries**2, n_coef**2 / SCATTER) / (3.0 * entries + 8.0)


class Inverse:
    """H⁻¹ by Cholesky in scaled coordinates, or the pseudo-inverse where H is singular to working precision."""

    def __init__(self, hessian, scales, precision):
        # Unit diagonal: the Cholesky pivots of a matrix so scaled tell singularity apart from bad units.
        root = np.sqrt(np.diag(hessian))
        self.scales = np.where(root > 0.0, root, scales)
        scaled = hessian / self.scales / self.scales[:, None]
        self.null_space = None
        # In float32 only the step suffers, which a float64 gradient corrects: what counts are typical roundings.
        rank = RANK * len(scaled) if precision == np.float64 else RANK_SINGLE * np.sqrt(len(scaled))
        cut = rank * np.finfo(precision).eps
        with factoring(len(scaled)):
            self.factor, failed = dpotrf(scaled, lower=1)
        if not failed and np.diag(self.factor).min() ** 2 > cut:
            return
        self.factor = None
        if precision != np.float64:
            return
        with factoring(len(scaled)):
            values, vectors = eigh(scaled, check_finite=False)
            kept = values > cut * values[-1]
            self.values, self.vectors = values[kept], vectors[:, kept]
            self.null_space = _sparse_basis(vectors[:, ~kept]) / self.scales[:, None]

    @property
    def trusted(self):
        """Whether the precision of the Hessian was enough to solve with it."""
        return self.factor is not None or self.null_space is not None

    def solve(self, gradient):
        """Return H⁻¹ gradient, of least norm in scaled coordinates where H is singular; or of several, as rows."""
        scaled = gradient / self.scales
        if self.factor is not None:
            solution = dpotrs(self.factor, scaled.T, lower=1)[0].T
        else:
            solution = ((scaled @ self.vectors) / self.values) @ self.vectors.T
        return solution / self.scales


def _sparse_basis(vectors):
    """Return vectors of the same span with zeros where only rounding is: columns of odd units would magnify it."""
    n_vectors = vectors.shape[1]
    _, _, order = qr(vectors.T, mode="economic", pivoting=True, check_finite=False)
    basis = np.linalg.solve(vectors[order[:n_vectors]].T, vectors.T).T
    basis[np.abs(basis) < NOISE] = 0.0
    return basis


class Memory:
    """The Hessian of the mean loss that a solve ended with, for another one of nearly the same objective to begin with.

    Attributes
    ----------
    hessian : ndarray or None
        Without the penalty, which may differ; of the coefficients of all columns or of some.
    pairs : list of (change, gradient change)
        What L-BFGS learned since, without the penalty.
    columns : ndarray or None
        Which, for solvers with working sets.
    at : tuple (coef, loss, gradient) or None
        What is known of a place, without the penalty: a solve that begins there need not look. Then, where it ended.
    """

    def __init__(self):
        self.hessian: Any = None
        self.pairs: list = []
        self.columns: Any = None
        self.at: Any = None


class Curvature:
    """The inverse Hessian at some iterate, corrected by what the gradients of later iterates tell about it (L-BFGS).

    A Hessian costs as much as n_coef / HESSIAN_COST gradients, and changes little near the optimum: an old one and
    three or four gradients reach as far as a new one.
    """

    def __init__(self, objective, memory=None):
        self.objective = objective
        self.memory = memory
        self.scales = np.broadcast_to(objective.coordinates.scales, objective.shape).ravel()
        self.precision: type[np.floating] = np.float64
        dear = objective.design.shape[0] * objective.n_coef**2 > SINGLE_WORK and not scattered(objective)
        exact = objective.design.dtype == np.float32  # as it is, a panel in float32 serves for the gradient too
        if objective.binary and dear and (exact or objective.n_coef > CHEAP_HESSIAN):
            self.precision = np.float32
        self.cost = hessian_cost(objective)
        self.cheap = cheap(objective)
        self.pairs: deque = deque(maxlen=MEMORY)
        self.inverse: Any = None
        self.fresh = False  # whether the Hessian is that of the current iterate

    def with_hessian(self, coef):
        """Return value, gradient and Hessian at coef."""
        return self.objective.value_gradient_hessian(coef, self.precision)

    def update(self, coef, hessian):
        """Take the Hessian at the current iterate, in float64 where float32 cannot be solved with."""
        if self.precision == np.float32:
            inverse = self._inverse(hessian) if np.isfinite(hessian).all() else None
            if inverse is None or not inverse.trusted:
                self.precision = np.float64
                hessian = self.with_hessian(coef)[2]
        if self.precision == np.float64:
            self.objective.check_finite(hessian)
            inverse = self._inverse(hessian)
        self.inverse, self.fresh = inverse, True
        self.pairs.clear()
        if self.memory is not None:
            self.memory.hessian = plus_l2(hessian, -self.objective.l2, self.objective.shape[-1])

    def recall(self):
        """Take the Hessian of the memory, if there is one fit for it; return whether."""
        if self.memory is None or self.memory.hessian is None:
            return False
        hessian = plus_l2(self.memory.hessian, self.objective.l2, self.objective.shape[-1])
        inverse = self._inverse(hessian)
        if inverse.factor is None:
            return False
        self.inverse = inverse
        for change, gradient_change in self.memory.pairs:
            remember(self.pairs, change, gradient_change + self._penalty_gradient(change))
        return True

    def leave(self):
        """Put into the memory what was learned since its Hessian was found."""
        if self.memory is not None and self.memory.hessian is not None:
            self.memory.pairs = [(step, change - self._penalty_gradient(step)) for step, change, _ in self.pairs]

    def _penalty_gradient(self, change):
        scaled = change.reshape(self.objective.shape).copy()
        scaled[..., :-1] *= self.objective.l2
        scaled[..., -1] = 0.0
        return scaled.ravel()

    def _inverse(self, hessian):
        return Inverse(pinned(self.objective, hessian), self.scales, self.precision)

    def learn(self, change, gradient_change):
        """Take a step and the change of the gradient along it, where the Hessian is older."""
        remember(self.pairs, change, gradient_change)
        self.fresh = False

    def solve(self, gradient):
        """Return the inverse Hessian estimate times the gradient."""
        solution = -two_loops(gradient, self.pairs, self.inverse.solve)
        if not self.objective.fit_intercept:  # where a pseudo-inverse leaves rounding
            solution.reshape(self.objective.shape)[..., -1] = 0.0
        return solution

    def worth_renewing(self, progress, decrement, rough):
        """Whether the next iterate deserves a Hessian: where gradients alone would take longer to the end."""
        if self.cheap:
            return True
        predicted = progress.predicted_violation() if self.fresh else np.inf
        left = 0.5 * decrement * (predicted / progress.violation) ** 2
        if predicted <= 0.5 * progress.tol:
            return False
        if self.objective.design.large and left <= UNSURE * progress.tol * progress.value:
            return False
        if progress.n_iter == 0:
            # A Hessian from far away; that of a sample at its optimum is near, and a rough answer is not far.
            return self.fresh and not (rough and self.cost > ROUGHLY)
        if self.cost <= CHEAP:
            return True
        before, now = progress.history[-2][1], progress.history[-1][1]
        if now >= before:
            return True
        gradients = np.log(max(progress.tol, ROUNDING) / now) / np.log(now / before)
        return bool(gradients > RENEWALS * (1.0 + self.cost))


def cheap(objective):
    """Whether the Hessian rides along with the gradient nearly for free."""
    return objective.n_coef <= CHEAP_HESSIAN and objective.design.shape[0] * objective.n_coef**2 <= CHEAP_WORK


def newton(objective, start, *, tol, max_iter, callback=None, after=None, memory=None):
    """Minimise by coef ← coef - step · H⁻¹ g.

    The step is halved until the objective falls by at least ARMIJO times what the gradient promises. Value, gradient
    and Hessian come from one pass. Where the Hessian is dear, that of an earlier iterate is used as long as it serves,
    corrected by L-BFGS. Where H is singular the step is the one of least norm, and without a penalty so is the answer:
    of all optima, the one whose coefficients (intercept not counted) have the least norm.

    Parameters
    ----------
    objective : LogisticObjective
    start : ndarray of objective.shape
    tol : float
        Stop when the violation is at most tol and, by the Hessian, the objective within LEFT n_coef tol² of
        its least, relatively.
        Where a pass is dear, stop within SURE · tol (UNSURE · tol by an older Hessian) of the least, whatever the
        violation. The step that tells it is taken all the same, but no longer looked at: value and violation are those
        of the iterate before.
    max_iter : int
    callback : callable, optional
        Called after every iteration with the Progress; a true answer stops.
    after : Result, optional
        Of the solver that came to start; its iterations are counted and its history is continued.
    memory : Memory, optional
        Of a solve nearby: its Hessian stands for the first one here, and the last one here takes its place.

    Returns
    -------
    Result

    References
    ----------
    Nocedal and Wright, Numerical Optimization (2006), sections 3.1, 3.4 and 7.2.
    """
    result, curvature = _minimise(objective, start, tol, max_iter, callback, after, memory)
    if result.status is Status.PRECISION and result.violation > max(tol, STUCK):
        from fastlogreg.solvers.lbfgs import lbfgs  # which needs this module

        further = lbfgs(objective, result.coef, tol=tol, max_iter=max_iter, callback=callback, after=result)
        return replace(further, step=None)  # no Newton step, as others take it to be
    null_space = curvature.inverse.null_space
    if objective.penalised or null_space is None:
        return result
    if not changes_nothing(objective, null_space):  # some probabilities are all but 0 or 1, and with them curvatures 0
        return replace(result, step=None)
    coef = least_norm(result.coef, null_space)
    found = still_optimal(objective, coef, result.status, result.objective, max(tol, result.violation))
    if found is None:
        return replace(result, step=None, n_passes=objective.n_passes)
    value, violation = found
    history = np.vstack([result.history[:-1], [value, violation, objective.n_passes]])
    at = {"coef": coef, "objective": value, "violation": violation, "history": history}
    return replace(result, **at, dependent=dependent(objective, null_space), n_passes=objective.n_passes)


def _minimise(objective, start, tol, max_iter, callback=None, after=None, memory=None, rough=False):
    """Return the Result of `newton` and the Curvature it ended with; rough: the violation alone decides."""
    progress = Progress(objective, tol, max_iter, callback, after)
    curvature = Curvature(objective, memory)
    coef, left = start, np.inf  # left: what the last step leaves to gain, where it is that which ends the fit
    if not curvature.recall():
        coef, curvature.inverse = _sample_start(objective, start, tol, max_iter, after is not None, rough)
    if rough and coef is start:
        coef = at_odds(objective, start)
    while True:
        value, gradient, *rest = (objective.value_gradient if curvature.inverse else curvature.with_hessian)(coef)
        if coef is start or value <= np.log(objective.n_classes):  # the loss at zero
            break
        coef, curvature.inverse = start, None  # the sample misled
    if rest:
        curvature.update(coef, *rest)
    converged = 0  # iterates with a violation of at most tol
    while True:
        status = progress.record(value, objective.violation(gradient))
        converged += status is Status.CONVERGED
        if status not in (None, Status.CONVERGED) or (converged and rough) or max_iter == 0:
            break
        direction = -curvature.solve(gradient.ravel()).reshape(coef.shape)
        decrement = -float(np.sum(gradient * direction))
        if objective.design.large:
            # Where the linear predictors are huge and wrong there is no curvature, and no promise either.
            regular = progress.violation <= np.sqrt(tol)
            promise = progress.promise(0.5 * decrement)
            enough = 0.5 * decrement <= tol * value * (SURE if curvature.fresh else UNSURE)
            if regular and (enough or promise <= LEFT_OVER * tol * value):
                status, coef = Status.CONVERGED, coef + direction
                left = np.inf if enough else promise
                break
        elif converged and 0.5 * decrement <= LEFT * objective.n_coef * tol * tol * value:
            status = Status.CONVERGED
            break
        if converged > MORE:  # with separated classes no decrement is small beside the objective
            status = Status.CONVERGED
            break
        renew = curvature.worth_renewing(progress, decrement, rough)
        evaluate = curvature.with_hessian if renew else objective.value_gradient
        accepted = search(evaluate, coef, value, direction, decrement, objective.noise(coef))
        if accepted is None:
            if status is Status.CONVERGED:
                break
            if not curvature.fresh:
                curvature.update(coef, curvature.with_hessian(coef)[2])
                progress.history.pop()
                continue
            accepted = escape(curvature.with_hessian, objective, coef, value, gradient)
            if accepted is None:
                status = Status.PRECISION
                break
        new_coef, value, new_gradient, *rest = accepted
        if rest:
            curvature.update(new_coef, *rest)
        else:
            curvature.learn((new_coef - coef).ravel(), (new_gradient - gradient).ravel())
        coef, gradient = new_coef, new_gradient
    curvature.leave()
    step = -curvature.solve(gradient.ravel()).reshape(coef.shape)
    suboptimality = min(-0.5 * float(np.sum(gradient * step)), left)
    return progress.result(coef, status, suboptimality, step=step), curvature


def _sample_start(objective, start, tol, max_iter, near, rough):
    """Return the optimum of a sample of the rows and its inverse Hessian where there are plenty, else start and None.

    The optimum of a sample lies within about sqrt(p / n_sampled) of the full one, relatively; its Hessian likewise.
    Near the optimum of all rows, the Hessian of the sample there is all that is asked.
    """
    n_rows = objective.design.shape[0]
    ratio = CHEAP_RATIO if scattered(objective) and hessian_cost(objective) <= CHEAP else SAMPLE_RATIO
    least = (SAMPLE_OF_SAMPLE if rough else ratio) * objective.n_coef
    if n_rows < least or not objective.design.large or (start.any() and not near):
        return start, None
    sample = objective.enriched() or objective.sample(n_rows // SAMPLE_PART)
    if sample.total_weight == 0.0:
        return start, None
    n_sampled = sample.design.shape[0]
    memory = Memory()
    if near:
        curvature, coef = Curvature(sample, memory), start
        curvature.update(start, curvature.with_hessian(start)[2])
    else:
        enough = max(tol, sampling_error(objective, n_sampled, SAMPLE_TOL))
        result, curvature = _minimise(sample, start, enough, max_iter, memory=memory, rough=True)
        worth_it = not cheap(objective) and curvature.cost < LAST_HESSIAN * SAMPLE_PART
        if result.converged and not curvature.fresh and worth_it:
            curvature.update(result.coef, curvature.with_hessian(result.coef)[2])
        coef = with_odds_of(objective, sample, result.coef) if result.converged else start
    inverse = _inverse_for_all(objective, sample, curvature) if near or result.converged else None
    objective.n_passes += sample.n_passes * n_sampled / n_rows
    return coef, inverse


def _inverse_for_all(objective, sample, curvature):
    """Return the inverse Hessian of a sample where it can stand for that of all rows, else None.

    A column that is rare and hardly in the sample is nearly orthogonal to all others in any Hessian: its share of the
    squares tells its place on the diagonal.
    """
    if cheap(objective):
        return None
    missed = objective.missed(sample)
    if not missed.any():
        return curvature.inverse if curvature.inverse.factor is not None else None
    if not objective.binary or missed.mean() > FEW_MISSED or curvature.memory.hessian is None:
        return None
    hessian, squares = curvature.memory.hessian, objective.coordinates.mean_squares
    curvatures = np.diag(hessian)[:-1][~missed] / squares[~missed]
    missed = np.flatnonzero(missed)
    hessian[missed] = hessian[:, missed] = 0.0
    hessian[missed, missed] = np.median(curvatures) * squares[missed]
    hessian = plus_l2(hessian, objective.l2, objective.n_coef)
    inverse = Inverse(hessian, curvature.scales, curvature.precision)
    return inverse if inverse.factor is not None else None


def sampling_error(objective, n_sampled, part):
    """Return a part of the spread of a coordinate of the gradient between samples, about 1 / sqrt(n_sampled)."""
    share = objective.positive_share() if objective.binary else 0.5
    share = min(max(share, 1e-6), 1.0 - 1e-6)
    return part * 2.0 * float(np.sqrt(share * (1.0 - share) / n_sampled))


def at_odds(objective, start):
    """Return start with the intercept of the classes' odds: with rare events Newton's way from zero to it is long."""
    if not (objective.binary and objective.fit_intercept) or start.any():
        return start
    coef = start.copy()
    coef[-1] = _logit(objective.positive_share())
    return coef


def with_odds_of(objective, sample, coef):
    """Return coefficients of a sample with the intercept that all rows would have.

    Other odds in the sample, of rows sorted by class or rare events, change the intercept and little else (King and
    Zeng, Political Analysis 9 (2001) 137-163).
    """
    if not (objective.binary and objective.fit_intercept):
        return coef
    coef = coef.copy()
    coef[-1] += _logit(objective.positive_share()) - _logit(sample.positive_share())
    return coef


def _logit(share):
    share = min(max(share, 1e-6), 1.0 - 1e-6)
    return float(np.log(share / (1.0 - share)))


def search(evaluate, coef, value, direction, decrement, noise=0.0):
    """Return (coef, value, gradient[, hessian]) after the first of the steps 1, ½, ¼, … that lowers the value.

    Or leaves it within its rounding, or noise above it.
    """
    step = 1.0
    while step > MIN_STEP:
        trial = coef + step * direction
        new_value, *derivatives = evaluate(trial)
        rounding = 8.0 * np.finfo(float).eps * abs(value)
        if new_value <= value - ARMIJO * step * decrement + rounding + noise:
            return trial, new_value, *derivatives
        step *= 0.5
    return None


def escape(evaluate, objective, coef, value, gradient):
    """Return what `search` does along the steepest descent in centred and scaled coordinates, from a huge step down.

    For where no Newton step helps and yet the gradient is no rounding: all probabilities are 0 or 1, the Hessian is
    next to nothing and points anywhere, as with offsets of 10⁴, or where the rows that weigh anything are saturated.
    """
    if objective.violation(gradient) ** 2 <= FLAT * np.finfo(float).eps * value:
        return None
    slopes = objective.coordinates.gradient(gradient)
    direction = -LONGEST * objective.coordinates.outer(slopes)
    return search(evaluate, coef, value, direction, LONGEST * float(np.sum(slopes**2)))


def plus_l2(hessian, l2, size):
    """Return a Hessian of classes with so many coefficients plus that of an L2 penalty."""
    changed = hessian.copy()
    np.einsum("ii->i", changed).reshape(-1, size)[:, :-1] += l2
    return changed


def pinned(objective, hessian):
    """Return a Hessian that is regular along shifts of all classes at once that change neither loss nor penalty.

    The gradient and every step are orthogonal to such a shift, so the curvature it is given has no effect.
    """
    if objective.binary:
        return hessian
    n_classes, size = objective.shape
    curvature = np.diag(hessian).reshape(n_classes, size).mean(axis=0) / n_classes
    curvature[:-1] *= objective.l2 == 0.0
    return hessian + np.tile(np.diag(curvature), (n_classes, n_classes))


def changes_nothing(objective, null_space):
    """Whether null vectors of a Hessian change no linear predictor; one pass for a combination of all of them."""
    columns = null_space.reshape(*objective.shape, -1)
    inner = objective.coordinates.inner
    columns = columns / np.array([np.abs(inner(columns[..., j])).max() for j in range(columns.shape[-1])])
    mixture = columns @ np.random.default_rng(0).uniform(1.0, 2.0, columns.shape[-1])
    eta = objective.counted(objective.predictors(mixture / np.abs(inner(mixture)).max()))
    return bool(np.abs(eta - eta[:, :1] * (eta.shape[1] > 1)).max() < UNCHANGED)


def still_optimal(objective, coef, status, value, tol):
    """Return value and violation of an optimum that was moved to coef, or None where it is none any more; one pass.

    What looks like a dependence may be a column far from zero, whose variance is lost in rounding: along coefficients
    of 10⁹ that balance, even a part of 10⁻⁶ that is not null moves linear predictors by hundreds.
    """
    moved, gradient = objective.value_gradient(coef)
    violation = objective.violation(gradient)
    same = moved <= value + 8.0 * np.finfo(float).eps * abs(value)
    return (moved, violation) if same and (status is not Status.CONVERGED or violation <= tol) else None


def dependent(objective, null_space):
    """Return the columns of X that take part in null vectors."""
    columns = null_space.reshape(*objective.shape, -1)
    parts = np.abs(columns[..., :-1, :] * objective.coordinates.scales[:-1, None])
    parts = parts.reshape(-1, *parts.shape[-2:]).max(axis=0)
    return np.flatnonzero((parts > UNCHANGED * parts.max(axis=0)).any(axis=1))


def least_norm(coef, null_space):
    """Move along directions that change no linear predictor to the least norm, intercept not counted."""
    columns = null_space.reshape(*coef.shape, -1)
    slopes = columns[..., :-1, :].reshape(-1, columns.shape[-1])
    sizes = np.abs(slopes).max(axis=0)
    sizes[sizes == 0.0] = 1.0
    slopes, columns = slopes / sizes, columns / sizes
    move, *_ = np.linalg.lstsq(slopes, -coef[..., :-1].ravel(), rcond=None)
    return coef + columns @ move
