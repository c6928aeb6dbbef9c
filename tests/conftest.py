"""What every test run has in common."""

import os

import hypothesis

# Chosen before matplotlib is imported: a test opens no window.
os.environ.setdefault("MPLBACKEND", "Agg")

# The first example of a test may compile kernels, so time is no verdict; and the same examples
# in every run, so that a failure is one for everybody.
hypothesis.settings.register_profile("fastlogreg", deadline=None, derandomize=True)
hypothesis.settings.load_profile("fastlogreg")

#: Files that take minutes in one worker, begun last, would keep the other one waiting, as in xdist's own order.
LONG = {"test_process", "test_cache", "test_wide"}


def pytest_collection_modifyitems(items):
    """Begin with the long files."""
    items.sort(key=lambda item: item.path.stem not in LONG)
