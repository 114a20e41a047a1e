"""Replicate's client that is made from its OpenAPI document."""

import json
import os

from replicate import Replicate

client = Replicate(base_url=f"{os.environ['REPLICATE_BASE_URL']}/v1")
prediction = client.models.predictions.create(
    model_owner="easel", model_name="emoji", input={"prompt": "a red apple", "seed": 7}, prefer="wait=60"
)
listed = client.models.list(extra_query={"sort_by": "model_created_at"})
file = client.files.create(content=b"hello")
made = client.run("easel/emoji", input={"prompt": "a red apple"})
print(
    json.dumps(
        {
            "output": prediction.output,
            "again": client.predictions.get(prediction_id=prediction.id).status,
            "account": client.account.get().username,
            "models": sorted(model.name for model in listed.results),
            "trainings": [one.id for one in client.trainings.list()],
            "collections": client.collections.list(),
            "file": client.files.get(file_id=file.id).size,
            "hardware": client.hardware.list()[0].sku,
            "readme": client.models.readme.get(model_owner="easel", model_name="emoji")[:7],
            "run": [bytes(one.read())[:4].decode() for one in made],
        }
    )
)
