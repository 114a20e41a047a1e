"""How the weights share the device's memory: all at once, or one part after the other on small cards.

resident  All on the device from setup on.
turns     The text encoder and the transformer take turns on the device; copies of both stay in the host's memory,
          pinned on CUDA. The images are the same, bit for bit.
float8    Besides, the large layers of the transformer are stored as float8 and cast to its dtype as each is used, and
          the VAE works in tiles above the native area. The images differ from the exact ones.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from easel.errors import ResourceError
from easel.inference.float8 import FLOAT8, middle_linears
from easel.inference.staging import PinnedCopies
from easel.models import MEMORY_MODES, Model
from easel.request import square

TAKE_TURNS = ("text_encoder", "transformer", "safety_checker")  # the VAE is small and stays
# The groups that each phase of a request works with, besides the VAE.
PHASES = {
    "encode_prompt": ("text_encoder",),
    "denoise": ("transformer", "last_layers"),
    "decode": ("transformer", "safety_checker"),
}
# The VAE's decoder has the largest activations: so many of the transformer's last layers make room for them.
LAYERS_AWAY = 3


class Turns:
    """Parameters whose home is the host's memory, and which are on `device` when their turn has come.

    `groups` are parameters by a name; none may be in two. Nothing is copied back: the host's copies never change.
    """

    def __init__(self, groups: Mapping[str, Sequence[torch.nn.Parameter]], device: torch.device) -> None:
        self.device = device
        pinned = PinnedCopies(device)
        self.homes = {
            name: [(parameter, pinned.copy(parameter.data)) for parameter in parameters]
            for name, parameters in groups.items()
        }
        self.present: set[str] = set()
        self.bring()

    @torch.inference_mode(False)
    def bring(self, *names: str) -> None:
        """Have these groups on the device, complete for work on its current stream, and the others off it.

        An exception at any line, a cancel among them, leaves what the next call puts right.
        """
        for name, homes in self.homes.items():
            if name not in names:
                self.present.discard(name)
                for parameter, home in homes:
                    parameter.data = home
        for name in names:
            if name in self.homes and name not in self.present:
                for parameter, home in self.homes[name]:
                    parameter.data = torch.empty_like(home, device=self.device).copy_(home, non_blocking=True)
                self.present.add(name)


class Memory:
    """The mode, and what each phase of a request needs on the device."""

    def __init__(self, mode: str, turns: Turns | None = None) -> None:
        self.mode = mode
        self.turns = turns

    def before(self, phase: str) -> None:
        """Bring what `phase` works with: "encode_prompt", "denoise" or "decode" (the safety checker's too)."""
        if self.turns:
            self.turns.bring(*PHASES[phase])


def share_memory(
    mode: str, modules: Mapping[str, Any], safety_checker: torch.nn.Module | None, device: torch.device
) -> Memory:
    """Return what brings `modules`, which are in the host's memory, to the device as the mode says."""
    if mode == "resident":
        return Memory(mode)
    transformer = modules["transformer"]
    last = [parameter for layer in transformer.layers[-LAYERS_AWAY:] for parameter in layer.parameters()]
    names = set(map(id, last))
    groups = {
        "text_encoder": list(modules["text_encoder"].parameters()),
        "transformer": [parameter for parameter in transformer.parameters() if id(parameter) not in names],
        "last_layers": last,
        "safety_checker": list(safety_checker.parameters()) if safety_checker else [],
    }
    for module in (modules["text_encoder"], transformer, safety_checker):
        for part in module.modules() if module else ():
            for name, buffer in part.named_buffers(recurse=False):
                setattr(part, name, buffer.to(device))
    return Memory(mode, Turns(groups, device))


def store_as_float8(transformer: Any) -> None:
    """Store the middle blocks' linear layers as float8; each is cast to the transformer's dtype while it works."""
    dtype = transformer.dtype
    kept = [name for name, layer in transformer.named_modules() if isinstance(layer, torch.nn.Linear)]
    middle = middle_linears(transformer)
    patterns = tuple(f"^{name}$".replace(".", r"\.") for name in kept if name not in middle)
    transformer.enable_layerwise_casting(storage_dtype=FLOAT8, compute_dtype=dtype, skip_modules_pattern=patterns)


def choose_mode(model: Model, free: float | None, wanted: str | None, log: Callable[[str], None]) -> str:
    """Return the mode for a device with `free` bytes, None for one that has the host's memory; it is logged.

    Without `wanted` it is the first of model.yaml's `memory_modes` that fits. Raises ResourceError if none does.
    """
    needs = model.memory_modes
    if free is None or not needs:
        mode = wanted or "resident"
        if mode != "resident":
            log(f"memory: {mode}, as asked")
        return mode
    gigabytes = free / 1e9
    figures = ", ".join(f"{name} needs {needs[name]:g} GB" for name in MEMORY_MODES if name in needs)
    found = f"{gigabytes:.1f} GB of the card are free; at {square(model.native_area)} {figures}"
    if wanted:
        fits = gigabytes >= needs.get(wanted, 0)
        log(f"memory: {wanted}, as asked: {found}", *(() if fits else ("warning: it may not fit",)))
        return wanted
    for mode in MEMORY_MODES:
        if mode in needs and gigabytes >= needs[mode]:
            log(f"memory: {mode}: {found}")
            return mode
    raise ResourceError(
        f"{model.title} does not fit on this card: {found}. End other programs that use the card, or take one with "
        f"more memory; EASEL_MODEL=emoji runs on any CPU."
    )


def free_bytes(device: torch.device) -> float | None:
    """Return what this process may still take of the card's memory; None for a CPU."""
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    return min(free, torch.cuda.get_per_process_memory_fraction(device) * total)
