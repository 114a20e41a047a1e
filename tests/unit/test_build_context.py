"""What a build of the image gets to see: all that the model needs to run, and little else."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from easel.schema.openapi import openapi, to_json
from tests.support.build_context import build_context, is_ignored, parse_rules
from tests.support.docker_engine import build_scratch, needs_engine

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
RULES = parse_rules((ROOT / ".dockerignore").read_text())
MODELS = sorted(path.parent.name for path in ROOT.glob("weights/*/model.yaml"))
TOP = {".cog", "LICENSE", "NOTICE", "cog.emoji.yaml", "cog.yaml", "predict.py", "src", "train.py", "weights"}
TOP |= {"requirements.lock", "requirements.txt"}

KEPT_OUT = """
.git/config .venv/bin/python .env .cache/x tests/support/tiny.py docs/deploy.md samples/grid.png script/container
.dockerignore
recipes/emoji/vae.py modal_app.py Dockerfile .ci/run README.md output.0.webp outputs/a.png
src/a/__pycache__/b.pyc id_rsa weights.tar
"""

TRICKY = """
# A comment, an empty line, and spaces around a pattern

  docs
*.log
!keep.log
/build/
src/**/cache
**/*.tmp
data/*
!data/small?.bin
!data/a/x
[w-z]eights/**
!weights/emoji/model.yaml
!weights/model.yaml
!late/name.tmp
late/name.tmp
"""
KEPT = """
.gitignore docs.txt keep.log other/inside.log other/docs/a data/small1.bin data/a/x src/a.py src/cache.py
weights/emoji/model.yaml weights/model.yaml
"""
GONE = """
docs/a docs/b/c plain.log build/a src/cache/a src/x/y/cache/a a.tmp x/y/b.tmp data/big.bin data/small12.bin data/d/x
weights/emoji/tensors weights/emoji/vae/tensors late/name.tmp
"""


def locked_files(model):
    return json.loads((ROOT / "weights" / model / "weights.lock").read_text())["files"]


@pytest.fixture(scope="module")
def context():
    return build_context(ROOT, RULES)


def test_context_is_small_without_the_weights_of_emoji(context):
    weights = {f"weights/emoji/{file['path']}" for file in locked_files("emoji")}  # tensors, 74.9 MB, and a tokenizer
    assert {path for path in context if path.endswith(".safetensors")} < weights
    # Code may grow, a module of 250 lines at a time; what lies beside it is requirements.lock and little else.
    assert sum(context[path] for path in context.keys() - weights if not path.endswith(".py")) < 250_000
    assert max(size for path, size in context.items() if path.endswith(".py")) < 30_000
    assert sum(context.values()) < 100_000_000


def test_context_has_nothing_that_the_image_does_not_need(context):
    assert {".cog", *(path.split("/")[0] for path in context)} == TOP  # .cog is Cog's, and ours once a server has run
    assert not [path for path in context if "__pycache__" in path or ".egg-info" in path or path.endswith(".pyc")]


@pytest.mark.parametrize("path", KEPT_OUT.split())
def test_what_a_checkout_may_hold_besides_stays_out(path):
    assert is_ignored(path, RULES)


@pytest.mark.parametrize("model", MODELS)
def test_context_has_what_a_model_needs_from_the_repository(model, context):
    folder = f"weights/{model}"
    assert f"{folder}/model.yaml" in context
    assert f"{folder}/weights.lock" in context
    shipped = [file for file in locked_files(model) if not file.get("source")]
    assert shipped
    for file in shipped:
        assert context.get(f"{folder}/{file['path']}") == file["size"], file["path"]


def test_context_alone_runs_what_the_build_runs(context, tmp_path):
    """Every module in it is importable but for the packages of requirements.lock, and the schema is written."""
    for path in context.keys() - {".cog/openapi_schema.json"}:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).symlink_to(ROOT / path)
    (command,) = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if "install_schema" in line]
    program = ast.literal_eval(command.partition("python -c ")[2].strip())
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True, timeout=60)
    assert (tmp_path / ".cog/openapi_schema.json").read_text() == to_json(openapi(ROOT / "predict.py"))


def test_files_are_brought_back_by_their_full_path():
    """Docker's older builder never looks into an ignored folder for a `!` with a wildcard; BuildKit does."""
    assert not [rule.pattern for rule in RULES if rule.keeps and set(rule.pattern) & set("*?[")]


def test_every_module_of_easel_is_in_the_context(context):
    modules = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("src/easel/**/*.py")}
    assert len(modules) > 30
    assert modules <= context.keys()


def write_tree(root):
    for path in (KEPT + GONE).split():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


def test_rules_are_read_as_docker_reads_them(tmp_path):
    write_tree(tmp_path)
    assert build_context(tmp_path, parse_rules(TRICKY)).keys() == set(KEPT.split())


@needs_engine
def test_docker_reads_the_rules_likewise(tmp_path):
    write_tree(tmp_path)
    (tmp_path / ".dockerignore").write_text(TRICKY)
    assert build_scratch(tmp_path) == {".dockerignore", *KEPT.split()}


@needs_engine
def test_docker_gets_the_context_of_this_repository(context):
    assert build_scratch(ROOT) == context.keys()
