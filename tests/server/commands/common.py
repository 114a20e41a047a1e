"""What the tests of the commands share."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


TIMEOUT_S = 30  # Far above what any command here needs; a hang must end.


RUNNER = '''
import os
import sys
import time
from pathlib import Path as File

from cog import BaseRunner, CancelationException, Input, Path
from PIL import Image


class Runner(BaseRunner):
    def setup(self) -> None:
        print("toy setup")
        if "TOY_FAILS" in os.environ:
            raise RuntimeError("the toy has no weights")

    def run(
        self,
        prompt: str = Input(description="Any text."),
        steps: int = Input(default=2, ge=1, le=100, description="Each takes 0.1 s."),
        image: Path | None = Input(default=None, description="Its bytes are counted in the metrics."),
        fail: bool = Input(default=False, description="Fail after the last step."),
    ) -> list[Path]:
        """Draw a bar, then save two images."""
        print(f"prompt: {prompt}", flush=True)
        try:
            for step in range(steps):
                sys.stderr.write(f"\\r{100 * step // steps:3}%|{'#' * step:{steps}}| {step}/{steps}")
                sys.stderr.flush()
                time.sleep(0.1)
        except CancelationException:
            File("canceled").touch()
            raise
        sys.stderr.write(f"\\r100%|{'#' * steps}| {steps}/{steps}\\n")
        if fail:
            raise ValueError("the toy was told to fail")
        self.record_metric("image_bytes", len(image.read_bytes()) if image else 0)
        files = [Path(f"toy.{k}.png") for k in range(2)]
        for k, file in enumerate(files):
            Image.new("RGB", (8, 8), (90 * k, 0, 0)).save(file)
        return files
'''


@contextmanager
def start(*arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "easel.cli", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()  # Its own handler stops the server.


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    with start(*arguments, **environment) as process:
        output, errors = process.communicate(timeout=TIMEOUT_S)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """Standard error up to the first line that matches."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if re.search(pattern, line):
            return "".join(lines)
    raise AssertionError(f"{pattern} never came:\n{''.join(lines)}")


def descendants(pid: int) -> list[int]:
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]  # Each thread has its own.
    children = [int(child) for text in lists for child in text.split()]
    return [*children, *(below for child in children for below in descendants(child))]


def still_alive(pids: list[int]) -> list[int]:
    """Which of the processes live on after a moment: the kernel needs one to end them."""
    deadline = time.monotonic() + 2
    while (alive := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
