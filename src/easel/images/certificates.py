"""Who signs the images: a certificate that the operator names, or one made here, once, for this machine alone."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from easel.errors import ResourceError
from easel.files import write_atomically

SELF_MADE = "Easel, self-made certificate"  # the organization that ours name; anybody can make such a one
KEPT = "self-made.pem"
# Without a time-stamp authority, which would be asked over the network for each image, a signature is held against
# the clock of whoever verifies it: with the certificate every image signed by it ends. Hence so long a time.
LIFE_DAYS = 30 * 365
EARLIER_DAYS = 1  # clocks differ
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Identity:
    """PEM: `chain`, the signer's certificate first, and its `key`. `algorithm` by C2PA's names."""

    chain: bytes
    key: bytes = field(repr=False)
    algorithm: str

    @property
    def certificates(self) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates(self.chain)


def read_identity(certificate: Path, key: Path) -> Identity:
    """Return the identity in two PEM files. Raises ResourceError with what is wrong with them."""
    chain, secret = read_file("EASEL_C2PA_CERT", certificate), read_file("EASEL_C2PA_KEY", key)
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        raise ResourceError(f"EASEL_C2PA_CERT: {certificate} must hold PEM certificates, the signer's first.") from None
    try:
        private = load_pem_private_key(secret, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ResourceError(f"EASEL_C2PA_KEY: {key} must hold one private key in PEM, without a password.") from None
    if public_bytes(private.public_key()) != public_bytes(leaf.public_key()):
        raise ResourceError(
            f"EASEL_C2PA_KEY: {key} is not the key of the first certificate in {certificate}. Name the two that belong "
            "together."
        )
    now = datetime.now(UTC)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        raise ResourceError(
            f"EASEL_C2PA_CERT: {certificate} is valid from {leaf.not_valid_before_utc:%Y-%m-%d} to "
            f"{leaf.not_valid_after_utc:%Y-%m-%d}, and today is {now:%Y-%m-%d}. Renew it."
        )
    # Written again, since c2pa takes PKCS #8 only.
    pkcs8 = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Identity(chain, pkcs8, algorithm_of(private))


def read_file(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResourceError(f"{name}: {path} cannot be read ({error.strerror}). Name a PEM file.") from None


def public_bytes(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]


def algorithm_of(key: object) -> str:
    match key:
        case ec.EllipticCurvePrivateKey() if key.curve.name in CURVES:
            return CURVES[key.curve.name]
        case ed25519.Ed25519PrivateKey():
            return "ed25519"
        case rsa.RSAPrivateKey():
            return "ps256"
    raise ResourceError("EASEL_C2PA_KEY must be of kind EC (P-256, P-384 or P-521), Ed25519 or RSA.")


def own_identity(folder: Path, log: Callable[[str], None]) -> Identity:
    """Return the one kept in `folder`; made, and kept there if that can be written, where there is none."""
    kept = find_own_identity(folder)
    if kept:
        return kept
    made = make_identity()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with write_atomically(folder / KEPT, mode=0o600) as stream:
            stream.write(made.key + made.chain)
    except OSError as error:
        log(f"warning: {folder} cannot be written ({error.strerror}): the next start makes another certificate.")
    return made


def find_own_identity(folder: Path) -> Identity | None:
    """Return the one kept in `folder`, None if there is none, or none that is still valid."""
    try:
        content = (folder / KEPT).read_bytes()
        load_pem_private_key(content, None)
        leaf = x509.load_pem_x509_certificates(content)[0]
    except (OSError, ValueError, TypeError):
        return None
    end = content.find(b"-----BEGIN CERTIFICATE")
    valid = leaf.not_valid_before_utc <= datetime.now(UTC) <= leaf.not_valid_after_utc
    return Identity(content[end:], content[:end], "es256") if valid else None


def make_identity(life_days: int = LIFE_DAYS) -> Identity:
    """Return a new certificate for so many days under a new root, whose key is thrown away: it signs this one alone."""
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name = name_of("Easel root")
    root = (
        begin(root_name, root_name, root_key.public_key(), life_days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    # What C2PA 2.4 asks of a signer's certificate. Of the purposes that it allows, that of e-mail is the one that
    # verifiers take without a list of purposes.
    leaf = (
        begin(name_of("Easel"), root_name, key.public_key(), life_days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    chain = leaf.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM)
    return Identity(chain, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "es256")


def name_of(common: str) -> x509.Name:
    pairs = ((NameOID.ORGANIZATION_NAME, SELF_MADE), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in pairs])


def begin(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life_days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=EARLIER_DAYS))
        .not_valid_after(now + timedelta(days=life_days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
