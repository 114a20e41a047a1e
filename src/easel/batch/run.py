"""The pipeline on Ray Data: list, blocks, painters, results; with a checkpoint, an estimate and a bar."""

import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.data.checkpoint import CheckpointConfig

from easel.batch.job import CHECKPOINT, REQUESTS, RESULTS, Job, count_done, prepare, read_tables
from easel.batch.paint import Painter
from easel.errors import InputError, ResourceError
from easel.logs import first_line, log
from easel.models import load_model
from easel.progress import Bar, LineWriter
from easel.schema.openapi import openapi

BLOCKS, MIN_BLOCK, MAX_BLOCK = 2000, 50, 1000  # blocks of a job, and their rows: what a crash of an actor repeats
BLOCKS_OF_ACTOR = 4  # at least, of a small job, so that all actors have about as much to do
SAMPLE_ROWS = 10  # for the estimate
ESTIMATE_TRIES = 2  # further ones, where its actor dies
SPARE_CPUS = 2  # for reading, cutting and writing, which take little beside the painters
POLL_S = 0.5
PREFIX = "easel-ray-"
LONGEST_FOLDER = 20  # characters before PREFIX: a socket's path has at most 103 on macOS, and Ray's own part is 82


class Tally:
    """Counts what the painters report, block by block, so that a block which is painted again counts once."""

    def __init__(self) -> None:
        self.blocks: dict[int, tuple[int, int, int]] = {}

    def add(self, block: int, rows: int, images: int, errors: int) -> None:
        self.blocks[block] = rows, images, errors

    def totals(self) -> tuple[int, int, int]:
        rows, images, errors = zip(*self.blocks.values(), strict=True) if self.blocks else ((), (), ())
        return sum(rows), sum(images), sum(errors)


def run_job(job: Job) -> None:
    """Do what is not done yet. Raises EaselError."""
    total = prepare(job, openapi(Path(job.root) / "predict.py"), log)
    done, _ = count_done(job)
    if done < total:
        log(f"{total - done:,} of {total:,} requests to do" + (f", {done:,} are done" if done else ""))
        with start_ray(job):
            paint_all(job, total, done)
    done, errors = count_done(job)
    if done != total:
        raise ResourceError(f"{total - done} of {total} requests have no result. Run the same command again.")
    log(f"{total:,} requests done, {errors:,} of them with an error (column error of the results).")


@contextmanager
def start_ray(job: Job) -> Iterator[None]:
    """Have a Ray of this process's own on loopback, or the cluster of `job.address`, and leave nothing of it."""
    on_term = signal.getsignal(signal.SIGTERM)
    folder = None if job.address else folder_of_folders() / f"{PREFIX}{os.getpid()}"
    try:
        if job.address:
            ray.init(address=job.address, log_to_driver=False)
        else:
            remove_left_folders()
            ray.init(
                address="local",
                num_cpus=max(os.cpu_count() or 1, job.cpus_per_actor) + SPARE_CPUS,
                include_dashboard=False,
                log_to_driver=False,
                _temp_dir=str(folder),
                logging_level=logging.ERROR,
            )
    except Exception as error:  # of many kinds: no cluster at the address, a disk that is full, a limit of the system
        raise ResourceError(f"Ray did not start: {first_line(error)}") from None
    signal.signal(signal.SIGTERM, on_term)  # Ray puts one of its own there, which exits with 15
    try:
        yield
    finally:
        ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def folder_of_folders() -> Path:
    """Return where the folders of Ray are: TMPDIR, unless its sockets would have too long a path there."""
    folder = tempfile.gettempdir()
    return Path(folder if len(folder) <= LONGEST_FOLDER else "/tmp")


def remove_left_folders() -> None:
    """Remove the folders of earlier runs that were killed."""
    for folder in folder_of_folders().glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX)
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def actors_of(job: Job) -> tuple[int, dict[str, Any]]:
    """Return how many painters there are, and what Ray gives each. Raises InputError where it has none to give."""
    has = ray.cluster_resources()
    if load_model(Path(job.root) / "weights" / job.model).hardware["device"] == "cuda":
        count, each = int(has.get("GPU", 0)), {"num_gpus": 1.0}
    else:
        spare = 0 if job.address else SPARE_CPUS
        count, each = int(has.get("CPU", 0) - spare) // job.cpus_per_actor, {"num_cpus": float(job.cpus_per_actor)}
    if count < 1:
        raise InputError(f"{job.model} needs {each}, and Ray has {has}. Give it a machine that has it.")
    return count, each


def paint_all(job: Job, total: int, done: int) -> None:
    count, each = actors_of(job)
    estimate_cost(job, total - done, count, each)
    remote: Any = ray.remote  # whose types know no class that is chosen at run time
    tally = remote(num_cpus=0, max_restarts=-1)(Tally).remote()
    over, stopped = threading.Event(), list[str]()

    def watch() -> None:
        stream = sys.stderr if sys.stderr.isatty() else LineWriter(sys.stderr)
        with Bar(total=total, initial=done, unit="request", file=stream, mininterval=2.0, dynamic_ncols=True) as bar:
            while not over.wait(POLL_S):
                problem = show_totals(job, bar, count, done, tally)
                if problem and not stopped:
                    stopped.append(problem)
                    # The main thread leaves Ray in order, as for a caller's signal.
                    os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=watch, name="bar")
    watcher.start()
    try:
        run_pipeline(job, total, count, each, tally)
    except SystemExit:
        if stopped:
            raise ResourceError(stopped[0]) from None
        raise
    except Exception as error:
        raise ResourceError(f"The batch stopped: {first_line(error)}. Run the same command again to go on.") from None
    finally:
        over.set()
        watcher.join()


def show_totals(job: Job, bar: Any, count: int, done: int, tally: Any) -> str | None:
    """Show what was done, and return why the batch must stop."""
    try:
        rows, images, errors = ray.get(tally.totals.remote(), timeout=POLL_S)
    except ray.exceptions.RayError:  # it is being restarted
        return None
    spent = (job.price_per_hour or 0.0) * count * bar.format_dict["elapsed"] / 3600
    cost = {} if job.price_per_hour is None else {"cost": f"${spent:.2f}"}
    bar.set_postfix(images=images, errors=errors, **cost, refresh=False)
    bar.update(max(done + rows - bar.n, 0))
    if job.max_cost is not None and spent > job.max_cost:
        return (
            f"The batch has cost ${spent:.2f}, which is more than --max-cost. What is done is kept: the same command "
            "with a new --max-cost goes on."
        )
    return None


def run_pipeline(job: Job, total: int, count: int, each: dict[str, Any], tally: Any) -> None:
    place, context = job.place, DataContext.get_current()
    context.enable_progress_bars = False
    context.memory_usage_poll_interval_s = None  # for its reports: a thread for each block
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # its reports; ours are the bar and the last line
    context.checkpoint_config = CheckpointConfig(
        id_column="row",
        checkpoint_path=(place / CHECKPOINT).path,
        override_filesystem=place.filesystem,
        delete_checkpoint_on_success=False,  # with it a run after the last one would do all again
    )
    rows = rows_of_block(total, count)
    listed = ray.data.read_parquet((place / REQUESTS).path, filesystem=place.filesystem)
    # Ray would join prompts, which are small, into one block, and a block is what is given out and saved as one.
    blocks = listed.repartition(target_num_rows_per_block=rows)
    painted = blocks.map_batches(
        Painter,
        compute=ActorPoolStrategy(size=count),
        fn_constructor_args=(job, tally),
        batch_format="pyarrow",
        batch_size=None,
        **each,
    )
    painted.write_parquet((place / RESULTS).path, filesystem=place.filesystem)


def rows_of_block(total: int, actors: int) -> int:
    return max(min(max(total // BLOCKS, MIN_BLOCK), MAX_BLOCK, total // (actors * BLOCKS_OF_ACTOR)), 1)


def estimate_cost(job: Job, left: int, count: int, each: dict[str, Any]) -> None:
    """Say what the batch will cost by the time of ten of its requests. Raises InputError when it is over --max-cost."""
    if job.price_per_hour is None:
        return
    rows: list[dict[str, Any]] = []
    for table in read_tables(job.place / REQUESTS, ["row", "custom_id", "inputs", "error"]):
        rows += [row for row in table.to_pylist() if row["error"] is None]
        if len(rows) >= SAMPLE_ROWS:
            break
    remote: Any = ray.remote
    again = {"max_restarts": ESTIMATE_TRIES, "max_task_retries": ESTIMATE_TRIES}
    painter = remote(**each, **again)(Painter).remote(job)
    sample = rows[:: max(len(rows) // SAMPLE_ROWS, 1)][:SAMPLE_ROWS]
    try:
        load, seconds = ray.get(painter.estimate.remote(sample))
    except ray.exceptions.RayError as error:
        raise ResourceError(f"The estimate failed: {first_line(error)}. Run the same command again.") from None
    ray.kill(painter)
    hours = (left * seconds + count * load) / 3600
    cost = hours * job.price_per_hour
    words = (
        f"{left:,} requests at {seconds:.3f} s take {hours / count:.2f} hours on {count} actors and cost ${cost:.2f}"
    )
    if job.max_cost is not None and cost > job.max_cost:
        raise InputError(f"{words}, which is more than --max-cost {json.dumps(job.max_cost)}. Nothing was started.")
    log(f"Estimate of {len(sample)} images: {words}.")
