"""The rows of the database as the JSON documents of Replicate's API."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from easel.api.outputs import Outputs, data_url, map_output, media_type
from easel.api.tables import Deployment, File, ModelRow, Prediction, Version


def iso(seconds: float | None) -> str | None:
    """RFC 3339 in UTC with microseconds, as Replicate writes it."""
    return (
        None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:-6] + "Z"
    )


MOST_INLINE = 32_000_000  # bytes


class Serializers:
    """`base` is the public URL without /v1; `page` that of the page for people, if there is one.

    A member that has no value yet is left out, but for `output` and `error` of a prediction, as Replicate has it.
    """

    def __init__(
        self,
        base: str,
        outputs: Outputs,
        page: str | None = None,
        stream_url: Callable[[Prediction], str | None] = lambda _: None,
    ) -> None:
        self.base, self._page, self._stream_url = base, page, stream_url
        self._outputs = outputs

    def prediction(self, one: Prediction, inline: bool = False) -> dict[str, Any]:
        """`inline`: output files as data URLs, up to 32 MB of them. Blocking then, by the size of the files."""
        inline = inline and self._outputs.size(one.id, "out-") <= MOST_INLINE
        address = f"{self.base}/v1/{'trainings' if one.destination else 'predictions'}/{one.id}"
        document = {
            "id": one.id,
            "model": one.model,
            "version": one.version,
            "input": self.with_addresses(one, one.input),
            "output": self.with_addresses(one, one.output, inline),
            "logs": one.logs,
            "error": one.error,
            "status": one.status,
            "created_at": iso(one.created_at),
            "data_removed": one.data_removed,
            "source": one.source,
            "urls": {
                "get": address,
                "cancel": f"{address}/cancel",
                **with_value(stream=self._stream_url(one), web=f"{self._page}/p/{one.id}" if self._page else None),
            },
        }
        if one.webhook:
            document |= {"webhook": one.webhook, "webhook_events_filter": one.webhook_events_filter}
        return document | with_value(
            started_at=iso(one.started_at),
            completed_at=iso(one.completed_at),
            metrics=self.with_addresses(one, one.metrics) or None,
            deployment=one.deployment,
            destination=one.destination,
            deadline=iso(one.deadline),
        )

    def with_addresses(self, one: Prediction, value: Any, inline: bool = False) -> Any:
        """Return a part of what is kept of a prediction, with the address (`inline`: the content) of each of
        its files.
        """

        def address(name: str) -> str:
            path = self._outputs.path(one.id, name) if inline else None
            return data_url(path, media_type(name)) if path else f"{self.base}/delivery/{one.id}/{name}"

        return map_output(value, address)

    def weights_address(self, training: Prediction) -> str | None:
        """Return where the weights are that a training made, or None."""
        output = training.output if isinstance(training.output, dict) else {}
        address = self.with_addresses(training, output.get("weights"))
        return address if isinstance(address, str) else None

    def file(self, one: File) -> dict[str, Any]:
        return {
            "id": one.id,
            "name": one.name,
            "content_type": one.content_type,
            "size": one.size,
            "etag": one.md5,
            "checksums": {"sha256": one.sha256, "md5": one.md5},
            "metadata": one.details,
            "created_at": iso(one.created_at),
            "expires_at": iso(one.expires_at),
            "urls": {"get": f"{self.base}/v1/files/{one.id}"},
        }

    def model(self, one: ModelRow, latest: Version | None, example: Prediction | None) -> dict[str, Any]:
        owner, _, name = one.key.partition("/")
        return {
            # Replicate's clients want one; without a page it is the model's own in this API.
            "url": f"{self._page}/{one.key}" if self._page else f"{self.base}/v1/models/{one.key}",
            "owner": owner,
            "name": name,
            "visibility": one.visibility,
            "run_count": one.run_count,
            "is_official": False,
            **with_value(
                description=one.description,
                github_url=one.github_url,
                paper_url=one.paper_url,
                license_url=one.license_url,
                cover_image_url=one.cover_image_url or (example and self._first_image(example)),
                default_example=example and self.prediction(example),
                latest_version=latest and version_document(latest),
            ),
        }

    def _first_image(self, example: Prediction) -> str | None:
        names: list[str] = []

        def note(name: str) -> str:
            names.append(name)
            return name

        map_output(example.output, note)
        image = next((name for name in names if media_type(name).startswith("image/")), None)
        return f"{self.base}/delivery/{example.id}/{image}" if image else None


def with_value(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def version_document(one: Version) -> dict[str, Any]:
    return {
        "id": one.id,
        "created_at": iso(one.created_at),
        "cog_version": one.cog_version,
        "openapi_schema": one.openapi_schema,
    }


def deployment_document(one: Deployment) -> dict[str, Any]:
    owner, _, name = one.key.partition("/")
    return {
        "owner": owner,
        "name": name,
        "current_release": {
            "number": one.number,
            "model": one.model,
            "version": one.version,
            "created_at": iso(one.released_at),
            "created_by": account_document(one.account),
            "configuration": {
                "hardware": one.hardware,
                "min_instances": one.min_instances,
                "max_instances": one.max_instances,
            },
        },
    }


def account_document(account: str) -> dict[str, Any]:
    return {"type": "user", "username": account, "name": account}
