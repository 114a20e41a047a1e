"""Webhooks received, and verified to come from Replicate or from an `easel api` of your own.

    pip install "replicate<2"                         # version 2 has no check of signatures yet
    export REPLICATE_API_TOKEN=...
    export REPLICATE_BASE_URL=http://127.0.0.1:5001   # left out: Replicate
    python webhook.py [PORT]

It prints its address, which goes into a prediction as "webhook". Replicate itself only takes addresses with https://
that it can reach from outside; `easel api` takes this one when it was started with --allow-private-webhooks.
"""

import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import replicate
from replicate.webhook import Webhooks, WebhookValidationError

SECRET = replicate.webhooks.default.secret()  # yours, and the same until you change it: ask once
TOLERANCE_S = 300  # older ones may be sent again by somebody who has seen them


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()  # signed as it is: check before parsing
        try:
            Webhooks.validate(headers=dict(self.headers), body=body, secret=SECRET, tolerance=TOLERANCE_S)
        except WebhookValidationError as error:
            print(f"refused: {error}", flush=True)
            self.answer(401)
            return
        prediction = json.loads(body)
        print(prediction["id"], prediction["status"], *(prediction["output"] or []), flush=True)
        # Anything but a success is sent again, if it is the last one. Work that takes long belongs elsewhere.
        self.answer(200)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of the requests themselves."""


for signum in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C and `kill`; a shell ignores the first in background jobs
    signal.signal(signum, signal.default_int_handler)
with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8000), Receiver) as server:
    try:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
    except KeyboardInterrupt:
        print("Stopped.")
