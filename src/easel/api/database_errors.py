"""What a database refuses, sorted by whether the same may succeed at another time."""

from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError, SQLAlchemyError, StatementError

PASSING = (OperationalError, InterfaceError, InternalError)  # locked, gone, out of memory; a row is not to blame


class DatabaseError(Exception):
    """The database could not do it now: locked by another program, disk full, connection gone."""


class DiskFullError(DatabaseError):
    """There is no room for it on the database's disk."""


class RowRefusedError(DatabaseError):
    """The database will never take this row: there is something in it that it cannot hold."""


def kind_of(error: SQLAlchemyError) -> type[DatabaseError]:
    """Return what to raise: whether the same may succeed at another time."""
    text = str(getattr(error, "orig", error)).lower()
    if "disk is full" in text or "no space left" in text:
        return DiskFullError
    if isinstance(error, DBAPIError) and (error.connection_invalidated or isinstance(error, PASSING)):
        return DatabaseError
    return RowRefusedError if isinstance(error, StatementError) else DatabaseError


def reason(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]
