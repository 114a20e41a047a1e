"""The ways to name a model on Civitai: the addresses of its pages and downloads, and its AIR (a URN of Civitai's own).

AIR: https://developer.civitai.com/site/guide/air. `urn:` and `air:`, the family and the kind of model may be left out.
"""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs

HOSTS = ("civitai.com", "civitai.red", "civitai.green")  # one site under three names
NUMBER = r"[0-9]{1,12}"
LANGUAGE = re.compile(r"^/[a-z]{2}(?:-[A-Za-z]{2,4})?(?=/)")
AIR = re.compile(
    rf"(?:urn:)?(?:air:)?(?:[\w-]*:)?(?:(?P<kind>\w*):)?civitai:(?P<model>{NUMBER})"
    rf"(?:@(?P<version>{NUMBER}))?(?P<file>\+{NUMBER})?(?:\.(?P<format>\w+))?",
    re.IGNORECASE,
)
KINDS = ("", "lora", "locon", "lycoris", "other")


@dataclass(frozen=True)
class CivitaiSource:
    """A model on Civitai, its newest version unless one is named; one of the two numbers is always there."""

    model_id: int | None = None
    version_id: int | None = None

    @property
    def label(self) -> str:
        numbers = (("model", self.model_id), ("version", self.version_id))
        return "civitai.com " + " ".join(f"{name} {number}" for name, number in numbers if number is not None)


def is_air(text: str) -> bool:
    return re.match(r"(urn:|air:)|([\w-]*:){0,2}civitai:", text, re.IGNORECASE) is not None


def parse_air(text: str) -> CivitaiSource:
    """Return the source. Raises ValueError, whose text goes on after the name."""
    air = AIR.fullmatch(text)
    if air is None:
        raise ValueError("is not urn:air:FAMILY:lora:civitai:MODEL@VERSION or civitai:MODEL@VERSION, in numbers")
    if (air["kind"] or "").lower() not in KINDS:
        raise ValueError(f"is a {air['kind']}, not a LoRA")
    if air["file"]:
        raise ValueError("names one file of a version: leave +FILE out, or give the https:// URL of that file")
    if (air["format"] or "safetensors").lower() not in ("safetensor", "safetensors"):
        raise ValueError("is not in the safetensors format")
    return CivitaiSource(int(air["model"]), int(air["version"]) if air["version"] else None)


def parse_page(url: SplitResult) -> CivitaiSource:
    """Return the source. Raises ValueError, whose text goes on after the address."""
    query = parse_qs(url.query)
    if "token" in query:
        raise ValueError("has a token in it: give it as civitai_token, where no log shows it")
    version = query.get("modelVersionId", [None])[0]
    found = re.fullmatch(rf"/(api/download/)?models/({NUMBER})(/[^/]*)?/?", LANGUAGE.sub("", url.path))
    if found is None or not re.fullmatch(NUMBER, version or "0"):
        raise ValueError("is neither civitai.com/models/ID nor civitai.com/api/download/models/ID")
    if found[1]:
        return CivitaiSource(version_id=int(found[2]))
    return CivitaiSource(int(found[2]), int(version) if version else None)
