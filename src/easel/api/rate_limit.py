"""Rate limits by account: a bucket of tokens that fills steadily."""

import time
from dataclasses import dataclass

from easel.api.problems import Problem


@dataclass
class Bucket:
    left: float
    at: float


class RateLimiter:
    """At most `per_minute` requests a minute of one account, in bursts of as many. 0: no limit."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._buckets: dict[str, Bucket] = {}

    def take(self, account: str) -> dict[str, str]:
        """Return the headers that tell what is left.

        Raises Problem (429) with the seconds until the next one may come.
        """
        if not self.per_minute:
            return {}
        rate, now = self.per_minute / 60, time.monotonic()
        bucket = self._buckets.setdefault(account, Bucket(self.per_minute, now))
        bucket.left = min(self.per_minute, bucket.left + (now - bucket.at) * rate)
        bucket.at = now
        if bucket.left < 1:
            wait = max(1, round((1 - bucket.left) / rate + 0.5))
            seconds = "1 second" if wait == 1 else f"{wait} seconds"
            raise Problem(429, f"Request was throttled. Expected available in {seconds}.", retry_after=wait - 0.5)
        bucket.left -= 1
        return {"ratelimit-remaining": str(int(bucket.left)), "ratelimit-reset": "1"}
