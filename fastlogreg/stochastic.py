"""The learning-rate family: gradient descent, mini-batches, SGD and AdaGrad, as (batch size) × (update rule).

Kernels do many updates in a call; here is the loop over their calls. It sees Ctrl-C, keeps the histories and decides
when to stop: by the length of an epoch's step, by a cost that no longer falls, or because the rate is too large.
"""

import contextlib
import dataclasses
import enum
import sys
import time

import numpy as np

from fastlogreg.design import EMPTY, MAX_CHUNKS, PARTIAL_DOUBLES, ROW_WORK, SERIAL_WORK, split, workspaces
from fastlogreg.kernels import descent, stochastic
from fastlogreg.kernels.csr import CSR
from fastlogreg.kernels.descent import Descent, DescentRule
from fastlogreg.kernels.jit import VERBOSE
from fastlogreg.kernels.panels import TILE
from fastlogreg.kernels.rows import room_for_copies
from fastlogreg.kernels.stochastic import AVERAGED, SCALE, SCALES, UPDATES, Model, Rule
from fastlogreg.result import StoredByName

OPTIMIZERS = "gd", "mini-batch", "sgd", "adagrad"

# One kernel call does about so many multiply-adds (50 ms), so that Ctrl-C is seen in time.
CALL_WORK = 2**26
# Gradient descent enters a parallel region in every update. Below so much work a second core may save less than the
# wait for it costs on a machine that others use: 659 updates of 100 000 x 2 took 65 ms on one core of a Zen 4 and 94 on
# two, but 229 and 153 ms on a Zen 3. So from a quarter of it the clock decides: updates that take longer go on on all.
SHORT_WORK, SHORT_SECONDS = 2**20, 2e-4
# Rows in places, shuffled with 32-bit draws.
MOST_ROWS = 2**31 - 1
# Gradient descent reads X in every epoch: up to so many bytes of C order are copied to F order, where a pass over
# few columns takes half the time (p = 2: 1.7 against 3.4 ns a row).
SMALL_BYTES = 2**25
# AdaGrad's √G + eps.
EPS = 1e-8
# Rows of CSR are copied in the order of their visit where X has more bytes than caches hold, about so many at once: a
# quarter of them, and threads wait for each other; four times as many, and they leave the caches before they are read.
CACHED_BYTES, COPIED_BYTES = 2**23, 2**20
NEVER = 2**62
# On a terminal a fit that takes longer shows its progress even if not asked to.
SILENT_SECONDS = 5.0


class Stop(enum.Enum):
    """Why a run ended; the value is the message for the user."""

    SETTLED = "an epoch changed the weights by less than tol"
    STALLED = "the watched loss has not fallen by more than tol in n_iter_no_change epochs"
    MAX_ITER = "max_iter epochs were done"
    DIVERGED = "the training loss stayed above twice its starting value: the learning rate is too large"
    NOT_FINITE = "the weights overflowed: the learning rate is too large"

    @property
    def diverged(self):
        """Whether the learning rate was too large."""
        return self in (Stop.DIVERGED, Stop.NOT_FINITE)


# What the kernel of gradient descent reports.
STOPS = {
    descent.RUNNING: Stop.MAX_ITER,
    descent.SETTLED: Stop.SETTLED,
    descent.STALLED: Stop.STALLED,
    descent.DIVERGED: Stop.DIVERGED,
    descent.NOT_FINITE: Stop.NOT_FINITE,
}


@dataclasses.dataclass(frozen=True)
class Outcome(StoredByName):
    """What a run returns.

    Attributes
    ----------
    coef : ndarray of shape (1, n_features + 1) or (n_classes, n_features + 1)
        Intercept last.
    status : Stop
    n_iter : int
        Epochs.
    n_passes : float
        Sweeps over the training data, those for the histories included.
    learning_rate : float
        Rate of the first update.
    history : dict of str to ndarray of shape (n_iter,)
    """

    coef: np.ndarray
    status: Stop
    n_iter: int
    n_passes: float
    learning_rate: float
    history: dict


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to train; see SGDLogisticRegression for the words. ``patience`` is None where no loss is watched."""

    optimizer: str
    batch_size: int
    rate: float
    shift: float
    power: float
    alpha: float
    max_iter: int
    tol: float
    patience: int | None
    average_from: int
    fit_intercept: bool
    shuffle: bool
    quadratic: bool

    @property
    def first_rate(self):
        """Rate of the first update."""
        return self.rate * (1.0 + self.shift) ** -self.power


class Rows:
    """Rows with their targets and weights, and their costs.

    Parameters
    ----------
    design : Design
    y : ndarray of shape (n_samples,)
        In [0, 1], float64, for two classes; class index, int64, for more.
    weight : ndarray of shape (n_samples,) or None
    n_classes : int
    """

    def __init__(self, design, y, weight, n_classes):
        self.design = design
        self.X = design.X
        self.y = y
        self.weight = EMPTY if weight is None else weight
        self.n_classes = n_classes
        self.n_outputs = 1 if n_classes == 2 else n_classes
        self.n_rows, self.n_features = self.design.shape
        self.total = float(self.n_rows) if weight is None else float(weight.sum())
        self.sparse = isinstance(self.X, CSR)
        self.row_work = (self.design.entries_per_row + ROW_WORK) * self.n_outputs

    def bounds(self, size):
        """Return the rows of every chunk, by the shape of the data alone; size is that of a partial sum."""
        most = max(4, min(MAX_CHUNKS, PARTIAL_DOUBLES // size))
        n_chunks = int(max(1, min(most, self.n_rows, self.n_rows * self.row_work // SERIAL_WORK)))
        return split(self.n_rows, n_chunks)

    def costs(self, coef):
        """Return mean loss and mean quadratic cost at coef; one pass."""
        coef = padded(coef)
        kernel = descent.cost if self.n_classes == 2 else descent.softmax_cost
        work = self.row_work / self.design.entries_per_row
        room = descent.workspace(self.design.block_rows, self.n_classes, coef)
        return self.design.run(kernel, (self.y, self.weight), (coef,), 3, work, room)[:2] / self.total


def padded(coef):
    """Return coef as the kernels of descent.py take it: to whole tiles where there are several classes."""
    if len(coef) == 1:
        return coef
    n_classes, width = (-(-size // TILE) * TILE for size in coef.shape)
    out = np.zeros((n_classes, width))
    out[: coef.shape[0], : coef.shape[1]] = coef
    return out


# --- storage ----------------------------------------------------------------------------------------------------


def suited(X, optimizer):
    """Return dense X in the order that the optimizer reads fast: small X by columns for "gd", all others by rows."""
    if not isinstance(X, np.ndarray):
        return X
    if optimizer != "gd":
        return np.ascontiguousarray(X)
    return np.asfortranarray(X) if X.nbytes <= SMALL_BYTES else X


# --- gradient descent -------------------------------------------------------------------------------------------


def descend(rows, validation, settings, start, report):
    """Run gradient descent; arguments and result as for `epochs`. One pass an epoch, and one at the start."""
    coef = padded(start).copy()
    run = Descent(coef, np.zeros_like(coef), coef.copy(), coef.copy(), np.zeros(6))
    run.state[descent.STATUS] = descent.NEW
    watched = descent.LOSS if validation is None else descent.VALIDATION_LOSS
    rule = DescentRule(
        settings.rate,
        settings.shift,
        settings.power,
        settings.alpha,
        float(settings.fit_intercept),
        settings.tol,
        settings.tol,
        NEVER if settings.patience is None else settings.patience,
        watched,
    )
    held_out = validation or rows  # without validation data no chunk of them is visited
    bounds = [[1, *ends] for ends in rows.bounds(coef.size)]
    size = rows.n_rows * rows.row_work
    threads = rows.design.threads if size > SHORT_WORK else 1
    undecided = threads == 1 and size > SHORT_WORK / 4
    if validation is not None:
        bounds += [[0, *ends] for ends in validation.bounds(coef.size)]
    totals = np.array([rows.total, held_out.total])
    work = rows.n_rows * rows.row_work + (0.0 if validation is None else validation.n_rows * validation.row_work)
    updates = int(max(1, CALL_WORK // work))
    kernel = descent.descend if rows.n_classes == 2 else descent.softmax_descend
    room = descent.workspace(rows.design.block_rows, rows.n_classes, coef)
    room = workspaces(len(bounds), (*room, (2 + coef.size,)))
    lines, done = [], 0
    while done < settings.max_iter and run.state[descent.STATUS] <= descent.RUNNING:
        first = undecided and not done  # which may have to be compiled, and tells nothing
        history = np.empty((min(1 if first else updates, settings.max_iter - done), 4))
        started = time.perf_counter()
        kernel(
            rows.X,
            rows.y,
            rows.weight,
            held_out.X,
            held_out.y,
            held_out.weight,
            totals,
            rule,
            np.array(bounds),
            *room,
            run,
            history,
            threads=threads,
        )
        lines.append(history[: int(run.state[descent.UPDATES]) - done])
        done += len(lines[-1])
        if undecided and not first and time.perf_counter() - started > SHORT_SECONDS * len(lines[-1]):
            threads, undecided = rows.design.threads, False
        report(done, lines[-1][-1])
    status = STOPS[int(run.state[descent.STATUS])]
    if status is Stop.MAX_ITER and run.state[descent.HIGH] == done > 0:
        status = Stop.DIVERGED
    final = {Stop.SETTLED: run.previous, Stop.MAX_ITER: run.coef}.get(status, run.best)
    history = _named(np.concatenate(lines) if lines else np.empty((0, 4)), validation is not None, settings.quadratic)
    return Outcome(
        final[: len(start), : start.shape[1]].copy(), status, done, done + 1.0, settings.first_rate, history
    )


def _named(lines, validation, quadratic):
    """Return the columns of the history under their names."""
    columns = {"train_loss": descent.LOSS}
    if validation:
        columns["val_loss"] = descent.VALIDATION_LOSS
    if quadratic:
        columns["train_quadratic"] = descent.QUADRATIC
        if validation:
            columns["val_quadratic"] = descent.VALIDATION_QUADRATIC
    return {name: lines[:, column].copy() for name, column in columns.items()}


# --- several updates an epoch -----------------------------------------------------------------------------------


class Trainer:
    """Weights in training, with the state of the updates and of the random order: what partial_fit keeps.

    Parameters
    ----------
    coef : ndarray of shape (1, n_features + 1) or (n_classes, n_features + 1)
    adagrad : bool
    random : int
        Seed of the order, from 1 up to 2**62.
    """

    def __init__(self, coef, adagrad, random):
        coef = np.array(coef, dtype=np.float64)
        squares = np.zeros_like(coef) if adagrad else np.empty((len(coef), 0))
        self.model = Model(coef, np.zeros_like(coef), squares, np.zeros(4))
        self.model.state[SCALE] = 1.0
        self.random = np.array([random], dtype=np.int64)

    def copy(self):
        """Return an independent copy."""
        twin = Trainer(self.model.coef, False, 1)
        twin.model = Model(*(part.copy() for part in self.model))
        twin.random = self.random.copy()
        return twin

    @property
    def updates(self):
        """Updates so far."""
        return int(self.model.state[UPDATES])

    @updates.setter
    def updates(self, n):
        self.model.state[UPDATES] = n

    def weights(self):
        """Return the mean of the averaged iterates, or the last one where none is averaged yet."""
        coef, total, _, state = self.model
        with np.errstate(over="ignore", invalid="ignore"):  # a run that overflows is stopped and explained
            if state[AVERAGED]:
                mean = total / state[AVERAGED]
                mean[:, :-1] += (state[SCALES] / state[AVERAGED]) * coef[:, :-1]
                return mean
            weights = coef.copy()
            weights[:, :-1] *= state[SCALE]
            return weights

    def resume_from(self, weights):
        """Go on from these weights; averages begin anew."""
        self.model.coef[:] = weights
        self.model.total[:] = 0.0
        self.model.state[[AVERAGED, SCALE, SCALES]] = 0.0, 1.0, 0.0
        if not np.isfinite(self.model.squares).all():
            self.model.squares[:] = 0.0

    def epoch(self, rows, settings, order):
        """Visit the rows of `order` once, shuffling it first where the settings say so; each batch is an update."""
        if settings.shuffle:
            for stop in range(len(order), 1, -(2**22)):
                stochastic.shuffle(order, self.random, max(1, stop - 2**22), stop)
        rule = Rule(
            settings.rate,
            settings.shift,
            settings.power,
            settings.alpha,
            EPS,
            float(settings.fit_intercept),
            settings.average_from,
        )
        batch_size = max(1, min(settings.batch_size, len(order)))
        kernel, arguments, threads = self._kernel(rows, settings, batch_size)
        step = max(1, int(CALL_WORK // (rows.row_work + 32)) // batch_size) * batch_size
        for start in range(0, len(order), step):
            stop = min(start + step, len(order))
            kernel(rows.X, rows.y, rows.weight, order, *arguments, rule, self.model, start, stop, threads=threads)

    def _kernel(self, rows, settings, batch_size):
        """Return the kernel for this kind of data, its particular arguments, and its threads."""
        adagrad = settings.optimizer == "adagrad"
        work = batch_size * rows.row_work
        most = max(4, min(MAX_CHUNKS, PARTIAL_DOUBLES // self.model.coef.size))
        n_chunks = int(max(1, min(most, batch_size, work // SERIAL_WORK)))
        few_entries = rows.sparse and batch_size * rows.design.entries_per_row < rows.n_features
        n_outputs, width = self.model.coef.shape
        if few_entries and n_chunks == 1 and not adagrad:
            room = _room_for_copies(rows, batch_size)
            slope = np.empty((n_outputs, batch_size))
            return stochastic.sparse_plain, (batch_size, *room, slope), 2 if room[0].n_rows.size else 1
        if few_entries and n_chunks == 1 and settings.alpha == 0.0:
            room = np.empty((n_outputs, batch_size)), np.zeros((n_outputs, width))
            return stochastic.sparse_adagrad, (batch_size, *room), 1
        if not rows.sparse and not adagrad and batch_size == 1 and rows.n_classes == 2:
            return stochastic.single, (), 1
        room = workspaces(n_chunks, ((n_outputs, stochastic.GROUP), (n_outputs, width)))
        return stochastic.batches, (batch_size, *room), rows.design.threads if n_chunks > 1 else 1


def _room_for_copies(rows, batch_size):
    """Return room to copy rows of CSR to in the order of their visit, none where that is of no use; see the kernel."""
    X = rows.X
    n_bytes = X.data.nbytes + X.indices.nbytes
    if n_bytes > CACHED_BYTES and rows.design.threads > 1:
        n_rows = (1 + int(COPIED_BYTES / n_bytes * rows.n_rows / batch_size)) * batch_size
        n_entries = int(2 * n_rows * rows.design.entries_per_row)
        if batch_size * int(np.diff(X.indptr).max()) <= n_entries:
            return room_for_copies(X, rows.y, rows.weight, n_rows, n_entries)
    return room_for_copies(X, rows.y, rows.weight, 0, 0)


def visited(rows):
    """Return the indices of the rows that count: those without weight do not exist."""
    if rows.n_rows > MOST_ROWS:
        raise ValueError(
            f"X has {rows.n_rows} rows; at most {MOST_ROWS} can be visited in random order. Use partial_fit on parts "
            "of it, or optimizer='gd'."
        )
    if rows.weight.size and not rows.weight.all():
        return np.flatnonzero(rows.weight).astype(np.int32)
    return np.arange(rows.n_rows, dtype=np.int32)


def epochs(rows, validation, settings, trainer, report):
    """Run epochs until a rule says stop.

    Parameters
    ----------
    rows, validation : Rows
        Training data; held-out data or None.
    settings : Settings
    trainer : Trainer
        Changed in place.
    report : callable
        Called as ``report(n_iter, costs)`` after every epoch, costs in the order of `Outcome.history`.

    Returns
    -------
    Outcome
        Two passes an epoch, the second for the training loss, and one at the start if it is not zero.
    """
    order = visited(rows)
    weights = best = trainer.weights()
    lines: list[np.ndarray] = []
    moved = bool(weights.any())  # from zero, where the loss is known
    costs = _all_costs(rows, validation, weights) if moved else np.full(4, np.log(rows.n_classes))
    limit = descent.HIGH_FACTOR * max(costs[descent.LOSS], np.log(rows.n_classes))
    watched = descent.LOSS if validation is None else descent.VALIDATION_LOSS
    lowest = costs[watched]
    stale = high = 0
    patience = NEVER if settings.patience is None else settings.patience
    status = Stop.MAX_ITER
    while len(lines) < settings.max_iter:
        trainer.epoch(rows, settings, order)
        before, weights = weights, trainer.weights()
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is noticed below
            length = float(np.sqrt(np.square(weights - before).sum()))
        costs = _all_costs(rows, validation, weights)
        lines.append(costs)
        report(len(lines), costs)
        stale = stale + 1 if costs[watched] > lowest - settings.tol else 0
        if costs[watched] < lowest:
            lowest, best = costs[watched], weights
        high = high + 1 if costs[descent.LOSS] > limit else 0
        if not (np.isfinite(length) and np.isfinite(costs[descent.LOSS])):
            status = Stop.NOT_FINITE
        elif length < settings.tol:
            status = Stop.SETTLED
            weights = before
        elif high >= min(descent.HIGH_UPDATES, patience, settings.max_iter):
            status = Stop.DIVERGED
        elif stale >= patience:
            status = Stop.STALLED
        if status is not Stop.MAX_ITER:
            break
    if status not in (Stop.SETTLED, Stop.MAX_ITER):
        weights = best
    if status.diverged or not trainer.model.state[AVERAGED]:
        trainer.resume_from(weights)
    history = _named(np.reshape(lines, (-1, 4)), validation is not None, settings.quadratic)
    return Outcome(weights, status, len(lines), 2.0 * len(lines) + moved, settings.first_rate, history)


def _all_costs(rows, validation, weights):
    """Return a line of the history."""
    line = np.zeros(4)
    line[[descent.LOSS, descent.QUADRATIC]] = rows.costs(weights)
    if validation is not None:
        line[[descent.VALIDATION_LOSS, descent.VALIDATION_QUADRATIC]] = validation.costs(weights)
    return line


# --- progress ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def reporter(verbose, optimizer, max_iter):
    """Yield a callback (n_iter, costs) that prints a line: always if verbose, else on a terminal after a while."""
    started = time.perf_counter()
    interactive = sys.stderr.isatty()
    printed = False

    def report(n_iter, costs):
        nonlocal printed
        elapsed = time.perf_counter() - started
        if verbose or (interactive and elapsed > SILENT_SECONDS):
            printed = True
            print(
                f"\r{optimizer}: epoch {n_iter} of at most {max_iter}, {elapsed:.1f} s, training loss "
                f"{costs[descent.LOSS]:.6g}",
                end="\n" if verbose else "",
                file=sys.stderr,
                flush=True,
            )

    asked = VERBOSE.set(bool(verbose))
    try:
        yield report
    finally:
        VERBOSE.reset(asked)
        if printed and not verbose:
            print(file=sys.stderr)
