"""The files of a training, and the curve."""

import csv
import json
import tarfile

import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load, save

from easel.lora.adapter import Adapter, Pair
from easel.training.curve import loss_image, loss_table, running_mean
from easel.training.output import (
    config_inputs,
    config_text,
    lora_file,
    metadata_of,
    with_sorted_metadata,
    write_outputs,
)


def adapter():
    return Adapter("lora", {"layers.0.attention.to_q": Pair(torch.ones(4, 8), torch.full((8, 4), 0.5), 1.0)})


def metadata(settings):
    return metadata_of(settings, 7, model="emoji", digest="sha256:ab", adapter=None, dataset="cd", license="Apache-2.0")


def test_metadata_are_in_order_and_the_tensors_are_the_librarys():
    tensors = {"b": torch.arange(5.0), "a": torch.ones(3, dtype=torch.bfloat16)}
    many = {f"name{k}": f"väl{k}" for k in range(20)}
    file = with_sorted_metadata(save(tensors, many))
    length = int.from_bytes(file[:8], "little")
    assert length % 8 == 0
    header = json.loads(file[8 : 8 + length])
    assert list(header["__metadata__"]) == sorted(many)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in load(file).items())
    assert {with_sorted_metadata(save(tensors, dict(reversed(many.items())))) for _ in range(5)} == {file}


def test_the_file_has_ai_toolkits_keys_and_says_what_it_was_made_of(settings, tmp_path):
    path = tmp_path / "lora.safetensors"
    path.write_bytes(lora_file(adapter(), metadata(settings)))
    with safe_open(path, framework="pt") as file:
        assert sorted(file.keys()) == [
            "diffusion_model.layers.0.attention.to_q.lora_A.weight",
            "diffusion_model.layers.0.attention.to_q.lora_B.weight",
        ]
        said = file.metadata()
    assert said["rank"] == said["alpha"] == "4"
    assert said["base_model_digest"] == "sha256:ab"
    assert said["training_adapter_digest"] == "none"
    assert (said["steps"], said["seed"], said["trigger_word"]) == ("100", "7", "TOK")


def test_the_tar_has_all_files_once(settings, tmp_path):
    (tmp_path / "validation").mkdir()
    (tmp_path / "validation" / "step-00000.png").write_bytes(b"image")
    losses = [1.0, 0.5, 0.25]
    config = config_text(config_inputs(settings, 7), metadata(settings), {"drift": 1.5})
    tar, lora = write_outputs(tmp_path, b"lora", config, "<html>", losses)
    assert lora.read_bytes() == b"lora"
    with tarfile.open(tar) as archive:
        members = {member.name: archive.extractfile(member).read() for member in archive}
    assert set(members) == {
        "lora.safetensors", "config.yaml", "report.html", "loss.csv", "loss.png", "validation/step-00000.png"
    }  # fmt: skip
    config = yaml.safe_load(members["config.yaml"])
    assert config["inputs"]["resolution"] == "64"
    assert config["inputs"]["input_images"] == "images.zip"
    assert config["metadata"]["seed"] == "7"
    assert config["quality"] == {"drift": 1.5}
    assert members["report.html"] == (tmp_path / "report.html").read_bytes() == b"<html>"
    assert list(csv.reader(members["loss.csv"].decode().splitlines()))[1:] == [
        ["1", "1.000000"],
        ["2", "0.500000"],
        ["3", "0.250000"],
    ]


def test_the_curve_goes_down_where_the_loss_does():
    losses = [1.0 - k / 250 for k in range(200)]
    image = loss_image(losses)
    blue = [min(y for y in range(image.height) if image.getpixel((x, y)) == (0x1F, 0x5F, 0xB0)) for x in (60, 400, 740)]
    assert blue[0] < blue[1] < blue[2]
    assert loss_image([0.5]).size == image.size
    assert loss_image([0.0, 0.0]).size == image.size


def test_the_running_mean_is_of_the_last_values_alone():
    assert running_mean([4, 2, 0, 8], 2) == [4, 3, 1, 4]
    assert loss_table([0.5]) == "step,loss\n1,0.500000\n"
