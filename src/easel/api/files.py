"""`/v1/files`: what clients upload to use as an input, and the files that predictions made."""

import asyncio
import base64
import hashlib
import hmac
import io
import re
import secrets
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from easel.api.multipart import read_form
from easel.api.outputs import media_type
from easel.api.pages import page
from easel.api.problems import Problem
from easel.api.service import Api
from easel.api.strict_json import check_texts, read_json
from easel.api.tables import File
from easel.api.telemetry import now

CHUNK = 2**20
ROW = 4096  # bytes that an empty file counts
LONGEST = 255  # bytes of a name or type; Replicate's
MEMBER = re.compile(r"metadata\[(.+)\]")


async def create(api: Api, request: Request) -> Response:
    async with read_form(request) as form:
        content = form.get("content")
        if isinstance(content, str):  # a part without a file's name
            content = UploadFile(io.BytesIO(content.encode()))
        if not isinstance(content, UploadFile):
            raise Problem(400, "Send the file as the part `content` of multipart/form-data.")
        api.check_disk()
        details = read_details(form)
        # A client may name them beside the file, where its part has no name or type of its own.
        name = Path(str(form.get("filename") or content.filename or "file")).name
        kind = str(form.get("type") or content.content_type or media_type(name))
        if not (kind.isascii() and kind.isprintable() and fit([name, details])) or (
            max(len(name.encode()), len(kind)) > LONGEST
        ):
            raise Problem(400, f"The file's name and type must be plain text of at most {LONGEST} bytes.")
        one = File(id=secrets.token_urlsafe(24), account=request.state.account, name=name, content_type=kind)
        one.created_at = now()
        one.expires_at = one.created_at + api.settings.file_lifetime_s
        one.details = details
        path = api.outputs.uploads / one.id
        try:
            await run_in_threadpool(keep, content.file, path, one)
            if one.size > api.settings.max_file_bytes:
                raise Problem(413, f"The file is larger than {api.settings.max_file_bytes / 1e6:.0f} MB.")
            async with api.quotas.setdefault(one.account, asyncio.Lock()):
                used = await api.database.total(File.size + ROW, File.account == one.account)
                if used + one.size + ROW > api.settings.max_account_bytes:
                    most = f"{api.settings.max_account_bytes / 1e9:g} GB"
                    raise Problem(413, f"Your uploads would be larger than {most} together. Delete some first.")
                await api.database.save(one)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return JSONResponse(api.serializers.file(one), 201, {"Location": f"{api.serializers.base}/v1/files/{one.id}"})


def read_details(form: FormData) -> dict[str, Any]:
    """Return the part `metadata`, a JSON object; or, as one client sends it, a part `metadata[name]` for each
    member.
    """
    part = form.get("metadata")
    text = part.file.read() if isinstance(part, UploadFile) else part
    if text is None:
        return {match[1]: str(value) for key, value in form.items() if (match := MEMBER.fullmatch(key))}
    try:
        details = read_json((text if isinstance(text, bytes) else text.encode()) or b"{}")
    except ValueError:
        details = None
    if not isinstance(details, dict):
        raise Problem(400, "The part `metadata` must be a JSON object.")
    return details


def fit(texts: Any) -> bool:
    try:
        check_texts(texts)
    except ValueError:
        return False
    return True


def keep(source: Any, path: Path, one: File) -> None:
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("xb") as target:
        while chunk := source.read(CHUNK):
            size += len(chunk)
            sha256.update(chunk)
            md5.update(chunk)
            target.write(chunk)
    one.size, one.sha256, one.md5 = size, sha256.hexdigest(), md5.hexdigest()


async def find(api: Api, request: Request) -> File:
    one = await api.database.get(File, request.path_params["id"])
    if not one or one.account != request.state.account or one.expires_at < now():
        raise Problem(404, "There is no such file, or its 24 hours are over.")
    return one


async def show(api: Api, request: Request) -> Response:
    return JSONResponse(api.serializers.file(await find(api, request)))


async def list_all(api: Api, request: Request) -> Response:
    return await page(api, request, File, File.id, File.account == request.state.account, document=api.serializers.file)


async def delete(api: Api, request: Request) -> Response:
    one = await find(api, request)
    (api.outputs.uploads / one.id).unlink(missing_ok=True)  # first: a row without bytes is swept, bytes without are not
    await api.database.remove(File, File.id == one.id)
    return Response(status_code=204)


async def download(api: Api, request: Request) -> Response:
    """With ?owner, ?expiry (Unix seconds) and ?signature, base64 of HMAC-SHA256 over "owner id expiry"; no token."""
    one = await api.database.get(File, request.path_params["id"])
    owner, expiry = request.query_params.get("owner", ""), request.query_params.get("expiry", "")
    signature = request.query_params.get("signature", "")
    wanted = sign_download(api.webhook_secret(owner), owner, one.id if one else "", expiry)
    if not one or owner != one.account or not hmac.compare_digest(signature.encode(), wanted.encode()):
        raise Problem(404, "There is no such file, or the signature does not fit.")
    if not expiry.isdigit() or int(expiry) < now():
        raise Problem(404, "This address has expired.")
    return FileResponse(api.outputs.uploads / one.id, media_type=one.content_type, filename=one.name)


def sign_download(secret: str, owner: str, file_id: str, expiry: str) -> str:
    digest = hmac.digest(
        base64.b64decode(secret.removeprefix("whsec_")), f"{owner} {file_id} {expiry}".encode(), "sha256"
    )
    return base64.b64encode(digest).decode()


async def deliver(api: Api, request: Request) -> Response:
    """Answer with an output file.

    Its address is known only to those who know the prediction, as with Replicate's delivery.
    """
    path = api.outputs.path(request.path_params["id"], request.path_params["name"])
    if not path:
        raise Problem(404, "There is no such file. Outputs are removed an hour after their prediction.")
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Access-Control-Allow-Origin": "*",  # the address is the secret, and pages draw outputs on a canvas
    }
    return FileResponse(path, media_type=media_type(path.name), headers=headers)
