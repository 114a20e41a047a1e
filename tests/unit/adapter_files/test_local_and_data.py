"""LoRAs in a data: URL and in files of this machine."""

import base64

import pytest

from easel.errors import AdapterError, InputError
from tests.unit.adapter_files.common import NOBODY, names, sha256, tar, weights

pytestmark = pytest.mark.slow


def data_url(data):
    return "data:application/octet-stream;base64," + base64.b64encode(data).decode()


def test_data_url_is_decoded_and_kept_by_its_content(get, folder):
    data = tar(a__safetensors=weights(), adapter_config__json=b'{"r": 8}')
    file = get(data_url(data))
    assert (file.path.read_bytes(), file.config, file.label) == (weights(), {"r": 8}, "data: URL (10 kB)")
    before = names(folder)
    assert get(data_url(data)).path == file.path
    assert names(folder) == before
    assert get(data_url(weights())).config is None


def test_long_data_url_is_decoded_in_parts(get):
    data = weights(size=7_000_000)
    assert get(data_url(data)).digest == f"sha256:{sha256(data)}"


@pytest.mark.parametrize(
    "payload", ["AAAAA", "AA=A", "A=", "A", "AAAA====", "A-_A", "é", "AA\0AA", "AAAA" * 2_000_000 + "=AAA"]
)
def test_damaged_base64_is_refused(get, folder, payload):
    with pytest.raises(InputError, match="it is not base64"):
        get("data:;base64," + payload)
    assert names(folder) == []


def test_base64_may_have_line_breaks_escapes_and_no_padding(get):
    for size in (1000, 1001, 1002):
        data = weights(size=size)
        plain = base64.b64encode(data).decode()
        in_lines = base64.encodebytes(data).decode()
        escaped = plain.replace("=", "%3D").replace("+", "%2B").replace("/", "%2F")
        ways = (in_lines, in_lines.replace("\n", "\r\n "), plain.rstrip("="), in_lines.replace("=", ""), escaped)
        assert {get("data:;base64," + way).digest for way in ways} == {f"sha256:{sha256(data)}"}


def test_padding_within_a_data_url_is_refused(get):
    block = base64.b64encode(weights(size=3_000_000)).decode()
    payload = block[: 4 * 1024 * 1024 - 4] + "AA==" + block
    with pytest.raises(InputError, match="it is not base64"):
        get("data:;base64," + payload)


def test_data_url_above_the_limit_is_refused(make_files, logs):
    with pytest.raises(InputError, match="at most 500 bytes"):
        make_files(max_file_bytes=500).get(data_url(weights()), NOBODY, logs.append)


def test_local_file_is_used_where_it_lies(make_files, tmp_path, logs, folder):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(weights())
    path.with_name("adapter_config.json").write_bytes(b'{"r": 8}')
    file = make_files(allow_files=True).get(str(path), NOBODY, logs.append)
    assert (file.path, file.config, file.digest) == (path, {"r": 8}, f"sha256:{sha256(weights())}")
    assert not folder.exists()


def test_local_archive_is_unpacked_once_and_stays(make_files, tmp_path, logs):
    path = tmp_path / "mine.tar"
    path.write_bytes(tar(a__safetensors=weights()))
    files = make_files(allow_files=True)
    first = files.get(str(path), NOBODY, logs.append)
    assert first.path.read_bytes() == weights()
    assert files.get(str(path), NOBODY, logs.append) == first
    assert path.is_file()


def test_local_file_that_is_missing_or_no_adapter_is_refused(make_files, tmp_path, logs):
    files = make_files(allow_files=True)
    (tmp_path / "a.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="there is no such file on this machine"):
        files.get(str(tmp_path / "missing.safetensors"), NOBODY, logs.append)
    with pytest.raises(InputError, match="there is no such file on this machine"):
        files.get(str(tmp_path), NOBODY, logs.append)
    with pytest.raises(AdapterError, match="neither safetensors"):
        files.get(str(tmp_path / "a.safetensors"), NOBODY, logs.append)
    assert (tmp_path / "a.safetensors").is_file()
