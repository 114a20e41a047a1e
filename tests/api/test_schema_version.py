"""A database of another schema is refused in words, and nothing in it is changed."""

import asyncio
import hashlib
import re
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from easel.api.database import Database
from easel.api.tables import SCHEMA_VERSION, Base, ModelRow, SchemaVersion
from easel.errors import InputError


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'db'}"
    server, name = request.getfixturevalue("postgres"), f"schema_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server.rpartition('/')[0]}/{name}"


async def opened(url, *statements):
    """Open, run the statements, close; the models that are there."""
    database = Database(url)
    try:
        await database.open()
        await database.save(ModelRow(key="a/b", created_at=1.0, visibility="public", hardware="cpu"))
        async with database._engine.begin() as connection:
            for statement in statements:
                await connection.execute(statement)
        return [row.key for row in await database.find(ModelRow)]
    finally:
        await database.close()


def test_a_database_of_this_schema_is_opened_again(url):
    assert asyncio.run(opened(url)) == ["a/b"]
    assert asyncio.run(opened(url)) == ["a/b"]


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (update(SchemaVersion).values(version=99), "not 99"),
        (delete(SchemaVersion), "not unknown"),
        (text("DROP TABLE schema_version"), "not unknown"),
    ],
    ids=["newer", "no row", "no table"],
)
def test_one_of_another_schema_is_refused_and_left_as_it_is(url, statement, found):
    asyncio.run(opened(url, statement))
    for _ in range(2):
        with pytest.raises(InputError) as refusal:
            asyncio.run(opened(url))
        assert re.search(
            f"schema version must be {SCHEMA_VERSION}, {found}: .* start with an empty database", str(refusal.value)
        )
        assert f"{url.rpartition('/')[2]} the schema" in str(refusal.value)  # which database


def test_a_change_of_the_tables_raises_the_schema_version():
    """Else a database of the last release is opened, and fails at its first query. New tables: raise it, then this."""
    dialect = postgresql.dialect()
    tables = [str(CreateTable(table).compile(dialect=dialect)) for table in Base.metadata.sorted_tables]
    indexes = [
        str(CreateIndex(index).compile(dialect=dialect))
        for table in Base.metadata.sorted_tables
        for index in sorted(table.indexes, key=lambda index: str(index.name))
    ]
    digest = hashlib.sha256(" ".join("".join(tables + indexes).split()).encode()).hexdigest()[:16]
    assert (SCHEMA_VERSION, digest) == (2, "64496229573852c4")
