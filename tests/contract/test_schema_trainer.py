"""A trainer's part of the document, as Cog writes it beside a runner's, and what Cog would lose of it."""

import pytest

from easel.schema.openapi import SchemaError, breaking_changes, openapi, read_trainer

RUNNER = """from cog import BaseRunner, Input, Path


class Runner(BaseRunner):
    def run(self, size: str = Input(choices=["a", "b"], description="s")) -> list[Path]:
        return []
"""
TRAINER = """from cog import BaseModel, Input, Path


class Result(BaseModel):
    weights: Path


def train(
    images: Path = Input(description="i"),
    steps: int = Input(default=9, ge=1, le=10, description="n"),
) -> Result:
    return Result(weights=images)
"""


def document(root, train=TRAINER):
    (root / "predict.py").write_text(RUNNER)
    (root / "train.py").write_text(train)
    return openapi(root / "predict.py")


def test_paths_and_schemas_of_a_trainer_are_added(tmp_path):
    found = document(tmp_path)
    (tmp_path / "train.py").unlink()
    alone = openapi(tmp_path / "predict.py")
    paths, schemas = found["paths"], found["components"]["schemas"]
    assert {name: paths[name] for name in alone["paths"]} == alone["paths"]
    assert {name: schemas[name] for name in alone["components"]["schemas"]} == alone["components"]["schemas"]
    added = [operation["operationId"] for name in paths.keys() - alone["paths"] for operation in paths[name].values()]
    assert sorted(added) == ["cancel_trainings__training_id__cancel_post", "train_trainings_post"]
    assert list(schemas)[len(alone["components"]["schemas"]) :] == [
        "TrainingInput",
        "TrainingOutput",
        "TrainingRequest",
        "TrainingResponse",
    ]
    assert schemas["TrainingInput"]["title"] == "TrainingInput"
    assert schemas["TrainingInput"]["properties"]["steps"] == {
        **{"title": "Steps", "type": "integer", "description": "n", "default": 9},
        **{"minimum": 1, "maximum": 10, "x-order": 1},
    }
    assert schemas["TrainingOutput"] == {
        "title": "Output",
        "type": "object",
        "properties": {"weights": {"type": "string", "format": "uri", "title": "Weights"}},
        "required": ["weights"],
    }
    response = schemas["TrainingResponse"]["properties"]
    assert (response["input"], response["output"]) == (
        {"$ref": "#/components/schemas/TrainingInput"},
        {"$ref": "#/components/schemas/TrainingOutput"},
    )
    (parameter,) = paths["/trainings/{training_id}/cancel"]["post"]["parameters"]
    assert parameter["name"] == "training_id"
    assert parameter["schema"]["title"] == "Training Id"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("-> Result:", "-> Path:", "train.py:8: output: return a class of this file that derives from cog's BaseModel"),
        ("(BaseModel)", "", "train.py:8: output: return a class of this file that derives from cog's BaseModel"),
        ("weights: Path\n", "weights: Path = None\n", "train.py:5: Result: write fields as `name: type` alone"),
        ("def train(", "def fit(", "train.py:1: train.py has no train()"),
        (
            "ge=1",
            "ge=LOW",
            "train.py:10: steps: ge must be a literal; Cog does not run this file, and drops or refuses",
        ),
        ("steps: int = Input(", "size: str = Input(choices=['x', 'y'], ", "train.py: size: predict.py has choices"),
    ],
)
def test_what_cog_would_lose_or_mix_up_is_refused(tmp_path, old, new, problem):
    assert old in TRAINER
    changed = TRAINER.replace(old, new)
    if "size" in new:
        changed = changed.replace("default=9, ge=1, le=10, ", "")
    with pytest.raises(SchemaError) as caught:
        document(tmp_path, changed)
    assert str(caught.value).startswith(problem)


def test_a_change_that_breaks_trainings_is_named_as_one_of_trainings(tmp_path):
    old = document(tmp_path)
    new = document(tmp_path, TRAINER.replace("le=10", "le=9"))
    assert breaking_changes(old, new) == ["training steps: maximum was 10 and is 9"]
    assert breaking_changes(new, old) == []


def test_a_trainer_where_there_was_none_breaks_nobody(tmp_path):
    new = document(tmp_path)
    (tmp_path / "train.py").unlink()
    old = openapi(tmp_path / "predict.py")
    assert breaking_changes(old, new) == []
    gone = breaking_changes(new, old)
    assert "training images: the input is gone" in gone
    assert all(change.startswith("training ") for change in gone)


def test_a_trainer_without_a_runner_is_read(tmp_path):
    (tmp_path / "train.py").write_text(TRAINER)
    assert [item.name for item in read_trainer(tmp_path / "train.py").inputs] == ["images", "steps"]
