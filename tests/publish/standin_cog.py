"""A stand-in for the program `cog`: `cog push` does to the API what the registry of the real one does.

It reads predict.py of the folder that it is called in, as Cog does, and makes a version of the model that the image
names, with the server that runs it: that is for `easel api --allow-push`. Every call is a line in STANDIN_COG_LOG.
While the file STANDIN_COG_FAILS exists, it fails; while STANDIN_COG_WAITS does, it takes its time.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from easel.schema.openapi import COG_VERSION, openapi


def main() -> int:
    arguments = sys.argv[1:]
    with Path(os.environ["STANDIN_COG_LOG"]).open("a") as log:
        log.write(json.dumps([*arguments, os.environ.get("COGLET_WHEEL")]) + "\n")
    while Path(os.environ["STANDIN_COG_WAITS"]).exists():
        time.sleep(0.02)
    if Path(os.environ["STANDIN_COG_FAILS"]).exists():
        sys.stdout.write("cog: the build failed\n")
        return 1
    command, flag, cog_file, image = arguments
    assert (command, flag) == ("push", "-f")
    assert Path(cog_file).is_file()
    body = {
        "openapi_schema": openapi(Path("predict.py")),
        "cog_version": COG_VERSION,
        "servers": [os.environ["STANDIN_COG_SERVER"]],
    }
    request = urllib.request.Request(
        f"{os.environ['REPLICATE_BASE_URL']}/v1/models/{image.partition('/')[2]}/versions",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {os.environ['REPLICATE_API_TOKEN']}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            sys.stdout.write(f"cog: pushed {image}: {json.load(answer)['id']}\n")
    except urllib.error.HTTPError as error:
        sys.stdout.write(f"cog: the registry answers {error.code}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
