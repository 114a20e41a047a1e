"""`openapi.json` is what `predict.py` says, in the shape that `cog build` gives it, and `--check` notices when not."""

import json
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from easel.schema.openapi import COG_VERSION, check_schema, install_schema, openapi, read_runner, to_json, write_schema

ROOT = Path(__file__).resolve().parents[2]

RUNNER = """from cog import BaseRunner, Input, Path, Secret


class Runner(BaseRunner):
    def run(
        self,
        {parameters}
    ) -> {output}:
        return None
"""


def write_runner(root, *parameters, output="list[Path]"):
    text = RUNNER.format(parameters=",\n        ".join(parameters) + ",", output=output)
    (root / "predict.py").write_text(text, encoding="utf-8")
    return root / "predict.py"


def published_input(root, parameter):
    schemas = openapi(write_runner(root, parameter))["components"]["schemas"]
    return next(iter(schemas["Input"]["properties"].values())), schemas


def test_committed_document_is_what_predict_py_says():
    assert (ROOT / "openapi.json").read_text(encoding="utf-8") == to_json(openapi(ROOT / "predict.py"))


def test_committed_document_names_every_input_in_the_order_of_the_signature():
    properties = json.loads((ROOT / "openapi.json").read_text())["components"]["schemas"]["Input"]["properties"]
    assert list(properties) == [item.name for item in read_runner(ROOT / "predict.py").inputs]
    assert [item["x-order"] for item in properties.values()] == list(range(len(properties)))


def test_document_is_stamped_with_the_cog_that_is_pinned_and_installed():
    assert version("cog") == COG_VERSION
    assert f"cog=={COG_VERSION}" in (ROOT / "requirements.txt").read_text().splitlines()
    assert openapi(ROOT / "predict.py")["info"] == {"title": "Cog", "version": COG_VERSION}


def test_every_reference_in_the_document_leads_somewhere():
    document = openapi(ROOT / "predict.py")
    references = [part.split('"')[0] for part in to_json(document).split('"$ref": "#/components/schemas/')[1:]]
    assert set(references) <= set(document["components"]["schemas"])
    assert len(references) > 8


def test_paths_and_schemas_are_those_that_cog_lists(tmp_path):
    document = openapi(write_runner(tmp_path, 'prompt: str = Input(description="p")'))
    operations = {
        (method, path): operation["operationId"]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert document["openapi"] == "3.0.2"
    assert operations == {
        ("get", "/"): "root__get",
        ("get", "/health-check"): "healthcheck_health_check_get",
        ("post", "/predictions"): "predict_predictions_post",
        ("post", "/predictions/{prediction_id}/cancel"): "cancel_predictions__prediction_id__cancel_post",
    }
    assert list(document["components"]["schemas"]) == [
        "Input",
        "Output",
        "PredictionRequest",
        "PredictionResponse",
        "Status",
        "HTTPValidationError",
        "ValidationError",
    ]
    response = document["components"]["schemas"]["PredictionResponse"]["properties"]
    assert " ".join(response) == (
        "input output id version created_at started_at completed_at status error logs metrics"
    )


@pytest.mark.parametrize(
    ("annotation", "published"),
    [
        ("str", {"type": "string"}),
        ("int", {"type": "integer"}),
        ("float", {"type": "number"}),
        ("bool", {"type": "boolean"}),
        ("Path", {"type": "string", "format": "uri"}),
        ("Secret", {"type": "string", "format": "password", "writeOnly": True, "x-cog-secret": True}),
        ("list[Path]", {"type": "array", "items": {"type": "string", "format": "uri"}}),
        ("int | None", {"type": "integer", "nullable": True}),
        ("None | int", {"type": "integer", "nullable": True}),
        ("list[str] | None", {"type": "array", "items": {"type": "string"}, "nullable": True}),
    ],
)
def test_type_is_published_as_cog_does(tmp_path, annotation, published):
    prop, schemas = published_input(tmp_path, f'num_things: {annotation} = Input(description="how many")')
    assert prop == {"title": "Num Things", "description": "how many", "x-order": 0, **published}
    assert schemas["Input"].get("required", []) == ([] if "None" in annotation else ["num_things"])


@pytest.mark.parametrize(
    ("declared", "published"),
    [
        ("int | None = Input(default=None, {})", {"type": "integer", "nullable": True, "default": None}),
        ("int = Input(default=-1, ge=-2, le=4294967295, {})", {"default": -1, "minimum": -2, "maximum": 4294967295}),
        ("float = Input(default=2.0, ge=0.5, {})", {"type": "number", "default": 2, "minimum": 0.5}),
        ('str = Input(default="ab", min_length=1, max_length=3, {})', {"minLength": 1, "maxLength": 3}),
        ('str = Input(regex=r"^\\d+$", {})', {"pattern": "^\\d+$"}),
        ("bool = Input(default=False, deprecated=True, {})", {"default": False, "deprecated": True}),
        ("list[float] = Input(default=[1.0, 0.5], {})", {"default": [1, 0.5]}),
        ('Path | None = Input(default=None, accept="image/*", {})', {"x-cog-accept": "image/*"}),
    ],
)
def test_keyword_of_input_is_published_as_cog_does(tmp_path, declared, published):
    prop, _ = published_input(tmp_path, "x: " + declared.format('description="d"'))
    assert prop.items() >= published.items()


def test_whole_numbers_are_written_without_a_point_as_go_does(tmp_path):
    path = write_runner(tmp_path, 'x: float = Input(default=2.0, ge=0.0, description="d")')
    assert '"default": 2,' in to_json(openapi(path))
    assert '"minimum": 0,' in to_json(openapi(path))


def test_choices_become_a_schema_of_their_own(tmp_path):
    prop, schemas = published_input(tmp_path, 'n: int | None = Input(default=None, choices=[1, 4], description="d")')
    reference = [{"$ref": "#/components/schemas/n"}]
    assert prop == {"allOf": reference, "description": "d", "default": None, "nullable": True, "x-order": 0}
    assert schemas["n"] == {"title": "n", "description": "An enumeration.", "enum": [1, 4], "type": "integer"}


@pytest.mark.parametrize(
    ("annotation", "published"),
    [
        ("str", {"type": "string"}),
        ("Path", {"type": "string", "format": "uri"}),
        ("list[Path]", {"type": "array", "items": {"type": "string", "format": "uri"}}),
    ],
)
def test_output_is_published_as_cog_does(tmp_path, annotation, published):
    path = write_runner(tmp_path, 'prompt: str = Input(description="p")', output=annotation)
    assert openapi(path)["components"]["schemas"]["Output"] == {"title": "Output", **published}


def test_text_of_the_document_keeps_letters_and_ends_its_last_line(tmp_path):
    text = to_json(openapi(write_runner(tmp_path, 'prompt: str = Input(description="Größe in 像素")')))
    assert "Größe in 像素" in text
    assert text.endswith("}\n")
    assert text == to_json(json.loads(text))


def test_write_schema_changes_the_file_only_when_the_contract_changed(tmp_path):
    write_runner(tmp_path, 'prompt: str = Input(description="p")')
    assert write_schema(tmp_path)
    assert not write_schema(tmp_path)
    write_runner(tmp_path, 'prompt: str = Input(description="q")')
    assert write_schema(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["openapi.json", "predict.py"]


def test_install_schema_puts_the_document_where_cogs_server_looks(tmp_path):
    write_runner(tmp_path, 'prompt: str = Input(description="p")')
    assert install_schema(tmp_path)
    installed = tmp_path / ".cog" / "openapi_schema.json"
    assert json.loads(installed.read_text()) == openapi(tmp_path / "predict.py")
    before = installed.stat().st_mtime_ns
    assert not install_schema(tmp_path)
    assert installed.stat().st_mtime_ns == before
    assert [path.name for path in installed.parent.iterdir()] == ["openapi_schema.json"]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path):
    write_runner(tmp_path, 'prompt: str = Input(description="p")')
    (tmp_path / "openapi.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_schema(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["openapi.json", "predict.py"]


def test_check_is_content_with_a_fresh_document_outside_of_git(tmp_path):
    write_runner(tmp_path, 'prompt: str = Input(description="p")')
    write_schema(tmp_path)
    assert check_schema(tmp_path) == []


def test_check_reports_a_missing_document(tmp_path):
    write_runner(tmp_path, 'prompt: str = Input(description="p")')
    assert check_schema(tmp_path) == ["openapi.json is missing; write it with `easel schema`"]


def test_check_reports_a_stale_document(tmp_path):
    write_runner(tmp_path, 'prompt: str = Input(description="p")')
    write_schema(tmp_path)
    write_runner(tmp_path, 'prompt: str = Input(description="something else")')
    assert check_schema(tmp_path) == [
        "openapi.json is not what predict.py and train.py say; write it again with `easel schema`"
    ]


def test_check_reports_each_thing_that_cog_would_lose(tmp_path):
    write_runner(tmp_path, "a: str", 'b: int = Input(ge=LOW, description="b")')
    problems = check_schema(tmp_path)
    assert [problem.split(": ")[:2] for problem in problems] == [["predict.py:7", "a"], ["predict.py:8", "b"]]


def git(root, *arguments):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True)


def test_check_compares_with_the_last_committed_document(tmp_path):
    project = tmp_path / "nested"  # the project need not be the top of the repository
    project.mkdir()
    git(tmp_path, "init", "-q")
    write_runner(project, 'prompt: str = Input(description="p")', 'n: int = Input(default=1, le=4, description="n")')
    write_schema(project)
    assert check_schema(project) == []  # nothing is committed yet
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    assert check_schema(project) == []

    write_runner(project, 'prompt: str = Input(description="p")', 'n: int = Input(default=1, le=3, description="n")')
    write_schema(project)
    assert check_schema(project) == ["breaks callers of HEAD: n: maximum was 4 and is 3"]
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "second: callers may ask for 3 at most")
    assert check_schema(project) == []
    assert check_schema(project, base="HEAD~1") == ["breaks callers of HEAD~1: n: maximum was 4 and is 3"]


def test_check_has_nothing_to_break_where_the_committed_tree_has_no_document(tmp_path):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "empty")
    write_runner(tmp_path, 'prompt: str = Input(description="p")')
    write_schema(tmp_path)
    assert check_schema(tmp_path) == []
