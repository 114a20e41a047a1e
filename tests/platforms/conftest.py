import datetime

import pytest

from easel.platforms.files import parse
from easel.platforms.prices import Platform
from easel.platforms.profile import Profile

READ = datetime.date(2026, 11, 1)


def estimate(value, low=None, high=None, date=READ):
    return {"value": value, "low": low, "high": high, "source": "a test", "date": date}


def figure(**form):
    return {**form, "origin": "assumed", "source": "a test"}


@pytest.fixture
def profile():
    """Ten seconds of set-up, a first run of 3 s, 2 s each later, nothing to fetch."""
    values = {
        "name": "a model",
        "model": "emoji",
        "hardware": "l40s",
        "setup_seconds": figure(value=10.0),
        "first_run_seconds": figure(value=3.0),
        "run_seconds": figure(value=2.0),
        "weights_bytes": figure(value=0.0),
    }
    return parse(values, Profile, "test")


def make_platform(settings, **changed):
    """A tenth of a cent a second, one instance, idle for a minute."""
    values = {
        "name": "host",
        "title": "Host",
        "cards": {"l40s": estimate(0.001)},
        "host_usd_per_second": estimate(0.0),
        "usd_per_month": estimate(0.0),
        "credit_usd_per_month": estimate(0.0),
        "idle_seconds": estimate(60.0),
        "boot_seconds": estimate(0.0),
        "fetch_bytes_per_second": estimate(1e9),
        "waiting_per_slot": estimate(1.0),
        "losses_per_day": estimate(0.0),
        "settings": settings,
        **changed,
    }
    return parse(values, Platform, "test")


ALL = {"name": "all of it", "max_instances": 1, "billed": ["setup", "idle", "active"]}
ACTIVE = {"name": "active alone", "max_instances": 1, "billed": ["active"]}
