"""The rows of the table: what each one looks at, and which are dropped first when time is short."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

PASS, MISS, NOT_RUN = "pass", "miss", "not run"


class NotRun(Exception):
    """A row cannot be measured here, and why."""


@dataclass(frozen=True)
class Row:
    """`seconds` is what it takes on an H100, about. `importance` is 1 for what stays when time is short, up to 3."""

    name: str
    seconds: float
    importance: int
    what: str

    @property
    def group(self) -> str:
        """The rows of a group share a process, and what that process has loaded."""
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class Outcome:
    """What a row found. `figures` holds every number behind it, with its unit in its name."""

    name: str
    result: str
    measured: str = ""
    wanted: str = ""
    figures: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


ROWS = (
    Row("machine.versions", 5, 1, "card, driver and packages, and whether they are the pinned ones"),
    Row("machine.tree", 1, 2, "what is missing of the repository here"),
    Row("machine.checkpoint", 30, 1, "the real layer sizes with random bfloat16 weights, written in the lock's layout"),
    Row("machine.disk", 12, 2, "rate of reading weights that are not in the page cache"),
    Row("machine.copy", 6, 2, "rate of copying from pinned memory to the device"),
    Row(
        "plain.cold",
        25,
        2,
        "diffusers' own from_pretrained, page cache of the weights dropped: start to device",
    ),
    Row("plain.warm", 12, 3, "the same with the files in the page cache"),
    Row("server.cold", 25, 1, "Cog's server, page cache of the weights dropped: process start to READY"),
    Row("server.warm", 15, 1, "the same with the files in the page cache"),
    Row("server.device_memory", 4, 1, "device memory after a 1024 x 1024 image, against docs/deploy.md"),
    Row("server.host_memory", 1, 2, "peak host memory of the process with the model"),
    Row("server.text", 4, 1, "A, B, A with another prompt: A is the same image"),
    Row("server.guidance", 4, 2, "A, B, A with guidance_scale and a negative prompt"),
    Row("server.four", 5, 1, "image k of 4 equals the request for its seed alone"),
    Row("server.image", 4, 2, "A, B, A from an image"),
    Row("server.inpaint", 4, 2, "A, B, A inside a mask; outside it the image stays"),
    Row("server.lora", 4, 1, "A, B, A with one LoRA"),
    Row("server.four_loras", 5, 2, "A, B, A with four LoRAs"),
    Row("server.safety", 4, 2, "the safety checker runs, blocks nothing here, and changes no image"),
    Row("server.cancel", 5, 1, "a request cancelled in mid-denoising ends as canceled, and A is the same image"),
    Row("engine.load", 12, 1, "file to device in a process that has imported everything"),
    Row("engine.request", 6, 1, "1024 x 1024, 8 steps, warm, request to file"),
    Row("engine.kept_prompt", 6, 2, "the same with a prompt whose embeddings are kept"),
    Row("engine.direct", 12, 3, "weights to the device by the package instanttensor, against ours"),
    Row("engine.plain", 4, 1, "the bare diffusers pipeline with the same modules; which share of the request is ours"),
    Row("engine.text_encoder", 1, 2, "the prompt's embedding"),
    Row("engine.forward", 4, 1, "one forward pass against its floor: FLOPs over the bfloat16 rate measured here"),
    Row("engine.step", 2, 2, "one denoising step of the pipeline, scheduler included"),
    Row("engine.vae_decode", 2, 2, "latents to image"),
    Row("engine.encode_file", 1, 2, "image to file with its metadata, for each format"),
    Row("engine.two_megapixels", 6, 2, "1408 x 1472"),
    Row("engine.four_images", 6, 2, "4 images in one request, against 4 times one"),
    Row("options.attention_cudnn", 2, 2, "attention back end _native_cudnn against the default"),
    Row("options.attention_flash", 2, 2, "attention back end _native_flash"),
    Row("options.attention_efficient", 2, 3, "attention back end _native_efficient"),
    Row("options.attention_flash_2", 2, 3, "attention back end flash (package flash_attn)"),
    Row("options.attention_flash_3", 2, 3, "attention back end _flash_3 (package flash_attn_interface)"),
    Row("options.vae_channels_last", 3, 2, "latents to image with the VAE in channels_last"),
    Row("options.vae_compiled", 40, 3, "the same with its decoder compiled"),
    Row("options.go_fast", 4, 2, "go_fast on and off"),
    Row("options.out_of_memory", 6, 1, "out of memory is answered in words, and the next image is right"),
    Row("mode.turns", 35, 2, "EASEL_MEMORY=turns in the memory of a 16 GB card"),
    Row("mode.float8", 45, 2, "EASEL_MEMORY=float8 in the memory of a 12 GB card"),
    Row("mode.go_fast", 18, 1, "EASEL_GO_FAST=1: float8 products; seconds of a request"),
    Row("mode.attention", 18, 2, "EASEL_ATTENTION=1: the back end of model.yaml for this card"),
    Row("compile.compiler", 8, 2, "torch.compile finds its compiler"),
    Row("compile.first_start", 75, 3, "EASEL_COMPILE=1, first start: seconds spent compiling"),
    Row("compile.second_start", 30, 3, "EASEL_COMPILE=1, second start, with what the first has kept"),
    Row("train.steps_512", 40, 1, "100 steps of a training at 512 x 512: steps/s, memory, which card fits"),
    Row("train.steps_1024", 70, 1, "the same at 1024 x 1024"),
)
GROUPS = tuple(dict.fromkeys(row.group for row in ROWS))
TRAIN = "train"  # the group that is run by its name alone: serving needs nothing of it


def select_rows(names: Sequence[str]) -> tuple[Row, ...]:
    """The rows that are named, or whose group is; without a name all but `TRAIN`'s. Raises ValueError for an unknown
    name.
    """
    known = {row.name for row in ROWS} | set(GROUPS)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"There is no row {', '.join(unknown)}. The rows: {', '.join(row.name for row in ROWS)}.")
    groups = names or [group for group in GROUPS if group != TRAIN]
    chosen = tuple(row for row in ROWS if row.name in names or row.group in groups)
    if any(row.group != "machine" for row in chosen):  # All others need the weights.
        chosen = tuple(row for row in ROWS if row in chosen or row.name == "machine.checkpoint")
    return chosen


def rows_within(rows: Sequence[Row], seconds: float) -> tuple[Row, ...]:
    """The rows that fit into `seconds` by their estimates: the least important go first, of equals the last."""
    kept = list(rows)
    for row in sorted(rows, key=lambda row: (-row.importance, -rows.index(row))):
        if sum(one.seconds for one in kept) <= seconds:
            break
        if row.name != "machine.checkpoint":
            kept.remove(row)
    return tuple(kept)
