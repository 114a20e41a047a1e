"""What the tests of the plan share."""

from easel.plan import plan_request
from easel.request import Request
from tests.support.tiny import MODEL


def plan_for(model=MODEL, image_size=(60, 40), **inputs):
    return plan_request(
        Request(**{"prompt": "a red apple", **inputs}), model, image_size if "image" in inputs else None
    )
