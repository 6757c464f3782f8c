"""Previews and drift reports need no write access to the state, so their key can be read only."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from localcloud.cloud import PARTNER_PASSWORD, LocalCloud
from localcloud.demo import stack_config
from localcloud.engine import Workspace
from localcloud.http import free_port
from tests.ci.conftest import Repository, script

READER, WRITER = "reader", "writer"


@dataclass
class Bucket:
    """An S3 server on which the key `reader` can read, but not write."""

    app: Any = field(default_factory=lambda: DomainDispatcherApplication(create_backend_app))
    refused: list[str] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        is_reader = f"Credential={READER}/" in environ.get("HTTP_AUTHORIZATION", "")
        if is_reader and environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            self.refused.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"]
        answer: Iterable[bytes] = self.app(environ, start_response)
        return answer


class Quiet(WSGIRequestHandler):
    """A request handler without a log."""

    def log_request(self, *_: Any) -> None:
        """Write nothing."""


@pytest.fixture
def bucket() -> Iterator[tuple[Bucket, str]]:
    bucket = Bucket()
    server = make_server("127.0.0.1", 0, bucket, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=WRITER, aws_secret_access_key="secret"
    )
    client.create_bucket(Bucket="state")
    yield bucket, url
    server.shutdown()
    thread.join()


@pytest.mark.slow
def test_preview_plan_and_drift_work_with_a_key_that_can_only_read(bucket: tuple[Bucket, str], tmp_path: Path) -> None:
    store, url = bucket
    with LocalCloud() as cloud:
        backend = f"s3://state?endpoint={url}&region=us-east-1&use_path_style=true"
        keys = {"AWS_ACCESS_KEY_ID": WRITER, "AWS_SECRET_ACCESS_KEY": "secret", "PULUMI_BACKEND_URL": backend}
        workspace = Workspace(tmp_path / "dev", "dev", {**cloud.env, **keys})
        workspace.create()
        workspace.configure(stack_config(cloud, free_port()))
        workspace.set_secret("endpoints.partner.secret", PARTNER_PASSWORD)
        checkout = Repository(workspace.directory)
        checkout.git("init", "--quiet", "--initial-branch", "main")
        base = checkout.commit(**{"README.md": "base"})
        workspace.up().ok()
        env = {**workspace.environment(), "AWS_ACCESS_KEY_ID": READER, "PROJECT_DIR": str(workspace.directory)}
        for name, argument in (("preview.sh", base), ("plan.sh", str(tmp_path / "plan.json")), ("drift.sh", "")):
            ran = script(name, "dev", *filter(None, [argument]), env=env)
            assert ran.code == 0, ran.output + ran.errors
        assert store.refused == []
        deployed = script("deploy.sh", "dev", str(tmp_path / "outputs.json"), env=env)
        assert deployed.code != 0
        assert "AccessDenied" in deployed.errors
        workspace.destroy()
