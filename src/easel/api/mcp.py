"""A Model Context Protocol server over Replicate's HTTP API: its tools, and what each answers."""

import asyncio
import base64
import binascii
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
import mcp_types as types
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError

from easel import __version__
from easel.api.mcp_client import ApiClient
from easel.api.schemas import input_rules, properties, secret_names
from easel.api.validation import shorten
from easel.errors import EaselError, InputError

MODEL = re.compile(r"[\w-][\w.-]{0,99}/[\w-][\w.-]{0,99}", re.ASCII)
PREDICTION_ID = re.compile(r"[a-z0-9]{1,64}")
FINAL = ("succeeded", "failed", "canceled", "aborted")
WAIT_S = 50.0  # of one call; MCP's TypeScript SDK gives up a request after 60 s (DEFAULT_REQUEST_TIMEOUT_MSEC)
POLL_S = 0.3  # the API learns of progress twice a second
CANCEL_S = 5.0  # to tell the API of a cancellation
MOST_INLINE = 700_000  # bytes of images in one answer, 0.93 MB as base64; what is beyond is only linked
MOST_IMAGE = 10_000_000  # bytes of an image that a caller sends
ONLY_EDIT = ("image", "mask", "prompt_strength")
PERCENT = re.compile(r"(\d{1,3})%\|")  # of a tqdm bar
INSTRUCTIONS = "Makes and edits images with {model}. Every answer names its prediction and the addresses of its images."
OTHER_MODEL = {"type": "string", "description": "OWNER/NAME of another model of list_models. Empty: {model}."}
IMAGE_TEXT = (
    "An https:// address, an address that this server gave, a data: URL or base64, to 10 MB. No path of a file."
)
ONE_PREDICTION = {
    "type": "object",
    "properties": {"prediction": {"type": "string", "description": "The id that a tool answered with."}},
    "required": ["prediction"],
    "additionalProperties": False,
}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True)
class Tools:
    """`published` is the contract from which the tools are described while the API does not tell the model's own."""

    api: ApiClient
    model: str
    published: dict[str, Any] = field(default_factory=dict)
    wait_s: float = WAIT_S

    def server(self) -> Server[Any]:
        return Server(
            "easel",
            version=__version__,
            instructions=INSTRUCTIONS.format(model=self.model),
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
        )

    async def list_tools(self, ctx: ServerRequestContext[Any], params: Any) -> types.ListToolsResult:
        try:
            document = await self.find_schema(self.model)
        except EaselError:  # A client asks once, when it starts; the API may come later.
            document = self.published
        new = types.ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
        read = types.ToolAnnotations(read_only_hint=True)
        cancel = types.ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True)
        made = [("generate_image", "Make images from a prompt.", describe_inputs(document, self.model, False), new)]
        if "image" in properties(document):
            made.append(("edit_image", "Change an image.", describe_inputs(document, self.model, True), new))
        made += [
            ("list_models", "The models, with what each is for and its inputs.", NOTHING, read),
            ("get_prediction", "Wait for a prediction (50 s at most) and return its images.", ONE_PREDICTION, read),
            ("cancel_prediction", "Cancel a prediction.", ONE_PREDICTION, cancel),
        ]
        return types.ListToolsResult(
            tools=[
                types.Tool(name=name, description=text, input_schema=schema, annotations=notes)
                for name, text, schema, notes in made
            ]
        )

    async def call_tool(
        self, ctx: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        given = params.arguments or {}
        try:
            match params.name:
                case "generate_image" | "edit_image":
                    return await self.make(ctx, given, edit=params.name == "edit_image")
                case "list_models":
                    check_names(given, set())
                    return as_json({"models": [describe_model(one) for one in await self.api.models()]})
                case "get_prediction":
                    path = f"/v1/predictions/{prediction_id(given)}"
                    return await self.answer(await self.wait(ctx, await self.api.call("GET", path)))
                case "cancel_prediction":
                    path = f"/v1/predictions/{prediction_id(given)}/cancel"
                    canceled = await self.api.call("POST", path)
                    return as_json({"prediction": canceled["id"], "status": canceled.get("status")})
        except EaselError as error:
            return types.CallToolResult(content=[types.TextContent(text=str(error))], is_error=True)
        raise MCPError(types.INVALID_PARAMS, f"There is no tool {shorten(params.name)}.")

    async def make(self, ctx: ServerRequestContext[Any], given: dict[str, Any], edit: bool) -> types.CallToolResult:
        """Run a prediction, which a client that gives up cancels."""
        model = given.get("model") or self.model
        if not isinstance(model, str) or not MODEL.fullmatch(model):
            raise InputError(f"model must be OWNER/NAME, for example {self.model}, not {shorten(model)}.")
        document = await self.find_schema(model)
        inputs = {name: value for name, value in given.items() if name != "model" and value is not None}
        check_names(inputs, allowed_names(document, edit))
        for name in ("image", "mask") if edit else ():
            if name in inputs:
                inputs[name] = image_address(name, inputs[name])
        if edit and "image" not in inputs:
            raise InputError(f"edit_image needs an image. {IMAGE_TEXT}")
        prediction: dict[str, Any] = {}
        try:
            with anyio.CancelScope(shield=True):  # else one could be made whose id nobody learns
                prediction = await self.api.call("POST", f"/v1/models/{model}/predictions", {"input": inputs})
            await anyio.lowlevel.checkpoint()
            return await self.answer(await self.wait(ctx, prediction))
        except asyncio.CancelledError:
            with anyio.move_on_after(CANCEL_S, shield=True), suppress(EaselError):
                await self.api.call("POST", f"/v1/predictions/{prediction['id']}/cancel")
            raise

    async def find_schema(self, model: str) -> dict[str, Any]:
        version = (await self.api.call("GET", f"/v1/models/{model}")).get("latest_version") or {}
        if not isinstance(document := version.get("openapi_schema"), dict):
            raise EaselError(f"{model} has no version yet: its server is not ready. Try again later.")
        return document

    async def wait(self, ctx: ServerRequestContext[Any], prediction: dict[str, Any]) -> dict[str, Any]:
        """Return the prediction when it has ended, or as it is after `wait_s` seconds; tell progress meanwhile."""
        until, told = time.monotonic() + self.wait_s, -1
        while prediction.get("status") not in FINAL and time.monotonic() < until:
            bars = PERCENT.findall(str(prediction.get("logs") or "")[-4000:])
            percent = min(int(bars[-1]), 100) if bars else 0
            if percent > told:  # MCP wants it to grow
                await ctx.session.report_progress(percent, 100, str(prediction.get("status")))
                told = percent
            await anyio.sleep(POLL_S)
            prediction = await self.api.call("GET", f"/v1/predictions/{prediction['id']}")
        return prediction

    async def answer(self, prediction: dict[str, Any]) -> types.CallToolResult:
        """Return the images, as many as fit, a link to each, and what is known of the prediction."""
        status, identity = prediction.get("status"), prediction["id"]
        if status in ("failed", "canceled", "aborted"):
            raise EaselError(f"The prediction {identity} {status}: {prediction.get('error') or 'no reason is known'}")
        if status != "succeeded":
            todo = f"Call get_prediction with {identity} to wait for it, or cancel_prediction."
            return as_json({"prediction": identity, "status": status, "next": todo})
        output = prediction.get("output")
        addresses = [one for one in (output if isinstance(output, list) else [output]) if isinstance(one, str)]
        content: list[types.ContentBlock] = []
        left = MOST_INLINE
        for k, address in enumerate(addresses):
            if image := await self.api.image(address, left):
                left -= len(image.content)
                data = base64.b64encode(image.content).decode()
                content.append(types.ImageContent(data=data, mime_type=image.media_type))
            if address.startswith(("http://", "https://")):
                content.append(types.ResourceLink(uri=address, name=f"image {k}", mime_type=image and image.media_type))
        logs = str(prediction.get("logs") or "").splitlines()
        known = {
            "prediction": identity,
            "status": status,
            "images": [one for one in addresses if not one.startswith("data:")],
            "metrics": prediction.get("metrics") or {},
            "warnings": [line[:500] for line in logs if line.startswith("Warning: ")][:20],
        }
        return as_json(known, content)


def as_json(value: dict[str, Any], content: list[types.ContentBlock] | None = None) -> types.CallToolResult:
    text = types.TextContent(text=json.dumps(value, ensure_ascii=False, indent=1))
    return types.CallToolResult(content=[text, *(content or [])], structured_content=value)


def describe_inputs(document: dict[str, Any], model: str, edit: bool) -> dict[str, Any]:
    """Return a tool's schema: the inputs of a model's contract, without its secrets."""
    rules, described = input_rules(document), properties(document)
    found: dict[str, Any] = {}
    for name in sorted(allowed_names(document, edit), key=lambda one: described[one].get("x-order", 0)):
        own = dict(rules["properties"][name])
        for part in own.pop("allOf", ()):
            own = part | own
        told = {key: described[name][key] for key in ("description", "default") if described[name].get(key) is not None}
        found[name] = own | told
        if name in ("image", "mask") and edit:
            found[name]["description"] = f"{told.get('description', '')} {IMAGE_TEXT}".strip()
    found.setdefault("model", OTHER_MODEL | {"description": OTHER_MODEL["description"].format(model=model)})
    required = [one for one in rules.get("required", []) if one in found] + (["image"] if edit else [])
    return {"type": "object", "properties": found, "required": required, "additionalProperties": False}


def allowed_names(document: dict[str, Any], edit: bool) -> set[str]:
    return set(properties(document)) - secret_names(document) - set(() if edit else ONLY_EDIT)


def describe_model(one: dict[str, Any]) -> dict[str, Any]:
    document = (one.get("latest_version") or {}).get("openapi_schema") or {}
    names = sorted(allowed_names(document, edit=True)) if isinstance(document, dict) else []
    return {"model": f"{one['owner']}/{one['name']}", "description": one.get("description") or "", "inputs": names}


def check_names(given: dict[str, Any], allowed: set[str]) -> None:
    if unknown := sorted(given.keys() - allowed):
        names = f"Allowed are: {', '.join(sorted(allowed))}." if allowed else "It takes none."
        raise InputError(f"There is no argument {shorten(unknown[0])}. {names}")


def prediction_id(given: dict[str, Any]) -> str:
    check_names(given, {"prediction"})
    identity = given.get("prediction")
    if not isinstance(identity, str) or not PREDICTION_ID.fullmatch(identity):
        raise InputError(f"prediction must be an id that a tool answered with, not {shorten(identity)}.")
    return identity


def image_address(name: str, value: Any) -> str:
    """Return what the API takes for an image. Raises InputError, also for a path: an agent may be told to send one."""
    if isinstance(value, str) and len(value) <= MOST_IMAGE * 4 // 3 + 200:
        if value.startswith(("https://", "http://", "data:")):
            return value  # The API says which addresses it takes.
        try:
            if len(value) >= 64 and base64.b64decode(value, validate=True):
                return f"data:application/octet-stream;base64,{value}"
        except binascii.Error:
            pass
    elif isinstance(value, str):
        raise InputError(f"{name} must have at most {MOST_IMAGE // 1_000_000} MB. Send a smaller one, or its address.")
    raise InputError(f"{name} is not an image: {shorten(value)}. {IMAGE_TEXT}")
