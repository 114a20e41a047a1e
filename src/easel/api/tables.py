"""What the API keeps, as tables. Times are Unix seconds; a model's or deployment's key is "owner/name"."""

from typing import Any

from sqlalchemy import JSON, Connection, Index, String, insert, inspect, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from easel.errors import InputError

SCHEMA_VERSION = 2  # one more with each change of these tables
FINAL = ("succeeded", "failed", "canceled", "aborted")
TRAINING = "training"  # what the server that trains runs, in the place of a version


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON, Any: JSON}  # noqa: RUF012 (SQLAlchemy reads it)


class SchemaVersion(Base):
    """One row: of which version the tables in a database are."""

    __tablename__ = "schema_version"

    version: Mapped[int] = mapped_column(primary_key=True)


class Prediction(Base):
    """One accepted prediction, or training: that has a destination.

    In `output`, a file is {"easel:file": its name in the folder of the prediction}.
    """

    __tablename__ = "predictions"
    __table_args__ = (Index("by_account", "account", "created_at", "id"), Index("by_status", "status"))

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    account: Mapped[str]
    model: Mapped[str]
    version: Mapped[str]
    created_at: Mapped[float]
    status: Mapped[str] = mapped_column(default="starting")
    deployment: Mapped[str | None] = mapped_column(default=None)
    destination: Mapped[str | None] = mapped_column(default=None)  # the model that a training makes a version of
    runs_on: Mapped[str | None] = mapped_column(default=None)  # TRAINING, or the version that `version` is trained from
    input: Mapped[dict[str, Any]] = mapped_column(default=dict)  # without secrets
    given: Mapped[Any] = mapped_column(JSON(none_as_null=True), default=None, nullable=True)  # with, until it ended
    output: Mapped[Any] = mapped_column(JSON(none_as_null=True), default=None, nullable=True)
    logs: Mapped[str] = mapped_column(default="")
    error: Mapped[str | None] = mapped_column(default=None)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    started_at: Mapped[float | None] = mapped_column(default=None)
    completed_at: Mapped[float | None] = mapped_column(default=None)
    deadline: Mapped[float | None] = mapped_column(default=None)
    data_removed: Mapped[bool] = mapped_column(default=False)
    source: Mapped[str] = mapped_column(default="api")  # or "web": an example, which is kept
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    cancel_answered: Mapped[bool] = mapped_column(default=False)  # by the Cog server that has it
    server: Mapped[str | None] = mapped_column(default=None)  # the Cog server it was given to
    webhook: Mapped[str | None] = mapped_column(default=None)
    webhook_events_filter: Mapped[list[str]] = mapped_column(default=list)
    webhook_pending: Mapped[bool] = mapped_column(default=False)  # `completed` is still to be delivered


class File(Base):
    """An uploaded file; its bytes lie in the folder `files` under its id."""

    __tablename__ = "files"

    id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    content_type: Mapped[str]
    size: Mapped[int]
    sha256: Mapped[str]
    md5: Mapped[str]
    details: Mapped[dict[str, Any]]  # `metadata`, a name that SQLAlchemy keeps for itself
    created_at: Mapped[float]
    expires_at: Mapped[float]


class ModelRow(Base):
    __tablename__ = "models"

    key: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[float]
    visibility: Mapped[str] = mapped_column(default="private")
    hardware: Mapped[str] = mapped_column(default="cpu")
    description: Mapped[str | None] = mapped_column(default=None)
    readme: Mapped[str | None] = mapped_column(default=None)
    github_url: Mapped[str | None] = mapped_column(default=None)
    paper_url: Mapped[str | None] = mapped_column(default=None)
    license_url: Mapped[str | None] = mapped_column(default=None)
    cover_image_url: Mapped[str | None] = mapped_column(default=None)
    run_count: Mapped[int] = mapped_column(default=0)


class Version(Base):
    __tablename__ = "versions"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[float]
    cog_version: Mapped[str]
    openapi_schema: Mapped[dict[str, Any]]
    base: Mapped[str | None] = mapped_column(default=None)  # the version that it was trained from
    training: Mapped[str | None] = mapped_column(default=None)  # whose output has its weights


class ServerRow(Base):
    """A Cog server at `url` runs `version`. One server may stand behind several versions of different models."""

    __tablename__ = "servers"

    url: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    pushed: Mapped[bool] = mapped_column(
        default=False
    )  # by a request, not by the command line: kept for the next start


class Deployment(Base):
    __tablename__ = "deployments"

    key: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str]
    created_at: Mapped[float]
    released_at: Mapped[float]
    number: Mapped[int]
    model: Mapped[str]
    version: Mapped[str]
    hardware: Mapped[str]
    min_instances: Mapped[int]
    max_instances: Mapped[int]


def prepare_tables(connection: Connection) -> None:
    """Make the tables where there are none. Raises InputError where they are not of this schema version."""
    existing = inspect(connection).get_table_names()
    if Base.metadata.tables.keys().isdisjoint(existing):
        Base.metadata.create_all(connection)
        connection.execute(insert(SchemaVersion).values(version=SCHEMA_VERSION))
        return
    has_version = SchemaVersion.__tablename__ in existing
    found = connection.scalar(select(SchemaVersion.version)) if has_version else None
    if found != SCHEMA_VERSION:
        raise InputError(
            f"In the database {connection.engine.url.database} the schema version must be {SCHEMA_VERSION}, not "
            f"{'unknown' if found is None else found}: another easel made it. "
            "Use that version of easel, or start with an empty database (another --data, or DATABASE_URL)."
        )
