"""Which target a caller named, and which protocol it speaks: what it answers decides."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from easel.errors import InputError
from easel.local.client import ServerError
from easel.net.urls import is_loopback, origin, shown_url, split_url
from easel.platforms.http import RequestError, ask, members, reason, seconds_of
from easel.platforms.inputs import inputs_of
from easel.platforms.targets import About, CogTarget, ReplicateTarget, Target, digest, time_of

REPLICATE = "https://api.replicate.com"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
ON_REPLICATE = re.compile(
    rf"(?P<deployment>deployments/)?(?P<model>{NAME}/{NAME})(:(?P<version>[0-9a-zA-Z-]{{1,100}}))?"
)


@dataclass(frozen=True)
class Place:
    """Where a target is: `url` without /v1; the others where it is named as Replicate names it."""

    url: str
    model: str = ""
    version: str = ""
    deployment: bool = False
    own: str = ""  # the model of a server that was started for this

    @property
    def shown(self) -> str:
        if self.own:
            return f"{self.own}, started here"
        name = (
            f"{'deployments/' if self.deployment else ''}{self.model}{f':{self.version[:12]}' if self.version else ''}"
        )
        return f"{name} at {shown_url(self.url)}" if name else shown_url(self.url)

    @property
    def bills(self) -> bool:
        """Whether it may cost money: all that is not this machine."""
        return not is_loopback(self.url)


def parse_name(text: str, base: str) -> Place | None:
    """Return the place of OWNER/NAME[:VERSION] or deployments/OWNER/NAME at `base`, None for another text."""
    found = ON_REPLICATE.fullmatch(text)
    if not found or (found["deployment"] and found["version"]):
        return None
    return Place(without_v1(base), found["model"], found["version"] or "", bool(found["deployment"]))


def headers_for(place: Place, base: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what says who asks: Replicate's token only at `base` and on this machine, Modal's only on Modal."""
    headers = {}
    here, there = split_url(place.url), split_url(base)
    same = here is not None and there is not None and origin(here) == origin(there)
    if (token := environ.get("REPLICATE_API_TOKEN")) and (same or is_loopback(place.url)):
        headers["Authorization"] = f"Bearer {token}"
    if ".modal." in place.url and "MODAL_KEY" in environ and "MODAL_SECRET" in environ:  # proxy auth tokens
        headers |= {"Modal-Key": environ["MODAL_KEY"], "Modal-Secret": environ["MODAL_SECRET"]}
    return headers


def without_v1(url: str) -> str:
    return url.rstrip("/").removesuffix("/v1")


async def find_target(client: httpx2.AsyncClient, place: Place, seconds: float = 60.0) -> Target:
    """Return the target, spoken to. Raises InputError, or ServerError where it does not answer as either should."""
    try:
        async with asyncio.timeout(seconds):
            return await ask_which(client, place)
    except TimeoutError:
        raise ServerError(f"{place.shown} has not said within {seconds:g} s what it is.") from None
    except RequestError as error:
        raise ServerError(f"{place.shown} gives no answer to go by ({error.kind}: {error.detail}).") from None


async def ask_which(client: httpx2.AsyncClient, place: Place) -> Target:
    if place.model:
        return await replicate_target(client, place)
    status, health = await ask(client, "GET", f"{place.url}/health-check")
    if status == 200 and isinstance(health.get("status"), str):
        return await cog_target(client, place, health)
    status, listed = await ask(client, "GET", f"{place.url}/v1/models")
    if status in (401, 403):
        raise InputError(f"{place.shown} refuses the token ({reason(status, listed)}). Set REPLICATE_API_TOKEN.")
    found = listed.get("results")
    models = [f"{one.get('owner')}/{one.get('name')}" for one in map(members, found if isinstance(found, list) else [])]
    if status != 200 or not models:
        raise ServerError(f"{place.shown} is neither a Cog server nor Replicate's API with a model.")
    if len(models) > 1:
        raise InputError(f"{place.shown} has several models: choose one by --model: {', '.join(models[:20])}.")
    return await replicate_target(client, Place(place.url, models[0]))


async def cog_target(client: httpx2.AsyncClient, place: Place, health: dict[str, Any]) -> CogTarget:
    if health["status"] not in ("READY", "BUSY"):
        raise ServerError(f"{place.shown} is {health['status'][:40]}. Try again when its /health-check says READY.")
    status, schema = await ask(client, "GET", f"{place.url}/openapi.json")
    known = status == 200 and bool(inputs_of(schema))
    setup = members(health.get("setup"))
    began, ended = time_of(setup.get("started_at")), time_of(setup.get("completed_at"))
    about = About(
        protocol="cog",
        model=place.own,
        version=digest(schema) if known else "",
        schema=schema if known else None,
        slots=1,
        setup_seconds=seconds_of(ended - began) if began is not None and ended is not None else None,
    )
    return CogTarget(client, place.url, about)


async def replicate_target(client: httpx2.AsyncClient, place: Place) -> ReplicateTarget:
    async def get(path: str, what: str) -> dict[str, Any]:
        status, answer = await ask(client, "GET", f"{place.url}/v1/{path}")
        if status in (401, 403):
            raise InputError(f"{place.shown} refuses the token ({reason(status, answer)}). Set REPLICATE_API_TOKEN.")
        if status != 200:
            raise InputError(f"{place.shown}: no {what} ({reason(status, answer)}). Is the name right?")
        return answer

    model, version = place.model, place.version
    if place.deployment:
        release = members((await get(f"deployments/{model}", "such deployment")).get("current_release"))
        of, version = str(release.get("model", "")), str(release.get("version", ""))
        path, body = f"/v1/deployments/{model}/predictions", dict[str, Any]()
        found = await get(f"models/{of}", "such model")
    else:
        of = model
        found = await get(f"models/{model}", "such model")
        latest = members(found.get("latest_version"))
        version = version or ("" if found.get("is_official") else str(latest.get("id", "")))
        # An official model runs by its name alone; any other needs a version.
        path, body = ("/v1/predictions", {"version": version}) if version else (f"/v1/models/{model}/predictions", {})
    about = members(found.get("latest_version"))
    if version and about.get("id") != version:
        about = await get(f"models/{of}/versions/{version}", "such version")
    schema = members(about.get("openapi_schema"))
    example = members(members(found.get("default_example")).get("metrics"))
    return ReplicateTarget(
        client,
        place.url,
        path,
        body,
        About(
            protocol="replicate",
            model=f"deployments/{model}" if place.deployment else model,
            version=version,
            schema=schema if inputs_of(schema) else None,
            run_seconds=seconds_of(example.get("predict_time")),
        ),
    )
