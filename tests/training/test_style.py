"""The style of samples/training/style.zip, and the set itself."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from easel.training.captions import Captions
from easel.training.dataset import read_dataset
from recipes.emoji.style import DARK, LIGHT, NAMES, PAPER, in_style

SET = Path(__file__).resolve().parents[2] / "samples" / "training" / "style.zip"


def test_paper_line_and_inks_of_a_ring():
    image = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(image).ellipse((30, 30, 97, 97), fill="black")
    ImageDraw.Draw(image).ellipse((50, 50, 77, 77), fill="white")  # enclosed: it is the icon's own
    drawn = np.asarray(in_style(np.asarray(image)))
    for place, colour in {(2, 2): PAPER, (64, 28): LIGHT, (64, 40): DARK, (64, 64): LIGHT}.items():
        assert np.abs(drawn[place] - colour).max() <= 8, place


def test_the_set_has_twelve_images_in_the_style_with_the_trigger_word():
    examples = read_dataset(SET, Captions()).examples
    assert sorted(example.caption for example in examples) == sorted(f"{name} in TOK style" for name in NAMES)
    for example in examples:
        assert np.abs(np.asarray(example.image)[0, 0] - PAPER).max() <= 2
