"""Who signs images: a certificate that is named, or one made here; and the thread that does it."""

import io
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from cryptography.x509 import ObjectIdentifier
from PIL import Image

from easel.errors import ResourceError
from easel.images import certificates
from easel.images.certificates import find_own_identity, make_identity, own_identity, read_identity
from easel.images.provenance import check_identity, sign_image
from easel.images.verify import Authorities, verify_data
from easel.inference.signing import Signing, load_signing

METADATA = {"prompt": "x", "model": "emoji", "weights": "sha256:ab", "easel": "1.2"}
NOBODY = Authorities()


@pytest.fixture(scope="module")
def identity():
    return make_identity()


@pytest.fixture(scope="module")
def image():
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    return out.getvalue()


def test_a_certificate_of_this_machine_is_made_once_and_kept_private(tmp_path, image):
    lines = []
    made = own_identity(tmp_path / "c2pa", lines.append)
    assert own_identity(tmp_path / "c2pa", lines.append) == made
    assert ((tmp_path / "c2pa" / certificates.KEPT).stat().st_mode & 0o777, lines) == (0o600, [])
    data = sign_image(image, METADATA, made)
    assert verify_data(data, Authorities.find(tmp_path)).trust == "this machine"
    assert verify_data(data, Authorities.find(tmp_path / "nowhere")).trust == "self-made"
    assert verify_data(data, Authorities(given=made.chain)).trust == "trusted"
    (tmp_path / "c2pa" / certificates.KEPT).write_text("damaged")
    assert find_own_identity(tmp_path / "c2pa") is None
    (tmp_path / "file").touch()
    assert own_identity(tmp_path / "file" / "c2pa", lines.append).chain != made.chain
    assert "cannot be written" in lines[0]


def test_a_certificate_that_cannot_sign_is_refused_in_setup(tmp_path, identity):
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    names = {"EASEL_C2PA_CERT": str(certificate), "EASEL_C2PA_KEY": str(key)}

    def refusal():
        with pytest.raises(ResourceError) as error:
            load_signing(names, tmp_path)
        return str(error.value)

    assert "cannot be read (No such file" in refusal()
    certificate.write_bytes(b"x")
    key.write_bytes(identity.key)
    assert "must hold PEM certificates" in refusal()
    certificate.write_bytes(identity.chain)
    key.write_bytes(b"x")
    assert "must hold one private key" in refusal()
    key.write_bytes(make_identity().key)
    assert "is not the key of the first certificate" in refusal()
    expired = make_identity(life_days=0)
    certificate.write_bytes(expired.chain)
    key.write_bytes(expired.key)
    assert "Renew it" in refusal()
    root = identity.chain[identity.chain.rindex(b"-----BEGIN") :]
    with pytest.raises(ResourceError, match="is not taken by C2PA"):
        check_identity(certificates.Identity(root, identity.key, "es256"))
    certificate.write_bytes(identity.chain)
    key.write_bytes(identity.key)
    assert read_identity(certificate, key).algorithm == "es256"
    assert load_signing(names, tmp_path)


def test_a_certificate_for_claim_signing_is_taken_and_one_for_a_web_site_is_not(monkeypatch):
    for purpose, taken in (("1.3.6.1.4.1.62558.2.1", True), ("1.3.6.1.5.5.7.3.1", False)):
        named = SimpleNamespace(EMAIL_PROTECTION=ObjectIdentifier(purpose))
        monkeypatch.setattr(certificates, "ExtendedKeyUsageOID", named)
        with nullcontext() if taken else pytest.raises(ResourceError, match="is not taken by C2PA"):
            check_identity(make_identity())


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"EASEL_PROVENANCE": "0"}, "it may be on, off"),
        ({"EASEL_C2PA_CERT": "c.pem"}, "belong together"),
        ({"EASEL_C2PA_KEY": "k.pem"}, "belong together"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(environ, words, tmp_path):
    with pytest.raises(ResourceError, match=words):
        load_signing(environ, tmp_path)
    assert load_signing({"EASEL_PROVENANCE": "off"}, tmp_path) is None


def test_the_thread_signs_goes_on_after_an_error_and_says_it(image, identity):
    signing = Signing(lambda: identity)
    with pytest.raises(ResourceError, match="cannot be signed"):
        signing.sign(b"no image", METADATA)
    data = [signing.sign(image, METADATA) for _ in range(2)]
    assert [verify_data(one, NOBODY).state for one in data] == ["valid", "valid"]
    assert data[0] != data[1]


@pytest.mark.slow
def test_no_start_waits_for_c2pa():
    """It is imported by the first image, or half a second after setup."""
    program = """
import sys, time
from pathlib import Path
import easel.inference.startup
from easel.inference.signing import AFTER_READY_S, load_signing
signing = load_signing({}, Path("/nowhere"))
assert AFTER_READY_S > 0 and not {"c2pa", "cryptography"} & sys.modules.keys()
while "easel.images.provenance" not in sys.modules:  # no image comes
    time.sleep(0.05)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("self-made certificate")) == (0, 1), done.stderr
