"""`/v1/files`: what clients upload to use as an input, and the files that predictions made."""

import base64
import hashlib
import hmac
import json
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from easel.api.outputs import Outputs, data_url, media_type
from easel.api.problems import Problem
from easel.api.tables import File, Prediction
from easel.api.watch import now

if TYPE_CHECKING:
    from easel.api.app import Api

CHUNK = 2**20
MEMBER = re.compile(r"metadata\[(.+)\]")


async def create(api: "Api", request: Request) -> Response:
    async with request.form(max_files=2) as form:  # JavaScript sends the metadata as a file as well
        content = form.get("content")
        if not isinstance(content, UploadFile):
            raise Problem(400, "Send the file as the part `content` of multipart/form-data.")
        details = read_details(form)
        # A client may name them beside the file, where its part has no name or type of its own.
        name = Path(str(form.get("filename") or content.filename or "file")).name
        kind = str(form.get("type") or content.content_type or media_type(name))
        one = File(id=secrets.token_urlsafe(24), account=request.state.account, name=name, content_type=kind)
        one.created_at = now()
        one.expires_at = one.created_at + api.settings.file_lifetime_s
        one.details = details
        path = api.outputs.uploads / one.id
        try:
            await run_in_threadpool(keep, content.file, path, one)
            if one.size > api.settings.max_file_bytes:
                raise Problem(413, f"The file is larger than {api.settings.max_file_bytes / 1e6:.0f} MB.")
            await api.store.save(one)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return JSONResponse(api.documents.file(one), 201)


def read_details(form: FormData) -> dict[str, Any]:
    """The part `metadata`, a JSON object; or, as one client sends it, a part `metadata[name]` for each member."""
    text = form.get("metadata")
    if isinstance(text, UploadFile):
        text = text.file.read()
    if text is None:
        return {match[1]: str(value) for key, value in form.items() if (match := MEMBER.fullmatch(key))}
    try:
        details = json.loads(text or "{}")
    except ValueError:
        details = None
    if not isinstance(details, dict):
        raise Problem(400, "The part `metadata` must be a JSON object.")
    return details


def keep(source: Any, path: Path, one: File) -> None:
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("xb") as target:
        while chunk := source.read(CHUNK):
            size += len(chunk)
            sha256.update(chunk)
            md5.update(chunk)
            target.write(chunk)
    one.size, one.sha256, one.md5 = size, sha256.hexdigest(), md5.hexdigest()


async def find(api: "Api", request: Request) -> File:
    one = await api.store.get(File, request.path_params["id"])
    if not one or one.account != request.state.account or one.expires_at < now():
        raise Problem(404, "There is no such file, or its 24 hours are over.")
    return one


async def show(api: "Api", request: Request) -> Response:
    return JSONResponse(api.documents.file(await find(api, request)))


async def list_all(api: "Api", request: Request) -> Response:
    return await api.page(request, File, File.id, File.account == request.state.account, document=api.documents.file)


async def delete(api: "Api", request: Request) -> Response:
    one = await find(api, request)
    (api.outputs.uploads / one.id).unlink(missing_ok=True)  # first: a row without bytes is swept, bytes without are not
    await api.store.remove(File, File.id == one.id)
    return Response(status_code=204)


async def download(api: "Api", request: Request) -> Response:
    """With ?owner, ?expiry (Unix seconds) and ?signature, base64 of HMAC-SHA256 over "owner id expiry"; no token."""
    one = await api.store.get(File, request.path_params["id"])
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


async def deliver(api: "Api", request: Request) -> Response:
    """An output file. Its address is known only to those who know the prediction, as with Replicate's delivery."""
    path = api.outputs.path(request.path_params["id"], request.path_params["name"])
    if not path:
        raise Problem(404, "There is no such file. Outputs are removed an hour after their prediction.")
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
    return FileResponse(path, media_type=media_type(path.name), headers=headers)


class OwnFiles:
    """The API's own addresses in an input become data URLs: the Cog server may be on a machine that cannot ask."""

    def __init__(self, base: str, outputs: Outputs) -> None:
        self._files, self._deliveries, self._outputs = f"{base}/v1/files/", f"{base}/delivery/", outputs

    def resolve(self, prediction: Prediction) -> dict[str, Any]:
        """The input for the Cog server; blocking. An address whose file has gone stays as it is."""
        return {name: self._value(value) for name, value in (prediction.given or prediction.input).items()}

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(one) for one in value]
        if not isinstance(value, str):
            return value
        if value.startswith(self._files):
            identity = value.removeprefix(self._files).partition("/")[0].partition("?")[0]
            path = self._outputs.uploads / identity
            if identity.replace("-", "").replace("_", "").isalnum() and path.is_file():
                return data_url(path, sniff(path))
        if value.startswith(self._deliveries):
            identity, _, name = value.removeprefix(self._deliveries).partition("/")
            if path := self._outputs.path(identity, name):
                return data_url(path, media_type(name))
        return value


def sniff(path: Path) -> str:
    """Bytes without a type: some clients lose it on the way. The model looks at the bytes itself."""
    with path.open("rb") as file:
        start = file.read(16)
    for begin, kind in ((b"\x89PNG", "image/png"), (b"\xff\xd8", "image/jpeg"), (b"GIF8", "image/gif")):
        if start.startswith(begin):
            return kind
    return "image/webp" if start[8:12] == b"WEBP" else "application/octet-stream"
