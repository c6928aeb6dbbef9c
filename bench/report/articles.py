"""What the five articles show, computed again with fastlogreg, the article's numbers beside ours."""

import numpy as np
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from bench import baselines, data
from bench.report.descent import coefficients, gradient_descent, histories
from bench.report.drawing import canvas, count, difference, picture
from bench.report.page import Section
from fastlogreg import LogisticRegression, SGDLogisticRegression, functional, plots

# What the articles print, or what their programs print when run as they stand.
SEED_1001 = {
    "iterations": 601,
    "intercept": -0.06813914,
    "weight 1": -1.45278642,
    "weight 2": 2.41044473,
    "train loss, first": 0.59971110,
    "test loss, first": 0.59866205,
    "train loss, last": 0.07409466,
    "test loss, last": 0.06207248,
    "train quadratic, last": 34.4501,
    "test quadratic, last": 34.9597,
    "train accuracy": 0.9675,
    "test accuracy": 0.985,
}
SEEDS = {1001: (601, 0.9675, 0.985), 0: (1870, 0.9575, 0.935), 1: (290, 1.0, 1.0), 42: (309, 1.0, 1.0)}
COST_TABLE = (0.6931, 0.2846, 0.2557, 0.2463, 0.2420, 0.2396, 0.2381, 0.2371, 0.2363, 0.2357)
INCOME = np.arange(1000.0, 6001.0, 500.0)
BOUGHT = (INCOME <= 3500).astype(int)
FAR = np.array([15_000.0, 20_000.0, 25_000.0])


def section(run):
    page = Section("articles", "The articles, computed again")
    page.text(
        "The five tutorials' data, optimisers and pictures, through the public estimators. Tables set the articles' "
        "numbers beside ours; where an article is wrong, the row says so. A difference below half a unit of the last "
        "digit shown is the rounding of the article's figure."
    )
    tally = Tally()
    for k, part in enumerate((_article1, _article2, _article3, _article4, _article5, _phases)):
        run.tell(part.__doc__.rstrip("."), k / 6)
        part(page, tally)
    page.findings.append(
        (f"{tally.same} of {tally.all}", "numbers of the articles come out again to their last printed digit")
    )
    return page


class Tally:
    """How many of the articles' numbers came out again, to half a unit of their last printed digit."""

    def __init__(self):
        self.same, self.all = 0, 0

    def row(self, name, theirs, ours, digits):
        """A line of a table; the number is counted."""
        self.all += 1
        self.same += abs(ours - theirs) <= 0.51 * 10.0**-digits
        return _row(name, theirs, ours, digits)


def _row(name, theirs, ours, digits):
    return [name, f"{theirs:.{digits}f}", f"{ours:.{digits}f}", difference(ours - theirs)]


def _article1(page, tally):
    """Article 1, blobs."""
    X, y, X_test, y_test = data.article1()
    model = gradient_descent().fit(X, y, X_val=X_test, y_val=y_test)
    recorded = histories(model)
    figure, ax = canvas(height=4.6)
    plots.decision_regions(model, X, y, ax=ax)
    accuracy = model.score(X_test, y_test)
    title = f"Article 1: the boundary after gradient descent, {100 * accuracy:.1f} % of new points right"
    page.add(picture(figure, "article1-regions", title, "The 800 training points; the fill is the predicted class."))
    figure, (left, right) = canvas(1, 2, height=3.6)
    plots.loss_curves(recorded, ax=left)
    plots.loss_curves(recorded, quantity="quadratic", ax=right)
    left.set_title("logistic cost")
    right.set_title("quadratic cost of the raw score")
    title = "Article 1: the logistic cost falls from start to end, the quadratic cost, which nobody minimises, rises"
    caption = "Both costs at every iteration, on 800 training rows (solid) and 200 test rows (dashed)."
    page.add(picture(figure, "article1-costs", title, caption))
    ours = dict(
        zip(
            SEED_1001,
            (
                float(np.max(model.n_iter_)),
                coefficients(model)[-1],
                *coefficients(model)[:-1],
                *(recorded[name][i] for i in (0, -1) for name in ("train_loss", "test_loss")),
                *(recorded[name][-1] for name in ("train_quadratic", "test_quadratic")),
                model.score(X, y),
                accuracy,
            ),
            strict=True,
        )
    )
    digits = {"iterations": 0, "train accuracy": 4, "test accuracy": 4}
    digits |= dict.fromkeys(("train quadratic, last", "test quadratic, last"), 4)
    page.table(
        ["article 1, seed 1001", "article", "fastlogreg", "difference"],
        [tally.row(name, value, ours[name], digits.get(name, 8)) for name, value in SEED_1001.items()],
        caption="Gradient descent from zero, rate 0.1, until a step is shorter than 0.001.",
    )
    rows, lines = [], {}
    for seed, (n_iter, train, test) in SEEDS.items():
        A, b, A_test, b_test = data.article1(seed=seed)
        fitted = gradient_descent().fit(A, b, X_val=A_test, y_val=b_test)
        lines[f"seed {seed}"] = (np.arange(1, np.max(fitted.n_iter_) + 1), histories(fitted)["train_loss"])
        for theirs, ours, digits in (
            (n_iter, np.max(fitted.n_iter_), 0),
            (train, fitted.score(A, b), 4),
            (test, fitted.score(A_test, b_test), 4),
        ):
            tally.row("", theirs, ours, digits)
        rows.append(
            [str(seed), str(n_iter), str(np.max(fitted.n_iter_))]
            + [f"{value:.4f}" for value in (train, fitted.score(A, b), test, fitted.score(A_test, b_test))]
        )
    figure, ax = canvas(height=3.8)
    plots.optimisers(lines, xlabel="iteration", ax=ax)
    ax.set_xscale("log")
    ax.set_yscale("log")
    slowest, fastest = max(rows, key=lambda r: int(r[2])), min(rows, key=lambda r: int(r[2]))
    title = (
        f"Article 1: the seed decides – {fastest[2]} iterations with seed {fastest[0]}, {slowest[2]} with {slowest[0]}"
    )
    caption = "Training loss of the same run on blobs drawn with four seeds: some overlap, some are far apart."
    page.add(picture(figure, "article1-seeds", title, caption))
    header = [
        "seed",
        "iterations, article",
        "ours",
        "train accuracy, article",
        "ours",
        "test accuracy, article",
        "ours",
    ]
    page.table(header, rows, caption="Other seeds for article 1's blobs.")


def _article2(page, tally):
    """Article 2, worked steps."""
    x, y = np.arange(1.0, 6.0)[:, None], np.array([0, 0, 0, 1, 1])
    coef = np.array([2.197, -6.593])
    value, gradient = functional.loss_gradient(x, y, coef)
    after = coef - 0.1 * gradient
    # two samples with given probabilities: no feature, the logits as offset
    logits = np.log([0.9 / 0.1, 0.2 / 0.8])
    bias = functional.loss_gradient(np.zeros((2, 1)), np.array([1.0, 0.0]), np.zeros(2), offset=logits)[1][-1]
    fitted = LogisticRegression(C=1.0, tol=1e-12).fit(x, y)
    w, b = fitted.coef_[0, 0], fitted.intercept_[0]
    rough, exact = (SklearnLogisticRegression(tol=tol).fit(x, y) for tol in (1e-4, 1e-12))
    p = functional.sigmoid(coef[0] * x.ravel() + coef[1])
    rows = [
        tally.row("bias gradient of two samples, p = 0.9 and 0.2", 0.05, bias, 4),
        *(
            tally.row(f"p at x = {i + 1}", theirs, ours, 5)
            for i, (theirs, ours) in enumerate(zip((0.01218, 0.09984, 0.49950, 0.89980, 0.98778), p, strict=True))
        ),
        tally.row("mean loss", 0.185493, value, 6),
        tally.row("gradient in w", 0.249686, gradient[0], 6),
        tally.row("gradient in w, as a sum", 1.248432, 5 * gradient[0], 6),
        tally.row("gradient in b", 0.099818, gradient[1], 6),
        tally.row("w after one step of rate 0.1", 2.172031, after[0], 6),
        tally.row("b after one step", -6.602982, after[1], 6),
        _row("w of scikit-learn's fit, stopped by its default tolerance", rough.coef_[0, 0], w, 6),
        _row("b of the same", rough.intercept_[0], b, 6),
        _row("w at the tightest tolerance (the article wrongly says 2.197)", exact.coef_[0, 0], w, 6),
        _row("b at the tightest (the article wrongly says −6.593)", exact.intercept_[0], b, 6),
        _row("its boundary (the article wrongly says 3)", -exact.intercept_[0] / exact.coef_[0, 0], -b / w, 6),
    ]
    figure, (left, right) = canvas(1, 2, height=4.0)
    plots.sigmoid_curve(fitted, x, y, limits=(0, 6), ax=left)
    plots.sigmoid_curve(fitted, x, y, limits=(0, 6), mirror=True, ax=right)
    title = f"Article 2: the fitted curve crosses one half at x = {-b / w:.2f}, and so does its mirror image p(y = 0)"
    caption = "100 points of the curve over 0 to 6, C = 1. Without a penalty these five points have no finite optimum."
    page.add(picture(figure, "article2-sigmoid", title, caption))
    header = ["article 2, training step by step", "article, scikit-learn", "fastlogreg", "difference"]
    page.table(header, rows, caption="x = 1 … 5, y = 0 0 0 1 1, at w = 2.197, b = −6.593; then the fit with C = 1.")


def _article3(page, tally):
    """Article 3, losses and income."""
    figure, ax = canvas(height=3.8)
    plots.loss_branches(ax=ax)
    title = "Article 3: a confident mistake costs without bound, a right answer next to nothing"
    page.add(picture(figure, "article3-branches", title))
    figure, axes = canvas(1, 2, height=3.6)
    plots.convexity(axes=axes)
    for ax, words in zip(axes, ("convex", "not convex"), strict=True):
        ax.set_title(f"{words}: {ax.get_title()}")
    title = "Article 3: the logistic loss is convex; the squared error of the same probabilities is not"
    caption = "One coefficient, four samples: x = −8, −1, ¼, 1 and y = 1, 0, 0, 1. Dots mark the minima."
    page.add(picture(figure, "article3-convexity", title, caption))
    figure, ax = canvas(height=4.2)
    plots.linear_versus_logistic(INCOME, BOUGHT, FAR, np.zeros(3), ax=ax)
    ax.set(xlabel="income", ylabel="bought (1) or not (0)")
    far_x, far_y = np.append(INCOME, FAR), np.append(BOUGHT, np.zeros(3, dtype=int))
    before, after = (baselines.least_squares_crossing(*pair) for pair in ((INCOME, BOUGHT), (far_x, far_y)))
    models = [LogisticRegression().fit(xs[:, None], ys) for xs, ys in ((INCOME, BOUGHT), (far_x, far_y))]
    boundaries = [-m.intercept_[0] / m.coef_[0, 0] for m in models]
    title = (
        f"Article 3: three rich customers move the line's crossing from {before:.0f} to {after:.0f}; the logistic "
        f"boundary stays at {boundaries[1]:.0f}"
    )
    page.add(picture(figure, "article3-income", title, "Income in raw units. Triangles: the points added, all “no”."))
    page.table(
        ["article 3, income", "right value", "fastlogreg"],
        [
            tally.row("line crosses ½, 11 rows", 3666.67, before, 2)[:3],
            tally.row("line crosses ½, with 15 000, 20 000, 25 000", 5246.58, after, 2)[:3],
            ["logistic boundary, 11 rows", "within 3500 to 4000", f"{boundaries[0]:.2f}"],
            ["logistic boundary, with the far rows", "within 3500 to 4000", f"{boundaries[1]:.2f}"],
        ],
        caption="The line's crossing moves, the boundary does not.",
        text_columns=(1,),
    )


def _article4(page, tally):
    """Article 4, toy data."""
    x, y = np.array([[0.5], [2.5], [1.0], [3.0]]), np.array([0, 1, 0, 1])
    model = SGDLogisticRegression(optimizer="gd", learning_rate=0.1, alpha=0.0, max_iter=1000, tol=0.0).fit(x, y)
    found = [model.intercept_[0], model.coef_[0, 0], *model.predict_proba(x)[:, 1]]
    names = ["w0", "w1", *(f"p at x = {value:g}" for value in x.ravel())]
    right = (-5.16015367, 3.18428912, 0.02744, 0.94271, 0.12176, 0.98778)
    page.table(
        ["article 4, toy data", "article", "fastlogreg", "difference"],
        [
            tally.row(name, theirs, ours, 8 if i < 2 else 5)
            for i, (name, theirs, ours) in enumerate(zip(names, right, found, strict=True))
        ],
        caption="1 000 iterations of rate 0.1. The command `fastlogreg demo` does the same for lines that you type.",
    )


def _article5(page, tally):
    """Article 5, from scratch."""
    X, y, X_test, y_test = data.article5()
    model = SGDLogisticRegression(optimizer="gd", learning_rate=0.1, alpha=0.0, max_iter=1000, tol=0.0).fit(X, y)
    # the article prints the loss before an update, the history holds it after: shift by one, from log 2
    losses = np.append(np.log(2.0), model.history_["train_loss"])
    figure, (left, right) = canvas(1, 2, height=3.8)
    plots.scatter_classes(np.concatenate([X, X_test]), np.concatenate([y, y_test]), ax=left)
    right.plot(np.arange(len(losses)), losses, color=plots.BLUE)
    right.plot(np.arange(0, 1000, 100), COST_TABLE, "o", color=plots.RED, label="printed by the article")
    right.set(xlabel="epoch", ylabel="mean logistic loss")
    right.legend()
    accuracy = model.score(X_test, y_test)
    title = f"Article 5: the cost falls along the article's own table; {100 * accuracy:.0f} % of the test rows right"
    page.add(picture(figure, "article5", title, "Left: all 1 000 rows. Right: the cost of 1 000 epochs of rate 0.1."))
    rows = [tally.row(f"cost at epoch {100 * i}", cost, losses[100 * i], 4) for i, cost in enumerate(COST_TABLE)]
    rows += [
        tally.row("w1", -0.25318706, model.coef_[0, 0], 8),
        tally.row("w2", 3.22944195, model.coef_[0, 1], 8),
        tally.row("b", 0.63111413, model.intercept_[0], 8),
        tally.row("test accuracy", 0.90, accuracy, 2),
    ]
    page.table(
        ["article 5, from scratch", "article", "fastlogreg", "difference"], rows, caption="Zero start, rate 0.1."
    )


def _phases(page, tally):
    """Train, validate, predict."""
    X, y, X_new, y_new = data.article5()
    X_train, y_train, X_valid, y_valid = X[:600], y[:600], X[600:], y[600:]
    accepted, rows = 0.30, []
    for rate, epochs in ((0.001, 100), (0.1, 100), (1.0, 100)):
        model = SGDLogisticRegression(optimizer="gd", learning_rate=rate, alpha=0.0, max_iter=epochs, tol=0.0)
        model.fit(X_train, y_train)
        coef = coefficients(model)
        train, valid = functional.loss(X_train, y_train, coef), functional.loss(X_valid, y_valid, coef)
        good = valid <= accepted
        verdict = "accepted" if good else "not acceptable: back to training with a larger rate"
        rows.append([f"train, rate {rate:g}, then validate", count(600), f"{train:.4f}", f"{valid:.4f}", verdict])
        if good:
            break
    right = f"{100 * model.score(X_new, y_new):.0f} % right"
    rows.append(["predict new rows", count(len(y_new)), "–", "–", right])
    page.table(
        ["article 3's phases", "rows", "training loss", "validation loss", "verdict"],
        rows,
        caption=f"Train, validate, predict, on article 5's data; a validation loss up to {accepted:.2f} is accepted.",
        text_columns=(4,),
    )
