"""Webhooks: signed, throttled, in order, to public addresses only, and `completed` until it is taken."""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
from collections.abc import Callable, Iterable
from typing import Any

import httpcore2

from easel.api.database import Database
from easel.api.problems import Problem
from easel.api.redaction import redact_queries
from easel.api.serializers import Serializers
from easel.api.tables import Prediction
from easel.api.telemetry import Metrics, now
from easel.net.addresses import address_problem
from easel.net.guard import AsyncGuardedBackend, Network
from easel.net.urls import split_url

EVENTS = ("start", "output", "logs", "completed")
THROTTLE_S = 0.5  # Replicate's, for output and logs
TIMEOUT_S = 10.0
SLOTS = 16  # deliveries of one account at a time, so that receivers that hang are its own trouble
RETRIES_S = (1, 2, 4, 8, 16, 30, 60)  # Replicate backs off to about a minute


def check_webhook(url: str, allow_private: bool) -> None:
    """Raise Problem (422) for an address that will never be delivered to."""
    parts = split_url(url)
    if not (url.isascii() and url.isprintable()):
        raise Problem(422, "webhook: must be written in ASCII; names in other letters as xn--...")
    if parts is None or not parts.hostname or parts.scheme not in (("http", "https") if allow_private else ("https",)):
        raise Problem(422, "webhook: must be an https:// address.")
    host = parts.hostname
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    if (kind := address_problem(host)) and not allow_private:
        raise Problem(422, f"webhook: {host} is a {kind} address. Start the API with --allow-private-webhooks for it.")


def signature_headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Svix's scheme: HMAC-SHA256 of `id.timestamp.body`. `secret` is whsec_<base64>."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


class WebhookSender:
    def __init__(
        self,
        serializers: Serializers,
        database: Database,
        metrics: Metrics,
        log: Any,
        secret_of: Callable[[str], str],
        allow_private: bool,
    ) -> None:
        """`secret_of` gives an account's secret, whsec_<base64>."""
        self._serializers, self._database, self._metrics, self._log = serializers, database, metrics, log
        self._secret_of = secret_of
        self._slots: dict[str, asyncio.Semaphore] = {}
        backend = httpcore2.AnyIOBackend() if allow_private else AsyncGuardedBackend(Network(connect_s=TIMEOUT_S))
        self._pool = httpcore2.AsyncConnectionPool(network_backend=backend, max_connections=None)
        self._queues: dict[str, WebhookQueue] = {}

    def notify(self, prediction: Prediction, event: str) -> None:
        """Something happened; what is sent is the prediction as it is when its turn comes. Returns at once."""
        queue = self._queues.get(prediction.id)
        if not prediction.webhook or event not in (prediction.webhook_events_filter or EVENTS):
            if queue and event == "completed":
                queue.end()
            return
        if not queue:
            queue = self._queues[prediction.id] = WebhookQueue(prediction, self._deliver, self._queues.pop)
        queue.add(event)

    def resume(self, predictions: Iterable[Prediction]) -> None:
        """After a restart: the `completed` that were not taken yet."""
        for prediction in predictions:
            self.notify(prediction, "completed")

    async def close(self) -> None:
        for queue in list(self._queues.values()):
            queue.task.cancel()
        await self._pool.aclose()

    async def _deliver(self, prediction: Prediction, event: str) -> None:
        for delay in (*RETRIES_S, None) if event == "completed" else (None,):
            problem = await self._post(prediction, event)
            if problem is None or delay is None:
                break
            await asyncio.sleep(delay)
        if event == "completed":
            await self._database.set_with_retry(Prediction, prediction.id, webhook_pending=False)

    async def _post(self, prediction: Prediction, event: str) -> str | None:
        """Return what went wrong, or None."""
        body = json.dumps(self._serializers.prediction(prediction)).encode()
        # The id is that of the message: the same for each attempt, so that a receiver knows a repeated one.
        message_id = f"msg_{prediction.id}{event}{prediction.status if event != 'completed' else ''}"
        if event in ("output", "logs"):
            message_id += str(len(prediction.logs))
        headers = signature_headers(self._secret_of(prediction.account), message_id, int(now()), body) | {
            "Content-Type": "application/json"
        }
        slot = self._slots.setdefault(prediction.account, asyncio.Semaphore(SLOTS))
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT_S)
        try:
            post = self._pool.stream(
                "POST",
                prediction.webhook or "",
                headers=list(headers.items()),
                content=body,
                extensions={"timeout": timeout},
            )
            async with slot, asyncio.timeout(TIMEOUT_S), post as answer:
                pass  # A receiver's answer is not read: it is of no interest, and may have no end.
            problem = None if answer.status < 300 else f"answered {answer.status}"
        except TimeoutError:
            problem = f"no answer within {TIMEOUT_S:g} s"
        except Exception as error:  # whatever an address that somebody typed leads to
            problem = redact_queries(str(error)) or type(error).__name__
        self._metrics.webhooks.labels(event, "failed" if problem else "delivered").inc()
        self._log.info("webhook", id=prediction.id, event_sent=event, problem=problem)
        return problem


class WebhookQueue:
    """The deliveries of one prediction, one after the other: start, output and logs throttled, completed last."""

    def __init__(
        self, prediction: Prediction, deliver: Callable[[Prediction, str], Any], ended: Callable[[str, None], Any]
    ) -> None:
        self._prediction, self._deliver, self._ended = prediction, deliver, ended
        self._waiting: list[str] = []
        self._changed = asyncio.Event()
        self._ending = False
        self.task = asyncio.create_task(self._run())

    def add(self, event: str) -> None:
        if event not in self._waiting:
            self._waiting.append(event)
        if event == "completed":
            self._waiting = [one for one in self._waiting if one != "logs"]  # It brings them as well.
        self._changed.set()

    def end(self) -> None:
        """No more will come."""
        self._ending = True
        self._changed.set()

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        last = clock() - THROTTLE_S
        try:
            while True:
                await self._changed.wait()
                if not self._waiting:
                    return  # ending
                if self._waiting[0] in ("output", "logs"):
                    if "completed" not in self._waiting:
                        await asyncio.sleep(last + THROTTLE_S - clock())
                    last = clock()
                event = self._waiting.pop(0)
                if not self._waiting and not self._ending:
                    self._changed.clear()
                await self._deliver(self._prediction, event)
                if event == "completed":
                    return
        finally:
            self._ended(self._prediction.id, None)
