"""DESIGN rules 1 and 5: who may import what, and that importing does nothing else."""

import ast
import functools
import json
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
HEAVY = {"torch", "torchvision", "diffusers", "transformers", "accelerate", "peft", "cog", "coglet"}
WITH_TORCH = {  # the others start at once
    "easel.lora.adapter",
    *(f"easel.batch.{name}" for name in ("__main__", "paint", "run")),
    *(
        f"easel.inference.{name}"
        for name in ("attention", "compile", "embeddings", "engine", "float8", "go_fast", "held")
    ),
    *(f"easel.inference.{name}" for name in ("loader", "memory", "pipeline", "previews", "restore", "safety")),
    *(f"easel.inference.{name}" for name in ("staging", "startup", "tensors", "trained")),
    *(f"easel.training.{name}" for name in ("__main__", "checkpoint", "flow", "layers", "loop", "output", "prepare")),
    "easel.platforms.on_modal.trainings",
    "easel.training.vision_measure",
    *(
        f"easel.training.{name}"
        for name in ("drawing", "quality", "quality_page", "run", "service", "training_adapter")
    ),
}
RUNNERS = {"predict.py", "train.py"}
ONLY_MAKES_A_VALUE = """
Annotated ConfigDict Endpoint Field Figure Index Input JSON MappingProxyType Metric Options Passed Path
Path(__file__).resolve Setting String TypeVar field frozenset mapped_column np.dtype object pa.binary pa.float64
pa.int64 pa.list_ pa.schema pa.string range re.compile torch.device
"""

# Modal learns what to deploy by importing this file: what these names stand for has to be made then. Cog finds what it
# is to call before the first training on the function itself.
MADE_AT_IMPORT = {
    "modal_app.py": ["DEPLOYMENT", "app", "image", "weights", "data", "trainings", "weights_to_read"],
    "train.py": ["train.setup"],
}


def module_name(path):
    return ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_name(path): path for path in sorted(SRC.rglob("*.py"))}
LIGHT = sorted(FILES.keys() - WITH_TORCH)


@functools.cache
def imports(path):
    """Every module that a file names in an import, on whatever line, with the packages around it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: name the module in full"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names | {name.rpartition(".")[0] for name in names if name in FILES}


def reached_from(module):
    """All modules that a module of Easel imports, directly or through other modules of Easel."""
    seen, waiting = set(), {module}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        if name in FILES:
            waiting |= imports(FILES[name]) - seen
    return seen


def room_of(module):
    """The folder of `easel`, or the module at its top, that a module belongs to."""
    return module.split(".")[1] if "." in module else module


def packages(names):
    return {name.partition(".")[0] for name in names}


def is_name(target):
    return isinstance(target, ast.Name) or all(isinstance(part, ast.Name) for part in target.elts)


def statements_that_work(body):
    """The statements that do more at import than to name modules, values, functions and classes."""
    for node in body:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
                continue
            case ast.ClassDef():
                yield from statements_that_work(node.body)
                continue
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                values = [*node.args.defaults, *(value for value in node.args.kw_defaults if value)]
            case ast.Assign(targets=[ast.Name() | ast.Tuple() as target], value=value) if is_name(target):
                values = [value]
            case ast.AnnAssign(target=ast.Name(), value=value):
                values = [value] if value else []
            case ast.If(test=test) if ast.unparse(test) in ("__name__ == '__main__'", "TYPE_CHECKING"):
                continue
            case _:
                yield ast.unparse(node)
                continue
        calls = [part for value in values for part in ast.walk(value) if isinstance(part, ast.Call)]
        if {ast.unparse(call.func) for call in calls} - set(ONLY_MAKES_A_VALUE.split()):
            yield ast.unparse(node)


def test_no_light_module_reaches_torch_or_cog():
    assert {module for module in LIGHT if packages(reached_from(module)) & HEAVY} == set()


def test_what_the_design_calls_light_is_among_the_modules_read():
    light = "errors sizes request plan models weights.manifest schema.openapi local.client cli.main images.encode"
    light += " training.dataset"
    assert {f"easel.{name}" for name in light.split()} <= set(LIGHT)


def test_imports_are_followed_through_easels_own_modules():
    assert {"torch", "diffusers"} <= packages(reached_from("easel.inference.pipeline"))
    assert "easel.errors" in reached_from("easel.plan")


def test_only_the_runner_and_the_trainer_import_cog():
    files = [*ROOT.glob("*.py"), *SRC.rglob("*.py"), *(ROOT / "recipes").rglob("*.py")]
    importers = {str(path.relative_to(ROOT)) for path in files if packages(imports(path)) & {"cog", "coglet"}}
    assert importers == {name for name in RUNNERS if (ROOT / name).is_file()}


def test_nothing_in_src_imports_the_runner_or_the_trainer():
    runners = {name.removesuffix(".py") for name in RUNNERS}
    assert {module for module, path in FILES.items() if packages(imports(path)) & runners} == set()


def test_no_module_imports_itself_by_way_of_others():
    """Imports inside functions and for types alone count as well."""
    graph = {module: imports(path) & FILES.keys() - {module} for module, path in FILES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_no_room_imports_itself_by_way_of_others():
    graph = {}
    for module, path in FILES.items():
        graph.setdefault(room_of(module), set()).update(room_of(name) for name in imports(path) & FILES.keys())
    TopologicalSorter({room: others - {room} for room, others in graph.items()}).prepare()


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("archives", {"lora", "weights", "inference", "images", "net", "api", "training"}),
        ("net", {"lora", "weights", "inference", "images", "api"}),
        ("weights", {"lora", "images", "inference", "request", "plan"}),
        ("images", {"lora", "weights", "inference", "net", "plan", "request"}),
        ("plan", {"images", "net", "weights", "lora", "inference"}),
        ("schema", {"inference", "lora", "weights", "net"}),
    ],
)
def test_a_room_knows_nothing_of_those_above_it(room, forbidden):
    """DESIGN rules 1 and 8: two threat models, two rooms, and a plan that does no I/O."""
    inside = [module for module in FILES if room_of(module) == room]
    assert inside
    reached = {room_of(name) for module in inside for name in reached_from(module) & FILES.keys()}
    assert reached & forbidden == set()


@pytest.mark.slow
def test_importing_all_light_modules_loads_no_torch_and_changes_nothing():
    program = f"""
import json, os, sys, threading
before = dict(os.environ)
import {", ".join(LIGHT)}
print(json.dumps([sorted(sys.modules), dict(os.environ) == before, threading.active_count()]))
"""
    path = os.pathsep.join([str(SRC), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path}, timeout=60
    )
    modules, same_environment, threads = json.loads(done.stdout)  # and nothing else was printed
    assert set(LIGHT) <= set(modules)
    assert packages(modules) & HEAVY == set()
    assert same_environment
    assert threads == 1
    assert done.stderr == ""


def test_no_file_does_work_at_import():
    work = {
        str(path.relative_to(ROOT)): [statement.partition(" = ")[0] for statement in found]
        for path in [*FILES.values(), *ROOT.glob("*.py")]
        if (found := list(statements_that_work(ast.parse(path.read_text(encoding="utf-8")).body)))
    }
    assert work == MADE_AT_IMPORT


@pytest.mark.parametrize(
    "statement",
    [
        "os.environ['HF_HUB_OFFLINE'] = '1'",
        "os.environ.setdefault('HF_HUB_OFFLINE', '1')",
        "logging.getLogger('diffusers').setLevel(40)",
        "torch.backends.cudnn.benchmark = True",
        "MODEL = load_model(Path('weights/emoji'))",
        "TOKEN: str = os.environ.get('TOKEN')",
        "NAMES = [path.name for path in Path('weights').iterdir()]",
        "class Settings:\n    home = os.getcwd()",
        "def run(token=os.environ.get('TOKEN')):\n    pass",
        "def run(*, token=os.environ.get('TOKEN')):\n    pass",
        "try:\n    import torch\nexcept ImportError:\n    torch = None",
        "if sys.platform == 'linux':\n    import resource",
        "for name in ('a', 'b'):\n    pass",
        "LOW, os.environ['HIGH'] = '1', '2'",
        "LOW = os.environ['HIGH'] = '1'",
        "print()",
        "del os.environ['HOME']",
    ],
)
def test_work_at_import_is_noticed(statement):
    assert list(statements_that_work(ast.parse(statement).body))


def test_values_functions_and_classes_are_not_work():
    text = """
"text"
import os
LOW, HIGH = 0, 2**32 - 1
PATTERN: re.Pattern = re.compile("a")
ROOT = Path(__file__).resolve().parents[2]
class Value:
    name: str
    sizes: dict = field(default_factory=dict)
    def load(self, low=1, *, high=2):
        return os.environ["HOME"]
if __name__ == "__main__":
    main()
"""
    assert list(statements_that_work(ast.parse(text).body)) == []
