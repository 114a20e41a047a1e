"""A measurement as a table with the rows and columns of NVIDIA's aiperf, in sentences, and as one JSON object."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from easel.platforms.percentiles import Interval, percentile_interval, percentiles
from easel.platforms.results import Recording, Request

# aiperf 0.13.0 prints avg to std without p95, and writes p95 and p75 to its CSV and JSON files.
COLUMNS = ("avg", "min", "max", "p99", "p95", "p90", "p75", "p50", "std")
PERCENTS = (99.0, 95.0, 90.0, 75.0, 50.0)
WITH_INTERVAL = (50, 90, 95, 99)
LATE_S = 0.05  # a tenth of the quickest image here; a loop that is not starved wakes within a few milliseconds
SLOW_ANSWER_S = 1.0  # to a GET
OVERLOAD = 0.9  # of the rate that was sent


@dataclass(frozen=True)
class Row:
    """One metric. `stats` are seconds for times, plain figures for the rest."""

    tag: str
    name: str
    unit: str
    stats: dict[str, float | None]


def time_row(tag: str, name: str, values: list[float]) -> Row:
    """Return the row of durations in seconds, shown in milliseconds. Without values all is None."""
    if not values:
        return Row(tag, name, "ms", {})
    stats: dict[str, float | None] = {
        "avg": float(np.mean(values)),
        "min": min(values),
        "max": max(values),
        "std": float(np.std(values)),
    }
    named = zip(PERCENTS, percentiles(values, PERCENTS), strict=True)
    return Row(tag, name, "ms", stats | {f"p{percent:g}": value for percent, value in named})


def latencies(requests: list[Request]) -> list[float]:
    """Return the seconds from intended time to success. A timeout counts with the time that it waited, at least."""
    return [one.latency_seconds for one in requests if one.error in (None, "timeout")]


def run_times(requests: list[Request]) -> list[float]:
    return [one.run_seconds for one in requests if one.error is None and one.run_seconds is not None]


def cold_starts(recording: Recording) -> list[float]:
    """Return seconds to the first answer: with the start of an own server, or of the first request alone."""
    first = recording.of("cold")
    setups = [start.setup_seconds for start in recording.starts] or [0.0] * len(first)
    pairs = zip(setups, first, strict=False)
    return [setup + one.latency_seconds for setup, one in pairs if one.error is None]


def rows_of(recording: Recording) -> list[Row]:
    cold, warm = recording.of("cold"), recording.of("warm")
    done = [one for one in warm if one.error is None]
    duration = max((one.completed for one in warm), default=0.0) - min((one.intended for one in warm), default=0.0)
    # Replicate's queue holds the boot of a model that was not up; a Cog server that answers at all is up.
    booted = cold if recording.run and recording.run.protocol == "replicate" else []
    first_queue = [one.queue_seconds for one in booted if one.queue_seconds is not None]
    rows = [
        time_row("request_latency", "Request Latency", latencies(warm)),
        time_row("queue_time", "Queue Time", [one.queue_seconds for one in done if one.queue_seconds is not None]),
        time_row("run_time", "Run Time", run_times(warm)),
        Row(
            "request_throughput",
            "Request Throughput",
            "requests/sec",
            {"avg": len(done) / duration if duration > 0 else None},
        ),
        Row("request_count", "Request Count", "requests", {"avg": float(len(done))}),
        Row("error_request_count", "Error Request Count", "requests", {"avg": float(len(warm) - len(done))}),
        time_row("setup_time", "Setup Time", [start.setup_seconds for start in recording.starts]),
        time_row("first_queue_time", "First Queue Time", first_queue),
        time_row("first_latency", "First Request Latency", latencies(cold)),
        time_row("first_run_time", "First Run Time", run_times(cold)),
        time_row("cold_start", "Cold Start to First Answer", cold_starts(recording) if recording.starts else []),
    ]
    return [row for row in rows if row.stats]


def table_of(rows: list[Row]) -> str:
    def cell(row: Row, column: str) -> str:
        value = row.stats.get(column)
        return "-" if value is None else f"{value * (1000 if row.unit == 'ms' else 1):,.2f}"

    lines = [["Metric", *COLUMNS]]
    lines += [[f"{row.name} ({row.unit})", *(cell(row, column) for column in COLUMNS)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(f"{text:>{width}}" for text, width in zip(line, widths, strict=True)) for line in lines)


def intervals_of(recording: Recording) -> dict[str, dict[str, Interval]]:
    """Return 95 % intervals of the percentiles of latency and run time, in seconds."""
    warm = recording.of("warm")
    found = {}
    for tag, values in (("request_latency", latencies(warm)), ("run_time", run_times(warm))):
        pairs = {f"p{percent}": percentile_interval(values, percent) for percent in WITH_INTERVAL}
        found[tag] = {name: pair for name, pair in pairs.items() if pair != (None, None)}
    return found


def cost_of(recording: Recording) -> float | None:
    """Return USD for the run time that the target gave, of all phases, or None without a price."""
    price = recording.run.price_per_second if recording.run else None
    return None if price is None else price * sum(one.run_seconds or 0.0 for one in recording.requests)


def sentences_of(recording: Recording) -> list[str]:
    """Return what a reader of the table must know besides."""
    warm, run, sentences = recording.of("warm"), recording.run, list(recording.notes)
    if run and run.answer_seconds > SLOW_ANSWER_S:
        sentences.append(
            f"The first answer of any kind took {run.answer_seconds:.1f} s: where a target scales to zero, that was "
            "its container's start, and the first request met it ready."
        )
    if run and run.setup_seconds is not None and not recording.starts:
        sentences.append(f"The server says that its own setup took {run.setup_seconds:.1f} s.")
    for tag, named in intervals_of(recording).items():
        parts = [f"{name} {_ms(low)} to {_ms(high)}" for name, (low, high) in named.items()]
        if parts:
            sentences.append(f"95 % intervals, {tag.replace('_', ' ')} (ms): {', '.join(parts)}.")
    kinds = Counter(one.error for one in recording.requests if one.error)
    for kind, count in kinds.most_common():
        detail = next(one.detail for one in recording.requests if one.error == kind)
        sentences.append(f"{count} x {kind}: {detail}")
    if kinds["timeout"]:
        sentences.append("A timeout counts in the latency with the time that it waited: it would have been longer.")
    late = [one.sent - one.intended for one in warm if one.sent - one.intended > LATE_S]
    if late:
        sentences.append(
            f"This driver itself sent {len(late)} of {len(warm)} requests late, up to {max(late):.2f} s, which the "
            "latency includes: measure from a machine with less to do, or at a lower rate."
        )
    sent_rate = (len(warm) - 1) / (warm[-1].intended or 1) if len(warm) > 1 else 0.0
    throughput = next((row.stats["avg"] for row in rows_of(recording) if row.tag == "request_throughput"), None)
    if len(warm) >= 20 and not kinds and throughput and throughput < OVERLOAD * sent_rate:
        sentences.append(
            f"Requests came faster ({sent_rate:.2f}/s) than they were answered ({throughput:.2f}/s): the queue grew, "
            "and its percentiles say how long this went on, not how the target is. Lower --rate."
        )
    cost = cost_of(recording)
    if cost is not None:
        silent = sum(one.run_seconds is None for one in recording.requests)
        sentences.append(
            f"Run time cost {cost:.4f} USD (setup and idle time come on top where they are billed)"
            + (f"; {silent} requests gave no run time and are not in it." if silent else ".")
        )
    return sentences


def report_of(recording: Recording) -> str:
    """Return the table and the sentences."""
    return "\n".join([table_of(rows_of(recording)), *sentences_of(recording)])


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:,.0f}"


def json_of(recording: Recording) -> dict[str, Any]:
    """Return aiperf's tags with their figures, times in ms, the run's facts, errors by kind and the cost."""
    intervals = intervals_of(recording)
    result: dict[str, Any] = {"target": recording.run.target, "model": recording.run.model} if recording.run else {}
    for row in rows_of(recording):
        factor = 1000 if row.unit == "ms" else 1
        stats = {name: round(value * factor, 3) for name, value in row.stats.items() if value is not None}
        given = {
            name: [None if end is None else round(end * factor, 3) for end in pair]
            for name, pair in intervals.get(row.tag, {}).items()
        }
        result[row.tag] = {"unit": row.unit, **stats, **({"intervals": given} if given else {})}
    errors = Counter(one.error for one in recording.requests if one.error)
    cost = cost_of(recording)
    return result | {"errors": dict(errors), **({} if cost is None else {"cost_usd": round(cost, 6)})}
