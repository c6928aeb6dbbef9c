"""Truncated Newton: each step solved by conjugate gradients on Hessian-vector products."""

import functools

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

from fastlogreg import hessian_sums
from fastlogreg.design import SAMPLE_PART
from fastlogreg.objective import COVERED, SPARSE
from fastlogreg.result import Status
from fastlogreg.solvers.curvature import UNSURE
from fastlogreg.solvers.inverse import Inverse
from fastlogreg.solvers.line_search import escape, search
from fastlogreg.solvers.progress import LEFT_OVER, Progress
from fastlogreg.solvers.sampling import SAMPLE_RATIO, SAMPLE_TOL
from fastlogreg.solvers.shortest import shortest

MAX_PRODUCTS = 200
# Where enough is reached is decided after so many products, when the last added at most this part of what they told.
FIRST_PRODUCTS, LAST_PART = 3, 0.2
# The residual asked of the last inner solve, as a part of what tol asks of the gradient.
LAST_RESIDUAL = 0.3
FAINT = 1e-10  # penalties that are not felt beside the curvature of the loss
# Most of the residual that an inner solve may leave. With classes, whose gradients are shares of the whole, less would
# be spent on steps that are far from the optimum anyway: 100 classes took 52 products where 0.07 was asked at first.
LOOSE = {True: 0.5, False: 0.25}
LEAST_SINGLE = 1e-3  # residual asked of float32
NEAR = 1e-3  # violation times classes below which a step in float32 that does not halve it has lost its digits
# How far the largest eigenvalue of the inverse Hessian over the preconditioner may be above those of inner solves.
DOUBT = 2.0
LEAST_SHARE = 1e-8  # of a class whose mean is known
# Curvature, as a part of the largest met, that is but the square of the rounding of linear predictors: up to (64 ε)²
# for a constant column and the intercept that balances it. At tol=0 a step along them made coefficients of 10¹⁴.
FLAT_PART = (256.0 * np.finfo(float).eps) ** 2


def newton_cg(objective, start, *, tol, max_iter, callback=None, after=None, max_passes=np.inf):
    """Minimise by coef ← coef + step · direction, with H direction ≈ -g from preconditioned conjugate gradients.

    The residual asked of the inner solve shrinks with the violation, so that convergence is superlinear. The
    preconditioner is the scale and centre of the columns (see Coordinates), and no p × p array is formed; for more than
    two classes, where X is dense, see ClassPreconditioner. Where a pass is dear, products for these are in float32, for
    only steps suffer, and the start is the optimum of a sample where there are plenty of rows.

    Parameters
    ----------
    objective : LogisticObjective
    start : ndarray of objective.shape
    tol : float
        Stop when the violation is at most tol, or, where a pass is dear, when the first conjugate gradients tell that
        the objective is within UNSURE · tol of its least, relatively, or the rate of the last three steps that this one
        will leave LEFT_OVER · tol. That step is taken all the same, but no longer looked at: value and violation are
        those of the iterate before.
    max_iter : int
    callback : callable, optional
        Called after every iteration with the Progress; a true answer stops.
    after : Result, optional
        Of the solver that came to start; its iterations are counted and its history is continued.
    max_passes : float
        Stop, out of passes, when the objective has counted so many.

    Returns
    -------
    Result

    References
    ----------
    Nocedal and Wright, Numerical Optimization (2006), section 7.1.
    """
    progress = Progress(objective, tol, max_iter, callback, after)
    single = not objective.binary and objective.design.large and objective.single_serves
    coef = start if after else _sample_start(objective, start, tol, max_iter)
    while True:
        evaluate = _evaluator(objective, single)
        value, gradient = evaluate(coef)
        if coef is start or value <= np.log(objective.n_classes):  # the loss at zero
            break
        coef = start  # the sample misled
    precondition, inflation = None, 0.0
    suboptimality, step = np.nan, None
    while (status := progress.record(value, objective.violation(gradient))) is None:
        if objective.n_passes >= max_passes:
            status = Status.OUT_OF_PASSES
            break
        precondition = precondition or preconditioner(objective)
        precondition.update(coef, gradient)
        enough = UNSURE * tol * value if objective.design.large and progress.violation <= np.sqrt(tol) else 0.0
        rough = precondition(-gradient)
        promised = -0.5 * inflation * float(np.sum(gradient * rough))
        if DOUBT * promised <= enough and promised > 0.0:
            status, suboptimality, step = Status.CONVERGED, promised, inflation * rough
            break
        n_classes = 1 if objective.binary else objective.n_classes
        forcing = min(LOOSE[objective.binary], np.sqrt(n_classes * progress.violation))
        forcing = max(forcing, min(0.5, LAST_RESIDUAL * tol / progress.violation), LEAST_SINGLE * single)
        most = int(min(MAX_PRODUCTS, max(1.0, max_passes - objective.n_passes)))
        product = objective.hessian_products(coef, np.float32 if single else np.float64)
        limits, before = (enough, most, np.finfo(float).eps * value), objective.n_passes
        direction, finished, spread = conjugate_gradients(product, gradient, forcing, precondition, *limits)
        inflation = 0.0 if objective.binary else max(inflation, spread)
        decrement = -float(np.sum(gradient * direction))
        left = progress.promise(0.5 * decrement)
        solved = objective.n_passes - before < most  # else the promise is that of a part of the step
        last = solved and enough > 0.0 and left <= LEFT_OVER * tol * value
        if finished or last:
            suboptimality = min(0.5 * decrement, left)
            status, coef, step = Status.CONVERGED, coef + direction, direction
            break
        accepted = search(evaluate, coef, value, direction, decrement)
        if accepted is None and single:
            single, evaluate = False, _evaluator(objective, False)
            progress.history.pop()
            continue
        if accepted is None:
            accepted = escape(evaluate, objective, coef, value, gradient)
        if accepted is None:
            status = Status.PRECISION
            break
        coef, value, gradient = accepted
        shrinkage = objective.violation(gradient) / max(progress.violation, np.finfo(float).tiny)
        suboptimality, step = 0.5 * decrement * shrinkage**2, shrinkage * direction
        if single and shrinkage > 0.5 and n_classes * progress.violation < NEAR:
            single, evaluate = False, _evaluator(objective, False)
    coef, dependent = shortest(progress, coef, status)
    return progress.result(coef, status, suboptimality, step=step, dependent=dependent)


def _evaluator(objective, single):
    """Return value_gradient; of classes, so that it keeps what products with the Hessian will need."""
    if objective.binary:
        return objective.value_gradient
    return functools.partial(objective.value_gradient, keep=np.float32 if single else np.float64)


def _sample_start(objective, start, tol, max_iter):
    """Return the optimum of a sample of the rows, with the odds of all rows, where there are plenty, else start."""
    n_rows = objective.design.shape[0]
    if objective.binary or n_rows < SAMPLE_RATIO * objective.n_coef or not objective.design.large or start.any():
        return start
    sample = objective.sample(n_rows // SAMPLE_PART)
    if sample.total_weight == 0.0:
        return start
    all_shares, shares = objective.class_shares(), sample.class_shares()
    if not ((all_shares < COVERED * shares) & (shares < COVERED * all_shares)).all() or objective.missed(sample).any():
        return start
    n_sampled = sample.design.shape[0]
    result = newton_cg(sample, start, tol=max(tol, SAMPLE_TOL / np.sqrt(n_sampled)), max_iter=max_iter)
    objective.n_passes += sample.n_passes * n_sampled / n_rows
    if not result.converged:
        return start
    coef = result.coef.copy()
    if objective.fit_intercept:
        odds = np.log(all_shares / shares)
        coef[:, -1] += odds - odds.mean()
    return coef


def preconditioner(objective):
    """Return a function of a gradient that applies a rough inverse of the Hessian at where it was updated last."""
    n_rows, n_columns = objective.design.shape
    if objective.binary or objective.design.density < SPARSE or not n_columns < min(hessian_sums.OWN, n_rows):
        return ColumnPreconditioner(objective.coordinates)
    return ClassPreconditioner(objective)


class ColumnPreconditioner:
    """The inverse Hessian of independent columns of curvature one: the scale and centre of each."""

    def __init__(self, coordinates):
        self.coordinates = coordinates

    def update(self, coef, gradient):
        """Nothing: it is the same everywhere."""

    def __call__(self, gradient):
        """Return the rough inverse Hessian times the gradient."""
        return self.coordinates.outer(self.coordinates.gradient(gradient))


class ClassPreconditioner:
    """H⁻¹ of classes apart: that of class k is c_k T_kᵀ G T_k and the penalty, G = Σ w x xᵀ / Σ w.

    c_k is the mean of prob_k (1 - prob_k). Rows count in the Hessian of a class as far as they may be of it, and lie
    about its mean, not that of all: T_k moves the intercept there. For 30 classes with as many rows as columns each
    that left 9 of 18 products to 10⁻⁶ of the suboptimality. The classes' exact Hessians would need five, but cost as
    much as a hundred; pairs of L-BFGS from earlier inner solves saved none.
    """

    def __init__(self, objective):
        self.objective = objective
        n_columns = objective.design.shape[1]
        self.gram = 4.0 * objective.gram()
        self.penalty = np.append(np.broadcast_to(objective.l2, n_columns), 0.0)
        self.inverses = {}
        self.class_sums = None
        self.means = np.zeros((objective.n_classes, n_columns))  # of the classes, less those of all rows
        self.curvatures = np.ones(objective.n_classes)

    def update(self, coef, gradient):
        """Take the means and curvatures of the classes at the iterate that was evaluated last."""
        objective = self.objective
        self.curvatures = np.maximum(objective.class_curvatures(coef), 1e-12)
        if not objective.fit_intercept:
            return
        if self.class_sums is None:
            self.class_sums = self._class_sums(coef, gradient)
        sums = gradient + self.class_sums
        sums[:, :-1] -= objective.l2 * coef[:, :-1]
        shares = sums[:, -1:]
        known = shares > LEAST_SHARE
        self.means = np.divide(sums[:, :-1], shares, out=np.zeros_like(self.means), where=known)
        self.means -= self.gram[-1, :-1] * known

    def _class_sums(self, coef, gradient):
        """Return Σ w (x, 1) of every class, divided by Σ w: at zero all slopes are 1 / K less the class."""
        if coef.any() or self.objective.has_offset:
            gradient = self.objective.without_offset().value_gradient(np.zeros_like(coef))[1]
            self.objective.n_passes += 1.0
        return self.gram[-1] / len(coef) - gradient

    def _inverse(self, power):
        if power not in self.inverses:
            hessian = power * self.gram + np.diag(self.penalty)
            self.inverses[power] = Inverse(hessian, self.objective.coordinates.scales, np.float64)
        return self.inverses[power]

    def __call__(self, gradient):
        """Return the rough inverse Hessian times the gradient."""
        # A shift of all classes at once has no curvature but the penalty's.
        shift = gradient.mean(axis=0)
        inner = gradient - shift
        inner[:, :-1] -= self.means * inner[:, -1:]
        # A power of two is near enough for the penalty, and few of them have to be factored.
        powers = np.exp2(np.round(np.log2(self.curvatures)))
        solved = np.empty_like(inner)
        for power in set(powers):
            classes = powers == power
            solved[classes] = self._inverse(power).solve(inner[classes])
        solved *= (powers / self.curvatures)[:, None]
        solved[:, -1] -= np.sum(self.means * solved[:, :-1], axis=1)
        felt = self.penalty > FAINT * np.diag(self.gram)
        shift = np.divide(shift, self.penalty, out=np.zeros_like(shift), where=felt)
        return solved - solved.mean(axis=0) + shift


def accurate_step(objective, coef, forcing):
    """Return Newton's step at coef but for a residual of forcing times the gradient; some dozens of passes."""
    gradient = _evaluator(objective, False)(coef)[1]
    precondition = preconditioner(objective)
    precondition.update(coef, gradient)
    product = objective.hessian_products(coef)
    return conjugate_gradients(product, gradient, forcing, precondition)[0]


def conjugate_gradients(product, gradient, forcing, precondition, enough=0.0, max_products=MAX_PRODUCTS, rounding=0.0):
    """Solve H direction = -gradient, roughly, given a function for products with H.

    The residual is at most forcing times the gradient, in the norm of the preconditioner, or rounding, that
    of a gradient: about ε times the loss. Below it the part along directions without curvature may be all that is left.

    Returns
    -------
    direction : ndarray
    finished : bool
        Whether it promises at most `enough`.
    inflation : float
        The largest eigenvalue of H⁻¹ over the preconditioner that was met.
    """
    residual = -gradient
    preconditioned = precondition(residual)
    direction = np.zeros_like(residual)
    conjugate = preconditioned
    squared = float(np.sum(residual * preconditioned))
    first, target, promised, finished = squared, max(forcing**2 * squared, rounding**2), 0.0, False
    lengths, ratios = [], [0.0]
    size, steepest = squared, 0.0  # of the conjugate, squared, in the norm of the preconditioner; the largest curvature
    for n_products in range(1, max_products + 1):
        along = product(conjugate)
        curvature = float(np.sum(conjugate * along))
        steepest = max(steepest, curvature / size) if size > 0.0 else steepest
        if curvature <= FLAT_PART * steepest * size:  # flat to working precision
            break
        length = squared / curvature
        lengths.append(length)
        direction += length * conjugate
        residual -= length * along
        more = 0.5 * length * squared  # how much lower the quadratic model is
        promised += more
        if n_products >= FIRST_PRODUCTS and promised <= enough and more <= LAST_PART * promised:
            finished = True
            break
        preconditioned = precondition(residual)
        before, squared = squared, float(np.sum(residual * preconditioned))
        if squared <= (max(target, LAST_RESIDUAL * first * enough / promised) if promised > enough else target):
            break
        ratios.append(squared / before)
        size = squared + ratios[-1] ** 2 * size
        conjugate = preconditioned + ratios[-1] * conjugate
    if not lengths:
        return precondition(-gradient), False, 0.0
    # The steps make a tridiagonal matrix (Lanczos) with the eigenvalues that were met.
    inverse, ratio = 1.0 / np.array(lengths), np.array(ratios[: len(lengths)])
    if not (np.isfinite(inverse).all() and np.isfinite(ratio).all()):  # saturated: nothing is known of H⁻¹
        return direction, False, np.inf
    diagonal = inverse + ratio * np.append(0.0, inverse[:-1])
    least = eigvalsh_tridiagonal(diagonal, np.sqrt(ratio[1:]) * inverse[:-1])[0]
    return direction, finished, 1.0 / least if least > 0.0 else np.inf
