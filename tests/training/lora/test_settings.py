"""The inputs of a training: what is refused in words, and what stands where a caller is silent."""

import pytest

from easel.errors import InputError
from easel.models import load_model
from easel.training.settings import make_settings
from tests.support.model_folders import WEIGHTS


def test_what_a_caller_leaves_out_is_the_models_own(images):
    settings = make_settings({"input_images": images, "steps": None}, load_model(WEIGHTS / "z-image-turbo"))
    assert (settings.steps, settings.learning_rate, settings.batch_size) == (1500, 1e-4, 1)
    assert settings.resolutions == (512, 768, 1024)
    assert (settings.lora_rank, settings.lora_targets, settings.caption_dropout_rate) == (16, "attention", 0.05)
    assert (settings.trigger_word, settings.validation_prompt, settings.seed) == ("TOK", "TOK", None)


def test_an_empty_validation_prompt_stays_empty_and_0_is_a_seed(images, model):
    settings = make_settings({"input_images": images, "validation_prompt": "", "seed": 0}, model)
    assert (settings.validation_prompt, settings.seed) == ("", 0)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"steps": 99}, "steps is 99; it must be from 100 to 6000."),
        ({"steps": 100.5}, "steps must be a whole number from 100 to 6000, not 100.5."),
        ({"steps": True}, "steps must be a whole number"),
        ({"learning_rate": 0}, "learning_rate is 0; it must be a number above 0 and at most 0.1."),
        ({"learning_rate": float("nan")}, "learning_rate must be a number above 0"),
        ({"batch_size": 65}, "batch_size is 65"),
        ({"resolution": "64,x"}, "resolution must be numbers of pixels"),
        ({"resolution": "72"}, "resolution 72 must be a multiple of 16 from 64 to 192 for emoji."),
        ({"resolution": 1024}, "resolution 1024 must be a multiple of 16 from 64 to 192 for emoji."),
        ({"lora_rank": 129}, "lora_rank is 129; it must be from 1 to 128."),
        ({"lora_targets": "all"}, "lora_targets is 'all'; it must be one of attention, attention_and_feed_forward."),
        ({"caption_dropout_rate": 1.01}, "caption_dropout_rate is 1.01; it must be a number from 0 to 1."),
        ({"seed": -1}, "seed is -1"),
        ({"trigger_word": " "}, "trigger_word must be"),
        ({"trigger_word": 3}, "trigger_word must be text, not 3."),
        ({"validation_prompt": 5}, "validation_prompt must be text, not 5."),
        ({"autocaption": True}, "There is no input 'autocaption'"),
        ({"input_images": None}, "input_images is missing"),
        ({"input_images": "https://example.com/a.zip"}, "input_images must be a file"),
    ],
)
def test_each_wrong_input_is_named_with_what_is_allowed(wrong, sentence, images, model):
    with pytest.raises(InputError) as caught:
        make_settings({"input_images": images, **wrong}, model)
    assert sentence in str(caught.value)


def test_all_that_is_wrong_is_said_at_once(images, model):
    with pytest.raises(InputError) as caught:
        make_settings({"input_images": images, "steps": 1, "lora_rank": 0, "seed": "x"}, model)
    assert all(name in str(caught.value) for name in ("steps", "lora_rank", "seed"))
