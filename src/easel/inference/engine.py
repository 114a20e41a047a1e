"""One request after another on a loaded model: what `predict.py` does, without Cog.

All that lives longer than a request is here: the components, LoRAs and prompts' embeddings used lately, files fetched
before.
"""

import gc
import io
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from easel.errors import EaselError, ResourceError, SafetyError
from easel.images.encode import encode_image
from easel.images.input import open_image
from easel.inference.embeddings import EmbeddingMemory
from easel.inference.loader import Components
from easel.inference.pipeline import SourceImage, Timings, read_source, run_plan
from easel.inference.previews import Previews, count_in, load_to_image
from easel.inference.signing import Signing, SourceFile
from easel.inference.temp_files import TempFiles
from easel.inference.trained import TrainedAdapter
from easel.logs import log
from easel.lora.adapter import MEMORY_BYTES, Adapter, AdapterMemory
from easel.lora.files import AdapterFiles
from easel.lora.sites import Tokens
from easel.plan import Plan, plan_request
from easel.request import Request, check_request, square

# torch's allocator, then oneDNN, which names no reason. After the latter, oneDNN makes no new kernels in this process.
CPU_TEXTS = ("can't allocate memory", "could not create a primitive", "could not execute a primitive")
SMALL_MEMORY_BYTES = 2**28  # for LoRAs on a card that cannot hold all weights: three of rank 16
Record = Callable[[str, Any], None]
NO_CONTEXT: Mapping[str, str] = MappingProxyType({})


class Engine:
    """Answers requests with files. A failed or cancelled one leaves nothing behind for the next."""

    def __init__(
        self,
        components: Components,
        adapter_files: AdapterFiles,
        *,
        signing: Signing | None = None,
        trained: TrainedAdapter | None = None,
    ) -> None:
        self.components = components
        self.adapter_files = adapter_files
        self.signing = signing
        self.trained = trained
        self.adapters = AdapterMemory(MEMORY_BYTES if components.memory.mode == "resident" else SMALL_MEMORY_BYTES)
        self.embeddings = EmbeddingMemory()
        self.outputs = TempFiles()
        self.to_image = load_to_image(components.model, components.transformer.device)
        self._made: set[tuple[int, int]] = set()  # sizes that have fitted into memory

    def compile(self, cache: Path) -> None:
        """torch.compile the model, with what an earlier start has kept in `cache`; see compile.py."""
        from easel.inference.compile import compile_key, compile_modules  # Nobody else needs to import a compiler.

        plan = plan_request(Request("warm-up", seed=0, num_inference_steps=1), self.components.model)
        device = self.components.transformer.device
        whole = []
        if device.type == "cuda":  # On a CPU neither pays for the emoji model's small decoder.
            vae = self.components.modules["vae"].to(memory_format=torch.channels_last)
            whole.append(vae.decoder)

        def warm_up() -> None:
            for _ in run_plan(plan, self.components, Timings(), log=io.StringIO()):
                pass

        kinds = sorted(
            {type(layer).__name__ for layer in self.components.transformer.linears.values()}
        )  # go_fast's too
        key = f"{compile_key(self.components.digest, device)}, {', '.join(kinds)}"
        compile_modules(self.components.transformer.module, whole, warm_up, cache, key, log)

    def answer(self, request: Request, record: Record, context: Mapping[str, str] = NO_CONTEXT) -> list[Path]:
        """Plan, run and save; return the files, and tell what was done on standard error and through `record`.

        The files stay until the next request. Raises EaselError with a sentence for the caller.
        """
        try:
            return self._answer(request, record, count_in(context))
        except EaselError:
            raise
        except Exception:
            traceback.print_exc()  # Cog keeps only the message
            raise

    def _answer(self, request: Request, record: Record, previews: int) -> list[Path]:
        self.outputs.clear()
        request = self.trained.in_request(request) if self.trained else request
        check_request(request, self.components.model)  # before a file is opened
        image = open_image("image", request.image) if request.image else None
        mask = open_image("mask", request.mask) if request.mask else None
        plan = plan_request(request, self.components.model, image.size if image else None)
        log(f"seed: {', '.join(map(str, plan.seeds))}", *(f"warning: {text}" for text in plan.warnings))
        timings = Timings()
        with self.convert_out_of_memory(plan):
            source = read_source(plan, image, mask)
            source_file = SourceFile.of(image) if image and self.signing else None
            del image, mask  # up to 60 MB
            log(*(f"warning: {text}" for text in (source.warnings if source else ())))
            adapters = self.load_adapters(plan, Tokens(request.hf_token, request.civitai_token), timings)
            shown = self.previews_of(plan, previews, record) if previews else None
            files, blocked = self.make_files(plan, timings, source, adapters, source_file, shown)
        log(f"timings: {timings}")
        record("seeds", list(plan.seeds))
        record("image_count", len(files))
        record("safety.blocked", blocked)
        for phase, seconds in timings.seconds.items():
            record(f"timings.{phase}", round(seconds, 4))
        if not files:
            raise SafetyError(
                f"The safety checker blocks {'the image' if len(blocked) == 1 else 'all images'} of this request. "
                "Try another prompt or seed; disable_safety_checker turns the checker off."
            )
        return files

    def previews_of(self, plan: Plan, count: int, record: Record) -> Previews | None:
        """Return what tells `count` previews of each image; None, and a line in the log, where there are none."""
        if plan.check_safety and self.components.safety_checker:
            log("warning: there are no previews while the safety checker is on, which sees only what is done.")
        elif not self.to_image:
            log(f"warning: there are no previews: {plan.model} has nothing here to make them with.")
        else:
            return Previews(count, plan, self.to_image, record)
        return None

    def load_adapters(self, plan: Plan, tokens: Tokens, timings: Timings) -> list[tuple[Adapter, float]]:
        adapters = []
        deadline = self.adapter_files.deadline()  # one for all: a request may name four
        for lora in plan.loras:
            with timings.measure("load_lora"):
                adapter, known = self.load_adapter(lora.reference, tokens, deadline)
            adapters.append((adapter, lora.scale))
            log(
                f"lora: {adapter.label}, scale {lora.scale:g}, {len(adapter.pairs)} layers of rank {adapter.rank}, "
                f"{adapter.size / 1e6:.1f} MB{', still in memory' if known else ''}"
            )
        return adapters

    def load_adapter(self, reference: str, tokens: Tokens, deadline: float) -> tuple[Adapter, bool]:
        """Return the LoRA, and whether it was in memory."""
        if self.trained and reference == self.trained.reference:
            return self.trained.adapter, True
        file = self.adapter_files.get(reference, tokens, log, deadline)
        return self.adapters.load(file, self.components.transformer)

    def make_files(
        self,
        plan: Plan,
        timings: Timings,
        source: SourceImage | None,
        adapters: Sequence[tuple[Adapter, float]],
        source_file: SourceFile | None = None,
        previews: Previews | None = None,
    ) -> tuple[list[Path], list[int]]:
        """Return the plan's images as files, and the numbers of those that the safety checker holds back.

        `source_file` is what `source` was read from, for the signatures.
        """
        checker = self.components.safety_checker if plan.check_safety else None
        labels = [adapter.label for adapter, _ in adapters]
        files: list[Path] = []
        blocked: list[int] = []
        images = run_plan(
            plan, self.components, timings, source, adapters, embeddings=self.embeddings, previews=previews
        )
        with self.outputs.new_folder() as folder, closing(images):
            for k, image in enumerate(images):
                if checker:
                    with timings.measure("check_safety"):
                        unsafe = checker.blocks(image)
                    if unsafe:
                        blocked.append(k)
                        log(f"warning: image {k} (seed {plan.seeds[k]}) is left out: the safety checker blocks it.")
                        continue
                path = folder / f"{plan.model}-{plan.seeds[k]}.{plan.output_format}"
                with timings.measure("encode_file"):
                    metadata = plan.metadata(k, self.components.digest, labels)
                    data = encode_image(image, plan.output_format, plan.output_quality, metadata)
                if self.signing:
                    with timings.measure("sign_file"):
                        data = self.signing.sign(data, metadata, source_file)
                path.write_bytes(data)  # at once: a file that is read is removed
                files.append(path)
        return files, blocked

    @contextmanager
    def convert_out_of_memory(self, plan: Plan) -> Iterator[None]:
        """Raise a ResourceError for the allocator's error, and let go of what is only kept for speed."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not is_lack_of_memory(error):
                raise
            size = plan.width, plan.height
            error.__traceback__ = None  # see image_files.refusals
        else:
            self._made.add((plan.width, plan.height))
            return
        # Outside of `except`, where the traceback would keep the request's tensors alive.
        self.adapters.clear()
        self.embeddings.clear()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise ResourceError(lack_of_memory(size, self._made, self.components.model.min_area))


def is_lack_of_memory(error: Exception) -> bool:
    """torch raises OutOfMemoryError on a GPU; for a CPU a RuntimeError that only its text tells apart."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(text in str(error) for text in CPU_TEXTS)


def lack_of_memory(size: tuple[int, int], made: set[tuple[int, int]], min_area: int) -> str:
    smaller = [(w, h) for w, h in made if w * h < size[0] * size[1]]
    fits = max(smaller, key=lambda one: one[0] * one[1], default=None)
    known = f"{fits[0]} x {fits[1]} has fitted before" if fits else f"the fewest are {square(min_area)}"
    return (
        f"Out of memory at {size[0]} x {size[1]} pixels. Ask for fewer: {known}. Fewer or smaller LoRAs help as well. "
        "The model is still loaded and takes the next request."
    )
