"""The files that the cases send, made here: good, damaged, and of other kinds."""

import base64
import io
import json
import stat
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


def ground(mode: str, colour: int | tuple, size: tuple[int, int] = (48, 32), kind: str = "PNG") -> str:
    """A picture of one colour."""
    stream = io.BytesIO()
    Image.new(mode, size, colour).save(stream, kind)
    return data_url(stream.getvalue(), f"image/{kind.lower()}")


def mask(size: tuple[int, int] = (48, 32), white: bool = True, soft: bool = False) -> str:
    image = Image.new("L", size)
    if white:
        ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2, size[1]), fill=255)
    if soft:
        image = Image.linear_gradient("L").resize(size)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return data_url(stream.getvalue(), "image/png")


def png_header(width: int, height: int) -> bytes:
    """A PNG that ends where its pixels would begin."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    checked = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + checked + struct.pack(">I4s", 1000, b"IDAT")


def lora(
    down=(4, WIDTH), up=(WIDTH, 4), layer: str = LAYER, value=0.01, prefix="transformer.", dtype=np.float32, **more
) -> bytes:
    """A safetensors file with one pair, and more tensors by their names."""
    tensors = {
        f"{prefix}{layer}.lora_A.weight": np.full(down, value, dtype),
        f"{prefix}{layer}.lora_B.weight": np.full(up, 0.01, dtype),
    }
    return save(tensors | {name.replace("__", "."): np.zeros((4, 4), np.float32) for name in more})


def safetensors(header: bytes | None = None, length: int | None = None, **tensor) -> str:
    """A safetensors file of a header alone, by its bytes or by what it says of one tensor; its length may lie."""
    if header is None:
        header = json.dumps({f"transformer.{LAYER}.lora_A.weight": tensor}).encode()
    return data_url(struct.pack("<Q", len(header) if length is None else length) + header)


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def zipped_link(name: str, target: str) -> bytes:
    stream = io.BytesIO()
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(member, target)
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


def as_device(member: tarfile.TarInfo) -> None:
    member.type, member.size = tarfile.CHRTYPE, 0


def peft_archive(config: bytes | None = None, **settings) -> str:
    """A zip with a LoRA and its adapter_config.json: these bytes, or good settings but for those given."""
    if config is None:
        config = json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 4, **settings}).encode()
    files = {"adapter_model.safetensors": lora(prefix=""), "adapter_config.json": config}
    return data_url(zipped(files), "application/zip")
