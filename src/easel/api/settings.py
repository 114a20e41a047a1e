"""What `easel api` was told: where to keep things, whom to let in, which Cog servers stand behind it."""

import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from easel.errors import InputError
from easel.files import write_atomically

MB = 1_000_000


@dataclass(frozen=True)
class Settings:
    """Everything the API is configured by. Times in seconds, sizes in bytes.

    `tokens` maps a bearer token to its account; `servers` are (model "owner/name", URL of its Cog server).
    """

    public_url: str  # as clients reach it, without /v1
    callback_url: str  # as the Cog servers reach it
    data: Path
    database_url: str
    tokens: dict[str, str]
    servers: tuple[tuple[str, str], ...] = ()
    page_url: str | None = None  # of the page that shows models and predictions to people
    root: Path | None = None  # whose README and samples the first model shows
    retention_s: float = 3600.0  # Replicate's: outputs and inputs of API predictions go after an hour
    max_queue: int = 1000
    max_seconds: float = 1800.0  # Replicate's: a prediction may run for 30 minutes
    cancel_grace_s: float = 30.0  # for a server to take a cancel, until the prediction ends without its word
    creates_per_minute: int = 600  # Replicate's
    allow_private_webhooks: bool = False
    allow_push: bool = False  # register Cog servers by a token
    public: bool = False  # others than this machine may reach it
    max_file_bytes: int = 100 * MB  # Replicate's limit of an upload
    max_body_bytes: int = 64 * MB  # four images of 10 MB as data URLs, and room
    file_lifetime_s: float = 24 * 3600.0  # Replicate's
    max_account_bytes: int = 2000 * MB  # of one account's uploads together
    row_lifetime_s: float = 30 * 24 * 3600.0  # of what is left of a prediction when its data have gone
    least_free_bytes: int = 200 * MB  # on the disk of `data`: below, nothing more is accepted


def read_tokens(path: Path | None) -> dict[str, str]:
    """Tokens by account, from a file with a `TOKEN [ACCOUNT]` a line or from EASEL_API_TOKENS, which is alike.

    Raises InputError for a file that cannot be read, a token of under 8 characters, or no token at all.
    """
    if path:
        try:
            text, source = path.read_text(encoding="utf-8"), str(path)
        except OSError as error:
            raise InputError(f"--tokens {path}: cannot be read ({error.strerror}).") from None
    else:
        text, source = os.environ.get("EASEL_API_TOKENS", "").replace(",", "\n"), "EASEL_API_TOKENS"
    tokens = {}
    for line in text.splitlines():
        token, *account = line.split("#")[0].split() or [""]
        if not token:
            continue
        if len(token) < 8 or len(account) > 1:
            raise InputError(f"{source}: a line is TOKEN or TOKEN ACCOUNT, and a token has at least 8 characters.")
        tokens[token] = account[0] if account else "easel"
    if path and not tokens:
        raise InputError(f"--tokens {path}: there is no token in it. Write one a line: TOKEN or TOKEN ACCOUNT.")
    return tokens


def derive(secret: str, purpose: str) -> bytes:
    """Return a key for one purpose, from which no other can be told."""
    return hmac.digest(secret.encode(), purpose.encode(), "sha256")


def stream_key(secret: str, prediction_id: str) -> str:
    """Return what makes the address of a stream unguessable: it is asked for without a token."""
    return derive(secret, f"stream {prediction_id}").hex()[:40]


def secret_of(data: Path) -> str:
    """This installation's own secret, made once: 64 hexadecimal digits, of which only derived keys are used.

    The file is for its owner's eyes only. Raises InputError for one that is empty, cut short or not ours.
    """
    path = data / "secret"
    if not path.exists():
        with write_atomically(path, mode=0o600) as stream:
            stream.write(secrets.token_hex(32).encode())
    secret = path.read_text(encoding="utf-8", errors="replace")
    if not re.fullmatch(r"[0-9a-f]{64}", secret):
        raise InputError(
            f"{path} must hold 64 hexadecimal digits, and does not. Restore it, or remove it: then webhooks get new "
            "secrets, and what Cog servers run now is lost."
        )
    return secret
