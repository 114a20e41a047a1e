"""EASEL_COMPILE=1: the transformer's blocks, and on CUDA the VAE's decoder, by torch.compile.

What was compiled is kept for the next start.
"""

import hashlib
import os
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.fx.experimental._config as shapes
from torch._dynamo.utils import counters
from torch._inductor.async_compile import shutdown_compile_workers
from torch._inductor.runtime.cache_dir_utils import cache_dir

from easel.files import disk_errors, write_atomically
from easel.logs import first_line

ARTIFACTS = "artifacts"  # in the kept file; the other members are libraries, by their paths in inductor's folder


def compile_modules(
    transformer: torch.nn.Module,
    whole: Sequence[torch.nn.Module],
    warm_up: Callable[[], None],
    cache_folder: Path,
    key: str,
    log: Callable[[str], None],
) -> None:
    """Compile the transformer's repeated blocks, and each module in `whole` as one graph, in place.

    They fit what `warm_up` calls them with, at any size and any number of tokens: each dimension is a variable of its
    own. (By default dynamo takes two of the same size in its first call for one, and a prompt padded to 32 tokens met
    a rotary embedding 32 wide: every other length was then another graph.)

    What was compiled is kept in `cache_folder`/compile under `key`, which must name all that it depends on. Whatever
    goes wrong is logged, and the blocks run uncompiled then.

    Afterwards nothing is compiled any more: a call that the compiled blocks do not fit (a LoRA, another batch size)
    runs uncompiled. A request never waits for a compiler, nor starts threads, in which a cancel could hang it.
    """
    kept = cache_folder / "compile" / f"{hashlib.sha256(key.encode()).hexdigest()}.bin"
    began = time.perf_counter()
    try:
        loaded = load_kept(kept, key, log)
        prepare(transformer, whole)
        misses = counters["inductor"]["fxgraph_cache_miss"]
        with warnings.catch_warnings(), shapes.patch(use_duck_shape=False):  # type: ignore[attr-defined]  # torch adds it at run time
            # Z-Image's rotary embedding is complex; that part alone runs as it does uncompiled.
            warnings.filterwarnings("ignore", "Torchinductor does not support code generation for complex operators")
            warnings.filterwarnings("ignore", "Guards may run slower on Python 3.13.0")  # only there
            warm_up()
        fresh = counters["inductor"]["fxgraph_cache_miss"] > misses
    except Exception as error:  # a compiler that is missing or fails shows itself in many kinds
        for module in (transformer, *whole):
            run_uncompiled(module)
        log(f"compile: the model stays uncompiled: {first_line(error)}")
        return
    finally:
        shutdown_compile_workers()
    torch.compiler.set_stance("eager_on_recompile")
    log(f"compile: {time.perf_counter() - began:.1f} s{'' if fresh else ', with what an earlier start has kept'}")
    if fresh or not loaded:
        save_kept(kept, key, log)


def prepare(transformer: Any, whole: Sequence[torch.nn.Module], **options: Any) -> None:
    """Have torch compile these at their next call; `options` are those of torch.compile."""
    transformer.compile_repeated_blocks(fullgraph=True, dynamic=True, **options)
    for module in whole:
        module.compile(fullgraph=True, dynamic=True, **options)


def run_uncompiled(compiled: torch.nn.Module) -> None:
    for module in compiled.modules():
        module._compiled_call_impl = None  # noqa: SLF001 -- torch offers no other way back


def load_kept(path: Path, key: str, log: Callable[[str], None]) -> bool:
    """Hand inductor what an earlier start has compiled. A file that is damaged or of another key is left alone."""
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as kept:
            if kept.comment != key.encode():
                raise ValueError("it was made for something else")
            artifacts = kept.read(ARTIFACTS)
            unpack_libraries(kept, Path(cache_dir()))
        if torch.compiler.load_cache_artifacts(artifacts) is None:
            raise ValueError("torch cannot read it")
    except (OSError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        log(f"compile: {path} is ignored ({error}); it will be made anew")
        return False
    return True


def unpack_libraries(kept: zipfile.ZipFile, folder: Path) -> None:
    """Each appears whole, since another process may load it at this moment."""
    with TemporaryDirectory(dir=folder) as temporary:
        for name in kept.namelist():
            target = folder / name
            if name != ARTIFACTS and not target.exists():
                source = Path(kept.extract(name, temporary))
                source.chmod(0o755)
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)


def save_kept(path: Path, key: str, log: Callable[[str], None]) -> None:
    """torch's own artifacts hold a GPU's kernels, but only the source of those for a CPU: libraries go along."""
    saved = torch.compiler.save_cache_artifacts()
    if saved is None:
        log("compile: nothing can be kept for the next start: torch gives no artifacts")
        return
    folder = Path(cache_dir())
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as kept:
                kept.comment = key.encode()
                kept.writestr(ARTIFACTS, saved[0])
                for library in sorted(folder.rglob("*.so*")):  # and inductor's marks that one can be loaded
                    kept.write(library, library.relative_to(folder).as_posix())
    except Exception as error:
        log(f"compile: nothing is kept for the next start: {first_line(error)}")


def compile_key(digest: str, device: torch.device) -> str:
    """Return what a compiled block depends on: torch, the device, the processor's vector instructions, the weights'
    shapes.
    """
    if device.type == "cuda":
        chip = torch.cuda.get_device_name(device)
    else:
        chip = f"{torch.backends.cpu.get_cpu_capability()}, {os.uname().machine}"
    return f"torch {torch.__version__}, {device.type}, {chip}, {digest}, one graph"
