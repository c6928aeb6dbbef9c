"""Memory of a fit: of the whole process, and above what was resident before `fit`."""

from fastlogreg import LogisticRegression

from . import problems
from .resident import extra_memory

ROWS, COLUMNS = 400_000, 100


class Memory:
    params = (("C", "F"),)
    param_names = ("storage",)

    def setup(self, storage):
        self.X, self.y = problems.dense(ROWS, COLUMNS, storage)
        LogisticRegression(solver="newton").fit(self.X[:20_000].copy(order=storage), self.y[:20_000])

    def peakmem_fit(self, storage):
        LogisticRegression(solver="newton").fit(self.X, self.y)

    def track_extra_bytes_per_row(self, storage):
        return extra_memory(lambda: LogisticRegression(solver="newton").fit(self.X, self.y)) / ROWS


Memory.track_extra_bytes_per_row.unit = "bytes per row"
