"""Learning rates: schedules, the rate that suits the data, and the words for a run whose rate was too large.

Nothing here updates weights: stochastic.py does, at the rates (rate, shift, power) that `schedule` gives.
"""

import numpy as np

from fastlogreg.design import EMPTY
from fastlogreg.kernels import binary

SCHEDULES = "constant", "inverse-scaling", "optimal"
# Updates before an automatic rate falls: with 1 the weights of badly conditioned data hardly move after some epochs,
# with 1000 those of 1e5 easy rows are left ten times further from the optimum (of 1, 10, 100, 1000).
SLOW_UPDATES = 100.0
# A column with a root mean square above it, where the intercept has one, is worth scaling.
LARGE_SCALE = 3.0


def schedule(name, learning_rate, alpha, power_t):
    """Return (rate, shift, power): update t = 1, 2, … has the rate rate · (t + shift) ** -power.

    "auto" is learning_rate / √(1 + (t - 1) / SLOW_UPDATES), in the same form. "optimal" is scikit-learn's:
    1 / (alpha (t0 + t - 1)), where t0 makes the first rate the size that weights are expected to have, alpha ** -¼.
    """
    if name == "optimal":
        return 1.0 / alpha, alpha**-0.75 - 1.0, 1.0
    if name == "auto":
        return float(learning_rate) * SLOW_UPDATES**0.5, SLOW_UPDATES - 1.0, 0.5
    return float(learning_rate), 0.0, float(power_t) if name == "inverse-scaling" else 0.0


def smoothness(rows, squares, alpha, batch_size):
    """Return the largest curvature that updates with batches of this size meet, on average.

    It is L = ¼ λ_max(Σ x̃ x̃ᵀ / n) + alpha with x̃ = (x, 1) for all rows, for two classes (½ for more), ¼ of the mean
    ‖x̃‖² for one row, and a mean of the two between them (Gower et al. 2019, "SGD: general analysis and improved
    rates", Proposition 3.8). Gradient steps no longer than 1 / L lower the loss. Up to 20 passes over X.
    """
    n, b = rows.n_rows, min(batch_size, rows.n_rows)
    factor = 1.0 if rows.n_classes == 2 else 2.0
    single = 0.25 * (float(squares.sum()) / n + 1.0)
    share = 0.0 if n == 1 else n * (b - 1) / (b * (n - 1))
    return factor * (share * (_largest_curvature(rows, squares) if share else 0.0) + (1.0 - share) * single) + alpha


def _largest_curvature(rows, squares):
    """Largest eigenvalue of the Hessian of two classes at zero, which bounds it anywhere, by power iteration."""
    scales = np.append(np.sqrt(squares / rows.n_rows), 1.0)
    vector = scales * (1.0 + np.random.default_rng(0).random(scales.size))
    zeros, y = np.zeros(scales.size), np.zeros(rows.n_rows)
    largest = 0.0
    for _ in range(20):
        vector /= np.abs(vector).max()  # first, as squares of entries of 1e200 overflow
        vector /= np.linalg.norm(vector)
        shared = (zeros, vector)
        values = y, rows.weight, EMPTY, np.empty(y.size)
        room = ((3, rows.design.block_rows),)
        product = rows.design.run(binary.hessian_product, values, shared, size=vector.size, work=2, scratch=room)
        before, largest = largest, float(vector @ product) / rows.total
        vector = product
        if largest - before <= 0.01 * largest:
            break
    return largest


def automatic_rate(optimizer, rows, squares, alpha, batch_size):
    """Return a learning rate that suits the scale of the data: "auto"."""
    if optimizer == "adagrad":
        return 1.0 / np.sqrt(float(squares.sum()) / rows.n_rows + 1.0)
    return 1.0 / smoothness(rows, squares, alpha, batch_size)


def divergence(outcome, rows, settings, squares, names):
    """Return the message for a run that diverged: which feature, what rate, and what to do.

    Parameters
    ----------
    outcome : Outcome
    rows : Rows
    settings : Settings
    squares : ndarray of shape (n_features,)
        Σ x² of every column.
    names : sequence of str or None
    """
    scales = np.sqrt(squares / rows.n_rows)
    j = int(np.argmax(scales))
    feature = repr(str(names[j])) if names is not None else str(j)
    rate = automatic_rate(settings.optimizer, rows, squares, settings.alpha, settings.batch_size)
    # Steps of single rows or batches are certain not to grow only up to half of it (Gower et al., Theorem 3.1).
    rate = min(rate if settings.optimizer == "gd" else 0.5 * rate, 0.5 * settings.first_rate)
    fix = f"use learning_rate <= {rate:.2g}"
    if scales[j] > LARGE_SCALE:
        fix = f"scale feature {feature} (sklearn.preprocessing.StandardScaler) or {fix}"
    return (
        f"{settings.optimizer} diverged at learning_rate={settings.first_rate:.3g}: after {outcome.n_iter} epochs the "
        f"mean training loss is {outcome.history['train_loss'][-1]:.3g}. Feature {feature} has the largest scale, "
        f"root mean square {scales[j]:.3g}: {fix}. coef_ holds the best weights met."
    )
