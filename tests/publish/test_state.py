"""What is kept between runs, the tree that may be pushed, and the record."""

import datetime
import json
import re

import pytest

from easel.errors import InputError
from easel.publish.changelog import HEADING, Record, write_record
from easel.publish.state import State, push_lock
from easel.publish.target import PRICES, parse_image, read_cog_file
from easel.publish.tree import changed_files, check_clean, commit_of
from tests.publish.trees import REPOSITORY, commit, git, make_tree


def test_a_state_is_read_back_as_it_was_set(tmp_path):
    path = tmp_path / "deep" / "state.json"
    state = State(path)
    assert state.get("a", "b") is None
    state.set("a", "b", value=[1])
    state.set("a", "c", value={"d": 2})
    again = State(path)
    assert again.get("a", "b") == [1]
    assert again.get("a", "c", "d") == 2
    assert again.get("a", "b", "c", default="none") == "none"
    assert [file.name for file in path.parent.iterdir()] == ["state.json"]


def test_a_state_that_cannot_be_written_leaves_the_old_one(tmp_path):
    state = State(tmp_path / "state.json")
    state.set("a", value=1)
    with pytest.raises(TypeError):
        state.set("b", value=object())
    assert json.loads((tmp_path / "state.json").read_text()) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


def test_a_damaged_state_is_named(tmp_path):
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(InputError, match="Remove it to begin this push anew"):
        State(tmp_path / "state.json")


def test_one_push_at_a_time(tmp_path):
    with (
        push_lock(tmp_path / "place" / "lock"),
        pytest.raises(InputError, match="Another push of this tree is running"),
        push_lock(tmp_path / "place" / "lock"),
    ):
        pass
    with push_lock(tmp_path / "place" / "lock"):
        pass


def test_only_a_commit_is_pushed(tmp_path):
    root = make_tree(tmp_path)
    check_clean(root)
    (root / "new file.py").touch()
    (root / "README.md").write_text("changed")
    git(root, "mv", "predict.py", "renamed.py")
    (root / ".cache" / "ignored").touch()
    assert sorted(changed_files(root)) == ["README.md", "new file.py", "renamed.py"]
    with pytest.raises(InputError, match="(?s)only a commit is pushed.*README.md.*new file.py"):
        check_clean(root)
    before = commit_of(root)
    assert commit(root, "all of it") == commit_of(root) != before
    (root / "CHANGELOG.md").touch()
    check_clean(root, allowed="CHANGELOG.md")


def test_a_folder_without_a_commit_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a Git repository with a commit"):
        commit_of(tmp_path)


def test_an_image_names_its_model_and_its_staging_model():
    target = parse_image("registry.test/acme/emoji")
    assert (target.model, target.staging.image) == ("acme/emoji", "registry.test/acme/emoji-staging")
    for text in ("acme/emoji", "registry.test/acme/", "registry.test/acme/emoji:latest", "a/b/c/d", " a/b/c"):
        with pytest.raises(InputError, match="IMAGE is HOST/OWNER/NAME"):
            parse_image(text)
    with pytest.raises(InputError, match="name the model itself"):
        parse_image("registry.test/acme/emoji-staging")


def test_a_cog_file_says_model_device_and_release():
    emoji, flagship = (read_cog_file(REPOSITORY, name) for name in ("cog.emoji.yaml", "cog.yaml"))
    assert (emoji.model.name, emoji.gpu, emoji.image) == ("emoji", False, None)
    assert (flagship.model.name, flagship.gpu) == ("z-image-turbo", True)
    target = parse_image("registry.test/acme/emoji")
    assert emoji.command_text(target) == (
        "COGLET_WHEEL=pypi:0.23.1 cog push -f cog.emoji.yaml registry.test/acme/emoji"
    )
    assert emoji.unpinned() == []


@pytest.mark.parametrize("text", ["build: {}", "[]", "build: {sdk_version: 1}\nenvironment: [EASEL_MODEL]", "{"])
def test_a_file_that_is_no_cog_file_is_refused(tmp_path, text):
    (tmp_path / "cog.yaml").write_text(text)
    with pytest.raises(InputError, match="cog.yaml is not a Cog file"):
        read_cog_file(tmp_path, "cog.yaml")
    with pytest.raises(InputError, match="there is no such Cog file in .*: cog.yaml"):
        read_cog_file(tmp_path, "cog.other.yaml")


def test_prices_are_those_of_the_table_in_the_docs():
    table = re.findall(
        r"^\| .+? \| \d+ GB \| (0\.\d+) \|", (REPOSITORY / "docs" / "deploy.md").read_text(), re.MULTILINE
    )
    assert [float(price) for price in table] == list(PRICES.values())


def record(version, live):
    return Record(
        model="acme/emoji",
        version=version,
        commit="c" * 40,
        day=datetime.date(2026, 11, 24),
        cog_file="cog.emoji.yaml",
        weights=REPOSITORY / "weights" / "emoji",
        live=live,
        differences=["style: a new input"] if live else [],
        cases=["red-apple: 1 x 128 x 128 webp"],
        deployment="acme/shop" if live else None,
    )


def test_the_newest_record_is_first_and_none_is_written_twice(tmp_path):
    assert write_record(tmp_path, record("a" * 64, None))
    assert write_record(tmp_path, record("b" * 64, "a" * 64))
    assert not write_record(tmp_path, record("a" * 64, None))
    assert not write_record(tmp_path, record("b" * 64, "a" * 64))
    text = (tmp_path / "CHANGELOG.md").read_text()
    assert text.startswith(HEADING)
    assert text.count("\n## 2026-11-24 acme/emoji\n") == 2
    newest, oldest = text.split("\n## ")[1:]
    assert f"- version `{'b' * 64}`, commit `{'c' * 40}`, `cog.emoji.yaml`\n- deployment `acme/shop` runs it" in newest
    assert f"- schema, since `{'a' * 64}`:\n  - style: a new input\n- cases:\n  - red-apple: 1 x 128" in newest
    assert "- schema: the first version\n" in oldest
    lock = json.loads((REPOSITORY / "weights" / "emoji" / "weights.lock").read_text())["files"]
    for file in lock:
        assert (file["digest"] in newest) == file["path"].endswith(".safetensors")


def test_the_repositorys_own_changelog_begins_with_the_heading():
    assert (REPOSITORY / "CHANGELOG.md").read_text().startswith(HEADING)
