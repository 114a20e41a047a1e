"""The files that the cases send, made here: good, damaged, and of other kinds."""

import base64
import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from pillow_heif import from_pillow
from safetensors.numpy import save

LAYER = "layers.0.attention.to_q"
WIDTH = 256  # of the emoji model's layers


def data_url(data: bytes, media_type: str = "application/octet-stream") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def picture(kind: str = "PNG", size: tuple[int, int] = (48, 32)) -> bytes:
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).ellipse((8, 4, 40, 28), fill="red")
    stream = io.BytesIO()
    if kind == "HEIC":
        from_pillow(image).save(stream, format="HEIF")
    else:
        image.save(stream, kind)
    return stream.getvalue()


def mask(size: tuple[int, int] = (48, 32), white: bool = True) -> str:
    image = Image.new("L", size)
    if white:
        ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2, size[1]), fill=255)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return data_url(stream.getvalue(), "image/png")


def png_header(width: int, height: int) -> bytes:
    """A PNG that ends where its pixels would begin."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    checked = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + checked + struct.pack(">I4s", 1000, b"IDAT")


def lora(down=(4, WIDTH), up=(WIDTH, 4), layer: str = LAYER, value: float = 0.01, prefix: str = "transformer.", **more):
    """A safetensors file with one pair, and more tensors by their names."""
    tensors = {
        f"{prefix}{layer}.lora_A.weight": np.full(down, value, np.float32),
        f"{prefix}{layer}.lora_B.weight": np.full(up, 0.01, np.float32),
    }
    return save(tensors | {name.replace("__", "."): np.zeros((4, 4), np.float32) for name in more})


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def tarred(files: dict[str, bytes], change: Callable[[tarfile.TarInfo], None] = lambda member: None) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            change(member)
            archive.addfile(member, io.BytesIO(data[: member.size]))
    return stream.getvalue()


def as_link(member: tarfile.TarInfo) -> None:
    member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0


def peft_archive(**settings) -> str:
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 4, **settings}
    files = {"adapter_model.safetensors": lora(prefix=""), "adapter_config.json": json.dumps(config).encode()}
    return data_url(zipped(files), "application/zip")
