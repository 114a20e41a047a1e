"""The discrete-event simulation of a fleet that grows and shrinks with its queue, compiled by numba.

Requests wait in one queue, first come first served. A request takes a partly used instance before an idle one, and of
those the one that came into that state last, so that the others can end. Instances are started when a request arrives,
a set-up fails or an instance is lost, until there are as many as the rules ask for; one that was started is used even
if it is no longer needed. Events come before an arrival at the same instant, and an idle instance ends before both.

Every function changes the fleet, a record of type `fleet.FLEET`, in place. Times are seconds.
"""

from typing import Any

import numpy as np
from numba import njit

from easel.platforms.fleet import DRAWS, FULL, IDLE, IN_SETUP, IS_READY, LONGEST, NONE, PARTLY, RUN_ENDS, Fleet
from easel.platforms.structures import add_event, bin_of, cancel_events, free_instance, join, leave, remove_event, wait

# Digest of fleet.py and structures.py: numba looks at this file alone to know whether to compile anew.
SOURCES = "ba7d73e8c4a0aafd"


@njit(cache=True, nogil=True)
def begin(f: Fleet) -> None:
    """Have the `min_instances` there at time 0, ready and idle."""
    for _ in range(f.min_instances):
        join(f, add_instance(f, 0.0, 0.0), IDLE, 0.0)


@njit(cache=True, nogil=True)
def run(f: Fleet, arrivals: Any, runs: Any, fails: Any) -> None:
    """Let requests arrive; `arrivals` must not decrease, within a call and from call to call."""
    for i in range(arrivals.size):
        now = arrivals[i]
        advance(f, now)
        k = free_instance(f)
        if k >= 0:
            assign(f, k, now, now, runs[i], f.requests, fails[i], 0)
        elif f.queued < f.max_waiting:
            wait(f, False, now, runs[i], f.requests, fails[i])
        else:
            f.refused += 1
        f.requests += 1
        scale(f, now)


@njit(cache=True, nogil=True)
def finish(f: Fleet, horizon: float) -> None:
    """Let all requests end, or give up after LONGEST; `min_instances` end at `horizon` or with the last request."""
    advance(f, max(horizon, f.clock))
    patience = f.clock + LONGEST
    while f.running + f.queued + f.starting > 0 and f.clock < patience:
        advance(f, min(f.event[0].time, f.loss_at) if f.events > 0 else f.loss_at)
    end = f.clock
    expire(f, np.inf)
    for k in range(f.max_instances):
        if f.instances[k].stage != NONE:
            end_instance(f, k, end)


@njit(cache=True, nogil=True)
def advance(f: Fleet, now: float) -> None:
    """Let everything happen up to `now`, and at it."""
    while True:
        time = f.event[0].time if f.events > 0 else np.inf
        if min(time, f.loss_at) > now:
            break
        if f.loss_at < time:
            expire(f, f.loss_at)
            f.clock = f.loss_at
            lose_instance(f, f.clock)
            continue
        item = f.event[0].item
        remove_event(f, 0)
        expire(f, time)
        f.clock = time
        if item & 1 == RUN_ENDS:
            end_run(f, item >> 1, time)
        else:
            end_setup(f, item >> 1, time)
    expire(f, now)
    f.clock = now


@njit(cache=True, nogil=True)
def expire(f: Fleet, now: float) -> None:
    """End the instances that were idle for too long by `now`; since the clock's time nothing has happened."""
    while f.oldest[IDLE] >= 0:
        k = f.oldest[IDLE]
        due = f.instances[k].since + f.idle_seconds
        if due > now or f.alive <= max(f.min_instances, wanted(f)):
            return
        end_instance(f, k, max(due, f.clock))


@njit(cache=True, nogil=True)
def wanted(f: Fleet) -> int:
    """Return how many instances the requests ask for, the buffer among them."""
    needed = f.running + f.queued
    if needed == 0:
        return 0
    if f.waiting_per_slot > 1:
        needed = f.running + (f.queued + f.waiting_per_slot - 1) // f.waiting_per_slot
    return f.buffer + ((needed + f.slots - 1) // f.slots if f.slots > 1 else needed)


@njit(cache=True, nogil=True)
def scale(f: Fleet, now: float) -> None:
    """Start instances until there are as many as are wanted."""
    target = min(max(wanted(f), f.min_instances), f.max_instances)
    while f.alive < target:
        ready = now + f.setup_draws[f.started % DRAWS]
        k = add_instance(f, now, ready)
        f.instances[k].stage = IN_SETUP
        f.starting += 1
        add_event(f, ready, k * 2 + IS_READY)


@njit(cache=True, nogil=True)
def add_instance(f: Fleet, now: float, ready: float) -> int:
    """Take a free place for an instance; return it."""
    k = f.instances[f.alive].spare
    one = f.instances[k]
    one.number, one.born, one.ready, one.in_use, one.runs = f.started, now, ready, 0, 0
    f.started += 1
    f.alive += 1
    return k


@njit(cache=True, nogil=True)
def end_instance(f: Fleet, k: int, now: float) -> None:
    """End an instance in whatever stage; its requests, if it has any, are the caller's care."""
    one = f.instances[k]
    if one.stage == IN_SETUP:
        f.setup_s += now - one.born
        f.starting -= 1
    elif one.stage == IDLE:
        f.idle_s += now - one.since
    else:
        f.active_s += now - one.since
    if one.number < f.log_rows:
        row = f.instances_log[one.number]
        row.born, row.ready, row.end = one.born, one.ready, now
    leave(f, k)
    one.stage = NONE
    f.alive -= 1
    f.instances[f.alive].spare = k


@njit(cache=True, nogil=True)
def end_setup(f: Fleet, k: int, now: float) -> None:
    """Have an instance ready, or ended when its set-up fails."""
    one = f.instances[k]
    if f.setup_fails[one.number % DRAWS]:
        f.setup_failed += 1
        end_instance(f, k, now)
        scale(f, now)
    else:
        f.setup_s += now - one.born
        f.starting -= 1
        join(f, k, IDLE, now)
        serve_queue(f, now, 1)


@njit(cache=True, nogil=True)
def lose_instance(f: Fleet, now: float) -> None:
    """Take away the instance at a place drawn beforehand, if there is one; its requests go to the head of the queue."""
    k = f.loss_places[f.losses % DRAWS]
    f.losses += 1
    f.loss_at = now + f.loss_gaps[f.losses % DRAWS]
    if f.instances[k].stage == NONE:
        return
    f.lost += 1
    cancel_events(f, k)
    while f.instances[k].in_use > 0:
        last = -1
        for place in range(k * f.slots, (k + 1) * f.slots):
            if f.slot[place].in_use and (last < 0 or f.slot[place].index > f.slot[last].index):
                last = place
        slot = f.slot[last]
        wait(f, True, slot.arrival, slot.takes, slot.index, slot.fails)
        slot.in_use = 0
        f.instances[k].in_use -= 1
        f.running -= 1
        f.repeated += 1
    end_instance(f, k, now)
    serve_queue(f, now, 0)
    scale(f, now)


@njit(cache=True, nogil=True)
def serve_queue(f: Fleet, now: float, met_cold: int) -> None:
    """Give waiting requests to instances while there are both."""
    while f.queued > 0 and free_instance(f) >= 0:
        request = f.queue[f.queue_head]
        f.queued -= 1
        f.queue_head = (f.queue_head + 1) % f.queue.size if f.queued > 0 else 0
        assign(f, free_instance(f), now, request.arrival, request.takes, request.index, request.fails, met_cold)


@njit(cache=True, nogil=True)
def assign(f: Fleet, k: int, now: float, arrival: float, takes: float, index: int, fails: int, met_cold: int) -> None:
    """Run a request on an instance that has a free slot."""
    one, place = f.instances[k], k * f.slots
    while f.slot[place].in_use:
        place += 1
    slot = f.slot[place]
    slot.arrival, slot.begin, slot.takes, slot.in_use = arrival, now, takes, 1
    slot.index, slot.fails, slot.met_cold = index, fails, met_cold
    add_event(f, now + (f.first_draws[one.number % DRAWS] if one.runs == 0 else takes), place * 2 + RUN_ENDS)
    one.runs += 1
    one.in_use += 1
    f.running += 1
    stage = FULL if one.in_use == f.slots else PARTLY
    if one.stage == IDLE:
        f.idle_s += now - one.since
        one.since = now
    if stage != one.stage:
        leave(f, k)
        join(f, k, stage, one.since)


@njit(cache=True, nogil=True)
def end_run(f: Fleet, place: int, now: float) -> None:
    """Record the request that ends in a slot, and have its instance take the next one."""
    slot, k = f.slot[place], place // f.slots
    one = f.instances[k]
    f.latency_s += now - slot.arrival
    f.wait_s += slot.begin - slot.arrival
    f.latency_bins[bin_of(now - slot.arrival)] += 1
    f.wait_bins[bin_of(slot.begin - slot.arrival)] += 1
    f.last_end = now
    f.done += 1
    f.failed += slot.fails
    f.cold += slot.met_cold
    if slot.index < f.log_rows:
        row = f.requests_log[slot.index]
        row.arrival, row.begin, row.end = slot.arrival, slot.begin, now
        row.instance, row.met_cold = one.number, slot.met_cold
    slot.in_use = 0
    one.in_use -= 1
    f.running -= 1
    if one.in_use == 0:
        f.active_s += now - one.since
        leave(f, k)
        join(f, k, IDLE, now)
    elif one.stage == FULL:
        join(f, k, PARTLY, one.since)
    serve_queue(f, now, 0)
