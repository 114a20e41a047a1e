"""Z-Image-Turbo's layer sizes with random bfloat16 weights, in the lock's layout, with a lock of its own.

The numbers are made on the device and go to the disk tensor by tensor. They keep activations near 1 in every layer.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from easel.weights.manifest import LockedFile, Manifest, digest_of, lock_files, read_manifest, write_manifest
from easel.weights.store import blob_path
from gpu_check.context import DONE
from gpu_check.layout import (
    WEIGHTS,
    Sizes,
    Tensors,
    original_text_encoder,
    original_transformer,
    write_tokenizer,
)

NAME = "z-image-turbo"


def write_checkpoint(root: Path, repository: Path, sizes: Sizes, device: str) -> None:
    """`root` as a repository that Cog serves: predict.py, weights/z-image-turbo, and its files in the store root/cache.

    model.yaml is the real one. `root/plain` holds the same weights as diffusers saves them, for its from_pretrained.
    """
    shutil.rmtree(root, ignore_errors=True)
    model, folder, files, plain = repository / "weights" / NAME, root / "weights" / NAME, root / "files", root / "plain"
    folder.mkdir(parents=True)
    shutil.copy(repository / "predict.py", root)
    for name in ("model.yaml", "model_index.json"):
        shutil.copy(model / name, folder)
    write_small_files(files, sizes)
    with torch.device("meta"):
        transformer, text_encoder, vae = sizes.modules()
    transformer.save_config(files / "transformer")
    text_encoder.config.save_pretrained(files / "text_encoder")
    vae.save_config(files / "vae")
    write_plain_folder(plain, files, model)
    split = transformer.state_dict()
    (files / "transformer").mkdir(exist_ok=True)
    with ThreadPoolExecutor(2) as pool:  # One is bound by the digest, which takes a core.
        digests = {
            f"transformer/{WEIGHTS}": pool.submit(
                write_tensors, files / "transformer" / WEIGHTS, original_transformer(split), device, 0
            ),
            "text_encoder/model.safetensors": pool.submit(
                write_tensors,
                files / "text_encoder/model.safetensors",
                original_text_encoder(text_encoder.state_dict()),
                device,
                1,
            ),
            f"vae/{WEIGHTS}": pool.submit(write_tensors, files / "vae" / WEIGHTS, vae.state_dict(), device, 2),
        }
        known = {path: digest.result() for path, digest in digests.items()}
    write_split(files / "transformer" / WEIGHTS, plain / "transformer" / WEIGHTS, split)
    paths = [file.path for file in read_manifest(model).files if file.source]
    fetched = [move_into_store(files, path, root / "cache", known.get(path)) for path in paths]
    write_manifest(Manifest((*fetched, *lock_files(folder, ["model_index.json"]))), folder)
    link_plain_files(plain, fetched, root / "cache")
    shutil.rmtree(files)
    (root / DONE).touch()


def write_small_files(folder: Path, sizes: Sizes) -> None:
    """Scheduler, tokenizer, and a safety checker that is computed in full and finds every image normal."""
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_config(folder / "scheduler")
    write_tokenizer(folder / "tokenizer")
    labels = {0: "normal", 1: "nsfw"}
    config = ViTConfig(**sizes.safety_checker, id2label=labels, label2id={name: k for k, name in labels.items()})
    checker: Any = ViTForImageClassification(config)
    with torch.no_grad():
        checker.classifier.weight.zero_()
        checker.classifier.bias.copy_(torch.tensor([1.0, 0.0]))
    checker.save_pretrained(folder / "safety_checker")
    side = int(sizes.safety_checker["image_size"])
    ViTImageProcessor(size={"height": side, "width": side}).save_pretrained(folder / "safety_checker")


def write_tensors(path: Path, tensors: Tensors, device: str, seed: int) -> str:
    """A safetensors file with random numbers under these names and shapes; its digest, "sha256:...".

    A matrix gets variance 1 / (numbers per row), so what it makes of inputs near 1 stays near 1; norms are near 1.
    """
    generator = torch.Generator(device).manual_seed(seed)
    digest = hashlib.sha256()

    def random_bytes() -> Iterable[memoryview]:
        for name, tensor in tensors.items():
            noise = torch.randn(tensor.shape, generator=generator, device=device)
            if tensor.ndim > 1:
                noise /= tensor[0].numel() ** 0.5
            else:
                noise = noise * 0.1 + name.endswith("weight")
            yield memoryview(noise.bfloat16().view(-1).view(torch.uint8).cpu().numpy().data)

    with path.open("wb") as stream, ThreadPoolExecutor(1) as hasher:
        head = header(tensors)
        stream.write(head)
        digest.update(head)
        hashed: Future[None] | None = None
        for data in random_bytes():
            stream.write(data)
            if hashed:
                hashed.result()
            hashed = hasher.submit(digest.update, data)
        if hashed:
            hashed.result()
        stream.flush()
        os.fsync(stream.fileno())  # What is dirty cannot be dropped from the page cache.
    return f"sha256:{digest.hexdigest()}"


def header(tensors: Tensors) -> bytes:
    """The head of a safetensors file whose tensors follow in this order: a length, and JSON padded to 8 bytes."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + 2 * tensor.numel()
        entries[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write_split(fused: Path, path: Path, split: Tensors) -> None:
    """The transformer's file once more, by diffusers' names.

    Rows of q, k and v follow one another in the fused matrix, so in the right order the numbers are the same bytes.
    """
    in_order: dict[str, torch.Tensor] = {}
    for name in split:
        if name.endswith(".to_q.weight"):
            in_order |= {one: split[one] for one in (name.replace("to_q", f"to_{part}") for part in "qkv")}
        elif not name.endswith((".to_k.weight", ".to_v.weight")):
            in_order[name] = split[name]
    with fused.open("rb") as source, path.open("wb") as target:
        source.seek(8 + int.from_bytes(source.read(8), "little"))
        target.write(header(in_order))
        shutil.copyfileobj(source, target, 64 * 2**20)
        target.flush()
        os.fsync(target.fileno())


def write_plain_folder(plain: Path, files: Path, model: Path) -> None:
    for part in ("transformer", "text_encoder", "vae"):
        (plain / part).mkdir(parents=True)
    shutil.copy(files / "transformer" / "config.json", plain / "transformer")
    shutil.copy(model / "model_index.json", plain)


def move_into_store(files: Path, path: str, cache: Path, digest: str | None) -> LockedFile:
    """The entry of a file that lies in the store now, as `easel weights pull` would have put it there."""
    digest = digest or digest_of(files / path)
    size = (files / path).stat().st_size
    blob = blob_path(cache, digest)
    blob.parent.mkdir(parents=True, exist_ok=True)
    (files / path).rename(blob)
    return LockedFile(path, size, digest, f"file:{blob}")


def link_plain_files(plain: Path, files: Iterable[LockedFile], cache: Path) -> None:
    for file in files:
        target = plain / file.path
        if not target.exists() and not file.path.startswith("safety_checker/"):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(blob_path(cache, file.digest or ""))
