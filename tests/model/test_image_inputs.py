"""Image-to-image and inpainting on the emoji model: how much changes, where, and how many passes it takes."""

import io
import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from easel.errors import InputError
from easel.images.mask import FEATHER, keep_outside
from easel.inference.pipeline import Timings, read_source, run_plan
from easel.plan import plan_request
from easel.request import Request
from tests.support.read_images import plan_and_images

# What holds for any image is seen on a small one.
SMALL = {"width": 64, "height": 64, "num_inference_steps": 4}


@pytest.fixture
def make(components):
    """Runs a request and returns its images, and how often the transformer was called."""
    return runner(components)


def runner(components):
    def run(prompt: str, **inputs) -> tuple[list[Image.Image], int]:
        plan, *opened = plan_and_images(Request(prompt, **inputs), components.model)
        calls = []
        hook = components.modules["transformer"].register_forward_hook(lambda *_: calls.append(1))
        try:
            images = list(run_plan(plan, components, Timings(), read_source(plan, *opened), log=io.StringIO()))
        finally:
            hook.remove()
        assert all(image.size == (plan.width, plan.height) and image.mode == "RGB" for image in images)
        return images, len(calls)

    return run


@pytest.fixture(scope="module")
def apple(components, tmp_path_factory):
    """The file of an image made by the model."""
    plan = plan_request(Request("red apple", seed=3), components.model)
    (image,) = run_plan(plan, components, Timings(), log=io.StringIO())
    path = tmp_path_factory.mktemp("inputs") / "apple.png"
    image.save(path)
    return path


@pytest.fixture
def mask(tmp_path):
    """The file of a mask whose left half is white."""
    image = Image.new("L", (128, 128))
    ImageDraw.Draw(image).rectangle((0, 0, 63, 127), fill=255)
    image.save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def array(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.int16)


def open_rgb(path) -> np.ndarray:
    with Image.open(path) as image:
        return array(image.convert("RGB"))


@pytest.mark.parametrize("steps", [1, 3, 10])
@pytest.mark.parametrize("strength", [0, 0.05, 0.3, 0.6, 0.7, 0.8, 1])
def test_prompt_strength_leaves_its_share_of_the_passes_rounded_up(make, apple, steps, strength):
    inputs = {"width": 64, "height": 64, "num_inference_steps": steps, "guidance_scale": 0, "image": apple}
    assert make("apple", prompt_strength=strength, **inputs)[1] == math.ceil(round(steps * strength, 6))


def test_the_more_strength_the_further_from_the_image(emoji, tmp_path):
    make = runner(emoji)
    apple = tmp_path / "apple.png"
    make("red apple", seed=3)[0][0].save(apple)
    before = open_rgb(apple)
    far = [
        np.abs(array(make("green apple", seed=3, image=apple, prompt_strength=strength)[0][0]) - before).mean()
        for strength in (0, 0.2, 0.5, 1)
    ]
    assert far[0] == 0
    assert far == sorted(far)
    assert far[-1] > 5 * far[1]


def test_strength_1_ignores_the_content_of_the_image(make, apple, tmp_path):
    Image.new("RGB", (128, 128), "blue").save(tmp_path / "blue.png")
    (one,), _ = make("green apple", seed=3, image=apple, prompt_strength=1, **SMALL)
    (other,), _ = make("green apple", seed=3, image=tmp_path / "blue.png", prompt_strength=1, **SMALL)
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("prompt_strength", [0, 0.5, 1])
def test_outside_the_mask_every_pixel_stays_as_it_was(make, apple, mask, prompt_strength):
    (image,), _ = make("blue heart", seed=3, image=apple, mask=mask, prompt_strength=prompt_strength)
    before, after = open_rgb(apple), array(image)
    kept = slice(64 + FEATHER, None)
    assert (after[:, kept] == before[:, kept]).all()
    if prompt_strength:
        assert np.abs(after[:, :64] - before[:, :64]).mean() > 3


def test_the_edge_of_a_mask_is_soft_and_the_inside_is_all_new():
    mask = Image.new("L", (64, 64))
    ImageDraw.Draw(mask).rectangle((0, 0, 31, 63), fill=255)
    row = array(keep_outside(Image.new("RGB", (64, 64), "white"), Image.new("RGB", (64, 64)), mask))[32, :, 0]
    assert (row[:32] == 255).all()
    assert (row[32 + FEATHER :] == 0).all()
    steps = row[31 : 32 + FEATHER + 1]
    assert (np.diff(steps) < 0).all()  # FEATHER values between new and old
    assert np.abs(np.diff(steps)).max() <= 255 / FEATHER + 20


def test_a_thin_stroke_of_a_mask_is_repainted(make, apple, tmp_path):
    mask = Image.new("L", (128, 128))
    ImageDraw.Draw(mask).line((61, 20, 61, 110), fill=255, width=1)  # narrower than a cell of the latents
    mask.save(tmp_path / "thin.png")
    (image,), _ = make("blue heart", seed=3, image=apple, mask=tmp_path / "thin.png", prompt_strength=1)
    assert np.abs(array(image) - open_rgb(apple))[20:110, 61].mean() > 3


def test_mask_is_cut_like_the_image(make, tmp_path):
    wide = Image.new("RGB", (400, 100), "white")
    ImageDraw.Draw(wide).rectangle((190, 40, 210, 60), fill="red")
    wide.save(tmp_path / "wide.png")
    mask = Image.new("L", (200, 50))  # half the size, the same aspect ratio
    ImageDraw.Draw(mask).rectangle((75, 0, 100, 49), fill=255)  # the left half of the square that is left of it
    mask.save(tmp_path / "mask.png")
    (image,), _ = make("sea", seed=1, image=tmp_path / "wide.png", mask=tmp_path / "mask.png", prompt_strength=1)
    after = array(image)
    assert np.abs(after[64, 64 + FEATHER + 2] - [255, 0, 0]).max() < 60, "the red mark reaches into the right half"
    assert (after[:, 96:] == 255).all()


@pytest.mark.parametrize(
    ("size", "expected"), [((300, 200), (160, 112)), ((200, 300), (112, 160)), ((90, 90), (128, 128))]
)
def test_match_input_image_takes_the_ratio_of_the_image(make, tmp_path, size, expected):
    Image.new("RGB", size, "white").save(tmp_path / "image.png")
    (image,), _ = make("sun", image=tmp_path / "image.png", aspect_ratio="match_input_image", num_inference_steps=1)
    assert image.size == expected


def test_a_banner_is_cut_to_the_widest_ratio(make, tmp_path):
    Image.new("RGB", (5000, 100), "white").save(tmp_path / "image.png")
    (image,), _ = make("sun", image=tmp_path / "image.png", aspect_ratio="match_input_image", num_inference_steps=1)
    assert image.size == (192, 80)


def test_image_k_is_the_request_for_its_seed_alone(make, apple, mask):
    for inputs in ({"image": apple}, {"image": apple, "mask": mask}):
        two, _ = make("star", seed=5, num_outputs=2, **inputs, **SMALL)
        (second,), _ = make("star", seed=6, **inputs, **SMALL)
        assert two[1].tobytes() == second.tobytes() != two[0].tobytes()


def test_text_requests_are_the_same_after_images(make, apple, mask):
    before = make("cat", seed=1, **SMALL)[0][0].tobytes()
    make("star", seed=5, image=apple, **SMALL)
    make("star", seed=5, image=apple, mask=mask, **SMALL)
    assert make("cat", seed=1, **SMALL)[0][0].tobytes() == before


def test_pipelines_of_all_kinds_share_every_weight(components):
    pipelines = [components.new_pipeline(kind) for kind in ("text", "image", "inpaint")]
    for name in ("transformer", "text_encoder", "vae"):
        assert len({id(getattr(pipeline, name)) for pipeline in pipelines}) == 1


def test_a_stroke_thinner_than_a_pixel_of_the_result_is_painted(make, tmp_path):
    """3 of 1024 pixels, where the result has 128."""
    Image.new("RGB", (1024, 1024), "blue").save(tmp_path / "image.png")
    stroke = Image.new("L", (1024, 1024))
    ImageDraw.Draw(stroke).rectangle((100, 499, 900, 501), fill=255)
    stroke.save(tmp_path / "stroke.png")
    inputs = {"image": tmp_path / "image.png", "mask": tmp_path / "stroke.png", "prompt_strength": 1, "seed": 3}
    (image,), _ = make("sun", num_inference_steps=4, **inputs)
    changed = np.abs(array(image) - array(Image.new("RGB", image.size, "blue"))).max(axis=(1, 2))
    assert changed[62] > 50
    assert changed[:40].max() == changed[90:].max() == 0


def test_a_mask_that_the_crop_cuts_off_is_refused_before_any_pass(make, components, tmp_path):
    Image.new("RGB", (640, 256), "blue").save(tmp_path / "image.png")
    edge = Image.new("L", (640, 256))
    ImageDraw.Draw(edge).rectangle((0, 0, 150, 255), fill=255)
    edge.save(tmp_path / "edge.png")
    inputs = {"image": tmp_path / "image.png", "mask": tmp_path / "edge.png", "seed": 3, "num_inference_steps": 2}
    with pytest.raises(InputError, match="Set aspect_ratio to match_input_image"):
        make("sun", **inputs)
    (image,), _ = make("sun", aspect_ratio="match_input_image", prompt_strength=1, **inputs)
    blue = array(Image.new("RGB", image.size, "blue"))
    assert np.abs(array(image) - blue)[:, : image.width // 8].max() > 100


def test_a_mask_that_is_cut_in_part_is_told_of(components, tmp_path):
    Image.new("RGB", (640, 256), "blue").save(tmp_path / "image.png")
    Image.new("L", (640, 256), 255).save(tmp_path / "all.png")
    request = Request("sun", image=tmp_path / "image.png", mask=tmp_path / "all.png")
    plan, *opened = plan_and_images(request, components.model)
    assert "part of the mask's white is cut off" in read_source(plan, *opened).warnings[0]
