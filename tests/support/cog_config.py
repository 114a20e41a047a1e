"""What `cog build` of release 0.23 accepts in cog.yaml, as far as this repository uses it, and a little stricter.

Cog's command is not on the package index, so this stands in for it. The facts are from replicate/cog, 2025 and 2026:
docs/yaml.md and pkg/config (validate.go, env.go, config_schema_v1.0.json), and pull requests 2274 (environment), 2771
(sdk_version) and 2996 (CUDA and torch). Cog has more keys, such as `image`, `concurrency` and `weights`.
"""

import ast
import re
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

KEYS = {"build": dict, "environment": list, "run": str, "train": str}
BUILD_KEYS = {
    "gpu": bool,
    "cuda": str,
    "python_version": str,
    "python_requirements": str,
    "system_packages": list,
    "sdk_version": str,
    "run": list,
}
# The releases of CUDA for which Cog has base images, of those that a torch of 2026 is built for.
CUDA_RELEASES = ("12.6.3", "12.8.0", "12.8.1", "12.9.0", "12.9.1", "13.0.3", "13.1.2", "13.2.0", "13.2.1")
SET_BY_COG = (
    *("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "PYTHONUNBUFFERED", "LIBRARY_PATH"),
    *("R8_*", "REPLICATE_*", "CUDA_*", "NVIDIA_*", "NV_*", "PGET_*", "KUBERNETES_*"),
    *("HF_ENDPOINT", "HF_HUB_ENABLE_HF_TRANSFER"),
)
OLDEST_PYTHON, OLDEST_SDK = (3, 10), (0, 17)  # before SDK 0.17, inputs are not read from the source


def config_problems(text: str, root: Path) -> list[str]:
    """What Cog would refuse in a cog.yaml of the folder `root`, or would do otherwise than it says; a line each."""
    config = yaml.safe_load(text)
    problems = [*wrong_keys(config, KEYS, ""), *wrong_keys(config.get("build", {}), BUILD_KEYS, "build.")]
    if problems:
        return problems
    build = config.get("build", {})
    return [
        *python_problems(build),
        *cuda_problems(build),
        *requirements_problems(build.get("python_requirements"), root),
        *(problem for command in build.get("run", []) for problem in command_problems(command)),
        *code_problems("run", config.get("run", ""), root),
        *(code_problems("train", config["train"], root) if "train" in config else []),
        *environment_problems(config.get("environment", [])),
    ]


def wrong_keys(mapping: dict, keys: dict[str, type], prefix: str) -> list[str]:
    unknown = [f"{prefix}{key}: no such key" for key in mapping.keys() - keys]
    wrong = [
        f"{prefix}{key}: {value!r} is no {keys[key].__name__}"
        for key, value in mapping.items()
        if key in keys and type(value) is not keys[key]
    ]
    return unknown + wrong


def python_problems(build: dict) -> list[str]:
    problems = []
    for key, oldest in (("python_version", OLDEST_PYTHON), ("sdk_version", OLDEST_SDK)):
        found = build.get(key, "")
        if not re.fullmatch(r"\d+\.\d+(\.\d+)?", found) or release(found) < oldest:
            problems.append(f"build.{key}: {found!r} is not a release from {'.'.join(map(str, oldest))} on")
    return problems


def cuda_problems(build: dict) -> list[str]:
    cuda, gpu = build.get("cuda"), build.get("gpu", False)
    if not gpu:
        return ["build.cuda: without gpu it has no effect"] if cuda else []
    if cuda is None:
        return ["build.cuda: Cog cannot guess it for a torch newer than its own list"]
    if cuda not in CUDA_RELEASES and cuda not in {known.rpartition(".")[0] for known in CUDA_RELEASES}:
        return [f"build.cuda: Cog has no base image for {cuda}"]
    return []


def requirements_problems(name: str | None, root: Path) -> list[str]:
    if name is None or not (root / name).is_file():
        return [f"build.python_requirements: there is no file {name}"]
    text = (root / name).read_text().replace("\\\n", " ")
    lines = (re.sub(r"#.*|\s--hash=\S+", "", line).strip() for line in text.splitlines())
    return [f"{name}: {line} is not pinned" for line in lines if line and not re.fullmatch(r"[\w-]+==[\w.]+", line)]


def command_problems(command: object) -> list[str]:
    if not isinstance(command, str):
        return [f"build.run: {command!r} is no str"]
    return [f"build.run: {command!r} has more than one line"] if "\n" in command.strip() else []


def code_problems(key: str, place: str, root: Path) -> list[str]:
    """A runner is a class, and a trainer a function."""
    example, kind, node_type = {
        "run": ("run.py:Runner", "class", ast.ClassDef),
        "train": ("train.py:train", "function", ast.FunctionDef),
    }[key]
    path, colon, name = place.partition(":")
    if not (path.endswith(".py") and colon and name):
        return [f"{key}: {place!r} is not of the form {example}"]
    if not (root / path).is_file():
        return [f"{key}: there is no file {path}"]
    found = {node.name for node in ast.parse((root / path).read_text()).body if isinstance(node, node_type)}
    return [] if name in found else [f"{key}: {path} has no {kind} {name}"]


def environment_problems(entries: list) -> list[str]:
    names, problems = [], []
    for entry in entries:
        name, equals, _ = str(entry).partition("=")
        if not isinstance(entry, str) or not equals or not name:
            problems.append(f"environment: {entry!r} is not of the form NAME=value")
        elif any(fnmatchcase(name, pattern) for pattern in SET_BY_COG):
            problems.append(f"environment: {name} is Cog's own")
        elif name in names:
            problems.append(f"environment: {name} stands twice")
        names.append(name)
    return problems


def release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
