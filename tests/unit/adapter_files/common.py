"""What the tests of AdapterFiles share."""

import hashlib
import io
import json
import struct
import tarfile

from easel.lora.sites import Tokens
from easel.net.guard import Network
from tests.support.fault_server import Answer

NETWORK = Network(backoff_s=0.01, max_backoff_s=0.02, retries=1)


NOBODY = Tokens()


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def weights(text="one", size=1000):
    header = json.dumps({"__metadata__": {"name": text}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def tar(**members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(f"out/{name.replace('__', '.')}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


def put_on_hub(server, files, repo="ada/flowers", revision="main", **options):
    """A repository of files (name: bytes), as the Hub lists and gives them."""
    tree = [{"type": "directory", "path": "samples", "oid": COMMIT, "size": 0}]
    for name, data in files.items():
        entry = {"type": "file", "path": name, "oid": COMMIT, "size": len(data)}
        if name.endswith(".safetensors"):
            entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 130}
        tree.append(entry)
        server.routes[f"/{repo}/resolve/{revision}/{name}"] = Answer(body=data, etag=True, **options)
    server.routes[f"/api/models/{repo}/tree/{revision}"] = Answer(body=json.dumps(tree).encode(), **options)


def put_on_civitai(server, *versions, **options):
    """Versions are pairs of a number and a list of files as the API lists them."""
    listed = [{"id": number, "files": files} for number, files in versions]
    server.routes["/civitai/api/v1/models/12"] = Answer(body=json.dumps({"modelVersions": listed}).encode(), **options)
    for version in listed:
        server.routes[f"/civitai/api/v1/model-versions/{version['id']}"] = Answer(
            body=json.dumps(version).encode(), **options
        )


def civitai_file(server, path, data=None, **changes):
    file = {"name": path.strip("/"), "type": "Model", "primary": True, "metadata": {"format": "SafeTensor"}}
    if data is not None:
        file["hashes"] = {"SHA256": sha256(data).upper()}
    return {**file, "downloadUrl": server.url + path, **changes}


def names(folder):
    return sorted(path.name for path in folder.iterdir())
