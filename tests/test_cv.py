"""Cross-validation: scores are those of a loop over folds, fits are optima of their folds, choices follow scores."""

import inspect
import warnings

import numpy as np
import pytest
import scipy.sparse
import sklearn
from sklearn.linear_model import LogisticRegressionCV as SklearnLogisticRegressionCV
from sklearn.metrics import brier_score_loss, get_scorer, make_scorer, roc_auc_score
from sklearn.model_selection import GroupKFold, KFold, RepeatedStratifiedKFold, ShuffleSplit, StratifiedKFold
from sklearn.utils.estimator_checks import check_estimator

import naive
from fastlogreg import ConvergenceWarning, LogisticRegression, LogisticRegressionCV
from fastlogreg.design import ArrayDesign
from fastlogreg.estimators.scoring import HeldOut, scores
from fastlogreg.problem import bind
from problems import BINARY, SEVERAL, drawn

X, Y = BINARY.X, BINARY.y.astype(int)
X3, Y3 = SEVERAL.X, np.array(["a", "b", "c"])[SEVERAL.y]
CS = [0.01, 10.0, 0.3]

each_data = pytest.mark.parametrize(("X", "y"), [(X, Y), (X3, Y3)], ids=["binary", "several"])


def cv(**parameters):
    """The estimator without scikit-learn's warnings of what it will change."""
    defaults = {"Cs": CS, "l1_ratios": (0,), "scoring": "neg_log_loss", "use_legacy_attributes": False, "cv": 4}
    return LogisticRegressionCV(**(defaults | parameters))


def by_hand(X, y, model, scorer, sample_weight=None, score_weight=None):
    """Scores of single fits to copies of the rows, (n_folds, n_l1_ratios, n_cs)."""
    found = []
    for train, test in StratifiedKFold(model.cv).split(X, y):
        for ratio in model.l1_ratios:
            for C in model.Cs_:
                weight = None if sample_weight is None else sample_weight[train]
                fit = LogisticRegression(C=C, l1_ratio=ratio, tol=1e-11).fit(X[train], y[train], weight)
                options = {} if score_weight is None else {"sample_weight": score_weight[test]}
                found.append(scorer(fit, X[test], y[test], **options))
    return np.reshape(found, (model.cv, len(model.l1_ratios), len(model.Cs_)))


def test_scikit_learn_checks():
    """With three folds, as scikit-learn checks its own class, for data of few rows."""
    model = LogisticRegressionCV(l1_ratios=(0,), scoring="neg_log_loss", use_legacy_attributes=False, cv=3)
    results = check_estimator(model, on_fail=None, on_skip=None)
    assert len(results) > 50
    assert not [entry for entry in results if entry["status"] in ("failed", "xfail")]
    assert {entry["check_name"] for entry in results if entry["status"] == "skipped"} <= {"check_array_api_input"}


# --- scores -----------------------------------------------------------------------------------------------------


@each_data
@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss", "roc_auc_ovr", "neg_brier_score", "f1_macro"])
def test_scores_are_those_of_a_loop_over_folds(X, y, scoring):
    if scoring == "neg_brier_score" and y is Y3 and "labels" not in inspect.signature(brier_score_loss).parameters:
        pytest.skip("this scikit-learn has no Brier score of several classes")
    model = cv(scoring=scoring, tol=1e-11).fit(X, y)
    np.testing.assert_allclose(model.scores_, by_hand(X, y, model, get_scorer(scoring)), atol=1e-8)


@each_data
def test_scores_of_elastic_nets_are_those_of_a_loop_over_folds(X, y):
    model = cv(l1_ratios=(0.2, 1.0), tol=1e-11, Cs=[0.5, 0.05]).fit(X, y)
    np.testing.assert_allclose(model.scores_, by_hand(X, y, model, get_scorer("neg_log_loss")), atol=1e-8)
    assert (model.coefs_paths_[:, 1, 1, :, :-1] == 0.0).any()


def test_a_function_scores_the_rows_that_are_held_out():
    def largest_probability(model, X, y):
        assert X.shape == (len(y), 5) and model.coef_.shape == (1, 5)
        np.testing.assert_allclose(model.predict_proba(X), model.predict_proba(X.copy()), rtol=1e-12)
        np.testing.assert_allclose(model.predict_log_proba(X), model.predict_log_proba(X.copy()), rtol=1e-9)
        np.testing.assert_array_equal(model.predict(X), model.predict(X.copy()))
        return model.predict_proba(X).max(axis=1).mean()

    model = cv(scoring=largest_probability, tol=1e-11).fit(X, Y)
    np.testing.assert_allclose(model.scores_, by_hand(X, Y, model, largest_probability), atol=1e-8)


@each_data
def test_weights_count_in_fits_and_scores(X, y):
    weight = np.random.default_rng(0).uniform(0.2, 3.0, len(y))
    model = cv(tol=1e-11).fit(X, y, sample_weight=weight)
    expected = by_hand(X, y, model, get_scorer("neg_log_loss"), weight, weight)
    np.testing.assert_allclose(model.scores_, expected, atol=1e-8)
    assert model.score(X, y, sample_weight=weight) != model.score(X, y)


def test_rows_of_weight_two_are_rows_twice():
    weight = 1.0 + (np.arange(len(Y)) % 3 == 0)
    index = np.repeat(np.arange(len(Y)), weight.astype(int))
    folds = list(StratifiedKFold(3).split(X, Y))
    repeated = [tuple(np.flatnonzero(np.isin(index, rows)) for rows in fold) for fold in folds]
    weighted = cv(cv=folds, tol=1e-11).fit(X, Y, sample_weight=weight)
    twice = cv(cv=repeated, tol=1e-11).fit(X[index], Y[index])
    np.testing.assert_allclose(weighted.scores_, twice.scores_, atol=1e-9)
    np.testing.assert_allclose(weighted.coef_, twice.coef_, atol=1e-8)


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss"])
@each_data
def test_own_scores_are_to_the_digit_those_of_scikit_learn(X, y, scoring):
    problem = bind(LogisticRegression(), X, y)
    rows = np.arange(0, len(y), 3)
    weight = np.random.default_rng(1).uniform(size=len(rows))
    fit = LogisticRegression(C=1e6).fit(X, y)
    coef = np.column_stack([fit.coef_, fit.intercept_]) * 40.0  # probabilities of 0 and 1, which are clipped
    coef = coef[0] if len(fit.classes_) == 2 else coef
    held_out = HeldOut(problem, rows, None)
    scorer = get_scorer(scoring)
    for params in ({}, {"sample_weight": weight}):
        held_out.take(coef, held_out.predictors([coef])[0])
        expected = scorer(held_out, X[rows], y[rows], **params)
        assert scores(scorer, held_out, [coef], params)[0] == pytest.approx(expected, rel=1e-12)


def test_rows_held_out_are_not_copied_for_scorers_of_scikit_learn(monkeypatch):
    def forbidden(self):
        raise AssertionError("rows were copied")

    monkeypatch.setattr(HeldOut, "X", property(forbidden))
    cv(scoring="roc_auc").fit(X, Y)
    cv(scoring=make_scorer(roc_auc_score, response_method="decision_function")).fit(X, Y)
    with pytest.raises(AssertionError, match="rows were copied"):
        cv(scoring=lambda model, X, y: 0.0).fit(X, Y)


# --- fits -------------------------------------------------------------------------------------------------------


@each_data
@pytest.mark.parametrize("l1_ratio", [0.0, 0.6])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_every_fit_is_an_optimum_of_its_fold(X, y, l1_ratio, class_weight):
    model = cv(l1_ratios=(l1_ratio,), class_weight=class_weight).fit(X, y)
    target = np.searchsorted(model.classes_, y)
    factors = np.ones(len(model.classes_))
    if class_weight == "balanced":
        factors = len(y) / (len(model.classes_) * np.bincount(target))
    for f, (train, _) in enumerate(StratifiedKFold(4).split(X, y)):
        weight = factors[target[train]]
        for c, C in enumerate(CS):
            coef, alpha = model.coefs_paths_[f, 0, c], 1 / (C * weight.sum())
            coef = coef[0] if len(model.classes_) == 2 else coef
            kind = np.float64 if len(model.classes_) == 2 else np.int64
            l1, l2 = alpha * l1_ratio, alpha * (1 - l1_ratio)
            slopes = naive.gradient(X[train], target[train].astype(kind), coef, weight=weight, l2=l2)
            slopes[..., :-1] -= naive.means(X[train], weight) * slopes[..., -1:]
            inner = slopes[..., :-1]
            at_zero, elsewhere = np.maximum(np.abs(inner) - l1, 0), np.abs(inner + l1 * np.sign(coef[..., :-1]))
            slopes[..., :-1] = np.where(coef[..., :-1] == 0, at_zero, elsewhere)
            assert np.max(np.abs(slopes) / naive.scales(X[train], weight)) <= 1e-8 * (1 + 1e-6)


@each_data
def test_the_answer_is_the_fit_to_all_rows(X, y):
    model = cv().fit(X, y)
    single = LogisticRegression(C=model.C_).fit(X, y)
    np.testing.assert_allclose(model.coef_, single.coef_, atol=1e-6)
    np.testing.assert_allclose(model.intercept_, single.intercept_, atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(X), single.predict_proba(X), atol=1e-6)
    assert model.score(X, y) == pytest.approx(get_scorer("neg_log_loss")(single, X, y), abs=1e-7)


def test_order_of_Cs_does_not_matter():
    given, rising = (cv(Cs=Cs, tol=1e-11).fit(X, Y) for Cs in (CS, sorted(CS)))
    np.testing.assert_array_equal(given.Cs_, CS)
    np.testing.assert_array_equal(given.scores_, rising.scores_[..., np.argsort(np.argsort(CS))])
    assert given.C_ == rising.C_


@pytest.mark.parametrize("storage", [np.asfortranarray, np.float32, scipy.sparse.csr_array, scipy.sparse.csc_matrix])
def test_storages(storage):
    thin = np.round(X * (np.random.default_rng(0).random(X.shape) < 0.5), 2).astype(np.float32).astype(np.float64)
    found, expected = (cv(tol=1e-10).fit(rows, Y) for rows in (storage(thin), thin))
    np.testing.assert_allclose(found.scores_, expected.scores_, atol=1e-7)
    np.testing.assert_allclose(found.coef_, expected.coef_, atol=1e-6)


def test_X_is_not_copied(monkeypatch):
    seen = []
    run = ArrayDesign.run

    def watched(self, *arguments, **options):
        seen.append(self.X)
        return run(self, *arguments, **options)

    monkeypatch.setattr(ArrayDesign, "run", watched)
    rare = X.copy()
    rare[:, 0] = 0.0
    rare[3, 0] = 1.0  # zero in the fold that holds this row out
    model = cv().fit(rare, Y)
    assert all(np.shares_memory(rows, rare) for rows in seen if len(rows) == len(rare))
    fold = next(f for f, (_, test) in enumerate(StratifiedKFold(4).split(X, Y)) if 3 in test)
    assert (model.coefs_paths_[fold, 0, :, 0, 0] == 0.0).all() and (model.coef_[0, 0] != 0.0)


def test_no_intercept():
    model = cv(fit_intercept=False).fit(X, Y)
    assert model.coefs_paths_.shape == (4, 1, 3, 1, 5)
    assert (model.intercept_ == 0.0).all()


@pytest.mark.parametrize("splitter", [KFold(3), RepeatedStratifiedKFold(n_splits=2, n_repeats=2), ShuffleSplit(3)])
def test_splitters(splitter):
    model = cv(cv=splitter).fit(X, Y)
    assert model.scores_.shape == (splitter.get_n_splits(), 1, 3)


def test_a_row_drawn_twice_counts_twice():
    """Indices of a bootstrap, and masks."""
    train, test = np.array([*range(100), *range(50)]), np.arange(len(Y)) >= 100
    model = cv(cv=[(train, test)], tol=1e-11).fit(X, Y)
    single = LogisticRegression(C=0.3, tol=1e-11).fit(X[train], Y[train])
    np.testing.assert_allclose(model.coefs_paths_[0, 0, 2, 0, :-1], single.coef_[0], atol=1e-9)
    assert model.scores_[0, 0, 2] == pytest.approx(get_scorer("neg_log_loss")(single, X[test], Y[test]), abs=1e-9)


@pytest.mark.parametrize("y", [np.repeat(["a", "b"], 30), np.repeat(["a", "b", "c"], 20)], ids=["binary", "several"])
def test_a_class_that_a_fold_lacks_is_improbable_there(y):
    rows = np.random.default_rng(0).normal(size=(60, 2))
    model = cv(cv=KFold(len(np.unique(y)))).fit(rows, y)
    assert np.isfinite(model.coefs_paths_).all() and (model.scores_ < -10).all()
    model = cv(cv=KFold(len(np.unique(y))), scoring="accuracy").fit(rows, y)
    assert (model.scores_ == 0.0).all()


def test_folds_begin_where_the_fit_to_all_rows_ended():
    problem = drawn(3000, 60)
    model = cv(Cs=10).fit(problem.X, problem.y)
    n_full = sum(result.n_passes for result in model.results_[0])
    assert (model.n_passes_ - 5 - n_full) / 4 < n_full
    assert model.n_passes_ <= 5 + 5 * 10 * 5.5


# --- choices ----------------------------------------------------------------------------------------------------


def scored(table):
    """A scorer that returns the rows of a table, fold by fold."""
    values = iter(np.ravel(table))
    return lambda model, X, y: next(values)


TABLE = np.array([[0.1, 0.5, 0.9], [0.3, 0.8, 0.7], [0.2, 0.7, 0.8]])


def test_means_errors_and_both_choices():
    model = cv(Cs=[1.0, 0.1, 10.0], cv=3, scoring=scored(TABLE)).fit(X, Y)
    np.testing.assert_allclose(model.mean_scores_, TABLE.mean(axis=0)[None])
    errors = TABLE.std(axis=0, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(model.score_errors_, errors[None])
    assert model.best_index_ == (0, 2) and model.C_ == 10.0
    assert 0.8 - errors[2] < TABLE.mean(axis=0)[1] + 0.1  # so a wider error lets in the smaller C
    wide = TABLE + [[0, 0, 0.5], [0, 0, -0.5], [0, 0, 0]]
    model = cv(Cs=[1.0, 0.1, 10.0], cv=3, scoring=scored(wide), selection="1se").fit(X, Y)
    assert model.best_index_ == (0, 2) and model.one_se_index_ == (0, 1) and model.C_ == 0.1
    np.testing.assert_allclose(model.coef_, LogisticRegression(C=0.1).fit(X, Y).coef_, atol=1e-6)


def test_of_equal_scores_the_first_C_and_ratio_count():
    model = cv(Cs=[1.0, 2.0], l1_ratios=(0.5, 1.0), cv=2, scoring=lambda model, X, y: 1.0).fit(X, Y)
    assert model.best_index_ == (0, 0) and model.one_se_index_ == (0, 0)


def test_a_score_that_is_not_a_number_is_the_worst():
    table = TABLE.copy()
    table[1, 2] = np.nan
    model = cv(Cs=[1.0, 0.1, 10.0], cv=3, scoring=scored(table)).fit(X, Y)
    assert model.best_index_ == (0, 1) and np.isnan(model.mean_scores_[0, 2])


def test_without_refit_answers_are_means_over_folds():
    model = cv(Cs=[1.0, 0.1, 10.0], cv=3, scoring=scored(TABLE), refit=False).fit(X, Y)
    assert model.C_ == np.mean([10.0, 0.1, 10.0])
    coef = np.mean([model.coefs_paths_[f, 0, c, 0] for f, c in enumerate([2, 1, 2])], axis=0)
    np.testing.assert_allclose(model.coef_[0], coef[:-1])
    np.testing.assert_allclose(model.intercept_, coef[-1:])


@each_data
def test_out_of_fold_predictions(X, y):
    model = cv(keep_predictions=True).fit(X, y)
    for train, test in StratifiedKFold(4).split(X, y):
        single = LogisticRegression(C=model.C_).fit(X[train], y[train])
        np.testing.assert_allclose(model.out_of_fold_[test], single.predict_proba(X[test]), atol=1e-6)
    once = cv(cv=[(np.arange(100), np.arange(100, 150)), (np.arange(50, 100), np.arange(100, 120))])
    once = once.set_params(keep_predictions=True).fit(X, y)
    np.testing.assert_array_equal(np.isnan(once.out_of_fold_).all(axis=1), ~np.isin(np.arange(len(y)), range(100, 150)))
    np.testing.assert_allclose(once.out_of_fold_[100:150].sum(axis=1), 1.0)


def test_a_grid_from_the_data():
    model = cv(Cs="auto", l1_ratios=(1.0,)).fit(X, Y)
    assert (np.diff(model.Cs_) > 0).all() and 5 <= len(model.Cs_) <= 100
    assert (model.coefs_paths_[:, 0, -1, 0, :-1] != 0).any()
    assert (model.results_[0][0].coef[:-1] == 0.0).all() and (model.results_[0][1].coef[:-1] != 0.0).any()
    assert model.scores_.shape == (4, 1, len(model.Cs_)) == (4, 1, len(model.results_[0]))
    several = cv(Cs="auto", l1_ratios=(0.5, 1.0), tol=1e-6).fit(X, Y)
    assert several.Cs_.shape == (100,)
    assert several.Cs_[0] == pytest.approx(model.Cs_[0] / 2)


# --- scikit-learn's attributes ----------------------------------------------------------------------------------


@each_data
@pytest.mark.parametrize("l1_ratios", [(0.0,), (0.0, 0.5), None])
@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning", "ignore::sklearn.exceptions.ConvergenceWarning")
def test_attributes_are_shaped_like_those_of_scikit_learn(X, y, l1_ratios, legacy):
    parameters = {"Cs": 3, "l1_ratios": l1_ratios, "use_legacy_attributes": legacy, "cv": 2, "solver": "saga"}
    if "use_legacy_attributes" not in inspect.signature(SklearnLogisticRegressionCV).parameters:
        pytest.skip("this scikit-learn knows the old shapes only, and no l1_ratios=None")
    ours, theirs = (
        cls(scoring="accuracy", **parameters).fit(X, y) for cls in (LogisticRegressionCV, SklearnLogisticRegressionCV)
    )

    def shapes(value):
        return {key: np.shape(v) for key, v in value.items()} if isinstance(value, dict) else np.shape(value)

    for name in ("classes_ coef_ intercept_ Cs_ l1_ratios_ C_ l1_ratio_ scores_ coefs_paths_ n_iter_").split():
        assert shapes(getattr(ours, name)) == shapes(getattr(theirs, name)), name


def test_defaults_warn_as_those_of_scikit_learn():
    with pytest.warns(FutureWarning) as caught:
        LogisticRegressionCV(Cs=1, cv=2).fit(X, Y)
    messages = [str(warning.message) for warning in caught]
    assert [next(w for w in ("l1_ratios", "scoring", "legacy") if w in message) for message in messages] == [
        "l1_ratios", "scoring", "legacy",
    ]  # fmt: skip
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize(("penalty", "ratios"), [("l1", [1.0]), ("l2", [0.0]), ("elasticnet", [0.3])])
def test_deprecated_penalty(penalty, ratios):
    with pytest.warns(FutureWarning, match="'penalty' was deprecated"):
        model = cv(penalty=penalty, l1_ratios=ratios if penalty == "elasticnet" else None, Cs=[0.1]).fit(X, Y)
    assert model.l1_ratio_ == ratios[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = cv(l1_ratios=ratios, Cs=[0.1]).fit(X, Y)
    np.testing.assert_array_equal(model.coef_, expected.coef_)


def test_metadata_goes_to_splitter_and_scorer():
    groups, weight = np.arange(len(Y)) % 7, 1.0 + np.arange(len(Y)) % 2
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = get_scorer("accuracy").set_score_request(sample_weight=True)
        model = cv(cv=GroupKFold(7), scoring=scorer)
        model.fit(X, Y, sample_weight=weight, groups=groups)
        assert model.score(X, Y, sample_weight=weight) != model.score(X, Y)
    assert model.scores_.shape[0] == 7
    with pytest.raises(ValueError, match="enable_metadata_routing"):
        cv(cv=GroupKFold(7)).fit(X, Y, groups=groups)


# --- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"Cs": [1.0, -2.0]}, r"Cs\[1\] is -2"),
        ({"Cs": [1.0, 0.0]}, r"Cs must be positive: Cs\[1\] is 0"),
        ({"Cs": [np.nan]}, "NaN"),
        ({"Cs": []}, "at least one"),
        ({"Cs": "data"}, "Cs"),
        ({"l1_ratios": (0.5, 1.5)}, "between 0 and 1"),
        ({"l1_ratios": ()}, "between 0 and 1"),
        ({"l1_ratios": (0.5,), "solver": "lbfgs"}, "supports only 'l2'"),
        ({"scoring": "nonsense"}, "scoring"),
        ({"selection": "1se", "refit": False}, "refit=False"),
        ({"selection": "1se", "cv": [(np.arange(100), np.arange(100, 200))]}, "two folds"),
        ({"cv": [(np.arange(100), [])]}, "Fold 0 of cv has no test rows"),
        ({"cv": [(np.arange(100), np.arange(100, 200)), ([], [1])]}, "Fold 1 of cv has no training rows"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        cv(**parameters).fit(X, Y)


def test_folds_without_weight():
    weight = np.ones(len(Y))
    weight[:100] = 0.0
    halves = [(np.arange(100), np.arange(100, 200))]
    with pytest.raises(ValueError, match="All training rows of fold 0 of cv have zero weight"):
        cv(cv=halves).fit(X, Y, sample_weight=weight)
    with pytest.raises(ValueError, match="All test rows of fold 0 of cv have zero sample_weight"):
        cv(cv=[(halves[0][1], halves[0][0])]).fit(X, Y, sample_weight=weight)


def test_too_few_iterations_warn_once():
    with pytest.warns(ConvergenceWarning, match=r"of 15 fits failed to converge") as caught:
        cv(max_iter=1).fit(X, Y)
    assert len(caught) == 1 and caught[0].filename == __file__


def test_progress_bar_goes_to_standard_error(capsys):
    cv(verbose=1).fit(X, Y)
    captured = capsys.readouterr()
    assert "15/15" in captured.err and not captured.out


def test_an_error_leaves_the_estimator_as_it_was():
    model = cv().fit(X, Y)
    before = vars(model).copy()
    with pytest.raises(RuntimeError, match="scorer"):
        model.set_params(scoring=_failing).fit(X3, Y3)
    assert vars(model) | {"scoring": 0} == before | {"scoring": 0}


def _failing(model, X, y):
    raise RuntimeError("scorer")


@each_data
def test_sparsify(X, y):
    model = cv().fit(X, y)
    expected = model.predict_proba(X)
    assert scipy.sparse.issparse(model.sparsify().coef_)
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    assert isinstance(model.densify().coef_, np.ndarray)


def test_threads_do_not_change_the_answer():
    problem = drawn(20_000, 30)
    one, two = (cv(n_jobs=n_jobs).fit(problem.X, problem.y) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one.scores_, two.scores_)
    np.testing.assert_array_equal(one.coef_, two.coef_)
