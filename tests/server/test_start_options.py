"""EASEL_MEMORY and EASEL_ATTENTION of a server: the log of setup tells what was chosen, and the images are the same."""

import pytest

from easel.local.client import ServerError, call
from tests.server.calls import answer_to, pixels
from tests.support.serving import serving

SMALL = {"width": 64, "height": 64, "num_inference_steps": 2, "seed": 3, "output_format": "png"}


def test_a_server_whose_parts_take_turns_draws_the_same_images_in_any_order(server, tmp_path):
    requests = [{"prompt": prompt, **SMALL} for prompt in ("a dog", "a cat", "a dog")]
    expected = [pixels(answer_to(server, **request)) for request in requests]
    with serving(tmp_path, EASEL_MEMORY="turns", EASEL_ATTENTION="1") as other:
        logs = call("GET", f"{other.url}/health-check")[1]["setup"]["logs"]
        assert [pixels(answer_to(other, **request)) for request in requests] == expected
    assert "memory: turns, as asked" in logs
    assert "attention: torch's own choice; model.yaml names no back end for this device" in logs


def test_a_mode_that_does_not_exist_ends_the_start_with_those_that_do(tmp_path):
    with pytest.raises(ServerError) as caught, serving(tmp_path, EASEL_MEMORY="small"):
        pass
    for word in ("EASEL_MEMORY", "'small'", "resident", "turns", "float8"):
        assert word in str(caught.value)
