"""The report of a training: what its figures say of images that are known, and the page."""

import gc
import re
import weakref
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Dinov2Config, Dinov2Model

from easel.lora.adapter import Adapter, Pair
from easel.training.captions import Captions
from easel.training.dataset import read_dataset
from easel.training.drawing import draw, release_text_encoder
from easel.training.measure import cosine_distance, pooled_measure, rms
from easel.training.quality import THINGS, Drawn, drawn_prompts, figures, measure_quality, unrelated
from easel.training.quality_page import report_page
from easel.training.vision_measure import measure_of
from tests.support.loading import load_folder

GREY = [Image.new("RGB", (32, 32), (value, value, value)) for value in range(0, 256, 10)]
MEASURE = pooled_measure()


def drawn(before, after):
    return Drawn("TOK", "TOK", 0, GREY[before], GREY[after])


def test_the_figures_of_images_whose_distances_are_known():
    in_set = MEASURE.embed([GREY[20], GREY[22]])
    trigger, unseen = [drawn(0, 20), drawn(0, 18)], [drawn(5, 10)]
    others = [drawn(5, 5), drawn(8, 9), drawn(11, 20)]
    assert figures(MEASURE, in_set, trigger, unseen, others) == {
        "to_set_before": 200.0,
        "to_set": 10.0,
        "unseen_to_set_before": 150.0,
        "unseen_to_set": 100.0,
        "within_set": 20.0,
        "drift": 33.3,
        "between_prompts": 30.0,
        "prompts": 3,
        "prompts_kept": 2,  # the third has become an image of the set
    }


def test_distances_are_those_of_their_formulas():
    rows, others = np.random.default_rng(0).normal(size=(3, 5)), np.random.default_rng(1).normal(size=(4, 5))
    for k, m in np.ndindex(3, 4):
        assert rms(rows, others)[k, m] == pytest.approx(np.sqrt(((rows[k] - others[m]) ** 2).mean()))
        cosine = rows[k] @ others[m] / np.sqrt((rows[k] @ rows[k]) * (others[m] @ others[m]))
        assert cosine_distance(rows, others)[k, m] == pytest.approx(1 - cosine)


def test_prompts_that_the_captions_name_come_last():
    assert unrelated(["a dog"]) == list(THINGS[:20])
    assert unrelated(["An OWL, flying over a bus"]) == [one for one in THINGS if one not in ("an owl", "a bus")][:20]
    assert len(unrelated(THINGS)) == 20


def test_the_vision_model_of_a_models_yaml_is_used_where_it_is_at_hand(tmp_path):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    Dinov2Model(Dinov2Config(**sizes)).save_pretrained(tmp_path / "dino")
    measure = measure_of(str(tmp_path / "dino"))
    rows = measure.embed([GREY[3], GREY[3], Image.effect_noise((64, 64), 99).convert("RGB")])
    assert (measure.name, rows.shape) == ("dinov2_cosine", (3, 16))
    found = measure.distance(rows, rows)
    assert found[0, 1] == pytest.approx(0, abs=1e-6)
    assert found[0, 2] > 1e-3

    absent = measure_of(str(tmp_path / "nothing"))
    assert absent.name == measure_of(None).name == "pooled_rms"
    assert "nothing is not in the Hugging Face cache" in absent.what


@pytest.fixture
def quality(components, settings):
    """Of a LoRA that turns every image into something else."""
    width = components.transformer.linears["layers.0.attention.to_q"].in_features
    names = [f"layers.{k}.attention.to_out.0" for k in range(3)]
    pairs = {name: Pair(torch.full((1, width), 0.5), torch.full((width, 1), 0.5), 1.0) for name in names}
    dataset, captions = read_dataset(settings.input_images, settings.captions), Captions("TOK")
    without, embeddings = release_text_encoder(components, drawn_prompts(dataset, captions, components.model))
    return dataset, measure_quality(without, dataset, captions, Adapter("lora", pairs), MEASURE, embeddings)


def test_what_is_drawn_without_the_text_encoder_is_the_same_and_its_memory_is_free(folder):
    components = load_folder(folder)
    before = draw(components, "a dog", 3, [])
    gone = weakref.ref(components.modules["text_encoder"])
    components, embeddings = release_text_encoder(components, ["a dog"])
    gc.collect()
    assert gone() is None
    assert draw(components, "a dog", 3, [], memory=embeddings).tobytes() == before.tobytes()
    with pytest.raises(TypeError):  # of a prompt that was not told there is nothing
        draw(components, "a cat", 3, [], memory=embeddings)


class Page(HTMLParser):
    """Collects the page's tags with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def test_the_page_shows_every_image_and_figure_and_reaches_nothing(quality):
    dataset, found = quality
    assert found.figures["drift"] > 0
    assert [one.prompt for one in found.unseen] == [f"TOK {thing}" for thing in THINGS[:4]]
    assert all(one.before.tobytes() != one.after.tobytes() for one in found.unrelated)
    evil = "<script>alert(1)</script>"
    page = Page(report_page(dataset, found, {"trigger_word": evil, "steps": 100}, {"seed": "7"}, [1.0, 0.5]))
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 2 * (4 + 4 + 20) + len(dataset.examples) + 1
    assert all(re.match(r"data:image/(jpeg|png);base64,", one) for one in images)
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe"} == set()
    assert evil in page.text
    for name, value in found.figures.items():
        assert str(value) in page.text, name
    assert "evaluate.py" in page.text
