"""One training from its inputs to its files."""

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from easel.files import disk_errors, single_instance_lock
from easel.inference.embeddings import EmbeddingMemory
from easel.inference.loader import default_device, load_components
from easel.inference.options import Options
from easel.logs import log
from easel.models import Model
from easel.training.buckets import shrink_to_cover
from easel.training.checkpoint import NAME, Progress, read_checkpoint, restore_checkpoint, save_checkpoint
from easel.training.dataset import Dataset, read_dataset
from easel.training.drawing import draw, release_text_encoder
from easel.training.kept import LOCK, VERSION
from easel.training.layers import TrainedLayers
from easel.training.loop import Metrics, Trainer, new_optimizer
from easel.training.output import (
    check_finite,
    config_inputs,
    config_text,
    lora_file,
    metadata_of,
    write_outputs,
)
from easel.training.prepare import prepare
from easel.training.quality import drawn_prompts, measure_quality
from easel.training.quality_page import report_page
from easel.training.settings import LORA_TARGETS, TrainingSettings
from easel.training.training_adapter import Merged, fetch_training_adapter
from easel.training.validation import IMAGES, Record, ValidationImages
from easel.training.vision_measure import measure_of
from easel.weights.reading import start_reading
from easel.weights.snapshots import ensure_snapshot
from easel.weights.store import WeightPaths

CHECKPOINT_S = 30.0  # a checkpoint of the largest LoRA here has 1 GB, which a disk takes in a few seconds
VALIDATION_SEED = 0


@dataclass(frozen=True)
class Result:
    """The tar with everything, the LoRA alone, and how fast it went."""

    weights: Path
    lora: Path
    metrics: Metrics


def train_lora(
    settings: TrainingSettings, model: Model, environ: Mapping[str, str], folder: Path, record: Record | None = None
) -> Result:
    """Train a LoRA and write its files into `folder`; what an earlier call there left unfinished is gone on with.

    `record` gets the validation images as they come. The model is loaded for this training alone. Raises EaselError.
    """
    with disk_errors(folder):
        (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    with single_instance_lock(folder / LOCK, f"Another training works in {folder}: give another folder."):
        keep = partial(shrink_to_cover, resolution=max(settings.resolutions), multiple=model.multiple)
        dataset = read_dataset(settings.input_images, settings.captions, keep=keep)
        log_dataset(dataset)
        paths = WeightPaths.from_environ(environ)
        adapter = fetch_training_adapter(model, paths)
        snapshot = ensure_snapshot(model, paths, log=log)
        digest = snapshot.manifest.digest
        fingerprint = fingerprint_of(settings, model, digest, dataset)
        state = read_checkpoint(folder, fingerprint)
        components = load_components(model, start_reading(snapshot), default_device(), Options(memory="resident"))
        merged = Merged(components.transformer, adapter) if adapter else None
        given = secrets.randbelow(2**32) if settings.seed is None else settings.seed
        progress = Progress(state["seed"], list(state["losses"])) if state else Progress(given)
        log(f"training: seed {progress.seed}, {settings.steps} steps, {progress.step} of them done")
        layers = TrainedLayers(
            components.transformer, LORA_TARGETS[settings.lora_targets], settings.lora_rank, progress.seed
        )
        optimizer = new_optimizer(layers, settings.learning_rate, components.transformer.device)
        if state:
            restore_checkpoint(state, layers, optimizer)
        prepared = prepare(dataset, components, settings)
        prompts = [settings.validation_prompt, *drawn_prompts(dataset, settings.captions, model)]
        components, embeddings = release_text_encoder(components, filter(str.strip, prompts))
        trainer = Trainer(components, prepared, layers, optimizer, settings, progress)

        def save() -> None:
            save_checkpoint(folder, fingerprint, progress, layers, optimizer)

        images = ValidationImages(folder, settings.steps, record)
        images.resume(progress.step)
        metrics = Pauses(trainer, merged, save, images, embeddings).run()
        lora = layers.as_adapter("lora")
        check_finite(lora)
        began = time.monotonic()
        log("training: drawing for the report")
        measure = measure_of((model.training or {}).get("measure"))
        quality = measure_quality(components, dataset, settings.captions, lora, measure, embeddings)
        log(f"training: {quality.line}; {time.monotonic() - began:.0f} s for the report")
        metadata = metadata_of(
            settings,
            progress.seed,
            model=model.name,
            digest=digest,
            adapter=adapter.digest if adapter else None,
            dataset=dataset.digest,
            license=model.license,
        )
        metadata |= quality.metadata
        inputs = config_inputs(settings, progress.seed)
        files = write_outputs(
            folder,
            lora_file(lora, metadata),
            config_text(inputs, metadata, quality.figures),
            report_page(dataset, quality, inputs, metadata, progress.losses),
            progress.losses,
        )
        (folder / NAME).unlink(missing_ok=True)
        log(
            f"training: {metrics.steps} steps at {metrics.steps_per_second:.2f} steps/s, "
            f"peak memory {metrics.peak_memory_gb:.2f} GB"
        )
        return Result(*files, metrics)


class Pauses:
    """What is done between the steps: checkpoints by the clock, and with an image at every tenth of the training."""

    def __init__(
        self,
        trainer: Trainer,
        merged: Merged | None,
        save: Callable[[], None],
        images: ValidationImages,
        embeddings: EmbeddingMemory,
    ) -> None:
        """`embeddings` has those of the validation prompt."""
        self._trainer, self._merged, self._save = trainer, merged, save
        self._images, self._embeddings = images, embeddings
        self._saved = time.monotonic()
        self._with_adapter = ExitStack()

    def run(self) -> Metrics:
        """Train to the end. The training adapter is in the weights meanwhile, except for validation images."""
        self._save()
        done = self._trainer.progress.step
        if self._images.is_due(done):  # the first; or a stop came between its checkpoint and its image
            self._draw(done)
        with self._with_adapter:
            self._with_adapter.enter_context(self._merge())
            return self._trainer.run(self._after_step)

    def _merge(self) -> AbstractContextManager[None]:
        return self._merged.merged() if self._merged else nullcontext()

    def _after_step(self, step: int) -> None:
        is_due = self._images.is_due(step)
        if is_due or time.monotonic() - self._saved >= CHECKPOINT_S:
            self._save()
            self._saved = time.monotonic()
        if is_due:
            self._with_adapter.close()
            self._draw(step)
            self._with_adapter.enter_context(self._merge())

    def _draw(self, step: int) -> None:
        prompt = self._trainer.settings.validation_prompt
        if prompt.strip():
            adapter = self._trainer.layers.as_adapter("lora")
            components, memory = self._trainer.components, self._embeddings
            self._images.add(step, draw(components, prompt, VALIDATION_SEED, [(adapter, 1.0)], memory=memory))


def fingerprint_of(settings: TrainingSettings, model: Model, digest: str, dataset: Dataset) -> str:
    """Return what must be equal for one training to go on where another stopped. `digest` is that of the weights."""
    values = asdict(settings) | {
        "input_images": dataset.digest,
        "weights": digest,
        "model": dict(model.training or {}),  # its adapter's digest, and the prompts that it preserves
        "version": VERSION,
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def log_dataset(dataset: Dataset) -> None:
    log(f"training: {len(dataset.examples)} images")
    log(*(f"warning: {problem.name} is left out: {problem.fault}" for problem in dataset.problems))
    log(*(f"warning: {name} is left out: it has the same pixels as {other}." for name, other in dataset.duplicates))
