"""The Planner's two routes: what it shows, and the answer to a question. One question is simulated at a time.

Nothing here needs the extra `plan` before the Planner is opened, and the page works without it.
"""

import asyncio
import sys
from asyncio.subprocess import DEVNULL
from contextlib import suppress
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from easel.errors import InputError
from easel.page.proxy import problem

MAX_BODY_BYTES = 3 * 2**20  # as many arrivals as may be asked, to the millisecond, take up to 13 bytes each
MAX_SENTENCE = 1000  # characters of an error, which may repeat what was sent
# In a process of its own, which can be ended at once, and which leaves this one free to answer.
COMPILE = """
from easel.page.answer import compile_simulation
from easel.platforms.prices import load_platforms
compile_simulation(load_platforms())
"""


class Planner:
    """`samples`: the folder with a profile and weeks to begin with; it may be missing. To be closed after use."""

    def __init__(self, samples: Path) -> None:
        self._samples = samples
        self._platforms: Any = None
        self._compiled: asyncio.Task[None] | None = None
        self._turn = asyncio.Condition()
        self._busy = False
        self._newest = 0  # number of the question that came last

    async def show(self, request: Request) -> Response:
        """Return all figures and samples, and whether the simulation is compiled; else `missing`, a package's name."""
        try:
            shown = await asyncio.to_thread(self._load)
        except ImportError as error:
            return JSONResponse({"missing": error.name})
        except InputError as error:
            return problem(500, "A file is wrong", str(error))
        return JSONResponse(shown | {"ready": self._compiling().done()})

    def _load(self) -> dict[str, Any]:
        from easel.page.answer import figures
        from easel.platforms.prices import load_platforms

        self._platforms = load_platforms()
        return figures(self._platforms, self._samples)

    def _compiling(self) -> asyncio.Task[None]:
        if self._compiled is None or (self._compiled.done() and self._compiled.exception()):
            self._compiled = asyncio.create_task(self._compile())
        return self._compiled

    async def _compile(self) -> None:
        """Have the simulation compiled into numba's cache, and load it from there."""
        from easel.page.answer import compile_simulation

        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", COMPILE, stdin=DEVNULL, stdout=DEVNULL, start_new_session=True
        )
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        await asyncio.to_thread(compile_simulation, self._platforms)

    async def answer(self, request: Request) -> Response:
        """Return the answer to a question. A question that waits gives way to a newer one, and is answered by 429."""
        size = request.headers.get("content-length", "")
        if not size.isdigit() or int(size) > MAX_BODY_BYTES:
            return problem(413, "Payload too large", f"A question has at most {MAX_BODY_BYTES // 2**20} MiB.")
        body = await request.body()
        try:
            return await self._answer_in_turn(body)
        except ImportError as error:
            return problem(501, "Not installed", f"The Planner needs {error.name}: pip install 'easel[plan]'.")
        except InputError as error:
            return problem(422, "Invalid question", str(error)[:MAX_SENTENCE])
        except asyncio.CancelledError:  # raised by uvicorn, which would report it as a failure of this function
            return problem(503, "Stopping", "The page is being stopped.")

    async def _answer_in_turn(self, body: bytes) -> Response:
        self._newest += 1
        mine = self._newest
        async with self._turn:
            self._turn.notify_all()
            await self._turn.wait_for(lambda: not self._busy or mine != self._newest)
            if mine != self._newest:
                return problem(429, "Too many questions", "A newer question came before this one was answered.")
            self._busy = True
        try:
            if self._platforms is None:
                await asyncio.to_thread(self._load)
            await asyncio.shield(self._compiling())
            return JSONResponse(await asyncio.to_thread(self._answer, body))
        finally:
            async with self._turn:
                self._busy = False
                self._turn.notify_all()

    def _answer(self, body: bytes) -> dict[str, Any]:
        from easel.page.answer import answer
        from easel.page.question import read_question

        return answer(read_question(body), self._platforms)

    async def close(self) -> None:
        """End the compilation, if it goes on."""
        if self._compiled is not None:
            self._compiled.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._compiled
