"""A simulated fleet: the rules by which it grows, and its state as one record that compiled code can change."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from easel.errors import InputError

MAX_INSTANCES = 2_000
MAX_SLOTS = 8_192  # of all instances together
MAX_WAITING = 100_000  # requests; beyond it they are refused and counted
LONGEST = 2e9  # seconds until a fleet whose instances are all lost before they are ready is given up
DRAWS = 1 << 14  # set-up times and the like are drawn beforehand; instance n takes draw n modulo this
BINS_BITS = 7  # 128 bins to a doubling of the time, so that a percentile is right within 0.4 %
FIRST_BIN = (1023 - 15) << BINS_BITS  # of 2^-15 s = 31 us: 1023 is the bias of float64's exponent
BINS = 48 << BINS_BITS  # up to 2^33 s
LOG_ROWS = 10_000  # the first requests and instances can be looked at one by one
IDLE, PARTLY, FULL, IN_SETUP, NONE = range(5)  # stages of an instance; the first two have a list each
RUN_ENDS, IS_READY = range(2)  # events: an item is the place of the slot or of the instance * 2 + one of these

INSTANCE = np.dtype(
    [
        ("born", "f8"),
        ("ready", "f8"),
        ("since", "f8"),  # when it became idle, or busy
        ("number", "i8"),  # it is the how-manieth, from 0
        ("stage", "i8"),
        ("in_use", "i8"),  # slots
        ("runs", "i8"),
        ("older", "i8"),  # neighbours in the list of its stage; -1: none
        ("newer", "i8"),
        ("spare", "i8"),  # row n of this column: the n-th place that is free
    ]
)
REQUEST = [("arrival", "f8"), ("takes", "f8"), ("index", "i8"), ("fails", "i8")]
SLOT = np.dtype([*REQUEST, ("begin", "f8"), ("met_cold", "i8"), ("in_use", "i8")])
EVENT = np.dtype([("time", "f8"), ("item", "i8")])
REQUEST_LOG = np.dtype([(name, "f8") for name in ("arrival", "begin", "end", "instance", "met_cold")])
INSTANCE_LOG = np.dtype([(name, "f8") for name in ("born", "ready", "end")])
LIMITS = ("min_instances", "max_instances", "buffer", "slots", "waiting_per_slot", "max_waiting", "log_rows")
STATE = ("events", "alive", "starting", "running", "queue_head", "queued")
COUNTS = ("losses", "requests", "done", "cold", "failed", "refused", "repeated", "started", "lost", "setup_failed")
SECONDS = ("clock", "setup_s", "idle_s", "active_s", "latency_s", "wait_s", "loss_at", "idle_seconds", "last_end")
FLEET = np.dtype(
    [
        *((name, "i8") for name in (*LIMITS, *STATE, *COUNTS)),
        *((name, "f8") for name in SECONDS),
        ("oldest", "i8", 2),  # idle, and partly used; -1: none
        ("newest", "i8", 2),
        ("instances", INSTANCE, MAX_INSTANCES),
        ("slot", SLOT, MAX_SLOTS),  # those of instance k are rows k * slots to (k + 1) * slots - 1
        ("queue", np.dtype(REQUEST), MAX_WAITING + MAX_SLOTS),  # a ring, with room for those that wait again
        ("event", EVENT, MAX_SLOTS + MAX_INSTANCES),  # a binary heap
        ("setup_draws", "f8", DRAWS),
        ("setup_fails", "i8", DRAWS),
        ("first_draws", "f8", DRAWS),
        ("loss_gaps", "f8", DRAWS),
        ("loss_places", "i8", DRAWS),
        ("latency_bins", "i8", BINS),
        ("wait_bins", "i8", BINS),
        ("requests_log", REQUEST_LOG, LOG_ROWS),
        ("instances_log", INSTANCE_LOG, LOG_ROWS),
    ]
)
Fleet = Any  # a record of type FLEET, which mypy cannot look into


@dataclass(frozen=True)
class Rules:
    """How a platform starts and stops instances. Raises InputError for what cannot be.

    `slots`: requests that one instance runs at once. `idle_seconds`: an instance that had no request for so long is
    stopped, unless fewer than `min_instances` would be left or, while a request is in the system, fewer than are needed
    and `buffer` more. `waiting_per_slot`: so many waiting requests ask for one more slot. `losses_per_second`: rate at
    which an instance is taken away (spot); its requests begin anew.
    """

    min_instances: int = 0
    max_instances: int = 1
    buffer: int = 0
    slots: int = 1
    idle_seconds: float = 60.0
    waiting_per_slot: int = 1
    losses_per_second: float = 0.0
    max_waiting: int = MAX_WAITING

    def __post_init__(self) -> None:
        if not 1 <= self.max_instances <= MAX_INSTANCES or not 0 <= self.min_instances <= self.max_instances:
            raise InputError(f"Instances must be 0 <= min <= max, and max 1 to {MAX_INSTANCES:,}, not {self}.")
        if not 1 <= self.slots <= MAX_SLOTS // self.max_instances:
            raise InputError(
                f"slots must be 1 to {MAX_SLOTS // self.max_instances} for {self.max_instances} instances."
            )
        if min(self.buffer, self.idle_seconds, self.losses_per_second) < 0 or self.waiting_per_slot < 1:
            raise InputError(
                f"buffer, idle_seconds and losses_per_second must be 0 or more, waiting_per_slot 1: {self}."
            )
        if not 0 <= self.max_waiting <= MAX_WAITING:
            raise InputError(f"max_waiting must be 0 to {MAX_WAITING:,}, not {self.max_waiting}.")


def make_fleet(
    rules: Rules, setup: Any, first: Any, setup_failures: float = 0.0, seed: int = 0, log_rows: int = 0
) -> Fleet:
    """Return a fleet at time 0, to be begun by the kernel. Only its pages that are used take memory.

    `setup` and `first` are DRAWS seconds, float64: from an instance's start until it is ready, and of its first run.
    The same seed loses the same instances and fails the same set-ups. The first `log_rows` requests and instances are
    logged, at most LOG_ROWS.
    """
    fleet = np.zeros(1, FLEET)[0]
    for name in LIMITS[:-1]:
        fleet[name] = getattr(rules, name)
    fleet["log_rows"] = min(log_rows, LOG_ROWS)
    fleet["idle_seconds"] = rules.idle_seconds
    fleet["oldest"] = fleet["newest"] = -1
    fleet["instances"]["stage"] = NONE
    fleet["instances"]["spare"][: rules.max_instances] = np.arange(rules.max_instances)
    fleet["setup_draws"], fleet["first_draws"] = setup, first
    generator = np.random.default_rng(seed)
    fleet["setup_fails"] = generator.random(DRAWS) < setup_failures
    fleet["loss_at"] = np.inf
    if rules.losses_per_second > 0:  # to a place, used or not, chosen at random: each used one is lost at that rate
        fleet["loss_gaps"] = generator.exponential(1 / (rules.losses_per_second * rules.max_instances), DRAWS)
        fleet["loss_places"] = generator.integers(rules.max_instances, size=DRAWS)
        fleet["loss_at"] = fleet["loss_gaps"][0]
    return fleet
