"""Score many sequences on an engine that exists: python examples/score_at_scale.py joblib.

The engines are futures, joblib, dask-array, dask-bag, ray and spark; each starts two worker
processes on this machine and ends them. The model is sent as a pickle, which is little larger than
its parameters. An output does not depend on the batch in which it is computed, so every engine
gives the bits of one process, however it cuts the data. docs/scoring.md compares the engines.
"""

import functools
import multiprocessing
import os
import sys
import time

import numpy as np

import pyrnn

WORKERS = 2
ROWS = 256  # a task: long enough to be worth sending, short enough to share out
SEQUENCES, STEPS, FEATURES = int(os.environ.get("SEQUENCES", "2048")), 40, 6


def make_model():
    """A classifier, as training would leave it, or `pyrnn.load`."""
    model = pyrnn.Sequential(
        rnn=pyrnn.GRU(FEATURES, 64, seed=0), last=pyrnn.LastStep(), out=pyrnn.Linear(64, 3, seed=1)
    )
    return model.eval()


def score(model, x):
    """Classes' scores (N, 3) of sequences (N, T, features), on one thread of a worker."""
    pyrnn.set_num_threads(1)  # workers share the cores already
    return model(np.ascontiguousarray(x.swapaxes(0, 1)))[0]


def parts(x):
    """The tasks, for engines that do not cut the data themselves."""
    return [x[start : start + ROWS] for start in range(0, len(x), ROWS)]


def on_futures(model, x):
    """The standard library's pool; new processes instead of forked ones work on every system."""
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        return np.concatenate(list(pool.map(functools.partial(score, model), parts(x))))


def on_joblib(model, x):
    """The pool of scikit-learn, which also pickles functions of a notebook."""
    from joblib import Parallel, delayed

    with Parallel(n_jobs=WORKERS) as parallel:
        return np.concatenate(parallel(delayed(score)(model, part) for part in parts(x)))


def local_dask():
    """A cluster on this machine; with the address of another cluster, the rest is the same."""
    from dask.distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, protocol="tcp"
    )
    return cluster, Client(cluster)


def on_dask_array(model, x):
    """One array in chunks of whole sequences."""
    import dask.array

    cluster, client = local_dask()
    with cluster, client:
        chunks = dask.array.from_array(x, chunks=(ROWS, -1, -1))
        scored = chunks.map_blocks(
            functools.partial(score, model), dtype=x.dtype, drop_axis=2,
            chunks=(chunks.chunks[0], (3,)),
        )  # fmt: skip
        return scored.compute()


def score_list(model, sequences):
    """Of sequences of any lengths."""
    padded, lengths = pyrnn.pad_sequence(list(sequences))
    return list(model(padded, lengths=lengths)[0])


def on_dask_bag(model, x):
    """A bag of sequences, which may have different lengths."""
    import dask.bag

    cluster, client = local_dask()
    with cluster, client:
        bag = dask.bag.from_sequence(list(x), partition_size=ROWS)
        return np.stack(bag.map_partitions(functools.partial(score_list, model)).compute())


class Scorer:
    """An actor of Ray: made once in each worker."""

    def __init__(self, model):
        self.model = model

    def __call__(self, batch):
        """Score a batch, a dict of arrays."""
        return {"row": batch["row"], "score": score(self.model, batch["x"])}


def on_ray(model, x):
    """A dataset of Ray, in batches; `ray.init(address)` is another cluster."""
    import ray

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = [{"row": row, "x": sequence} for row, sequence in enumerate(x)]
        data = ray.data.from_items(rows).map_batches(
            Scorer, fn_constructor_args=(model,), batch_size=ROWS,
            compute=ray.data.ActorPoolStrategy(size=WORKERS),
        )  # fmt: skip
        found = sorted(data.take_all(), key=lambda row: row["row"])  # they come in any order
        return np.stack([row["score"] for row in found])
    finally:
        ray.shutdown()


def on_spark(model, x):
    """A pandas UDF over a column of flat arrays."""
    import pandas
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import pandas_udf

    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master(f"local[{WORKERS}]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    shape = x.shape[1:]

    def scores(column):
        sequences = np.stack(column.to_list()).astype(np.float32).reshape(-1, *shape)
        return pandas.Series(list(score(model, sequences)))

    scores.__annotations__ = {"column": pandas.Series, "return": pandas.Series}
    udf = pandas_udf(scores, "array<float>")
    try:
        rows = [(row, sequence.ravel().tolist()) for row, sequence in enumerate(x)]
        frame = session.createDataFrame(rows, "row int, x array<float>").repartition(WORKERS)
        found = frame.select("row", udf("x").alias("score")).orderBy("row").collect()
        return np.array([row.score for row in found], np.float32)
    finally:
        session.stop()


ENGINES = {
    "futures": on_futures,
    "joblib": on_joblib,
    "dask-array": on_dask_array,
    "dask-bag": on_dask_bag,
    "ray": on_ray,
    "spark": on_spark,
}


def main(engine):
    """Score on one engine, and compare with one process."""
    x = np.random.default_rng(0).standard_normal((SEQUENCES, STEPS, FEATURES)).astype(np.float32)
    model = make_model()
    expected = score(model, x)
    begin = time.perf_counter()
    found = ENGINES[engine](model, x)
    seconds = time.perf_counter() - begin
    print(f"{engine}: {len(x)} sequences in {seconds:.1f} s, the start of workers included")
    print("the bits of one process:", np.array_equal(found, expected))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "futures")
