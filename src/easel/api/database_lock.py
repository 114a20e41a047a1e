"""A lock in Postgres, so that one `easel api` at a time works with a database."""

import asyncio
from contextlib import suppress

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from easel.errors import InputError

NUMBER = 0x6561736C  # "easl"
TRIES = 50  # for 5 s: one that was killed just now is soon noticed
PAUSE_S = 0.1
WATCH_S = 1.0
GONE = (SQLAlchemyError, OSError)


class DatabaseLock:
    """Held as long as its connection is, and no longer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._connection: AsyncConnection | None = None  # with the lock

    async def take(self) -> None:
        """Raise InputError if another process holds it, SQLAlchemyError or OSError without a database."""
        connection = await self._engine.connect()
        try:
            for _ in range(TRIES):
                if (await connection.execute(select(func.pg_try_advisory_lock(NUMBER)))).scalar():
                    await connection.commit()
                    self._connection = connection
                    return
                await asyncio.sleep(PAUSE_S)
        finally:
            if self._connection is not connection:
                with suppress(*GONE):
                    await connection.close()
        raise InputError("Another `easel api` works with this database. Stop it, or choose another DATABASE_URL.")

    async def keep(self) -> None:
        """Look for ever whether it is still held, and take it again. Raises InputError if another has it then."""
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                if self._connection:
                    await self._connection.execute(select(1))
                    await self._connection.commit()
                    continue
            except GONE:
                await self.release()
            with suppress(*GONE):  # The database is not back yet: look again.
                await self.take()

    async def release(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            with suppress(*GONE):  # It may be gone already.
                await connection.invalidate()
                await connection.close()
