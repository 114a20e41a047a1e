"""Whose certificates are trusted."""

import os
import ssl
from pathlib import Path


def trusted_authorities() -> ssl.SSLContext | bool:
    """Return SSL_CERT_FILE's authorities where that names a file, otherwise True: httpx's own."""
    own = os.environ.get("SSL_CERT_FILE")
    return ssl.create_default_context(cafile=own) if own and Path(own).is_file() else True
