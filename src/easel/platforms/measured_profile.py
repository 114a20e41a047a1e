"""A measurement as a profile, which `easel simulate --profile` reads."""

from pathlib import Path

import yaml

from easel.errors import InputError
from easel.files import disk_errors, write_atomically
from easel.platforms.profile import Figure, Profile
from easel.platforms.results import Recording
from easel.platforms.summary import run_times


def profile_of(recording: Recording, hardware: str, weights_bytes: int | None) -> Profile:
    """Return the measured distributions; what was not measured is assumed, and its source says so.

    Raises InputError where no run was measured.
    """
    run, warm, first = recording.run, recording.of("warm"), run_times(recording.of("cold"))
    if run is None or not run_times(warm):
        raise InputError("No run time was measured, so there is nothing to write a profile of.")
    source = f"easel measure {run.target}, {run.began_at}"
    setups = [start.setup_seconds for start in recording.starts]
    queued = [one.queue_seconds for one in recording.of("cold") if one.queue_seconds is not None]
    if setups:
        setup = Figure(samples=setups, origin="measured", source=f"{source}: process start to READY")
    elif run.setup_seconds is not None:
        setup = Figure(value=run.setup_seconds, origin="measured", source=f"{source}: the server's own setup times")
    else:
        known = f"{source}: the queue of the first request; was the model cold? Otherwise write its boot time here"
        setup = Figure(value=queued[0] if queued else 0.0, origin="assumed", source=known)
    if weights_bytes is None:
        weights = Figure(value=0.0, origin="assumed", source="not known to easel measure: write the bytes here")
    else:
        weights = Figure(value=float(weights_bytes), origin="computed", source="the sizes in weights.lock")
    failed = sum(one.error == "failed" for one in warm)
    return Profile(
        name=run.model or run.target,
        model=run.model or run.target,
        hardware=hardware,
        setup_seconds=setup,
        first_run_seconds=Figure(samples=first or run_times(warm), origin="measured", source=source),
        run_seconds=Figure(samples=run_times(warm), origin="measured", source=source),
        weights_bytes=weights,
        run_failures=Figure(value=failed / len(warm), origin="measured", source=f"{source}: {failed} of {len(warm)}"),
    )


def write_profile(path: Path, profile: Profile) -> None:
    values = profile.model_dump(exclude_none=True, exclude_defaults=True)
    with disk_errors(path), write_atomically(path) as stream:
        stream.write(yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode())
