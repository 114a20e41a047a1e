"""What Modal is told: the app as it is after the import, against the table of settings and docs/modal.md."""

import subprocess
import sys

import pytest

from easel.errors import InputError, WeightsError
from easel.platforms.on_modal.settings import (
    CONCURRENT,
    PREDICTOR,
    PULL,
    SERVER,
    SERVER_NAMES,
    TABLES,
    TRAIN,
    Deployment,
)
from tests.on_modal.common import import_app
from tests.support.serving import REPOSITORY


def deployment(**environ: str) -> Deployment:
    return Deployment.from_environ(REPOSITORY, environ)


def spec_of(thing):
    """What Modal keeps of a decorator's parameters, for `modal shell`: private, and only looked at where it is."""
    for name in ("_get_class_service_function", "_get_service_function"):
        thing = getattr(thing, name)() if hasattr(thing, name) else thing
    spec = getattr(thing, "_spec_", None)
    if spec is None:
        pytest.skip("this version of modal keeps the parameters elsewhere: not compared")
    return spec


@pytest.mark.parametrize("name", ["emoji", "z-image-turbo"])
def test_the_app_is_imported_without_a_network_an_account_or_torch(name):
    program = """
import socket, sys
def refuse(*_): raise AssertionError("a connection")
socket.socket.connect = refuse
import modal_app
print(sorted({"torch", "diffusers", "cog"} & sys.modules.keys()), modal_app.DEPLOYMENT.model.name)
"""
    environ = {"EASEL_MODEL": name, "PATH": "", "HOME": "/nonexistent", "PYTHONPATH": "src"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=REPOSITORY, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == (f"[] {name}", "")


@pytest.mark.parametrize("name", ["emoji", "z-image-turbo"])
def test_resources_are_those_of_the_table(name):
    app = import_app(EASEL_MODEL=name)
    gpu = name == "z-image-turbo"
    for thing, table in ((app.Predictor, PREDICTOR), (app.Api, SERVER), (app.pull_weights, PULL), (app.train, TRAIN)):
        spec = spec_of(thing)
        wanted = {one.name: one.gpu if gpu else one.cpu for one in table}
        assert spec.gpus == wanted.get("gpu")
        assert (spec.cpu, spec.memory) == (wanted["cpu"], wanted.get("memory"))
        assert not spec.scheduler_placement or not spec.scheduler_placement.regions


def test_weights_are_written_by_what_fetches_and_read_by_the_others(app):
    mounts = {thing: spec_of(getattr(app, thing)).volumes for thing in ("pull_weights", "train", "Predictor", "Api")}
    assert {thing: sorted(map(str, volumes)) for thing, volumes in mounts.items()} == {
        "pull_weights": ["/weights"],
        "train": ["/trainings", "/weights"],
        "Predictor": ["/weights"],
        "Api": ["/data", "/weights"],
    }
    options = {thing: getattr(volumes["/weights"], "_mount_options", None) for thing, volumes in mounts.items()}
    if not options["Predictor"]:
        pytest.skip("this version of modal keeps a mount's options elsewhere: not compared")
    assert options["pull_weights"] is options["train"] is None
    assert options["Predictor"].read_only is options["Api"].read_only is True


def test_every_setting_reaches_its_decorator():
    one = deployment(EASEL_MODEL="z-image-turbo")
    assert {**one.predictor(), **one.concurrent()} == {each.name: each.gpu for each in PREDICTOR}
    assert set(one.concurrent()) == set(CONCURRENT)
    assert one.server() == {SERVER_NAMES.get(each.name, each.name): each.gpu for each in SERVER} | {"port": 8000}
    assert one.pull() == {each.name: each.gpu for each in PULL}
    assert one.train() == {each.name: each.gpu for each in TRAIN}


def test_the_flagship_is_the_default_and_a_gpu_snapshot_is_asked_for():
    assert deployment().model.name == "z-image-turbo"
    assert "experimental_options" not in deployment().predictor()
    asked = deployment(EASEL_MODAL_GPU_SNAPSHOT="1")
    assert asked.predictor()["experimental_options"] == {"enable_gpu_snapshot": True}
    assert asked.environ["EASEL_MODAL_GPU_SNAPSHOT"] == "1"  # for the same decision in the container
    assert not deployment(EASEL_MODEL="emoji", EASEL_MODAL_GPU_SNAPSHOT="1").gpu_snapshot


def test_containers_get_the_options_of_the_model_and_no_secret():
    given = {"EASEL_ATTENTION": "1", "EASEL_API_TOKENS": "token-12345", "REPLICATE_API_TOKEN": "r8_x", "HOME": "/root"}
    assert deployment(**given).environ == {"EASEL_MODEL": "z-image-turbo", "EASEL_ATTENTION": "1"}


@pytest.mark.parametrize(
    ("environ", "error", "words"),
    [
        ({"EASEL_COMPILE": "1"}, InputError, "EASEL_COMPILE=1 is not used on Modal"),
        ({"EASEL_MODAL_GPU_SNAPSHOT": "yes"}, InputError, "EASEL_MODAL_GPU_SNAPSHOT is 'yes'; it may be 1"),
        ({"EASEL_MODEL": "nothing"}, WeightsError, "There is no model 'nothing'"),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_is_deployed(environ, error, words):
    with pytest.raises(error, match=words):
        deployment(**environ)


def test_docs_show_the_tables():
    lines = (REPOSITORY / "docs/modal.md").read_text(encoding="utf-8").splitlines()
    for table in TABLES.values():
        for one in table:
            values = f"`{one.gpu}`" if one.gpu == one.cpu else f"`{one.gpu}`; emoji `{one.cpu}`"
            assert f"| `{one.name}` | {values} | {one.reason} |" in lines


def test_modal_puts_the_app_where_the_image_has_the_repository(app):
    """`ROOT` is the file's own folder, so Modal's place of the file and ours of the rest must be one."""
    from modal._utils import function_utils  # private: skipped where it is not there any more

    root = getattr(function_utils, "ROOT_DIR", None) or pytest.skip("this version of modal does not say where")
    assert str(root) == app.REMOTE
