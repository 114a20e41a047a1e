"""Latents, embeddings and batches."""

from itertools import chain

import numpy as np
import torch
from PIL import Image

from easel.inference.pipeline import decode_latents
from easel.training.dataset import read_dataset
from easel.training.prepare import Batches, encode_image, prepare
from tests.support.loading import load_folder
from tests.support.small_emoji import EMOJI


def test_what_is_encoded_decodes_to_the_image_by_the_predictors_own_decoder():
    components = load_folder(EMOJI)
    image = Image.new("RGB", (64, 64), "white")
    image.paste((200, 30, 40), (16, 16, 48, 48))
    with torch.no_grad():
        latents = encode_image(components.modules["vae"], np.asarray(image))
        decoded = decode_latents(components.new_pipeline("text"), latents[None])
    difference = np.abs(np.asarray(decoded, dtype=float) - np.asarray(image, dtype=float))
    assert difference.mean() < 4  # of 255; a wrong shift or scale makes it 30 and more


def test_samples_have_the_buckets_sizes_and_the_pipelines_embeddings(components, settings):
    dataset = read_dataset(settings.input_images, settings.captions)
    prepared = prepare(dataset, components, settings)
    assert [sample.size for sample in prepared.samples] == [(64, 64), (64, 64), (48, 96), (64, 64)]
    assert [tuple(sample.latents.shape) for sample in prepared.samples][2] == (8, 12, 6)
    pipeline = components.new_pipeline("text")
    (theirs,), _ = pipeline.encode_prompt("TOK on a table", device="cpu", do_classifier_free_guidance=False)
    assert torch.equal(prepared.samples[0].embeds, theirs)
    assert torch.equal(prepared.samples[1].embeds, prepared.samples[3].embeds)
    assert len(prepared.no_caption) < len(prepared.samples[1].embeds)
    assert not any(sample.latents.requires_grad or sample.latents.is_inference() for sample in prepared.samples)


def test_each_pass_has_every_sample_once_and_batches_of_one_size(components, settings):
    samples = prepare(read_dataset(settings.input_images, settings.captions), components, settings).samples
    batches = Batches(samples, 2, seed=1)
    assert batches.steps_in_pass == 3  # two squares, one square, one tall
    passes = [[batches.of_step(3 * number + place) for place in range(3)] for number in range(6)]
    for one in passes:
        assert sorted(chain(*one)) == [0, 1, 2, 3]
        assert all(len({samples[k].size for k in batch}) == 1 for batch in one)
    assert len({str(one) for one in passes}) > 1
    again = Batches(samples, 2, seed=1)
    assert [again.of_step(step) for step in (17, 0, 9)] == [passes[5][2], passes[0][0], passes[3][0]]
    other = Batches(samples, 2, seed=2)
    assert [other.of_step(step) for step in range(18)] != list(chain(*passes))
