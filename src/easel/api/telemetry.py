"""What the API tells of itself: figures for Prometheus, and one log line an event."""

import logging
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)  # a request to a cold start with a download


class Metrics:
    """Registered in a registry of their own, so that two APIs in one process do not share them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        make: dict[str, Any] = {"registry": self._registry}
        self.requests = Counter("easel_requests", "HTTP requests", ["method", "route", "status"], **make)
        self.request_s = Histogram("easel_request_seconds", "Time to an answer", ["route"], buckets=SECONDS, **make)
        self.ended = Counter("easel_predictions", "Predictions that ended", ["model", "status"], **make)
        self.queue = Gauge("easel_queue_length", "Predictions that wait for a server", **make)
        self.running = Gauge("easel_running", "Predictions at a server", ["server"], **make)
        self.queue_s = Histogram("easel_queue_seconds", "Accepted to started", ["model"], buckets=SECONDS, **make)
        self.predict_s = Histogram("easel_predict_seconds", "Started to ended", ["model"], buckets=SECONDS, **make)
        self.cold_starts = Counter("easel_cold_starts", "Processes seen to get ready", ["server"], **make)
        self.server_up = Gauge("easel_server_up", "1: ready or busy", ["server"], **make)
        self.server_stuck = Gauge("easel_server_stuck", "1: does not end what was canceled", ["server"], **make)
        self.webhooks = Counter("easel_webhooks", "Deliveries tried", ["event", "result"], **make)

    def forget(self, server: str) -> None:
        """Of a server that is none any more, nothing is told."""
        for one in (self.running, self.cold_starts, self.server_up, self.server_stuck):
            with suppress(KeyError):
                one.remove(server)

    def text(self) -> bytes:
        return generate_latest(self._registry)


def make_logger() -> Any:
    """JSON lines to standard error, or coloured ones if that is a terminal."""
    out = sys.stderr
    return structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if out.isatty() else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )


def describe_error(error: BaseException) -> dict[str, Any]:
    """Return what to log of an error: its kind and where it came from. Its text may hold an input, with its secrets."""
    where = [f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in traceback.extract_tb(error.__traceback__)]
    return {"error": type(error).__name__, "where": where}


def now() -> float:
    """Unix time to the microsecond, which is what the documents tell: `created_after` then finds what they name."""
    return round(time.time(), 6)
