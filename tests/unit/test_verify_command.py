"""`easel verify`: what it prints and how it ends."""

import io
import json

import pytest
from PIL import Image

from easel.cli.main import main
from easel.images.certificates import make_identity
from easel.images.provenance import sign_image

METADATA = {"prompt": "a red\napple", "seed": 7, "model": "emoji", "weights": "sha256:ab", "easel": "1"}


@pytest.fixture(scope="module")
def identity():
    return make_identity()


@pytest.fixture
def files(tmp_path, identity, monkeypatch):
    monkeypatch.setenv("EASEL_CACHE_DIR", str(tmp_path))
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    signed = sign_image(out.getvalue(), METADATA, identity)
    contents = {
        "valid": signed,
        "changed": signed[:-20] + b"?" + signed[-19:],
        "unsigned": out.getvalue(),
        "text": b"x",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: str(tmp_path / name) for name in (*contents, "nowhere")}


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["valid"], 0),
        (["changed"], 1),
        (["valid", "unsigned"], 1),
        (["text"], 2),
        (["nowhere"], 2),
        (["unsigned", "text", "valid"], 2),
    ],
)
def test_the_exit_status_is_that_of_the_worst_file(files, names, code, capsys):
    assert main(["verify", *(files[name] for name in names)]) == code
    assert capsys.readouterr().out.count(": ") >= len(names)


def test_a_table_has_one_line_for_each_thing(files, capsys):
    main(["verify", files["valid"]])
    first, *lines = capsys.readouterr().out.splitlines()
    rows = dict(line.strip().split("  ", 1) for line in lines)
    assert first == f"{files['valid']}: valid"
    assert rows["prompt"].strip() == "a red apple"
    assert rows["signed by"].strip().endswith("(self-made certificate, which nobody vouches for)")


def test_json_is_a_list_and_an_authority_that_is_given_is_trusted(files, identity, tmp_path, capsys):
    (tmp_path / "root.pem").write_bytes(identity.chain[identity.chain.rindex(b"-----BEGIN") :])
    assert main(["verify", "--json", "--trust", str(tmp_path / "root.pem"), files["valid"]]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["file"], found["state"], found["trust"]) == (files["valid"], "valid", "trusted")
    assert found["parameters"] == METADATA


@pytest.mark.parametrize("name", ["text", "nowhere"])
def test_a_file_of_authorities_that_is_none_is_refused(files, name, capsys):
    assert main(["verify", "--trust", files[name], files["valid"]]) == 2
    assert "--trust" in capsys.readouterr().err
