"""Which derivatives of columns may exceed their strengths, told by looks at earlier residuals."""

import numpy as np

# Rows of one sum in float32, and what an operation loses.
SUMMED, ROUNDING = 64, 0.5 * np.finfo(np.float32).eps
# Columns of which earlier looks do not tell enough are looked at one by one up to this part of all: 500 × 10 000 then
# takes 18 looks at all columns for a hundred strengths, 1000 × 5000 takes 29. So many of them are kept.
FEW, LOOKS = 0.02, 32


class Looks:
    """Derivatives of all columns along residuals, of which earlier residuals tell the most.

    Along a combination of residuals that were looked at before, derivatives are the same combination of theirs; along
    the rest they are at most its norm times the spread of the column, rows being scaled by the roots of their weights.
    On a path residuals change slowly, so that few columns remain that may violate their conditions.

    Parameters
    ----------
    objective : LogisticObjective
        Of two classes and dense X of few rows, of which a copy in float32 is kept.
    """

    def __init__(self, objective):
        self._single = objective.design.single()
        self._roots = np.sqrt(objective.row_shares)
        n_rows, n_columns = objective.design.shape
        self._directions = np.empty((0, n_rows))  # orthonormal
        self._derivatives = np.empty((0, n_columns))  # along these

    def at(self, objective, slopes, l1, held):
        """Return the derivative of every column less what the intercept takes up, and whether it may exceed l1.

        Where that is said of too many of the columns that are not held, all are looked at. Costs a pass then.
        """
        residual = np.divide(slopes, self._roots, out=np.zeros_like(slopes), where=self._roots > 0.0)
        shares = self._directions @ residual
        rest = residual - shares @ self._directions
        again = self._directions @ rest  # or rounding would leave a part of them in it
        shares, rest = shares + again, rest - again @ self._directions
        size = float(np.linalg.norm(rest))
        coordinates = objective.coordinates
        derivatives = shares @ self._derivatives
        doubtful = self._doubtful(derivatives, coordinates, shares, size, l1, held)
        if np.count_nonzero(doubtful) > FEW * len(doubtful) and size > 0.0:
            direction = rest / size
            along = direction * self._roots
            along = self._single.rows_times(along, np.float32, SUMMED) - coordinates.means * along.sum()
            objective.n_passes += 1.0
            self._directions = np.vstack([self._directions[-LOOKS + 1 :], direction])
            self._derivatives = np.vstack([self._derivatives[-LOOKS + 1 :], along])
            derivatives += size * along
            doubtful = self._doubtful(derivatives, coordinates, np.append(shares, size), 0.0, l1, held)
        return derivatives, doubtful

    def _doubtful(self, derivatives, coordinates, shares, size, l1, held):
        # Sums of products of entries and slopes, each of them rounded, that Cauchy and Schwarz bound.
        rounding = (SUMMED + 4.0) * ROUNDING * float(np.abs(shares).sum())
        error = size * coordinates.spread + rounding * np.sqrt(coordinates.mean_squares)
        return (np.abs(derivatives) + error > l1) & ~held
