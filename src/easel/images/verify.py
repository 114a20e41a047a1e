"""What an image's file says of itself, and whether that holds: its C2PA manifest, read and verified offline."""

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from easel.errors import InputError
from easel.images.certificates import SELF_MADE, find_own_identity
from easel.images.formats import kind_of
from easel.images.provenance import EDITED, MADE, MIME, PARAMETERS, SETTINGS, SOURCE_TYPES, UNTRUSTED

MAX_BYTES = 100_000_000  # five times the largest PNG that is made here (2048 x 2048)
BOX, MAX_BOXES = b"jumb", 2000  # parts of the manifests in one file; one manifest has about 15, each takes 0.1 ms
MAX_TEXT = 5000  # characters of one value that are shown: a prompt at its longest
KINDS = {MADE: "made by a model", EDITED: "an image, edited by a model"}


@dataclass(frozen=True)
class Report:
    """`state` is valid, invalid, unsigned (there is no manifest) or unreadable; `reason` says why, unless valid.

    `trust` says of the signer, if there is one: trusted (by the authorities that were given), this machine (the
    certificate that Easel made and keeps here), self-made (one that calls itself so: anybody can make it) or unknown.
    All else was said by the signer. It counts only if the state is valid, and as far as the signer is trusted.
    """

    state: str
    reason: str = ""
    signer: str = ""
    trust: str = ""
    made_at: str = ""
    kind: str = ""
    generator: str = ""
    model: str = ""
    weights: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    ingredients: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ingredients": list(self.ingredients)}


@dataclass(frozen=True)
class Authorities:
    """Whom a reader trusts: PEM certificates that were given, and those of this machine's own certificate."""

    given: bytes = b""
    own: bytes = b""
    own_serial: str = ""

    @classmethod
    def find(cls, cache: Path, given: bytes = b"") -> "Authorities":
        """Return what is given, as PEM, and the certificate kept in `cache`/c2pa if there is one. Raises InputError."""
        try:
            given = to_pem(x509.load_pem_x509_certificates(given)) if given else b""
        except ValueError:
            raise InputError("--trust must name a file of PEM certificates.") from None
        identity = find_own_identity(cache / "c2pa")
        if not identity:
            return cls(given)
        leaf, root = identity.certificates
        return cls(given, to_pem([root]), str(leaf.serial_number))


def to_pem(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def verify_file(path: Path, authorities: Authorities) -> Report:
    """Return the report of a file; a bad one is reported, never raised."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        return Report("unreadable", f"the file cannot be read ({error.strerror})")
    return verify_data(data, authorities)


def verify_data(data: bytes, authorities: Authorities) -> Report:
    """Do as `verify_file` for the content of a file. Nothing is fetched, whatever the file names."""
    if len(data) > MAX_BYTES:
        return Report("unreadable", f"the file has more than {MAX_BYTES // 10**6} MB")
    kind = kind_of(data)
    if kind not in MIME:
        return Report("unreadable", f"the file is {kind}; {', '.join(MIME)} are read")
    if data.count(BOX) > MAX_BOXES:
        return Report("invalid", f"its manifests have more than {MAX_BOXES} parts")
    anchors = (authorities.given + authorities.own).decode()
    settings = {**SETTINGS, "trust": {**SETTINGS["trust"], "user_anchors": anchors}} if anchors else SETTINGS
    try:
        with (
            c2pa.Context.from_dict(settings) as context,
            c2pa.Reader(MIME[kind], io.BytesIO(data), context=context) as reader,
        ):
            if not reader.is_embedded():
                return Report("unsigned", "it names a manifest elsewhere, which is not fetched")
            return report(json.loads(reader.json()), authorities)
    except c2pa.C2paError as error:
        return failure(str(error), kind, has_manifest=BOX in data)
    except (KeyError, TypeError, ValueError):  # JSON of another form: the manifest is whatever its maker wrote
        return Report("invalid", "its manifest does not have the form that C2PA asks for")


def failure(message: str, kind: str, *, has_manifest: bool) -> Report:
    if "ManifestNotFound" in message:
        return Report("unsigned", "there is no manifest: a copy, a screenshot or an older file")
    if message.startswith("Remote"):
        return Report("unsigned", "it names a manifest elsewhere, which is not fetched")
    reason = " ".join(message.split())[:200]
    if has_manifest:
        return Report("invalid", f"the file or its manifest was changed or is damaged ({reason})")
    return Report("unreadable", f"the {kind} file is truncated or damaged ({reason})")


def report(found: Mapping[str, Any], authorities: Authorities) -> Report:
    """Return what c2pa's JSON says, in this project's words."""
    manifest = found["manifests"][found["active_manifest"]]
    signature = manifest.get("signature_info") or {}
    actions = [one for each in manifest["assertions"] if "actions" in each["label"] for one in each["data"]["actions"]]
    act: dict[str, Any] = next(
        (one for one in reversed(actions) if "softwareAgent" in one or "digitalSourceType" in one), {}
    )
    agent = act.get("softwareAgent") or {}
    agent = agent if isinstance(agent, dict) else {"name": agent}
    makers = manifest.get("claim_generator_info") or [{}]
    wrong = [
        one["explanation"] or one["code"] for one in found.get("validation_status", []) if one["code"] != UNTRUSTED
    ]
    valid = found["validation_state"] in ("Valid", "Trusted")
    source = str(act.get("digitalSourceType", ""))
    return Report(
        state="valid" if valid else "invalid",
        reason="" if valid else text("; ".join(wrong) or "it does not hold"),
        signer=text(" / ".join(filter(None, (signature.get("common_name"), signature.get("issuer"))))),
        trust=trust_of(found["validation_state"], signature, authorities),
        made_at=text(act.get("when") or signature.get("time") or ""),
        kind=KINDS.get(source) or text(source.removeprefix(SOURCE_TYPES)),
        generator=text(" ".join(str(makers[0].get(name, "")) for name in ("name", "version"))),
        model=text(agent.get("name", "")),
        weights=text(agent.get("version", "")),
        parameters=parameters_of(manifest),
        ingredients=tuple(text(one.get("title") or one.get("format") or "") for one in manifest.get("ingredients", [])),
    )


def trust_of(state: str, signature: Mapping[str, Any], authorities: Authorities) -> str:
    if state == "Trusted":
        return "this machine" if signature.get("cert_serial_number") == authorities.own_serial else "trusted"
    return "self-made" if signature.get("issuer") == SELF_MADE else "unknown"


def parameters_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return Easel's own assertion; empty where there is none."""
    for assertion in manifest["assertions"]:
        if assertion["label"] == PARAMETERS:
            values = json.loads(assertion["data"]["json"])
            return {text(name): text(value) if isinstance(value, str) else value for name, value in values.items()}
    return {}


def text(value: object) -> str:
    """Return a value as a stranger's text that a terminal can show: no control characters, not endless."""
    shown = "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in str(value))
    return shown.strip()[:MAX_TEXT]
