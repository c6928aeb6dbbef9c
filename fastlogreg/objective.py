"""Mean logistic loss plus L2 penalty as a function of the coefficients alone."""

import functools
import math

import numpy as np

from fastlogreg import hessian_sums
from fastlogreg.coordinates import CONSTANT, Coordinates, inner_products
from fastlogreg.design import EMPTY, NO_OFFSET, SAMPLE_PART, Moments
from fastlogreg.hessian_sums import padded_size
from fastlogreg.kernels import binary, multinomial, predict

NO_CHANCES = np.empty((0, 0), dtype=np.float32)
# Columns farther from zero than so many spreads, or wider or narrower, are not looked at in float32.
FAR, WIDE = 1e3, 1e10
# Largest factor between the mean squares of a column and of its part in a sample that stands for the whole, and
# between the variances where only samples are compared.
COVERED = 3.0
# Rows that a sample of a sample must have: fewer do not tell the moments of thousands of columns, and cost two passes.
TELLING = 32
# Share of the entries that are stored below which columns are too rare for samples to tell their moments.
SPARSE = 0.2


class NotFiniteError(ArithmeticError):
    """An entry of X that no sample showed is not finite, or too large to be squared."""


class _Chances:
    """The probabilities of all rows at the coef that they were last asked for, as products with the Hessian need them.

    Attributes
    ----------
    coef : ndarray or None
        Where they are those of, if anywhere.
    """

    def __init__(self, n_classes):
        self.n_classes = n_classes
        self.coef = None
        self.values = NO_CHANCES

    def known(self, coef, precision):
        """Whether they are those at coef."""
        return int(self.coef is not None and self.values.dtype == precision and np.array_equal(self.coef, coef))

    def room(self, n_rows, precision):
        """Return the array that holds them, or is to hold others."""
        if self.values.dtype != precision or self.values.shape[1] != n_rows:
            self.values = np.empty((self.n_classes, n_rows), dtype=precision)
        self.coef = None  # until what is to be written is
        return self.values


class LogisticObjective:
    """F(coef) = Σ w_i L(eta_i, y_i) / Σ w_i + ½ Σ l2_j coef_j², eta = X coef + intercept + offset.

    L is log(1 + exp(eta)) - y eta for two classes and logsumexp(eta) - eta_y for more. The intercept, last in coef,
    is not penalised. Every method's answer depends on its arguments only, and costs one pass over X.

    Parameters
    ----------
    design : Design
        The rows of X, (n_samples, n_features).
    y : ndarray of shape (n_samples,)
        In [0, 1], float64, for two classes; class index, int64, for more.
    weight : ndarray of shape (n_samples,), optional
    offset : ndarray of shape (n_samples,) or (n_samples, n_classes), optional
    l2 : float or ndarray of shape (n_features,)
        Strength of the penalty on the scale of the mean loss, 1 / (C Σ w); of every column where their units differ.
    n_classes : int
    fit_intercept : bool
        If False the derivatives in the intercept are zero, so that it stays where it starts.
    moments : Moments, optional
        Of the columns; found in one more pass where not given, or in an eighth of one where a sample surely stands for
        all rows. UNSEEN for a solver that finds them.
    """

    def __init__(
        self, design, y, *, weight=None, offset=None, l2=0.0, n_classes=2, fit_intercept=True, moments=None
    ):
        self.design = design
        self.binary = n_classes == 2
        self.n_classes = n_classes
        self.l2 = l2
        self.fit_intercept = fit_intercept
        self.n_passes = 0.0
        n_rows, n_columns = design.shape
        self.shape: tuple[int, ...] = (n_columns + 1,) if self.binary else (n_classes, n_columns + 1)
        self._chances = _Chances(n_classes)
        self.total_weight = float(n_rows) if weight is None else float(weight.sum())
        no_offset = EMPTY if self.binary else NO_OFFSET
        self._y = design.rows(y)
        self._weight = EMPTY if weight is None else design.rows(weight)
        self._offset = no_offset if offset is None else design.rows(offset)
        self.moments = moments or self._sampled_moments() or Moments(design.column_moments(self._weight))
        self.n_passes += self.moments.n_passes

    @functools.cached_property
    def coordinates(self):
        """Coordinates of the columns."""
        return Coordinates(self.moments.sums, self.total_weight, l2=self.l2, centre=self.fit_intercept)

    def sample(self, n_rows):
        """Return the objective of about n_rows rows spread evenly over the data; they need not hold every class."""
        design, index = self.design.sample(n_rows)
        rows = slice(None) if index is None else index
        weighted = self._weight.size > 0
        sample = self._part(design, rows, self._weight[rows] if weighted else None)
        if index is None:
            runs = design.runs
            sample.total_weight = float(sum(self._weight[a:b].sum() for a, b in runs) if weighted else design.shape[0])
        return sample

    def rows_at(self, index, weight):
        """Return the objective of a copy of some rows, with other weights."""
        return self._part(self.design.rows_at(index), index, weight)

    def _part(self, design, rows, weight):
        part = LogisticObjective(
            design,
            self._y[rows],
            weight=weight,
            offset=self._offset[rows] if self.has_offset else None,
            l2=self.l2,
            n_classes=self.n_classes,
            fit_intercept=self.fit_intercept,
            moments=self.moments._replace(n_passes=0.0),
        )
        part.coordinates = self.coordinates
        return part

    def over(self, design, l2=None, moments=None):
        """Return the objective of the same rows with other columns, with the same penalty where no other is given."""
        return LogisticObjective(
            design,
            self._y,
            weight=self._weight if self._weight.size else None,
            offset=self._offset if self.has_offset else None,
            l2=self.l2 if l2 is None else l2,
            n_classes=self.n_classes,
            fit_intercept=self.fit_intercept,
            moments=moments,
        )

    def without_offset(self):
        """Return the objective of the same rows without penalty and offset."""
        rows = LogisticObjective(
            self.design,
            self._y,
            weight=self._weight if self._weight.size else None,
            n_classes=self.n_classes,
            fit_intercept=self.fit_intercept,
            moments=self.moments,
        )
        rows.total_weight = self.total_weight
        return rows

    def take_columns(self, index):
        """Return the objective of some columns alone, the others' coefficients being zero; copies them."""
        if len(index) == self.design.shape[1]:
            return self
        l2 = self.l2 if np.ndim(self.l2) == 0 else self.l2[index]
        moments = Moments(self.moments.sums[:, index], 0.0, self.moments.sampled)
        taken = self.over(self.design.take_columns(index), l2, moments)
        taken.total_weight = self.total_weight
        return taken

    def _sampled_moments(self):
        """Return the Moments of a sample, in proportion, where it surely stands for all rows, else None.

        It does if a sample of the sample, with so many rows fewer, has the same mean squares and variances but for a
        factor of COVERED. Entries that were not looked at may yet be anything, even not finite.
        """
        few = self.design.shape[0] < TELLING * SAMPLE_PART**2
        if few or not self.design.large or self.design.density < SPARSE:
            return None
        means, samples = [], [self]
        nothing = Moments(np.zeros((2, self.design.shape[1])), n_passes=0.0)
        self.moments, self.coordinates = nothing, Coordinates(nothing.sums, 0.0, l2=0.0, centre=False)
        for _ in range(2):
            samples.append(samples[-1].sample(samples[-1].design.shape[0] // SAMPLE_PART))
            weight = samples[-1].total_weight
            if weight == 0.0:
                return None
            means.append(samples[-1].design.column_moments(samples[-1]._weight) / weight)
        squares = np.array([square for _, square in means])
        variances = squares - np.array([mean for mean, _ in means]) ** 2
        for large, small in squares, np.where(variances > CONSTANT * squares, variances, 0.0):
            if not ((large > 0.0) & (small < COVERED * large) & (large < COVERED * small)).all():
                return None
        looked_at = sum(sample.design.shape[0] for sample in samples[1:])
        return Moments(means[0] * self.total_weight, looked_at / self.design.shape[0], sampled=True)

    def missed(self, sample):
        """Return which columns have not their share of squares in a sample, so that its Hessian is not this one's."""
        if self.moments.sampled:  # then that was looked at first
            return np.zeros(self.design.shape[1], dtype=bool)
        expected = sample.coordinates.mean_squares
        found = sample.design.column_moments(sample._weight)[1] / sample.total_weight
        sample.n_passes += 1.0
        return ~((found > expected / COVERED) & (found < expected * COVERED))

    def check_finite(self, values):
        """Raise NotFiniteError for values that are not finite, where not every entry of X has been looked at."""
        if self.moments.sampled and not np.isfinite(values).all():
            raise NotFiniteError("not finite, or beyond 1e150; the moments of all rows would have shown it")

    @property
    def has_offset(self):
        """Whether an offset was given."""
        return self._offset.size > 0

    @property
    def penalised(self):
        """Whether there is a penalty on any coefficient."""
        return bool(np.any(self.l2))

    @property
    def n_coef(self):
        """Number of coefficients, intercepts included."""
        return math.prod(self.shape)

    @property
    def row_shares(self):
        """Share of every row in the total weight."""
        return (self._weight if self._weight.size else np.ones(len(self._y))) / self.total_weight

    @property
    def least_weight(self):
        """Least weight above zero."""
        return float(self._weight[self._weight > 0.0].min()) if self._weight.size else 1.0

    def violation(self, gradient):
        """Return the max-norm of the gradient in centred and scaled coordinates."""
        inner = gradient.copy()
        inner[..., :-1] -= self.coordinates.means * gradient[..., -1:]
        return float(np.max(np.abs(inner / self.coordinates.scales)))

    def noise(self, coef):
        """Return what the rounding of linear predictors may do to F, roughly.

        With coefficients of 10⁵ that cancel, of columns that differ by 10⁻⁶, it is 10⁴ times that of F: the gradient
        led on where F no longer fell.
        """
        sizes = inner_products(np.abs(coef[..., :-1]), np.sqrt(self.coordinates.mean_squares))
        return float(np.finfo(float).eps * np.max(sizes))

    def value_gradient(self, coef, keep=None):
        """Return F and its gradient, shaped like coef; one pass.

        Parameters
        ----------
        coef : ndarray of self.shape
        keep : dtype, optional
            For more than two classes keep the probabilities of all rows, (n_classes, n_samples), for products with the
            Hessian at coef in this precision: they are a third of its cost.
        """
        if self.binary:
            room = ((3, self.design.block_rows),)
            sums = self._run(binary.value_gradient, self.row_values, (coef,), size=1 + coef.size, scratch=room)
            return self.from_sums(coef, sums[0], sums[1:])
        padded = self._padded(coef)
        chances = NO_CHANCES if keep is None else self._chances.room(len(self._y), keep)
        room = multinomial.workspace(padded.shape)
        rows = *self.row_values, chances
        sums = self._run(multinomial.value_gradient, rows, (padded,), size=1 + padded.size, scratch=room)
        if keep is not None:
            self._chances.coef = coef.copy()
        return self.from_sums(coef, sums[0], self._unpadded(sums[1:], padded.shape))

    def value_gradient_hessian(self, coef, precision=np.float64):
        """Return F, its gradient and its Hessian (n_coef, n_coef); one pass, O(n p²) or O(n K² p²) arithmetic.

        Parameters
        ----------
        coef : ndarray of self.shape
        precision : dtype, default=float64
            Of the products in the Hessian; float32 takes half the time. Value and gradient are float64.
        """
        if self.binary and coef.size > hessian_sums.OWN:
            value, gradient, hessian = hessian_sums.by_panels(self.design, self.row_values, coef, precision)
            self.n_passes += 1.0
        elif self.binary:
            q = padded_size(coef.size)
            rows = hessian_sums.panel_rows(self.design, q, precision)
            padded = np.zeros(q)
            padded[: coef.size] = coef
            sums = self._run(
                binary.value_gradient_hessian,
                self.row_values,
                (padded,),
                size=1 + q + q * q,
                work=min(q, self.design.entries_per_row) / 2,
                scratch=(((q, rows), precision), (4, rows)),
            )
            value, gradient = sums[0], sums[1 : 1 + coef.size]
            hessian = sums[1 + q :].reshape(1, 1, q, q)
        else:
            padded = self._padded(coef)
            n_classes, q = padded.shape
            sums = self._run(
                multinomial.value_gradient_hessian,
                self.row_values,
                (padded,),
                size=1 + padded.size + (n_classes * q) ** 2,
                work=n_classes * q / 2,
                scratch=multinomial.hessian_workspace(padded.shape),
            )
            value, gradient = sums[0], self._unpadded(sums[1 : 1 + padded.size], padded.shape)
            hessian = sums[1 + padded.size :].reshape(n_classes, n_classes, q, q)
        value, gradient = self.from_sums(coef, value, gradient)
        return value, gradient, self._hessian(hessian)

    def hessian_product(self, coef, vector, precision=np.float64):
        """Return the Hessian at coef times a vector, both shaped like coef; one pass. See hessian_products."""
        return self.hessian_products(coef, precision)(vector)

    def hessian_products(self, coef, precision=np.float64):
        """Return a function of a vector, the Hessian at coef times it; one pass each.

        For two classes it keeps the curvature of every row, 8 bytes each, from the first product on: another costs as
        much as a value and gradient, where the first has linear predictors of coef to find besides.

        Parameters
        ----------
        coef : ndarray of self.shape
        precision : dtype, default=float64
            Of the arithmetic for more than two classes, whose probabilities are kept until asked for at another coef,
            (n_classes, n_samples) of this type; float32 takes half the time.
        """
        curvature = np.empty(len(self._y) if self.binary else 0)
        products = 0

        def product(vector):
            nonlocal products
            products += 1
            return self._hessian_product(coef, vector, precision, curvature, known=products > 1)

        return product

    def _hessian_product(self, coef, vector, precision, curvature, known):
        if self.binary and known:
            line = ((self.design.block_rows,),)
            product = self._run(binary.curvature_product, (curvature,), (vector,), size=coef.size, scratch=line)
        elif self.binary:
            rows = *self.row_values, curvature
            room = ((3, self.design.block_rows),)
            product = self._run(binary.hessian_product, rows, (coef, vector), size=coef.size, work=2, scratch=room)
        else:
            known = self._chances.known(coef, precision)
            chances = self._chances.room(len(self._y), precision)
            shared = (self._padded(coef), self._padded(vector).astype(precision))
            rows = (self._weight, self._offset, chances)
            rooms = multinomial.product_workspace(shared[0].shape, precision, known)
            sums = self._run(multinomial.hessian_product, rows, shared, size=shared[0].size, scratch=rooms)
            self._chances.coef = coef.copy()
            product = self._unpadded(sums, shared[0].shape)
        product = product / self.total_weight
        product[..., :-1] += self.l2 * vector[..., :-1]
        if not self.fit_intercept:
            product[..., -1] = 0.0
        return product

    def with_l2(self, coef, loss, gradient, sign=1.0):
        """Return loss and gradient plus those of the L2 penalty; less, for a sign of -1."""
        if np.ndim(self.l2) == 0 and self.l2 == 0.0:
            return loss, gradient
        gradient = gradient.copy()
        gradient[..., :-1] += sign * self.l2 * coef[..., :-1]
        return loss + sign * 0.5 * float(np.sum(self.l2 * coef[..., :-1] ** 2)), gradient

    @functools.cached_property
    def positive_share(self):
        """Share of the second of two classes in the weight of the rows."""
        runs = [(None, None)] if self.design.runs is None else self.design.runs
        weight, y = self._weight, self._y
        total = sum(inner_products(weight[a:b], y[a:b]) if weight.size else y[a:b].sum() for a, b in runs)
        return float(total) / self.total_weight

    def class_shares(self):
        """Return the share of every class in the weight of the rows."""
        counts = np.zeros(self.n_classes)
        for part in self._parts:
            weight = self._weight[part] if self._weight.size else None
            counts += np.bincount(self._y[part], weight, minlength=self.n_classes)
        return counts / self.total_weight

    def class_curvatures(self, coef):
        """Return the weighted mean of prob_k (1 - prob_k) of every class, of probabilities that are kept; no pass."""
        if self._chances.coef is None or not np.array_equal(self._chances.coef, coef):
            raise ValueError("no probabilities at these coefficients are kept")
        sums = np.zeros(self.n_classes)
        for part in self._parts:
            for k, chances in enumerate(self._chances.values[:, part]):
                weighted = chances * self._weight[part] if self._weight.size else chances
                sums[k] += weighted.sum(dtype=np.float64) - inner_products(weighted, chances)
        return sums / self.total_weight

    @property
    def single_serves(self):
        """Whether float32 holds the columns: their variance beside their means, and the squares of their scales."""
        means, scales = self.coordinates.means, self.coordinates.scales[:-1]
        near = np.abs(means) <= FAR * scales
        return bool((near & (scales > 1.0 / WIDE) & (scales < WIDE)).all())

    @property
    def _parts(self):
        """Slices of the rows that count."""
        return [slice(None)] if self.design.runs is None else [slice(a, b) for a, b in self.design.runs]

    def counted(self, values):
        """Return those of the row-aligned values whose rows have a weight above zero."""
        return values[self._weight > 0.0] if self._weight.size else values

    def predictors(self, coef):
        """Return X coef + intercept, without the offset, (n_samples, 1) or (n_samples, n_classes); at most one pass."""
        coef = np.atleast_2d(coef)
        if not coef[:, :-1].any():
            return np.tile(coef[:, -1], (self.design.shape[0], 1))
        eta = np.empty((self.design.shape[0], len(coef)))
        self.n_passes += 1.0
        self.design.predict(predict.DECISION, NO_OFFSET, eta, coef)
        return eta

    def row_terms(self, predictors):
        """Return the mean loss of two classes and each row's slope and curvature, from X coef + intercept; no pass.

        Parameters
        ----------
        predictors : ndarray of shape (n_samples,)

        Returns
        -------
        loss : float
        slopes, curvatures : ndarray of shape (n_samples,)
            Derivatives of the mean loss in the linear predictor of each row.
        """
        eta = predictors + self._offset if self.has_offset else predictors
        terms = np.empty((3, len(eta)))
        predict.loss_slope_curvature(eta, self._y, np.array([[0, len(eta)]]), *terms)
        if self._weight.size:
            terms *= self._weight
        terms /= self.total_weight
        return float(terms[0].sum()), terms[1], terms[2]

    def row_products(self, precision=np.float64):
        """Return X Xᵀ, not to be changed; at most one pass (see ArrayDesign.row_products)."""
        products, n_passes = self.design.row_products(precision)
        self.n_passes += n_passes
        self.check_finite(products)
        return products

    def gram(self):
        """Return Σ w_i x_i x_iᵀ / (4 Σ w_i), x_i with a last entry of one for the intercept; one pass.

        It is the Hessian of two classes at coefficients of zero.
        """
        rows = LogisticObjective(
            self.design,
            np.zeros(len(self._y)),
            weight=self._weight if self._weight.size else None,
            fit_intercept=self.fit_intercept,
            moments=self.moments,
        )
        rows.total_weight = self.total_weight
        self.n_passes += 1.0
        return rows.value_gradient_hessian(np.zeros(self.shape[-1]))[2]

    # --- how kernels are called ---------------------------------------------------------------------------------

    def call(self, kernel, *shared):
        """Call a driver that looks at all rows, their targets and weights by itself, however often."""
        kernel(self.design.X, self._y, self._weight, *shared)

    @property
    def row_values(self):
        """What belongs to the rows: y, weight and offset, empty where there is none."""
        return self._y, self._weight, self._offset

    def _run(self, kernel, rows, shared, *, size, work=1.0, scratch=()):
        self.n_passes += 1.0
        work *= 1 if self.binary else self.n_classes
        return self.design.run(kernel, rows, shared, size=size, work=work, scratch=scratch)

    def _padded(self, coef):
        """Return coef of classes with columns padded with zeros to whole tiles."""
        padded = np.zeros((self.n_classes, padded_size(self.shape[1])))
        padded[:, : self.shape[1]] = coef
        return padded

    def _unpadded(self, sums, shape):
        """Return derivatives of the loss without their padding, and with sums over the classes of zero.

        These are zero but for rounding, which must not build up: shifting all classes alike changes no loss, so
        nothing stops a step in that direction. Conjugate gradients went far along it and lost six digits.
        """
        sums = sums.reshape(shape)[tuple(slice(size) for size in self.shape)]
        return sums - sums.mean(axis=0)

    def from_sums(self, coef, value, gradient):
        """Return F and its gradient from the weighted sums of losses and of their gradients."""
        gradient = gradient / self.total_weight
        if not self.fit_intercept:
            gradient[..., -1] = 0.0
        return self.with_l2(coef, float(value) / self.total_weight, gradient)

    def _hessian(self, sums):
        """Return the Hessian of F from the kernel's sums."""
        full = hessian_sums.symmetric(sums, self.shape[-1])
        full /= self.total_weight
        hessian = full.reshape(self.n_coef, self.n_coef)
        diagonal = np.einsum("ii->i", hessian).reshape(full.shape[:2])
        diagonal[:, :-1] += self.l2
        if not self.fit_intercept:
            full[:, -1] = 0.0
            full[:, :, :, -1] = 0.0
            diagonal[:, -1] = 1.0
        return hessian
