"""What diffusers alone takes to load the same weights: the other side of the rows of server_rows."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gpu_check.context import Context, drop_from_page_cache, judge, weight_files
from gpu_check.rows import Outcome


@contextmanager
def lasting(context: Context) -> Iterator[None]:
    yield


def cold(context: Context, name: str) -> Outcome:
    drop_from_page_cache(context, weight_files(context.folder)["plain"])
    return load(context, name)


def warm(context: Context, name: str) -> Outcome:
    return load(context, name)


def load(context: Context, name: str) -> Outcome:
    began = time.time()
    command = [sys.executable, "-m", "gpu_check.plain_load", str(context.folder / "plain"), context.device]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    times = json.loads(done.stdout.splitlines()[-1])
    seconds, imports = times["ended"] - began, times["imported"] - began
    text = f"{seconds:.1f} s, of it imports {imports:.1f} s, file to device {seconds - imports:.1f} s"
    return judge(name, text, seconds=seconds, imports_s=imports, load_s=seconds - imports)
