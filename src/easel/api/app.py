"""The routes of the API."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from easel.api import about, callbacks, files, models, openai, openai_models, predictions, search, streams, trainings
from easel.api.endpoint import Endpoint, Handler
from easel.api.openai_errors import problem_response
from easel.api.problems import Problem
from easel.api.rate_limit import RateLimiter
from easel.api.service import Api
from easel.api.settings import MB


def create_app(api: Api) -> Starlette:
    """Return the ASGI application that answers with `api`: each route, its rate limit and its largest body."""
    settings = api.settings
    creates = RateLimiter(settings.creates_per_minute)
    others, reads = RateLimiter(3000), RateLimiter(60000)  # Replicate's
    small, large = 1 * MB, settings.max_body_bytes

    def route(
        method: str, path: str, handler: Handler, limiter: RateLimiter | None = others, limit: int = small
    ) -> Route:
        return Route(path, Endpoint(api, handler, path, limiter, limit), methods=[method])

    model, deployment = "/v1/models/{owner}/{name}", "/v1/deployments/{owner}/{name}"
    upload = settings.max_file_bytes + MB
    routes = [
        route("POST", "/v1/predictions", predictions.create, creates, large),
        route("GET", "/v1/predictions", predictions.list_all),
        route("GET", "/v1/predictions/{id}", predictions.show, reads),
        route("POST", "/v1/predictions/{id}/cancel", predictions.cancel),
        route("POST", f"{model}/predictions", predictions.create_by_model, creates, large),
        route("POST", f"{deployment}/predictions", predictions.create_by_deployment, creates, large),
        route("POST", "/v1/images/generations", openai.generate, creates, large),
        route("POST", "/v1/images/edits", openai.edit, creates, large),
        route("GET", "/stream/{id}/{key}", streams.stream, None),
        route("GET", "/v1/models", openai_models.list_models),
        route("POST", "/v1/models", models.create_model),
        route("QUERY", "/v1/models", search.search_models),
        route("GET", "/v1/search", search.search_models),
        route("GET", "/v1/models/{name}", openai_models.show_by_name),
        route("GET", model, openai_models.show_model),
        route("PATCH", model, models.change_model),
        route("DELETE", model, models.delete_model),
        route("GET", f"{model}/readme", models.show_readme),
        route("GET", f"{model}/examples", models.list_examples),
        route("GET", f"{model}/versions", models.list_versions),
        route("POST", f"{model}/versions", models.create_version),
        route("GET", f"{model}/versions/{{id}}", models.show_version),
        route("DELETE", f"{model}/versions/{{id}}", models.delete_version),
        route("POST", f"{model}/versions/{{id}}/trainings", trainings.create, creates, large),
        route("GET", "/v1/trainings", trainings.list_all),
        route("GET", "/v1/trainings/{id}", trainings.show, reads),
        route("POST", "/v1/trainings/{id}/cancel", trainings.cancel),
        route("GET", "/v1/deployments", models.list_deployments),
        route("POST", "/v1/deployments", models.create_deployment),
        route("GET", deployment, models.show_deployment),
        route("PATCH", deployment, models.change_deployment),
        route("DELETE", deployment, models.delete_deployment),
        route("POST", "/v1/files", files.create, others, upload),
        route("GET", "/v1/files", files.list_all),
        route("GET", "/v1/files/{id}", files.show),
        route("DELETE", "/v1/files/{id}", files.delete),
        route("GET", "/v1/files/{id}/download", files.download, None),
        route("GET", "/v1/account", about.show_account),
        route("GET", "/v1/hardware", about.list_hardware),
        route("GET", "/v1/collections", about.list_nothing),
        route("GET", "/v1/collections/{slug}", about.refuse_collection),
        route("GET", "/v1/webhooks/default/secret", about.show_webhook_secret),
        route("GET", "/delivery/{id}/{name}", files.deliver, None),
        route("POST", "/cog/{id}/{signature}", callbacks.receive_callback, None, 128 * MB),
        route("GET", "/metrics", about.show_metrics, None),
        route("GET", "/health", about.show_health, None),
    ]

    async def refuse(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 500)
        what = f"There is no {request.method} {request.scope['path'][:200]} in this API."
        problem = problem_response(request, Problem(status, what))
        if status == 405:
            fitting = (one.methods or set() for one in routes if one.matches(request.scope)[0] != Match.NONE)
            problem.headers["Allow"] = ", ".join(sorted(set().union(*fitting)))
        return problem

    app = Starlette(routes=routes, exception_handlers={HTTPException: refuse})
    app.router.redirect_slashes = False  # it would redirect to whatever host the request names
    return app
