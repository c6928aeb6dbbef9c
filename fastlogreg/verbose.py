"""Progress of a fit on the terminal."""

import contextlib
import sys
import time

from fastlogreg.kernels.jit import VERBOSE

# A fit that takes longer than this shows its progress on a terminal even if not asked to.
PATIENCE = 5.0


@contextlib.contextmanager
def reporter(verbose, solver, max_iter):
    """Yield a callback that prints a line an iteration: always if verbose, else after PATIENCE on a terminal."""
    started = time.perf_counter()
    interactive = sys.stderr.isatty()
    printed = False

    def callback(progress):
        nonlocal printed
        elapsed = time.perf_counter() - started
        if verbose or (interactive and elapsed > PATIENCE):
            printed = True
            print(
                f"\r{solver}: iteration {progress.n_iter} of at most {max_iter}, {elapsed:.1f} s, objective "
                f"{progress.value:.8g}, violation {progress.violation:.2e}",
                end="\n" if verbose else "",
                file=sys.stderr,
                flush=True,
            )
        return False

    asked = VERBOSE.set(bool(verbose))
    try:
        yield callback
    finally:
        VERBOSE.reset(asked)
        if printed and not verbose:
            print(file=sys.stderr)


@contextlib.contextmanager
def fits_bar(verbose, total, what):
    """Yield a function to call after each of so many fits: it moves a progress bar if verbose."""
    if not verbose:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
        progress.update(task, total=progress.tasks[0].completed)
