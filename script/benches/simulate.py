"""The compiled simulation of a fleet: requests a second on one core, beside simpy and ciw, and how it grows."""

import resource
import sys
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any

import numpy as np
import simpy
from tqdm import tqdm

from easel.platforms import kernel
from easel.platforms.fleet import DRAWS, Rules, make_fleet
from easel.platforms.profile import Figure, Floats, Profile
from easel.platforms.simulate import Case, simulate
from easel.platforms.traffic import CHUNK, MONTH, Traffic, Week, make_traffic
from tests.platforms import simpy_fleet

MILLION = 1e6
CIW = ".venv/ciw"  # a folder of its own, since it brings a package named tests
SLOW = 20_000  # requests for simpy and ciw
FIXED = Rules(min_instances=10, max_instances=10)
GROWING = Rules(max_instances=100, idle_seconds=60.0)  # as a platform that scales to zero
NERVOUS = Rules(max_instances=100, idle_seconds=3.0)  # an instance is started every 15 requests


def bench_simulate(rounds: int) -> dict[str, float]:
    """Requests in millions a second of one core's time, at a load of 9 instances; a set-up takes 5 s, a run 1 s."""
    figures: dict[str, float] = {}
    for name, rules in {"fixed": FIXED, "growing": GROWING, "nervous": NERVOUS}.items():
        compiled(rules, 10_000)
        figures[f"{name}_easel_m_per_s"] = max(compiled(rules, 3_000_000) for _ in tqdm(range(rounds), desc=name))
        figures[f"{name}_simpy_m_per_s"] = with_simpy(rules)
    figures["fixed_plain_simpy_m_per_s"] = plain_simpy()
    try:
        figures["fixed_ciw_m_per_s"] = with_ciw()
    except ImportError as error:
        print(f"ciw is left out ({error}): .venv/bin/pip install --no-deps --target {CIW} ciw==3.2.7 networkx")
    for exponent in (4, 5, 6, 7, 8):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        figures[f"1e{exponent}_s"] = seconds(partial(compiled, GROWING, 10**exponent))
        figures[f"1e{exponent}_more_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    figures["sweep_100_settings_10m_s"] = seconds(sweep)
    return figures


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def drawn(count: int) -> Iterator[tuple[Floats, Floats]]:
    """Yield arrivals at 9 a second and exponential run times of a mean of 1 s, a chunk at a time."""
    generator, clock = np.random.default_rng(1), 0.0
    for begin in range(0, count, CHUNK):
        size = min(CHUNK, count - begin)
        arrivals = clock + np.cumsum(generator.exponential(1 / 9, size))
        clock = float(arrivals[-1])
        yield arrivals, generator.exponential(1.0, size)


def compiled(rules: Rules, count: int) -> float:
    """Return millions of requests a second of this thread's processor time, without the drawing of random numbers."""
    fleet = make_fleet(rules, np.full(DRAWS, 5.0), np.full(DRAWS, 1.0))
    kernel.begin(fleet)
    spent, fails = 0.0, np.zeros(CHUNK, np.int64)
    for arrivals, runs in drawn(count):
        began = time.thread_time()
        kernel.run(fleet, arrivals, runs, fails[: arrivals.size])
        spent += time.thread_time() - began
    kernel.finish(fleet, 0.0)
    return count / spent / MILLION


def with_simpy(rules: Rules) -> float:
    arrivals, runs = next(drawn(SLOW))
    module: Any = simpy_fleet
    fleet = module.SimpyFleet(rules, arrivals[:SLOW], runs[:SLOW], np.full(DRAWS, 5.0), np.full(DRAWS, 1.0))
    return SLOW / seconds(lambda: fleet.play(1.0)) / MILLION


def plain_simpy() -> float:
    """The shortest model of the same queue that simpy's documentation shows: a resource of ten."""
    environment = simpy.Environment()
    servers = simpy.Resource(environment, 10)
    arrivals, runs = next(drawn(SLOW))

    def request(takes: float) -> Generator[simpy.Event, Any, None]:
        with servers.request() as turn:
            yield turn
            yield environment.timeout(takes)

    def source() -> Generator[simpy.Event, Any, None]:
        for at, takes in zip(arrivals[:SLOW], runs[:SLOW], strict=True):
            yield environment.timeout(at - environment.now)
            environment.process(request(takes))

    environment.process(source())
    return SLOW / seconds(environment.run) / MILLION


def with_ciw() -> float:
    sys.path.append(CIW)
    import ciw

    distributions = ciw.dists
    network = ciw.create_network(
        arrival_distributions=[distributions.Exponential(9.0)],
        service_distributions=[distributions.Exponential(1.0)],
        number_of_servers=[10],
    )
    simulation = ciw.Simulation(network)
    return SLOW / seconds(lambda: simulation.simulate_until_max_customers(SLOW)) / MILLION


def sweep() -> None:
    """A month of ten million requests through 100 settings, on all cores."""
    traffic: Traffic = make_traffic(Week(name="month", requests_per_day=10e6 / 30.44, days=MONTH / 86400))
    run = Figure(median=2.4, p95=2.8, origin="assumed", source="a bench")
    setup = Figure(median=15.0, p95=30.0, origin="assumed", source="a bench")
    size = Figure(value=0.0, origin="assumed", source="a bench")
    profile = Profile(
        name="bench",
        model="bench",
        hardware="l40s",
        setup_seconds=setup,
        first_run_seconds=run,
        run_seconds=run,
        weights_bytes=size,
    )
    cases = [
        Case(Rules(min_instances=least, max_instances=20 + least, idle_seconds=float(idle)), setup)
        for least in range(10)
        for idle in (5, 10, 20, 30, 60, 120, 180, 240, 300, 600)
    ]
    with tqdm(total=traffic.requests, desc="100 settings") as bar:
        simulate(traffic, profile, cases, progress=bar.update)
