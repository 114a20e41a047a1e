"""Debian's nginx on loopback: a web server as the world has it, for tests and benches."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")  # of libnginx-mod-stream
HTTP = """
http {{
  log_format ranges '$status $body_bytes_sent $connection $uri $http_range';
  access_log {folder}/access.log ranges;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  sendfile on; tcp_nopush on;
  server {{ listen 127.0.0.1:{port}; root {root}; {server} }}
}}
"""
STREAM = """
stream {{
  server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{upstream};
    proxy_buffer_size 256k; proxy_download_rate {rate}; }}
}}
"""


@dataclass(frozen=True)
class Logged:
    """One answer of nginx: `sent` bytes of body on the connection with this number."""

    status: int
    sent: int
    connection: int
    path: str
    range: str  # the request's Range header, or "-"


@dataclass(frozen=True)
class Nginx:
    url: str
    folder: Path

    def logged(self) -> list[Logged]:
        lines = (self.folder / "access.log").read_text().splitlines()
        fields = (line.split(" ", 4) for line in lines)
        return [Logged(int(status), int(sent), int(conn), path, asked) for status, sent, conn, path, asked in fields]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def run_nginx(root: Path, folder: Path, *, server: str = "", connection_rate: int | None = None) -> Iterator[Nginx]:
    """Serve `root`; nginx keeps its log and the like in `folder`. `server`: more directives.

    `connection_rate`: bytes per second that one connection carries, however many requests it is used for (nginx's own
    limit_rate is per request, with a second's worth at once). That needs libnginx-mod-stream.
    """
    port = free_port()
    text = "" if connection_rate is None else f"load_module {STREAM_MODULE};\n"
    text += "user root;\n" if os.geteuid() == 0 else ""  # else its workers may not read a test's folder
    text += f"daemon off; worker_processes auto; pid {folder}/pid; error_log {folder}/error.log;\n"
    text += "worker_rlimit_nofile 1024; events { worker_connections 500; }\n"
    text += HTTP.format(folder=folder, port=port, root=root, server=server)
    if connection_rate is not None:
        upstream, port = port, free_port()
        text += STREAM.format(port=port, upstream=upstream, rate=connection_rate)
    config = folder / "nginx.conf"
    config.write_text(text)
    process = subprocess.Popen([NGINX, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)])
    try:
        wait_for_port(port, process, folder)
        yield Nginx(f"http://127.0.0.1:{port}", folder)
    finally:
        process.terminate()
        process.wait()


def wait_for_port(port: int, process: subprocess.Popen, folder: Path) -> None:
    until = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.01)
    process.kill()
    raise RuntimeError(f"nginx did not start: {(folder / 'error.log').read_text()[-2000:]}")
