"""The heap of events, the lists of instances and the ring of waiting requests in a fleet's record, compiled by numba.

A change of this file needs its new digest in `kernel.SOURCES`; a test says so.
"""

from typing import Any

import numpy as np
from numba import njit

from easel.platforms.fleet import BINS, BINS_BITS, FIRST_BIN, FULL, IDLE, IS_READY, PARTLY, RUN_ENDS, Fleet


@njit(cache=True, nogil=True)
def add_event(f: Fleet, time: float, item: int) -> None:
    """Add an event to the heap, of which place 0 is the earliest."""
    f.events += 1
    put_event(f, f.events - 1, time, item)


@njit(cache=True, nogil=True)
def remove_event(f: Fleet, place: int) -> None:
    """Remove an event from the heap."""
    f.events -= 1
    put_event(f, place, f.event[f.events].time, f.event[f.events].item)


@njit(cache=True, nogil=True)
def put_event(f: Fleet, place: int, time: float, item: int) -> None:
    """Write an event into the heap where it fits, beginning at a place that is free."""
    events, child = f.event, 2 * place + 1
    while child < f.events:
        if child + 1 < f.events and events[child + 1].time < events[child].time:
            child += 1
        if events[child].time >= time:
            break
        events[place].time, events[place].item = events[child].time, events[child].item
        place, child = child, 2 * child + 1
    while place > 0 and events[(place - 1) // 2].time > time:
        events[place].time, events[place].item = events[(place - 1) // 2].time, events[(place - 1) // 2].item
        place = (place - 1) // 2
    events[place].time, events[place].item = time, item


@njit(cache=True, nogil=True)
def cancel_events(f: Fleet, k: int) -> None:
    """Remove the events of an instance that will not come to them."""
    place = 0
    while place < f.events:
        item = f.event[place].item
        if item == k * 2 + IS_READY or (item & 1 == RUN_ENDS and (item >> 1) // f.slots == k):
            remove_event(f, place)
            place = 0  # the heap has another order now
        else:
            place += 1


@njit(cache=True, nogil=True)
def join(f: Fleet, k: int, stage: int, since: float) -> None:
    """Make an instance the newest in the list of a stage; FULL has none."""
    one = f.instances[k]
    one.stage, one.since, one.older, one.newer = stage, since, -1, -1
    if stage == FULL:
        return
    one.older = f.newest[stage]
    if one.older >= 0:
        f.instances[one.older].newer = k
    else:
        f.oldest[stage] = k
    f.newest[stage] = k


@njit(cache=True, nogil=True)
def leave(f: Fleet, k: int) -> None:
    """Take an instance out of the list of its stage."""
    one = f.instances[k]
    if one.stage > PARTLY:
        return
    if one.older >= 0:
        f.instances[one.older].newer = one.newer
    else:
        f.oldest[one.stage] = one.newer
    if one.newer >= 0:
        f.instances[one.newer].older = one.older
    else:
        f.newest[one.stage] = one.older


@njit(cache=True, nogil=True)
def wait(f: Fleet, at_head: bool, arrival: float, takes: float, index: int, fails: int) -> None:
    """Put a request into the queue."""
    if at_head:
        f.queue_head = (f.queue_head - 1) % f.queue.size
    request = f.queue[(f.queue_head + (0 if at_head else f.queued)) % f.queue.size]
    request.arrival, request.takes, request.index, request.fails = arrival, takes, index, fails
    f.queued += 1


@njit(cache=True, nogil=True)
def free_instance(f: Fleet) -> int:
    """Return the place of an instance with a free slot, -1 if there is none."""
    return f.newest[PARTLY] if f.newest[PARTLY] >= 0 else f.newest[IDLE]


@njit(cache=True, nogil=True)
def bin_of(seconds: float) -> int:
    """Return the bin of a time: the exponent of its float64 and the first bits of the fraction."""
    bits: Any = np.float64(seconds).view(np.int64)
    return min(max((bits >> (52 - BINS_BITS)) - FIRST_BIN, 0), BINS - 1)
