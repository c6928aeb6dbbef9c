"""The command ``fastlogreg``: a demonstration, what there is to know of an installation, and its preparation.

``fastlogreg info`` tells versions, threads, cache and BLAS; ``fastlogreg warmup`` compiles all kernels ahead of time.
``fastlogreg demo [FILE]`` reads lines ``feature_value,label``, fits p(y = 1) = sigmoid(w0 + w1 x) by batch gradient
descent, and shows the iterations, the boundary -w0 / w1 and a plot. Bad input ends in a message, never in a traceback.

Exit codes: 0 all lines were used, 1 some lines were left out (each is named on standard error), 2 nothing was fitted
(bad option, no such file, too few lines, one class only) or some of what ``warmup`` compiled could not be kept, 3 the
iterations diverged, 130 interrupted.
"""

import argparse
import contextlib
import copy
import json
import math
import os
import sys
import warnings

OK, LINES_LEFT_OUT, NOT_FITTED, DIVERGED, INTERRUPTED = 0, 1, 2, 3, 130
LABELS = {0.0: 0, 1.0: 1, -1.0: 0}
LARGEST = 1e100  # no unit is that far off, and sums of squares stay finite


class InputError(Exception):
    """Something that the user can mend; the message says how."""


def main(argv=None):
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        0 all well, 1 lines left out, 2 nothing fitted or kept, 3 diverged, 130 interrupted.
    """
    options = _parser().parse_args(argv)
    try:
        return options.run(options)
    except InputError as error:
        print(f"fastlogreg: {error}", file=sys.stderr)
        return NOT_FITTED
    except KeyboardInterrupt:
        print("fastlogreg: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has left; what Python would still flush must go nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _parser():
    import fastlogreg

    parser = argparse.ArgumentParser(prog="fastlogreg", description="Logistic regression on the command line.")
    parser.add_argument("--version", action="version", version=f"fastlogreg {fastlogreg.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="fit lines 'feature_value,label' by gradient descent and show how",
        description="Fit p(y = 1) = sigmoid(w0 + w1 x) to lines 'feature_value,label' by batch gradient descent.",
        epilog="Labels are 0 or 1 (or -1 and 1). Blank lines and what follows a # are ignored. Exit codes: 0 all lines "
        "used, 1 some lines left out and named, 2 nothing fitted, 3 diverged.",
    )
    demo.add_argument("file", nargs="?", metavar="FILE", help="lines to read; standard input if absent or -")
    demo.add_argument("--learning-rate", type=_positive, default=0.1, metavar="RATE", help="default: 0.1")
    demo.add_argument("--iterations", type=_at_least_one, default=1000, metavar="N", help="default: 1000")
    demo.add_argument("--every", type=_at_least_one, default=100, metavar="N", help="print every N-th (default: 100)")
    demo.add_argument("--png", metavar="OUT.png", help="write the plot to a file, instead of drawing it with letters")
    demo.set_defaults(run=_demo)
    words = "versions, threads, compiled kernels, BLAS and processor"
    info = commands.add_parser("info", help=words, description=f"Print {words}, as a fit here would find them.")
    info.add_argument("--json", action="store_true", help="print JSON instead of a table")
    info.set_defaults(run=_info)
    warmup = commands.add_parser(
        "warmup",
        help="compile all kernels ahead of time, for example in an image",
        description="Compile all kernels, and remove those of other versions, so that no fit waits for the compiler.",
        epilog="Exit codes: 0 all kernels are in the cache, 2 some could not be written.",
    )
    warmup.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="WORD",
        help="what has this word in its name: two, more, rate, dense, CSR, C, F, float64, float32, int32, int64, "
        "functions; may be given several times, and all must be there",
    )
    warmup.add_argument("--processes", type=_at_least_one, metavar="N", help="default: one for each allowed core")
    warmup.set_defaults(run=_warmup)
    return parser


def _positive(text):
    with contextlib.suppress(ValueError):
        if 0.0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a positive number, not {text!r}")


def _at_least_one(text):
    with contextlib.suppress(ValueError):
        if int(text) >= 1:
            return int(text)
    raise argparse.ArgumentTypeError(f"must be a whole number, at least 1, not {text!r}")


def _info(options):
    from fastlogreg import info

    try:
        facts = info.facts()
    except ValueError as error:  # a variable of the environment that is no number
        raise InputError(str(error)) from None
    if options.json:
        print(json.dumps(facts, indent=2))
    else:
        _console().print(info.table(facts))
    return OK


def _warmup(options):
    from fastlogreg import warmup

    try:
        warmup.run(options.only, options.processes, _console())
    except warmup.CacheError as error:
        raise InputError(f"{error}.") from None
    return OK


def _demo(options):
    import numpy as np

    _check_png(options.png)
    x, y, n_bad = _read(options.file)
    if not len(x):
        raise InputError("no line 'feature_value,label' to fit")
    if len(set(y)) == 1:
        raise InputError(
            f"all {len(y)} labels are {y[0]}: with one class there is no boundary to find; add lines of the other class"
        )
    x, y = np.array(x), np.array(y)
    trace, diverged = _descend(x, y, options.learning_rate, options.iterations, options.every)
    console = _console()
    _print_table(console, trace)
    if diverged:
        print(f"fastlogreg: {_divergence_words(x, options.learning_rate, trace)}", file=sys.stderr)
        return DIVERGED
    w0, w1 = trace[-1][2:]
    console.print(_boundary_words(x, y, w0, w1), soft_wrap=True)
    if options.png:
        _write_png(options.png, x, y, w0, w1)
        console.print(f"Plot: {options.png}", soft_wrap=True, markup=False)
    else:
        console.print()
        console.print(_text_plot(x, y, w0, w1, _plain(console)), soft_wrap=True, markup=False)
    return LINES_LEFT_OUT if n_bad else OK


# --- reading ----------------------------------------------------------------------------------------------------


def _read(path):
    """Return values, labels and the number of malformed lines, each of which is named on standard error."""
    if path in (None, "-"):
        if sys.stdin.isatty():
            print("Type lines feature_value,label; end with Ctrl-D on a line of its own.", file=sys.stderr)
        return _parse(sys.stdin)
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as lines:
            return _parse(lines)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def _parse(lines):
    values, labels, n_bad = [], [], 0
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].strip()
        if not words:
            continue
        try:
            value, label = _parse_line(words)
        except ValueError as error:
            n_bad += 1
            print(f"line {number}: {line.rstrip()!r}: {error}", file=sys.stderr)
            continue
        values.append(value)
        labels.append(label)
    if n_bad:
        noun = "line" if n_bad == 1 else "lines"
        print(f"{n_bad} {noun} left out, {len(values)} used", file=sys.stderr)
    return values, labels, n_bad


def _parse_line(words):
    """Return (value, label) of one line, or raise ValueError with what is wrong."""
    parts = [part.strip() for part in words.split(",")]
    if len(parts) != 2:
        raise ValueError(f"expected feature_value,label, found {len(parts)} field{'s' * (len(parts) > 1)}")
    numbers = []
    for name, part in zip(("feature value", "label"), parts, strict=True):
        try:
            numbers.append(float(part))
        except ValueError:
            raise ValueError(f"the {name} {part!r} is not a number") from None
    if not math.isfinite(numbers[0]):
        raise ValueError(f"the feature value {parts[0]!r} is not finite")
    if abs(numbers[0]) > LARGEST:
        raise ValueError(f"the feature value {parts[0]!r} is beyond ±{LARGEST:g}")
    if numbers[1] not in LABELS:
        raise ValueError(f"the label {parts[1]!r} is neither 0 nor 1 (nor -1)")
    return numbers[0], LABELS[numbers[1]]


# --- fitting ----------------------------------------------------------------------------------------------------


def _descend(x, y, learning_rate, iterations, every):
    """Return the rows of the table, (iteration, loss, w0, w1), and whether the run diverged."""
    from sklearn.base import clone

    from fastlogreg.estimators.stochastic import SGDLogisticRegression
    from fastlogreg.result import DivergenceWarning

    X = x[:, None]
    model = SGDLogisticRegression(optimizer="gd", learning_rate=learning_rate, alpha=0.0, max_iter=iterations, tol=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)  # the caller says it in the command's words
        model.fit(X, y)
    losses = model.history_["train_loss"]
    trace = [(0, math.log(2.0), 0.0, 0.0)]
    walker = clone(model).set_params(warm_start=True)
    for stop in [*range(every, len(losses), every), len(losses)]:
        walker = _walk(walker, X, y, stop - trace[-1][0])
        if walker is None:
            break
        trace.append((stop, float(losses[stop - 1]), float(walker.intercept_[0]), float(walker.coef_[0, 0])))
    return trace, model.result_.status.diverged


def _walk(model, X, y, steps):
    """Return the model so many iterations further; None where its weights overflow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ahead = copy.deepcopy(model).set_params(max_iter=steps).fit(X, y)
        if not ahead.result_.status.diverged:
            return ahead
        # its loss was higher than at its start all the way, and it holds its best weights, not its last ones
        try:
            for _ in range(steps):
                model.partial_fit(X, y, classes=[0, 1])
        except ValueError:
            return None
    return model


# --- showing ----------------------------------------------------------------------------------------------------


def _console():
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self):
            raise BrokenPipeError  # rich would exit with 1, which here means lines left out

    return Output(highlight=False)


def _print_table(console, trace):
    from rich.table import Table

    table = Table(title="Batch gradient descent, p(y = 1) = sigmoid(w0 + w1 x)", title_justify="left")
    for header in ("iteration", "mean loss", "w0", "w1", "boundary"):
        table.add_column(header, justify="right")
    for iteration, loss, w0, w1 in trace:
        boundary = f"{-w0 / w1:#.6g}" if w1 else "none"
        table.add_row(str(iteration), f"{loss:#.6g}", f"{w0:#.6g}", f"{w1:#.6g}", boundary)
    console.print(table)


def _boundary_words(x, y, w0, w1):
    """Say where p = ½, and how much that means."""
    zeros, ones = x[y == 0], x[y == 1]
    if x.min() == x.max():
        return f"No boundary: the feature has one value only, {x[0]:g}, and tells nothing about the label."
    if w1 == 0.0:
        return "No boundary: w1 = 0, so p is the same for every x."
    words = f"Boundary: x = -w0 / w1 = {-w0 / w1:.6g}; label 1 is predicted {'above' if w1 > 0 else 'below'} it."
    if zeros.max() <= ones.min() or ones.max() <= zeros.min():
        low, high = sorted((max(zeros.min(), ones.min()), min(zeros.max(), ones.max())))
        where = f"any boundary between {low:g} and {high:g}" if low < high else f"the boundary {low:g}"
        words += (
            f"\nThe classes are separable: {where} is as good, the loss has no minimum, and |w1| grows with every "
            "iteration. The weights depend on where the iterations stop."
        )
    return words


def _divergence_words(x, learning_rate, trace):
    """Say what happened and a rate that works: 1 / L, with L the largest eigenvalue of ¼ mean (1, x)(1, x)ᵀ."""
    import numpy as np

    rows = np.column_stack([np.ones(len(x)), x])
    curvature = np.linalg.eigvalsh(rows.T @ rows / len(x))[-1] / 4.0
    largest = np.abs(x).max()
    return (
        f"the iterations diverged at learning rate {learning_rate:g}: after {trace[-1][0]} the mean loss is "
        f"{trace[-1][1]:.3g}.\nThe values reach {largest:g}: divide them by about that, or use --learning-rate "
        f"{1.0 / curvature:.1g} with many more --iterations."
    )


def _plain(console):
    return not (console.encoding or "").lower().startswith("utf")


def _text_plot(x, y, w0, w1, plain, width=61, height=15):
    """Return p(y = 1) against x, the data and the boundary, drawn with characters."""
    import numpy as np
    from scipy.special import expit

    low, high = float(x.min()), float(x.max())
    reach = 0.1 * (high - low) or 1.0
    low, high = low - reach, high + reach
    curve, bar, zero, one = ("*", "|", "o", "#") if plain else ("·", "┊", "●", "■")
    rows = [[" "] * width for _ in range(height)]

    def column(value):
        return round((value - low) / (high - low) * (width - 1))

    boundary = -w0 / w1 if w1 else math.nan
    visible = low < boundary < high
    if visible:
        for row in rows:
            row[column(boundary)] = bar
    for j, p in enumerate(expit(w0 + w1 * np.linspace(low, high, width))):
        rows[round((1.0 - p) * (height - 1))][j] = curve
    for value, label in zip(x.tolist(), y.tolist(), strict=True):
        rows[0 if label else -1][column(value)] = one if label else zero
    scale = {0: "1.0", (height - 1) // 2: "0.5", height - 1: "0.0"}
    edge, corner, dash = ("|", "+", "-") if plain else ("│", "└", "─")
    lines = [f" {scale.get(i, '   ')} {edge}{''.join(row)}".rstrip() for i, row in enumerate(rows)]
    left, right = f"{low:.4g}", f"{high:.4g}"
    lines += [
        f"     {corner}{dash * width}",
        f"      {left}{right:>{max(1, width - len(left))}}",
        f"      {zero} label 0, {one} label 1, {curve} p(y = 1)" + f", {bar} boundary" * visible,
    ]
    return "\n".join(lines)


def _check_png(path):
    """Raise before any work is done where the plot could not be written."""
    if path is None:
        return
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError("--png needs matplotlib, which is not installed: pip install 'fastlogreg[plots]'") from None
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise InputError(f"cannot write {path}: there is no folder {folder}")


def _write_png(path, x, y, w0, w1):
    from types import SimpleNamespace

    import numpy as np
    from matplotlib.figure import Figure

    from fastlogreg.plots import sigmoid_curve

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    model = SimpleNamespace(classes_=np.array([0, 1]), coef_=np.array([[w1]]), intercept_=np.array([w0]))
    sigmoid_curve(model, x, y, ax=figure.subplots())
    try:
        figure.savefig(path, format="png", dpi=150)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None


if __name__ == "__main__":
    sys.exit(main())
