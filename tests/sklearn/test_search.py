"""scikit-learn's tools and joblib's workers around the estimators."""

import os
import threading

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    TimeSeriesSplit,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import pyrnn
from pyrnn.sklearn import RNNClassifier, RNNForecaster
from pyrnn.sklearn._threads import in_worker, threads_of_worker


def small(**options):
    return RNNClassifier(**{"hidden_size": 8, "max_iter": 5, "random_state": 0, **options})


def search(n_jobs):
    return GridSearchCV(small(), {"hidden_size": [4, 8]}, cv=2, n_jobs=n_jobs)


def test_grid_search_in_processes_equals_that_in_one(ragged):
    X, y = ragged
    alone, both = search(1).fit(X, y), search(2).fit(X, y)
    for name in ("mean_test_score", "params"):
        assert list(alone.cv_results_[name]) == list(both.cv_results_[name])
    np.testing.assert_array_equal(alone.predict_proba(X), both.predict_proba(X))


def rolling(forecaster, part):
    return -forecaster.backtest(part, start=forecaster.window).rmse


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_forecaster_is_chosen_by_rolling_origins(n_jobs):
    series = np.sin(np.arange(90) / 4)
    found = GridSearchCV(
        RNNForecaster(8, 2, hidden_size=6, max_iter=3, random_state=0), {"max_iter": [1, 20]},
        cv=TimeSeriesSplit(2), scoring=rolling, n_jobs=n_jobs,
    ).fit(series)  # fmt: skip
    assert found.best_params_ == {"max_iter": 20}
    again = RNNForecaster(8, 2, hidden_size=6, max_iter=20, random_state=0).fit(series)
    np.testing.assert_array_equal(found.predict(series), again.predict(series))


@pytest.mark.long
@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_other_backends_of_joblib(ragged, backend):
    """Each with a cluster of its own on this machine."""
    X, y = ragged
    with cluster(backend) as options, joblib.parallel_config(backend, **options):
        found = search(2).fit(X, y)
        used = joblib.Parallel(n_jobs=2)(joblib.delayed(threads)() for _ in range(2))
    assert used == [(True, 1)] * 2
    assert found.best_score_ == search(1).fit(X, y).best_score_


def cluster(backend):
    import contextlib

    if backend == "dask":
        distributed = pytest.importorskip("distributed")

        @contextlib.contextmanager
        def run():
            with distributed.Client(
                n_workers=2, threads_per_worker=1, dashboard_address=None
            ) as client:
                yield {"client": client}

        return run()
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    @contextlib.contextmanager
    def run_ray():
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        try:
            register_ray()
            yield {}
        finally:
            ray.shutdown()

    return run_ray()


def threads(_=None):
    with threads_of_worker():
        return in_worker(), pyrnn.get_num_threads()


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_worker_uses_one_thread(backend, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = pyrnn.get_num_threads()
    workers = 2 if backend == "threading" else max(2, joblib.cpu_count())
    used = joblib.Parallel(n_jobs=workers, backend=backend)(
        joblib.delayed(threads)() for _ in range(4)
    )
    assert used == [(True, 1)] * 4
    assert threads() == (False, before)
    assert joblib.Parallel(n_jobs=1)([joblib.delayed(threads)()]) == [(False, before)]
    assert pyrnn.get_num_threads() == before


@pytest.mark.skipif(joblib.cpu_count() < 2, reason="a limit above the cores is none")
@pytest.mark.parametrize("limit", [1, 2])
def test_joblib_s_limit_of_inner_threads(limit):
    """Worker processes have it in their environment, and use so many threads, in any call."""
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=limit):
        used = joblib.Parallel()(joblib.delayed(threads)() for _ in range(4))
        plain = joblib.Parallel()([joblib.delayed(pyrnn.get_num_threads)()])
    assert used == [(True, limit)] * 4
    assert plain == [limit]


def fork_and_count():
    """The threads that a child uses which is forked while another thread is in a task."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, bytes([pyrnn.get_num_threads()]))
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with open(read, "rb") as pipe:
        return pipe.read()[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_in_no_task_of_another_thread(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = pyrnn.get_num_threads()
    begun, done = threading.Event(), threading.Event()

    def task():
        with threads_of_worker():
            begun.set()
            done.wait(30)

    pyrnn.set_num_threads(2)
    parallel = joblib.Parallel(n_jobs=2, backend="threading")
    outer = threading.Thread(target=parallel, args=([joblib.delayed(task)()] * 2,))
    outer.start()
    try:
        begun.wait(30)
        assert pyrnn.get_num_threads() == 1
        assert fork_and_count() == 2
    finally:
        done.set()
        outer.join()
    assert pyrnn.get_num_threads() == 2
    pyrnn.set_num_threads(before)


def test_the_environment_names_another_number(monkeypatch):
    monkeypatch.setenv("PYRNN_NUM_THREADS", str(pyrnn.get_num_threads()))
    used = joblib.Parallel(n_jobs=2, backend="threading")([joblib.delayed(threads)()])
    assert used == [(True, pyrnn.get_num_threads())]


def test_cross_validation(ragged, even):
    X, y = ragged
    assert cross_val_score(small(max_iter=20), X, y, cv=3).mean() > 0.7
    assert cross_val_predict(small(), X, y, cv=2).shape == (60,)
    assert cross_val_score(small(), *even, cv=2, scoring="neg_log_loss").shape == (2,)
    assert cross_val_score(small(), *even, cv=2, scoring="roc_auc").mean() > 0.5


def test_cross_validation_of_steps(ragged):
    """scikit-learn cannot stratify lists; KFold need not."""
    X, _ = ragged
    y = [(part[:, 0] > 0).astype(int) for part in X]
    assert cross_val_score(small(max_iter=10), X, y, cv=KFold(2)).mean() > 0.7


def test_a_randomized_search(even):
    options = {"learning_rate_init": [0.001, 0.01], "cell": ["gru", "rnn"]}
    found = RandomizedSearchCV(small(), options, n_iter=2, cv=2, random_state=0).fit(*even)
    assert found.best_params_["cell"] in ("gru", "rnn")


def test_pipelines(even, ragged):
    X, y = even
    table = make_pipeline(StandardScaler(), small(max_iter=20)).fit(X[..., 0], y)
    assert table.score(X[..., 0], y) > 0.8
    shorter = make_pipeline(FunctionTransformer(every_other), small())
    assert shorter.fit(*ragged).predict_proba(ragged[0]).shape == (60, 2)
    searched = GridSearchCV(shorter, {"rnnclassifier__hidden_size": [2, 4]}, cv=2).fit(*ragged)
    assert searched.best_params_["rnnclassifier__hidden_size"] in (2, 4)


def every_other(sequences):
    return [part[::2] for part in sequences]


@pytest.mark.long
def test_two_processes_are_faster(ragged):
    """At least 1.6 times, on two cores that nobody else uses."""
    import time

    if len(os.sched_getaffinity(0)) < 2 or os.getloadavg()[0] > 1.5:
        pytest.skip("two cores without other work are needed")
    X, y = [part.repeat(10, axis=0) for part in ragged[0]], ragged[1]
    grid = {"hidden_size": [64, 64, 64, 64]}
    estimator = small(max_iter=60)
    joblib.Parallel(n_jobs=2)(joblib.delayed(threads)() for _ in range(4))  # workers are there
    seconds = []
    for jobs in (1, 2):
        before = time.perf_counter()
        # This process computes with one thread, too, as the workers do.
        with threads_alone():
            GridSearchCV(estimator, grid, cv=4, n_jobs=jobs, refit=False).fit(X, y)
        seconds.append(time.perf_counter() - before)
    assert seconds[0] / seconds[1] >= 1.6


class threads_alone:  # noqa: N801
    """One thread while it lasts."""

    def __enter__(self):
        self.before = pyrnn.get_num_threads()
        pyrnn.set_num_threads(1)

    def __exit__(self, *error):
        pyrnn.set_num_threads(self.before)
