"""scikit-learn's callbacks, which it tries out from 1.9 on: their hooks around a fit and each of its iterations."""

from contextlib import contextmanager


def registered(estimator):
    """Whether the estimator, or a search or pipeline that fits it, has callbacks."""
    return hasattr(estimator, "_skl_callbacks") or hasattr(estimator, "_parent_callback_ctx")


def hooked(solver, estimator, data, classes, public):
    """Return the solver so that it calls the hooks of the estimator's callbacks.

    A task ends with each iteration and the next begins at once, because whether another iteration follows is not yet
    known: the last task is empty, as in scikit-learn. A hook that returns true stops the solver.

    Parameters
    ----------
    solver : callable
        ``solver(objective, start, *, tol, max_iter, callback) -> Result``.
    estimator : estimator
    data : dict
        X, y and metadata, for the hooks.
    classes : ndarray of shape (n_classes,)
    public : callable
        From coefficients as solvers have them to ``coef_`` and ``intercept_``.
    """
    from sklearn.callback import CallbackSupportMixin, with_callbacks  # slow to import

    def fitted(coef):
        coef, intercept = public(coef)
        return {"reconstruction_attributes": {"classes_": classes, "coef_": coef, "intercept_": intercept}}

    @with_callbacks
    def solve(estimator, objective, start, *, tol, max_iter, callback):
        fit = CallbackSupportMixin._init_callback_context(estimator, max_subtasks=max_iter + 1)
        about = {"estimator": estimator, **data}
        fit.call_on_fit_task_begin(**about)
        tasks = []

        def begin(coef):
            task = fit.subcontext(task_name="iteration")
            tasks.append(task.call_on_fit_task_begin(**about, **fitted(coef)))

        def finish(coef):
            stop = tasks[-1].call_on_fit_task_end(**about, **fitted(coef))
            begin(coef)
            return stop

        def after(progress):
            stop = callback(progress)
            if progress.n_iter == len(tasks):
                stop |= finish(objective.last)
            return stop

        begin(start)
        with _remembering(objective):
            result = solver(objective, start, tol=tol, max_iter=max_iter, callback=after)
        if result.n_iter == len(tasks):  # solvers do not call back at the optimum
            finish(result.coef)
        tasks[-1].call_on_fit_task_end(estimator=estimator)
        fit.call_on_fit_task_end(**about, **fitted(result.coef))
        return result

    return lambda *arguments, **options: solve(estimator, *arguments, **options)


@contextmanager
def _remembering(objective):
    """Let the objective keep, as ``last``, where it was evaluated last: where a solver stands when it calls back."""
    names = "value_gradient", "value_gradient_hessian"

    def remembering(method):
        def evaluate(coef, *arguments, **options):
            objective.last = coef
            return method(coef, *arguments, **options)

        return evaluate

    for name in names:
        setattr(objective, name, remembering(getattr(objective, name)))
    try:
        yield
    finally:
        for name in names:  # else a cycle of references keeps X in memory
            delattr(objective, name)
