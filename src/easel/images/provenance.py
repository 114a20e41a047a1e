"""A C2PA manifest, signed, inside an image's file: what made it, from what, with which parameters.

The file's pixels stay as they are, its bytes do not: each signature is another one. C2PA: https://spec.c2pa.org
"""

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import c2pa
from PIL import Image

from easel.errors import ResourceError
from easel.images.certificates import Identity
from easel.images.formats import kind_of
from easel.logs import first_line

MIME = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WebP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "HEIC": "image/heic",
}
# By IPTC's vocabulary, https://cv.iptc.org/newscodes/digitalsourcetype
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MADE, EDITED = SOURCE_TYPES + "trainedAlgorithmicMedia", SOURCE_TYPES + "compositeWithTrainedAlgorithmicMedia"
PARAMETERS = "easel.parameters"  # C2PA's own assertions begin with c2pa; Easel has no domain to begin its own with
MAX_INGREDIENT_BYTES = (
    1_000_000  # of an input's own manifests, which go into each output; a camera's have about 100,000
)

INGREDIENT = "image"  # the input's name; its file's name is the caller's own business
UNTRUSTED = "signingCredential.untrusted"  # what is said of every signer whom no list names
ASK_FOR = "Ask its issuer for one for C2PA claim signing, or leave it out."
# For which a signer's certificate may be: e-mail protection, document signing, and C2PA's own, for claim signing.
PURPOSES = "1.3.6.1.5.5.7.3.4\n1.3.6.1.5.5.7.3.36\n1.3.6.1.4.1.62558.2.1"

Parameters = Mapping[str, Any]

# Nothing here reaches a network: no remote manifest, no OCSP, no time stamps; and no host is allowed besides.
# What is not checked again after signing, and no thumbnail, saves most of the time and of the bytes.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "core": {"allowed_network_hosts": [], "allow_redirects": False, "max_decompressed_manifest_size_in_mb": 1},
    "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
    "trust": {"trust_config": PURPOSES},
}


def sign_image(data: bytes, parameters: Parameters, identity: Identity, source_kind: str | None = None) -> bytes:
    """Return the PNG, JPEG or WebP file with a signed manifest in it. Raises c2pa.C2paError.

    `parameters` are the file's metadata, with model, weights and easel. `source_kind` is the format of the input image,
    if there was one: the manifest says that the output was made from it. A manifest that the input itself carries is
    not read, and does not go on: like all else of an input but its pixels.
    """
    mime = MIME[kind_of(data)]
    out = io.BytesIO()
    info = c2pa.C2paSignerInfo(identity.algorithm, identity.chain, identity.key, None)
    with (
        c2pa.Context.from_dict(SETTINGS) as context,
        c2pa.Signer.from_info(info) as signer,
        c2pa.Builder(manifest(parameters, source_kind), context) as builder,
    ):
        builder.sign(signer, mime, io.BytesIO(data), out)
    return out.getvalue()


def manifest(parameters: Parameters, source_kind: str | None) -> dict[str, Any]:
    """Return C2PA's JSON. The first action has to be `created`, or `opened` with what was opened."""
    agent = {"name": str(parameters["model"]), "version": str(parameters["weights"])}
    act = {"softwareAgent": agent, "when": datetime.now(UTC).isoformat(timespec="seconds")}
    actions: list[dict[str, Any]] = [{"action": "c2pa.created", "digitalSourceType": MADE, **act}]
    ingredients = []
    if source_kind:
        actions = [
            {"action": "c2pa.opened", "parameters": {"ingredientIds": [INGREDIENT]}},
            {"action": "c2pa.edited", "digitalSourceType": EDITED, **act}
            if parameters["prompt_strength"]
            else {"action": "c2pa.resized", **act},  # no step of the model was run
        ]
        ingredients = [
            {"title": INGREDIENT, "format": MIME[source_kind], "relationship": "parentOf", "label": INGREDIENT}
        ]
    return {
        "claim_generator_info": [{"name": "Easel", "version": str(parameters["easel"])}],
        "ingredients": ingredients,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            # As a text, since c2pa 0.38 takes each list of numbers for bytes.
            {"label": PARAMETERS, "data": {"json": json.dumps(dict(parameters), ensure_ascii=False)}},
        ],
    }


def check_identity(identity: Identity) -> None:
    """Sign and verify one pixel. Raises ResourceError for a certificate that C2PA does not take."""
    pixel = io.BytesIO()
    Image.new("RGB", (1, 1)).save(pixel, "PNG")
    try:
        signed = sign_image(pixel.getvalue(), {"model": "", "weights": "", "easel": ""}, identity)
        with (
            c2pa.Context.from_dict(SETTINGS) as context,
            c2pa.Reader("image/png", io.BytesIO(signed), context=context) as reader,
        ):
            found = json.loads(reader.json())
    except c2pa.C2paError as error:
        raise ResourceError(f"EASEL_C2PA_CERT is not taken by C2PA: {first_line(error)}. {ASK_FOR}") from None
    if found["validation_state"] == "Invalid":
        wrong = [one["explanation"] for one in found["validation_status"] if one["code"] != UNTRUSTED]
        raise ResourceError(f"EASEL_C2PA_CERT is not taken by C2PA: {', '.join(wrong)}. {ASK_FOR}")
