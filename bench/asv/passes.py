"""What does not depend on the machine: reads of X and iterations until the default tolerance, on fixed problems."""

from fastlogreg import LogisticRegression

from . import problems
from .fits import NAMES


class Passes:
    params = (NAMES, tuple(problems.FITS))
    param_names = ("solver", "problem")

    def setup_cache(self):
        """(passes, iterations) of every case, once a commit."""
        counts = {}
        for problem, data in problems.FITS.items():
            for solver in filter(lambda name: problems.fits(name, problem), NAMES):
                result = LogisticRegression(solver=solver).fit(*data()).result_
                counts[solver, problem] = result.n_passes, result.n_iter
        return counts

    def setup(self, counts, solver, problem):
        if (solver, problem) not in counts:
            raise NotImplementedError  # by which asv leaves a combination out

    def track_passes(self, counts, solver, problem):
        return counts[solver, problem][0]

    def track_iterations(self, counts, solver, problem):
        return counts[solver, problem][1]


Passes.track_passes.unit = "passes over X"
Passes.track_iterations.unit = "iterations"
