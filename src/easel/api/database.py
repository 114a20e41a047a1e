"""The database: SQLite in one file as it comes, or Postgres. What was accepted is on disk before it is answered."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, delete, event, func, inspect, select, tuple_, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import InstrumentedAttribute

from easel.api.cursors import read_cursor, write_cursor
from easel.api.database_errors import DatabaseError, RowRefusedError, kind_of, reason
from easel.api.database_lock import DatabaseLock
from easel.api.strict_json import read_json
from easel.api.tables import Base, ModelRow, Prediction, prepare_tables
from easel.errors import InputError

PAGE = 100  # Replicate's
BUSY_S = 5.0  # how long a write waits for another program's lock
RETRY_S = (0.1, 0.3, 1.0, 3.0)  # the last one again and again

MOST_KEPT_VALUES = 1_000_000  # of a column: only its depth and its numbers matter here
UNREADABLE = "easel:unreadable"  # the only member of what stands for a column that cannot be shown


Row = TypeVar("Row", bound=Base)


class Database:
    def __init__(self, url: str) -> None:
        """`url` as in DATABASE_URL: sqlite:///file or postgresql://user@host/name. Raises InputError for others."""
        self._sqlite = url.startswith("sqlite")
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise InputError(f"DATABASE_URL: {url!r} is not an address of a database.") from None
        drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
        kind = parsed.get_backend_name() if "+" in parsed.drivername else parsed.drivername
        if kind not in drivers:
            raise InputError(f"DATABASE_URL: {kind} is not supported. Use sqlite:///file or postgresql://...")
        self._engine = create_async_engine(
            parsed.set(drivername=drivers[kind]), connect_args={"timeout": BUSY_S} if self._sqlite else {},
            pool_pre_ping=not self._sqlite, json_deserializer=read_column,
        )  # fmt: skip
        if self._sqlite:
            event.listen(self._engine.sync_engine, "connect", configure_sqlite)
        self._session = async_sessionmaker(self._engine, expire_on_commit=False)
        self._lock = DatabaseLock(self._engine)
        self._writing = asyncio.Lock()  # SQLite has one writer, and waiting here is fairer than polling its lock.

    async def open(self) -> None:
        """Make the tables of an empty database. Raises InputError for another schema, or if it cannot be opened."""
        try:
            async with self._engine.begin() as connection:
                await connection.run_sync(prepare_tables)
            if not self._sqlite:  # There the lock on the folder does it.
                await self._lock.take()
        except (SQLAlchemyError, OSError) as error:
            raise InputError(f"The database cannot be opened: {reason(error)}") from None

    async def stay_alone(self) -> None:
        """Never return; raises InputError if another `easel api` has taken the database."""
        if self._sqlite:
            await asyncio.Event().wait()
        await self._lock.keep()

    async def close(self) -> None:
        await self._lock.release()
        await self._engine.dispose()

    async def save(self, *rows: Base) -> None:
        """Insert or update, all or none. Raises DatabaseError."""

        async def write(session: AsyncSession) -> None:
            for row in rows:
                await session.merge(row)

        await self._write(write)

    async def accept(self, prediction: Prediction) -> None:
        """Insert a prediction and count it as a run of its model. Raises DatabaseError."""

        async def write(session: AsyncSession) -> None:
            await session.merge(prediction)
            counted = update(ModelRow).where(ModelRow.key == prediction.model).values(run_count=ModelRow.run_count + 1)
            await session.execute(counted)

        await self._write(write)

    async def save_with_retry(self, *rows: Base) -> None:
        """Do as `save`, tried until it succeeds: for what has happened already. Raises RowRefusedError."""
        await retry_until_saved(lambda: self.save(*rows))

    async def set_with_retry(
        self, table: type[Base], key: Any, *conditions: ColumnElement[bool], **values: Any
    ) -> None:
        """These columns alone, of a row that fits, tried until it succeeds."""

        async def write(session: AsyncSession) -> None:
            await session.execute(
                update(table).where(inspect(table).primary_key[0] == key, *conditions).values(**values)
            )

        await retry_until_saved(lambda: self._write(write))

    async def replace(self, row: Base, *conditions: ColumnElement[bool]) -> None:
        """Put `row` in the place of those that fit, or of none, in one transaction."""

        async def write(session: AsyncSession) -> None:
            await session.execute(delete(type(row)).where(*conditions))
            await session.merge(row)

        await self._write(write)

    async def insert(self, row: Base) -> bool:
        """False if there is one with this key already. Raises DatabaseError."""

        async def write(session: AsyncSession) -> None:
            session.add(row)

        try:
            await self._write(write)
        except DatabaseError as error:
            if isinstance(error.__cause__, IntegrityError):
                return False
            raise
        return True

    async def remove(self, table: type[Base], *conditions: ColumnElement[bool]) -> None:
        async def write(session: AsyncSession) -> None:
            await session.execute(delete(table).where(*conditions))

        await self._write(write)

    async def _write(self, write: Any) -> None:
        try:
            async with self._writing, self._session.begin() as session:
                await write(session)
        except SQLAlchemyError as error:
            raise kind_of(error)(reason(error)) from error
        except (TypeError, ValueError, RecursionError, OverflowError) as error:  # it cannot even be written as JSON
            raise RowRefusedError(type(error).__name__) from error

    async def total(self, column: ColumnElement[int], *conditions: ColumnElement[bool]) -> int:
        """Return the sum of a column."""
        try:
            async with self._session() as session:
                return (await session.scalar(select(func.sum(column)).where(*conditions))) or 0
        except SQLAlchemyError as error:
            raise DatabaseError(reason(error)) from error

    async def get(self, table: type[Row], key: Any) -> Row | None:
        try:
            async with self._session() as session:
                return await session.get(table, key)
        except SQLAlchemyError as error:
            raise DatabaseError(reason(error)) from error

    async def find(
        self, table: type[Row], *conditions: ColumnElement[bool], order: Any = None, limit: int | None = None
    ) -> Sequence[Row]:
        statement = select(table).where(*conditions).limit(limit)
        if order is not None:
            statement = statement.order_by(*order) if isinstance(order, tuple) else statement.order_by(order)
        try:
            async with self._session() as session:
                return (await session.scalars(statement)).all()
        except SQLAlchemyError as error:
            raise DatabaseError(reason(error)) from error

    async def page(
        self,
        table: type[Row],
        key: InstrumentedAttribute[Any],
        *conditions: ColumnElement[bool],
        cursor: str | None,
        at: ColumnElement[float] | None = None,
        ascending: bool = False,
    ) -> tuple[list[Row], str | None, str | None]:
        """Return at most 100 rows by the time `at` (of their creation), newest first, and the cursors of the next and
        the previous page.
        """
        back, place = read_cursor(cursor)
        at = inspect(table).columns["created_at"] if at is None else at
        columns, rising = tuple_(at, key), back != ascending
        if place:
            conditions = (*conditions, columns > place if rising else columns < place)
        order = (at.asc(), key.asc()) if rising else (at.desc(), key.desc())
        statement = select(table, at).where(*conditions).order_by(*order).limit(PAGE + 1)
        try:
            async with self._session() as session:
                found = list((await session.execute(statement)).all())
        except SQLAlchemyError as error:
            raise DatabaseError(reason(error)) from error
        more, found = len(found) > PAGE, found[:PAGE]
        if back:
            found.reverse()
        has_next, has_previous = (bool(place), more) if back else (more, bool(place))
        return (
            [row for row, _ in found],
            write_cursor(False, found[-1][1], getattr(found[-1][0], key.key)) if found and has_next else None,
            write_cursor(True, found[0][1], getattr(found[0][0], key.key)) if found and has_previous else None,
        )


async def retry_until_saved(write: Callable[[], Awaitable[None]]) -> None:
    for pause in itertools.chain(RETRY_S, itertools.repeat(RETRY_S[-1])):
        try:
            await write()
            return
        except RowRefusedError:
            raise
        except DatabaseError:
            await asyncio.sleep(pause)


def configure_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")  # readers do not wait for the writer
    cursor.execute("PRAGMA synchronous=FULL")  # what was accepted survives a power cut too
    cursor.execute("PRAGMA secure_delete=ON")  # a secret of an ended prediction is overwritten, not only forgotten
    cursor.close()


def read_column(text: str | bytes) -> Any:
    """Return what a JSON column holds, {UNREADABLE: why} for what an earlier version kept and nobody can show."""
    try:
        return read_json(text.encode() if isinstance(text, str) else text, MOST_KEPT_VALUES)
    except ValueError as error:
        return {UNREADABLE: str(error)}
