"""The check of a training's images: the browser sends the archive here, and gets what `easel dataset check` says."""

import asyncio
import json
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from easel.page.proxy import NAMES, problem

MAX_BODY_BYTES = 100_000_000  # as much as an API takes as a file, where a training's images go next
CHECK_S = 300.0  # 1,000 photographs of 12 megapixels take about two minutes on one core
ASKED = ("model", "trigger_word", "caption_prefix", "caption_suffix", "resolution")
MAX_TEXT = 1000  # characters of each, more than any may have


class Datasets:
    """`weights`: the folder with the models that this machine knows. One archive is checked at a time."""

    def __init__(self, weights: Path) -> None:
        self._weights = weights
        self._turn = asyncio.Lock()
        self._newest = 0  # number of the archive that came last
        self._process: Process | None = None

    async def answer(self, request: Request) -> Response:
        """Return the report of the archive in the body, or 422 with why it cannot be trained on.

        A check gives way to one that comes later, and is then answered by 429.
        """
        size = request.headers.get("content-length", "")
        if not size.isdigit() or int(size) > MAX_BODY_BYTES:
            return problem(413, "Payload too large", f"An archive has at most {MAX_BODY_BYTES // 1_000_000} MB.")
        asked = dict(request.query_params)
        if not asked.keys() <= set(ASKED) or any(len(text) > MAX_TEXT for text in asked.values()):
            return problem(422, "Invalid", f"Only {', '.join(ASKED)} can be given, each up to {MAX_TEXT} characters.")
        if not NAMES.fullmatch(asked.setdefault("model", "-")):
            asked["model"] = ""
        self._newest += 1
        mine = self._newest
        self.close()
        try:
            async with self._turn:
                if mine != self._newest:
                    return newer()
                with tempfile.TemporaryDirectory(prefix="easel-dataset-") as folder:
                    archive = Path(folder, "input_images")  # which the errors name
                    with await asyncio.to_thread(archive.open, "wb") as file:
                        async for chunk in request.stream():
                            await asyncio.to_thread(file.write, chunk)
                    return newer() if mine != self._newest else await self._check(archive, asked, mine)
        except ClientDisconnect:
            return problem(400, "Not whole", "The archive did not arrive whole.")
        except asyncio.CancelledError:  # raised by uvicorn, which would report it as a failure of this function
            return problem(503, "Stopping", "The page is being stopped.")

    async def _check(self, archive: Path, asked: dict[str, str], mine: int) -> Response:
        command = ["-m", "easel.page.check_dataset", str(archive), str(self._weights), json.dumps(asked)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=DEVNULL, stdout=PIPE, start_new_session=True
        )
        self._process = process
        if mine != self._newest:  # it came while this one was started
            self.close()
        try:
            async with asyncio.timeout(CHECK_S):
                said, _ = await process.communicate()
        except TimeoutError:
            return problem(422, "Too slow", f"The check took over {CHECK_S:.0f} s. Choose fewer or smaller images.")
        finally:
            self._process = None
            if process.returncode is None:
                process.kill()
                await process.wait()
        if mine != self._newest:
            return newer()
        if process.returncode:
            return problem(500, "Not checked", "The images could not be checked: the terminal of the page says why.")
        report = json.loads(said)
        if "error" in report:
            return problem(422, "Unusable images", report["error"])
        return JSONResponse(report)

    def close(self) -> None:
        """End the check that goes on, if one does."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()


def newer() -> Response:
    return problem(429, "Too many checks", "Newer images came before these were checked.")
