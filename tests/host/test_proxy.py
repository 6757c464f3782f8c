"""A server that reaches the internet through an HTTP proxy only: a real proxy, and the real programs that use it."""

from __future__ import annotations

import base64
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from localcloud.http import free_port
from tests.faults.secrets import leaks
from tests.host.machine import Machine, World, until

Make = Callable[..., Machine]
PASSWORD = "p@ss:$HOME #1"
CREDENTIALS = f"Basic {base64.b64encode(f'harbor:{PASSWORD}'.encode()).decode()}"


class Proxy:
    """A proxy that wants credentials, and answers for every host from the test's own server."""

    def __init__(self, world: World) -> None:
        self.hosts: list[str] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                if self.headers.get("Proxy-Authorization") != CREDENTIALS:
                    self.send_error(407)
                    return
                proxy.hosts.append(str(url.hostname))
                try:
                    with urllib.request.urlopen(f"{world.url}{url.path}") as answer:
                        body = answer.read()
                except OSError:
                    self.send_error(502)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_CONNECT(self) -> None:
                is_known = self.headers.get("Proxy-Authorization") == CREDENTIALS
                if is_known:
                    proxy.hosts.append(self.path.partition(":")[0])
                self.send_error(502 if is_known else 407)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def proxy(world: World) -> Iterator[Proxy]:
    proxy = Proxy(world)
    yield proxy
    proxy.close()


def test_everything_from_outside_comes_through_the_proxy(machine: Make, proxy: Proxy) -> None:
    settings = {"url": proxy.url, "username": "harbor", "password": PASSWORD, "noProxy": [".direct.test"]}
    server = machine(proxy=settings, proxy_password=PASSWORD)
    environment = server.path("/etc/harbor-mirror/bootstrap.env")
    environment.write_text(environment.read_text() + "INSTALLER_URL=http://downloads.test\n")
    status, output, processes = server.traced("/usr/local/sbin/harbor-bootstrap")
    assert status == 0, output
    assert set(proxy.hosts) == {"downloads.test"}, "the health of Harbor is asked for directly"
    assert leaks({"output": output.encode(), **{f"{started!r}": started for started in processes}}, {PASSWORD}) == []

    def script(command: str) -> None:
        server.run("bash", "-c", f". /usr/local/lib/harbor-mirror/lib.sh; {command}")

    script("rclone --retries 1 --low-level-retries 1 lsf --http-url http://backups.test/ :http:")
    script("rclone --retries 1 --low-level-retries 1 lsf --http-url http://backups.direct.test/ :http:")
    server.path("/tmp/list").write_text("deb [trusted=yes] http://packages.test/debian trixie main\n")
    sources = "-o Dir::Etc::SourceList=/tmp/list -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User=root"
    script(f"/usr/bin/apt-get {sources} -o Acquire::Retries=0 update")
    assert set(proxy.hosts) == {"downloads.test", "backups.test", "packages.test"}


def test_caddy_asks_for_its_certificate_through_the_proxy(machine: Make, proxy: Proxy) -> None:
    settings = {"url": proxy.url, "username": "harbor", "password": PASSWORD}
    server = machine(tls="letsencrypt", proxy=settings, proxy_password=PASSWORD)
    assert "EnvironmentFile=/etc/harbor-mirror/proxy.env" in server.text(
        "/etc/systemd/system/caddy.service.d/proxy.conf"
    )
    ports = f"\tadmin off\n\thttp_port {free_port()}\n\thttps_port {free_port()}\n"
    caddyfile = server.text("/etc/harbor-mirror/Caddyfile").replace("/mnt/harbor/caddy", "/tmp/caddy")
    caddyfile = caddyfile.replace("{\n", f"{{\n{ports}\tacme_ca https://acme.test/directory\n", 1)
    server.path("/tmp/Caddyfile").write_text(caddyfile.replace("harbor.test {", "harbor.example.com {"))
    # As systemd does with EnvironmentFile.
    command = "set -a; . /etc/harbor-mirror/proxy.env; exec caddy run --adapter caddyfile --config /tmp/Caddyfile"
    caddy = server.popen("bash", "-c", command)
    try:
        until(lambda: "acme.test" in proxy.hosts)
    finally:
        caddy.kill()
        caddy.communicate()


def test_only_root_reads_the_credentials(machine: Make, proxy: Proxy) -> None:
    server = machine(proxy={"url": proxy.url, "username": "harbor", "password": PASSWORD}, proxy_password=PASSWORD)
    for path in ("/etc/harbor-mirror/proxy.env", "/etc/harbor-mirror/harbor.yml"):
        assert "p%40ss%3A%24HOME%20%231" in server.text(path)
        assert server.path(path).stat().st_mode & 0o077 == 0
