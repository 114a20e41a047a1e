"""Reads `predict.py` and `train.py` without running them, as `cog build` does, and refuses what Cog would lose.

Cog's parser (replicate/cog, pkg/schema/python: target.go, inputs.go, literals.go, mid 2026) copies literals as they
stand in the source. It drops without a word a limit or a description that it would have to compute, and it reads some
literals as something else than Python does: a text is cut out between its first and its last quote.
"""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from easel.schema.inputs import (
    INPUT_TYPES,
    OUTPUT_TYPES,
    Runner,
    RunnerInput,
    SchemaError,
    Trainer,
    ValueType,
    contradictions,
)

_Function = ast.FunctionDef | ast.AsyncFunctionDef
Output = TypeVar("Output")
_FROM_COG = {"Path", "Secret"}
_KEYWORDS = [name for name in RunnerInput.__dataclass_fields__ if name not in ("name", "type")]
_DROPPED = object()

# What Go's strconv reads in every place where Cog uses it. `- 1`, `+1` and, as a limit, `0x10` are dropped.
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")


@dataclass(frozen=True)
class _Source:
    filename: str
    text: str
    from_cog: frozenset[str]

    def written(self, node: ast.AST) -> str:
        return ast.get_source_segment(self.text, node) or ""

    def refuse(self, node: ast.AST, sentence: str) -> SchemaError:
        return SchemaError(f"{self.filename}:{getattr(node, 'lineno', 1)}: {sentence}")


def read_runner(path: Path) -> Runner:
    """Return the one `BaseRunner` of the file.

    Raises `SchemaError` with every problem found, as `predict.py:LINE: ...`.
    """
    source, tree = _read_file(path)
    runner = _find_runner(source, tree)
    run = _find_run(source, runner)
    inputs, output = _read_signature(source, run, 1, _read_output)
    return Runner(runner.name, inputs, output)


def read_trainer(path: Path) -> Trainer:
    """Return the function `train` of the file. Raises `SchemaError` with every problem found."""
    source, tree = _read_file(path)
    train = _find_function(source, tree, tree.body, "train")
    models = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}

    def read_fields(source: _Source, train: _Function) -> dict[str, ValueType]:
        model = models.get(source.written(train.returns)) if train.returns else None
        if model is None or [source.written(base) for base in model.bases] != ["BaseModel"]:
            raise source.refuse(train, "output: return a class of this file that derives from cog's BaseModel")
        return _read_fields(source, model)

    inputs, output = _read_signature(source, train, 0, read_fields)
    return Trainer(inputs, output)


def _read_file(path: Path) -> tuple[_Source, ast.Module]:
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except FileNotFoundError as error:
        raise SchemaError(f"{path} is missing") from error
    except SyntaxError as error:
        raise SchemaError(f"{path.name}:{error.lineno}: this is not Python: {error.msg}") from error
    return _Source(path.name, text, _imported_from_cog(tree)), tree


def _read_signature(
    source: _Source,
    function: _Function,
    skipped: int,
    read_output: Callable[[_Source, _Function], Output],
) -> tuple[tuple[RunnerInput, ...], Output]:
    parameters = function.args.args
    values = [None] * (len(parameters) - len(function.args.defaults)) + list(function.args.defaults)
    inputs, problems = [], []
    for parameter, value in list(zip(parameters, values, strict=True))[skipped:]:
        try:
            inputs.append(_read_input(source, parameter, value))
        except SchemaError as error:
            problems.append(str(error))
    try:
        output = read_output(source, function)
    except SchemaError as error:
        problems.append(str(error))
    if problems:
        raise SchemaError("\n".join(problems))
    return tuple(inputs), output


def _imported_from_cog(tree: ast.Module) -> frozenset[str]:
    """Return what `from cog import ...` binds under Cog's own name; Cog recognises these names and no others."""
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "cog"]
    return frozenset(name.name for node in imports for name in node.names if name.asname in (None, name.name))


def _find_runner(source: _Source, tree: ast.Module) -> ast.ClassDef:
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    runners = [node for node in classes if "BaseRunner" in [source.written(base) for base in node.bases]]
    if len(runners) != 1 or "BaseRunner" not in source.from_cog:
        raise source.refuse(tree, f"exactly one class must derive from cog's BaseRunner; {len(runners)} name it")
    return runners[0]


def _find_run(source: _Source, runner: ast.ClassDef) -> _Function:
    run = _find_function(source, runner, runner.body, "run")
    if not run.args.args or run.args.args[0].arg != "self":
        raise source.refuse(run, "run: the first parameter must be self")
    return run


def _find_function(source: _Source, place: ast.Module | ast.ClassDef, body: list[ast.stmt], name: str) -> _Function:
    found = [node for node in body if isinstance(node, _Function) and node.name == name]
    if not found:
        raise source.refuse(place, f"{getattr(place, 'name', source.filename)} has no {name}()")
    function = found[-1]  # the last one is the one that Python keeps
    if function.decorator_list:
        raise source.refuse(function, f"{name}: a decorator may change what Cog publishes, and is not read; remove it")
    if any([*function.args.posonlyargs, function.args.vararg, *function.args.kwonlyargs, function.args.kwarg]):
        raise source.refuse(function, f"{name}: Cog takes plain parameters, without *, /, *args or **kwargs")
    return function


def _read_fields(source: _Source, model: ast.ClassDef) -> dict[str, ValueType]:
    fields = {}
    for node in model.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name) or node.value:
            raise source.refuse(node, f"{model.name}: write fields as `name: type` alone")
        fields[node.target.id] = _read_type(source, node.target.id, node.annotation)
    return fields


def _read_output(source: _Source, run: _Function) -> ValueType:
    if run.returns is None:
        raise source.refuse(run, "output: the return type is missing; Cog needs it")
    output = _read_type(source, "output", run.returns)
    if output.optional or output.name not in OUTPUT_TYPES:
        raise source.refuse(run.returns, "output: Cog refuses `| None` and Secret; return a value or raise an error")
    return output


def _read_type(source: _Source, name: str, annotation: ast.expr) -> ValueType:
    node, optional, many = annotation, False, False
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        sides = [side for side in (node.left, node.right) if source.written(side) != "None"]
        optional, node = len(sides) == 1, (sides or [node])[0]
    if isinstance(node, ast.Subscript) and source.written(node.value) == "list":
        many, node = True, node.slice
    if not isinstance(node, ast.Name) or node.id not in INPUT_TYPES or not (optional or many or node is annotation):
        allowed = "str, int, float, bool, Path, Secret, a list[...] of one of them, or any of these with `| None`"
        raise source.refuse(annotation, f"{name}: use {allowed}, not {source.written(annotation)}")
    if node.id in _FROM_COG and node.id not in source.from_cog:
        raise source.refuse(annotation, f"{name}: import {node.id} from cog; Cog takes any {node.id} for its own")
    return ValueType(node.id, many, optional)


def _read_input(source: _Source, parameter: ast.arg, value: ast.expr | None) -> RunnerInput:
    name = parameter.arg
    if parameter.annotation is None:
        raise source.refuse(parameter, f"{name}: the type is missing; Cog needs it")
    value_type = _read_type(source, name, parameter.annotation)
    if not isinstance(value, ast.Call) or source.written(value.func) != "Input" or "Input" not in source.from_cog:
        raise source.refuse(parameter, f"{name}: write Input(description=...), with Input imported from cog")
    if value.args:
        raise source.refuse(value, f"{name}: Cog drops what stands in Input() without a name; write default=...")
    item, nodes = RunnerInput(name, value_type), {}
    for keyword in value.keywords:
        if keyword.arg not in _KEYWORDS:
            given = f"{keyword.arg}=" if keyword.arg else "**"
            raise source.refuse(keyword.value, f"{name}: use {', '.join(_KEYWORDS)} in Input(), not {given}")
        nodes[keyword.arg] = keyword.value
        item = _with_keyword(source, item, keyword)
    for key, sentence in contradictions(item):
        raise source.refuse(nodes.get(key, value), f"{name}: {sentence}")
    return item


def _with_keyword(source: _Source, item: RunnerInput, keyword: ast.keyword) -> RunnerInput:
    """Return the input with `key=value` added."""
    key, node = keyword.arg, keyword.value
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        sentence = "must be a literal; Cog does not run this file, and drops or refuses anything else"
        raise source.refuse(node, f"{item.name}: {key} {sentence}") from error
    if value is None and key not in ("default", "description"):
        raise source.refuse(node, f"{item.name}: leave {key} out; Cog fails on, or drops, a None there")
    seen = _as_cog_reads(source, node, source.written(keyword).partition("=")[2].strip())
    if repr(seen) != repr(value):
        rule = "write it as one plain literal, without parentheses, escapes or a second text beside it"
        raise source.refuse(node, f"{item.name}: Cog reads this {key} differently from Python; {rule}")
    given: dict[str, Any] = {str(key): tuple(value) if key == "choices" and isinstance(value, list) else value}
    return replace(item, **given)


def _as_cog_reads(source: _Source, node: ast.expr, written: str) -> object:
    """Return what literals.go makes of the text of a value; `_DROPPED` where it gives up."""
    if isinstance(node, ast.List) and written.startswith("["):
        return [_as_cog_reads(source, element, source.written(element)) for element in node.elts]
    if written in ("None", "True", "False"):
        return ast.literal_eval(written)
    if number := _PLAIN_NUMBER.fullmatch(written):
        return float(written) if any(number.groups()) else int(written)
    for quotes in ('"""', "'''"):
        if written.startswith(quotes):
            return written[3:-3]
    for opening in ('"', "'", 'r"', "r'"):
        if written.startswith(opening):
            return written[len(opening) : -1]
    return _DROPPED
