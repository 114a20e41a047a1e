"""`/v1/trainings`, and creating one of a version."""

from starlette.requests import Request
from starlette.responses import Response

from easel.api.bodies import NewTraining
from easel.api.models import find_version
from easel.api.new_prediction import make_row, read_new
from easel.api.pages import page
from easel.api.predictions import answer_with
from easel.api.problems import Problem
from easel.api.service import Api
from easel.api.tables import TRAINING, ModelRow, Prediction, ServerRow
from easel.api.trained import training_schema

NO_DESTINATION = "The specified training destination does not exist"  # Replicate's words


async def create(api: Api, request: Request) -> Response:
    """Accept a training; it is queued for the one server that trains."""
    async with read_new(api, request, NewTraining) as new:
        version = await find_version(api, request)
        schema = training_schema(version.openapi_schema)
        if not api.trainer or not schema or version.model.partition("/")[2] != api.trainer.model:
            which = (
                f"only {api.trainer.model} can be, in a version that no training made" if api.trainer else "none can be"
            )
            raise Problem(422, f"{version.model} cannot be trained here: {which}.")
        assert isinstance(new.body, NewTraining)
        destination = new.body.destination
        await check_destination(api, destination, request.state.account)
        training = await make_row(
            api, request.state.account, new, version, schema, destination=destination, runs_on=TRAINING
        )
        await api.lifecycle.submit(training, new.size)
        new.accepted = True
    headers = {"Location": f"{api.serializers.base}/v1/trainings/{training.id}"}
    return await answer_with(api, request, training, 201, headers)


async def check_destination(api: Api, destination: str, account: str) -> None:
    """Raise Problem for a model that is not there or of another account (404), or whose versions are its servers'."""
    if not await api.database.get(ModelRow, destination):
        raise Problem(404, NO_DESTINATION)
    try:
        api.check_owner(destination.partition("/")[0], account)
    except Problem:
        raise Problem(404, NO_DESTINATION) from None
    if await api.database.find(ServerRow, ServerRow.model == destination, limit=1):
        raise Problem(
            422, f"- destination: {destination} has the versions of its Cog servers. Make another by POST /v1/models.\n"
        )


async def find(api: Api, request: Request) -> Prediction:
    run = api.lifecycle.active.get(request.path_params["id"])
    training = run.prediction if run else await api.database.get(Prediction, request.path_params["id"])
    if not training or not training.destination or training.account != request.state.account:
        raise Problem(404, "There is no such training.")
    return training


async def show(api: Api, request: Request) -> Response:
    return await answer_with(api, request, await find(api, request))


async def cancel(api: Api, request: Request) -> Response:
    training = await find(api, request)
    if run := api.lifecycle.active.get(training.id):
        await api.lifecycle.cancel(run)
    return await answer_with(api, request, training)


async def list_all(api: Api, request: Request) -> Response:
    conditions = (Prediction.account == request.state.account, Prediction.destination.is_not(None))
    return await page(api, request, Prediction, Prediction.id, *conditions, document=api.active_document)
