"""The form of `/v1/images/edits`: its fields as a body, its files in the folder of the prediction to be."""

import asyncio
import json
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from easel.api.bodies import problem_of
from easel.api.input_files import MOST_TEXT, Size
from easel.api.multipart import read_form
from easel.api.new_prediction import New
from easel.api.openai_errors import refused
from easel.api.openai_inputs import ImageBody, typed
from easel.api.outputs import FILE
from easel.api.problems import Problem
from easel.api.schemas import input_rules
from easel.api.service import Api
from easel.api.strict_json import check_texts
from easel.api.tables import Version
from easel.errors import InputError
from easel.images.alpha import mask_of_alpha
from easel.images.decode import MAX_BYTES
from easel.images.formats import kind_of

MOST_FILES = 17  # OpenAI's 16 images and a mask
MOST_FIELDS = 100
EXTENSIONS = {"JPEG": ".jpg", "PNG": ".png", "WebP": ".webp", "GIF": ".gif", "AVIF": ".avif", "HEIC": ".heic"}


async def read_edit(api: Api, request: Request, new: New) -> ImageBody:
    """Return the fields; the files are kept, and stand as {FILE: name} in the input of `new`. Raises Problem."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Problem(400, "The body must be multipart/form-data, with the file `image`.")
    async with read_form(request, MOST_FILES, MOST_FIELDS, "image") as form:
        fields: dict[str, Any] = {}
        images: list[UploadFile] = []
        masks: list[UploadFile] = []
        for name, value in form.multi_items():
            plain, is_list = name.removesuffix("[]"), name.endswith("[]")
            if isinstance(value, UploadFile):
                if plain not in ("image", "mask"):
                    raise refused(plain[:100], f"{plain[:100]} is a file, and only image and mask may be.")
                (images if plain == "image" else masks).append(value)
            elif is_list:
                fields.setdefault(plain, []).append(value)
            else:
                fields[plain] = value
        if len(images) != 1:
            raise refused("image", f"image must be one file, not {len(images)}: no model here takes several.")
        if len(masks) > 1:
            raise refused("mask", "mask must be one file.")
        if {"image", "mask"} & fields.keys():
            raise refused("image", "image and mask must be files: give their parts of the form a filename.")
        body = check_fields(fields)
        # One at a time: an image is some hundred megabytes in memory when it is decoded.
        async with api.large_bodies.turn(request.state.account):
            new.body.input = {"image": await keep(api, new, "image", images[0])}
            if masks:
                new.body.input["mask"] = await keep(api, new, "mask", masks[0])
    return body


def check_fields(fields: dict[str, Any]) -> ImageBody:
    try:
        check_texts(fields)
    except ValueError:
        raise Problem(400, "The fields must be text in UTF-8 without NUL.") from None
    if len(json.dumps(fields)) > MOST_TEXT:
        raise Problem(413, f"The fields of the form have more than {MOST_TEXT // 1000} kB of text.")
    try:
        return ImageBody.model_validate(fields)
    except ValidationError as error:
        raise problem_of(error) from None


async def keep(api: Api, new: New, name: str, file: UploadFile) -> dict[str, str]:
    """Keep an image of the form, a mask as one of Easel's, and count it in the size of `new`. Raises Problem (400)."""
    data = await file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise refused(name, f"{name} has more than {MAX_BYTES // 10**6} MB: make it smaller.")
    if name == "mask":
        try:
            data = await asyncio.to_thread(mask_of_alpha, "mask", data)
        except InputError as error:
            raise refused("mask", str(error)) from None
    kind = kind_of(data)
    if kind not in EXTENSIONS:
        raise refused(name, f"{name} must be a PNG, JPEG, WebP, GIF, AVIF or HEIC image, and is {kind}.")
    stored = f"in-{name}{EXTENSIONS[kind]}"
    await asyncio.to_thread(api.outputs.put, new.id, stored, data)
    new.size = Size(new.size.row, new.size.files + len(data))
    return {FILE: stored}


def typed_fields(body: ImageBody, version: Version) -> dict[str, Any]:
    """Return the model's own inputs in the fields, which are text, in the types of its schema."""
    rules = input_rules(version.openapi_schema).get("properties", {})
    found: dict[str, Any] = {}
    for name, value in (body.model_extra or {}).items():
        found[name] = value if isinstance(value, list) else typed(name, value, rules)
        item = rules.get(name, {}).get("items")
        if isinstance(value, list) and isinstance(item, dict):
            found[name] = [typed(name, one, {name: item}) for one in value]
    return found
