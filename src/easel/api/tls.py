"""A certificate of this API's own, and what its clients are told so that they trust it.

Its authority is made for it alone and its key is thrown away at once: who trusts it trusts this one certificate.
"""

import ipaddress
import shlex
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme

from easel.errors import InputError
from easel.files import write_atomically

FURTHER = "/etc/ssl/certs/ca-certificates.crt"  # Debian's, where Python's own place is empty
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Certificate:
    """Files: `chain` with the key in it, `authority` that signed it, `bundle` of it and the system's authorities."""

    chain: Path
    authority: Path
    bundle: Path

    def exports(self) -> str:
        """Return what a shell runs so that Python, Node.js and curl trust it beside all others."""
        bundle, authority = shlex.quote(str(self.bundle)), shlex.quote(str(self.authority))
        names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        return f"export {' '.join(f'{name}={bundle}' for name in names)} NODE_EXTRA_CA_CERTS={authority}"


def own_certificate(folder: Path, names: Sequence[str]) -> Certificate:
    """Return the one in `folder`, made anew if it is not for these host names and addresses. Raises InputError."""
    found = Certificate(folder / "chain.pem", folder / "authority.pem", folder / "bundle.pem")
    made_for = folder / "names.txt"  # written last, so what was interrupted is made again
    wanted = "\n".join(sorted({*THIS_MACHINE, *names}))
    try:
        if made_for.is_file() and made_for.read_text(encoding="utf-8") == wanted:
            return found
        folder.mkdir(mode=0o700, exist_ok=True)
        authority = trustme.CA(organization_name="Easel")
        certificate = authority.issue_cert(*wanted.split("\n"))
        signer = authority.cert_pem.bytes()
        write_private(found.chain, certificate.private_key_and_cert_chain_pem.bytes())
        write_private(found.authority, signer)
        write_private(found.bundle, signer + others())
        write_private(made_for, wanted.encode())
    except OSError as error:
        raise InputError(f"{folder}: the certificate cannot be kept there ({error.strerror}).") from None
    except ValueError as error:
        raise InputError(f"--tls: there is no certificate for {wanted.replace(chr(10), ', ')} ({error}).") from None
    return found


def others() -> bytes:
    """Return the authorities that Python trusts on this machine anyway: an exported SSL_CERT_FILE takes their place."""
    for place in (ssl.get_default_verify_paths().openssl_cafile, FURTHER):
        if place and Path(place).is_file():
            return Path(place).read_bytes()
    return b""


def write_private(path: Path, content: bytes) -> None:
    with write_atomically(path, mode=0o600) as stream:
        stream.write(content)


def host_names(*hosts: str | None) -> list[str]:
    """Those that a certificate can name: no wildcard addresses, nothing empty."""
    return [host for host in hosts if host and not is_unspecified(host)]


def is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
