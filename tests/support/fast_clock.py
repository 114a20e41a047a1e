"""A clock for limits in seconds that no test should have to wait for."""

import time


class FastClock:
    """Goes `speed` times as fast as time does, and further by `skip`."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began = time.monotonic()
        self._skipped = 0.0

    def __call__(self) -> float:
        return (time.monotonic() - self._began) * self._speed + self._skipped

    def skip(self, seconds: float) -> None:
        self._skipped += seconds
