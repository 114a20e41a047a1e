"""cog.yaml and cog.emoji.yaml are what Cog accepts, and say what the pinned packages and the models are."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, version
from pathlib import Path

import pytest
import yaml

from easel.models import load_model
from tests.support.build_context import is_ignored, parse_rules
from tests.support.cog_config import config_problems

ROOT = Path(__file__).resolve().parents[2]
FILES = ("cog.yaml", "cog.emoji.yaml")
CONFIGS = {name: yaml.safe_load((ROOT / name).read_text()) for name in FILES}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))

GOOD = """
build:
  gpu: true
  cuda: "13.0"
  python_version: "3.13"
  python_requirements: requirements.txt
  sdk_version: "0.23.1"
  run:
    - echo ready
environment:
  - EASEL_MODEL=emoji
run: predict.py:Runner
train: train.py:train
"""


def environment(name):
    return dict(entry.split("=", 1) for entry in CONFIGS[name]["environment"])


@pytest.mark.parametrize("name", FILES)
def test_cog_accepts_the_file(name):
    assert config_problems((ROOT / name).read_text(), ROOT) == []


@pytest.mark.parametrize("name", FILES)
def test_build_is_of_the_newest_python_that_is_supported_and_of_the_sdk_that_was_tested(name):
    """On 3.11 a cancel can hang a thread that starts, see cog_downloads.py; the others are for developers."""
    build = CONFIGS[name]["build"]
    oldest, newest = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
    assert build["python_version"] == f"3.{int(newest) - 1}"
    assert int(oldest) <= sys.version_info.minor < int(newest)
    assert build["sdk_version"] == PINS["cog"] == PINS["coglet"] == version("cog")


@pytest.mark.parametrize("name", FILES)
def test_build_has_a_gpu_when_its_model_needs_one(name):
    model = load_model(ROOT / "weights" / environment(name)["EASEL_MODEL"])
    assert CONFIGS[name]["build"]["gpu"] is (model.hardware["device"] == "cuda")


def test_cuda_is_that_of_the_pinned_torch():
    torch = distribution("torch")
    assert torch.version.partition("+")[0] == PINS["torch"]
    (cuda,) = re.findall(r"^cuda: .* = '(.*)'", Path(torch.locate_file("torch/version.py")).read_text(), re.MULTILINE)
    assert CONFIGS["cog.yaml"]["build"]["cuda"] == cuda


@pytest.mark.parametrize("path", [".cog", ".cog/tmp/build/requirements.txt", *FILES, "requirements.lock"])
def test_dockerignore_leaves_in_what_cog_needs_to_build(path):
    """Cog refuses to build where .cog is ignored, and copies cog.emoji.yaml to cog.yaml in the image."""
    assert not is_ignored(path, parse_rules((ROOT / ".dockerignore").read_text()))


@pytest.mark.parametrize("name", [*FILES, "Dockerfile"])
def test_build_puts_the_package_on_the_path(name, tmp_path):
    lines = re.findall("RUN (echo .*)", (ROOT / name).read_text())
    (command,) = CONFIGS[name]["build"]["run"] if name in CONFIGS else lines
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True, timeout=60)
    binaries = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    assert "/src/src " in command  # Cog and the Dockerfile have the repository at /src
    command = command.replace("/src/src ", f"{ROOT}/src ")
    subprocess.run(["sh", "-c", command], env=binaries, check=True, timeout=60)
    asked = ["python", "-c", "import easel; print(easel.__file__)"]
    found = subprocess.check_output(asked, env=binaries, cwd=tmp_path, text=True, timeout=60)
    assert found.strip() == str(ROOT / "src/easel/__init__.py")


def test_dockerfile_sets_what_cog_yaml_sets():
    text = (ROOT / "Dockerfile").read_text()
    assert "EASEL_WEIGHTS_DIR=" + environment("cog.yaml")["EASEL_WEIGHTS_DIR"] in text
    assert {CONFIGS[name]["run"] for name in FILES} == set(re.findall(r"COG_PREDICT_TYPE_STUB=(\S+)", text))
    assert {CONFIGS[name]["train"] for name in FILES} == set(re.findall(r"COG_TRAIN_TYPE_STUB=(\S+)", text))
    (python,) = re.findall(r"BASE=python:(.*)-slim", text)
    assert {CONFIGS[name]["build"]["python_version"] for name in FILES} == {python}


def test_a_good_file_has_no_problem():
    assert config_problems(GOOD, ROOT) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("gpu: true", "gpus: true", "build.gpus: no such key"),
        ("gpu: true", 'gpu: "true"', "build.gpu: 'true' is no bool"),
        ("gpu: true", "gpu: false", "build.cuda: without gpu it has no effect"),
        ('"13.0"', "13.0", "build.cuda: 13.0 is no str"),
        ('"13.0"', '"13"', "build.cuda: Cog has no base image for 13"),
        ('"13.0"', '"13.4"', "build.cuda: Cog has no base image for 13.4"),
        ('"13.0"', '"13.0.3"', None),
        ('  cuda: "13.0"\n', "", "build.cuda: Cog cannot guess it for a torch newer than its own list"),
        ('"3.13"', "3.13", "build.python_version: 3.13 is no str"),
        ('"3.13"', '"3.9"', "build.python_version: '3.9' is not a release from 3.10 on"),
        ('  python_version: "3.13"\n', "", "build.python_version: '' is not a release from 3.10 on"),
        ('"0.23.1"', '"0.16.12"', "build.sdk_version: '0.16.12' is not a release from 0.17 on"),
        ("requirements.txt", "packages.txt", "build.python_requirements: there is no file packages.txt"),
        ("- echo ready", "- [echo, ready]", "build.run: ['echo', 'ready'] is no str"),
        ("- echo ready", "- |\n      echo a\n      echo b", "build.run: 'echo a\\necho b\\n' has more than one line"),
        ("EASEL_MODEL=emoji", "PYTHONPATH=/src/src", "environment: PYTHONPATH is Cog's own"),
        ("EASEL_MODEL=emoji", "CUDA_VISIBLE_DEVICES=0", "environment: CUDA_VISIBLE_DEVICES is Cog's own"),
        ("EASEL_MODEL=emoji", "EASEL_MODEL", "environment: 'EASEL_MODEL' is not of the form NAME=value"),
        ("EASEL_MODEL=emoji", "A: b", "environment: {'A': 'b'} is not of the form NAME=value"),
        ("- EASEL_MODEL=emoji", "- A=1\n  - A=2", "environment: A stands twice"),
        ("predict.py:Runner", "predict.py", "run: 'predict.py' is not of the form run.py:Runner"),
        ("predict.py:Runner", "run.py:Runner", "run: there is no file run.py"),
        ("predict.py:Runner", "predict.py:Predictor", "run: predict.py has no class Predictor"),
        ("run: predict.py", "predict: predict.py", "predict: no such key"),
        ("train.py:train", "trainer.py:train", "train: there is no file trainer.py"),
        ("train.py:train", "train.py:Trainer", "train: train.py has no function Trainer"),
        ("train: train.py:train\n", "", None),
    ],
)
def test_a_bad_file_is_noticed(old, new, problem):
    assert old in GOOD
    assert config_problems(GOOD.replace(old, new), ROOT) == ([problem] if problem else [])


def test_a_requirement_that_is_not_pinned_is_noticed(tmp_path):
    (tmp_path / "requirements.txt").write_text("torch==2.14.1 # why\npillow>=13\n\n# more\n")
    (tmp_path / "predict.py").write_text("class Runner: ...")
    (tmp_path / "train.py").write_text("def train(): ...")
    assert config_problems(GOOD, tmp_path) == ["requirements.txt: pillow>=13 is not pinned"]
