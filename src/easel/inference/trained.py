"""The LoRA of a trained version: COG_WEIGHTS names it, it is read once, in setup, and every request draws with it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from easel.errors import EaselError, WeightsError
from easel.lora.adapter import Adapter, AdapterMemory, Transformer
from easel.lora.files import AdapterFiles
from easel.lora.sites import Tokens
from easel.request import Request


@dataclass(frozen=True)
class TrainedAdapter:
    """`reference` is what COG_WEIGHTS said. It is not shown: the address of somebody's weights is a secret."""

    reference: str
    adapter: Adapter

    def in_request(self, request: Request) -> Request:
        """Return the request with this LoRA where it names none; its lora_scales, if any, are then for this one."""
        return replace(request, lora_weights=[self.reference]) if request.lora_weights in (None, []) else request


def load_trained(
    reference: str, files: AdapterFiles, transformer: Transformer, log: Callable[[str], None]
) -> TrainedAdapter:
    """Return the LoRA that `reference` names: the tar of a training, a safetensors file, a URL, or what lora_weights
    takes.

    Raises WeightsError with a sentence when it cannot be had or does not fit.
    """
    try:
        file = files.get(reference, Tokens(), log)
        label = f"trained LoRA {file.digest[:19]}"  # sha256: and 12 digits
        adapter, _ = AdapterMemory().load(replace(file, label=label), transformer)
    except EaselError as error:
        problem = str(error).removeprefix("lora_weights: ")
        raise WeightsError(f"COG_WEIGHTS names weights that cannot be used. {problem}") from None
    log(f"{label}: {len(adapter.pairs)} layers of rank {adapter.rank}, {adapter.size / 1e6:.1f} MB, in every request")
    return TrainedAdapter(reference, adapter)
