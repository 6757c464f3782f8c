"""What the recordings of Harbor cannot show: time passing, and images of every form moving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx
import pytest

from localcloud.faults import Fault
from localcloud.harbor import HarborData, HarborSimulator
from localcloud.http import free_port, serve
from localcloud.oci.store import references
from localcloud.registry import RegistrySimulator
from tests import waiting

PASSWORD = "Harbor-Admin-1"
PATIENCE_SECONDS = 30.0


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 11, 59, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Place:
    """A Harbor with the endpoint `hub` on a source with the sample images."""

    http: httpx.Client
    data: HarborData
    source: RegistrySimulator
    clock: Clock
    endpoint: int = 0

    def make(self, path: str, body: dict[str, Any]) -> int:
        return int(self.http.post(path, json=body).raise_for_status().headers["Location"].rpartition("/")[2])

    def rule(self, name: str, repositories: str, cron: str = "", **fields: Any) -> int:
        trigger = {"type": "scheduled", "trigger_settings": {"cron": cron}} if cron else {"type": "manual"}
        body = {
            **{"name": name, "src_registry": {"id": self.endpoint}, "dest_namespace": "mirror", "enabled": True},
            **{"filters": [{"type": "name", "value": repositories}], "trigger": trigger, "override": True},
            **{"dest_namespace_replace_count": 0},
        }
        return self.make("/replication/policies", body | fields)

    def runs(self, policy: int) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.http.get("/replication/executions", params={"policy_id": policy}).json()
        return listed

    def run(self, policy: int) -> dict[str, Any]:
        """Starts it and waits for its end."""
        self.make("/replication/executions", {"policy_id": policy})
        until(lambda: self.runs(policy)[0]["status"] != "InProgress")
        return self.runs(policy)[0]


until = partial(waiting.until, seconds=PATIENCE_SECONDS, every=0.02)


@pytest.fixture
def place() -> Iterator[Place]:
    port, clock, data, source = free_port(), Clock(), HarborData(), RegistrySimulator(token_flow=True)
    source.seed()
    url = f"http://127.0.0.1:{port}"
    harbor = HarborSimulator(data, hostname="127.0.0.1", external_url=url, admin_password=PASSWORD, clock=clock)
    no_session = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    api = httpx.Client(base_url=f"{url}/api/v2.0", auth=("admin", PASSWORD), cookies=no_session)
    with harbor, serve(source.app) as served, serve(harbor.app, port=port), api:
        place = Place(api, data, source, clock)
        place.endpoint = place.make("/registries", {"name": "hub", "type": "docker-registry", "url": served.url})
        yield place


def test_a_schedule_fires_when_it_is_due_and_once(place: Place) -> None:
    at_noon, at_one = place.rule("noon", "tool", "0 0 12 * * *"), place.rule("one", "tool", "0 0 13 * * *")
    place.clock.now += timedelta(minutes=1)
    until(lambda: len(place.runs(at_noon)) == 1)
    assert place.runs(at_noon)[0]["trigger"] == "scheduled"
    place.clock.now += timedelta(hours=1)
    until(lambda: len(place.runs(at_one)) == 1)
    assert len(place.runs(at_noon)) == 1, "not again before the next noon"


def test_what_does_not_fire(place: Place) -> None:
    off = place.rule("off", "tool", "0 0 12 * * *", enabled=False)
    never = place.rule("never", "tool", "0 0 0 31 2 *")
    moved = place.rule("moved", "tool", "0 0 12 * * *")
    gone = place.rule("gone", "tool", "0 0 12 * * *")
    place.http.delete(f"/replication/policies/{gone}").raise_for_status()
    policy = place.http.get(f"/replication/policies/{moved}").json()
    policy["trigger"]["trigger_settings"]["cron"] = "0 0 15 * * *"
    place.http.put(f"/replication/policies/{moved}", json=policy).raise_for_status()
    marker = place.rule("marker", "tool", "0 0 12 * * *")
    place.clock.now += timedelta(minutes=1)
    until(lambda: len(place.runs(marker)) == 1)
    assert [place.runs(policy) for policy in (off, never, moved, gone)] == [[], [], [], []]


def test_every_form_of_image_arrives_whole(place: Place) -> None:
    done = place.run(place.rule("all", "**"))
    assert (done["status"], done["failed"]) == ("Succeed", 0)
    for repository in place.source.store.repositories():
        mirrored = f"mirror/{repository}"
        tags = place.source.store.tags(repository)
        assert place.data.images.tags(mirrored) == tags
        for digest in tags.values():
            _assert_whole(place, mirrored, digest)


def _assert_whole(place: Place, repository: str, digest: str) -> None:
    manifest = place.data.images.manifest(repository, digest)
    assert manifest is not None, f"{repository}@{digest}"
    for child in references(manifest.body):
        if child.is_manifest:
            _assert_whole(place, repository, child.digest)
        else:
            assert place.data.images.blob(child.digest, repository) is not None


def test_a_moved_tag_is_kept_or_replaced(place: Place) -> None:
    kept = place.rule("kept", "tool", override=False)
    place.run(kept)
    before = place.data.images.tags("mirror/tool")["v1"]
    place.source.store.put_manifest("tool", "v1", *_another(place))
    assert place.run(kept)["status"] == "Succeed"
    assert place.data.images.tags("mirror/tool")["v1"] == before
    assert place.run(place.rule("replaced", "tool"))["status"] == "Succeed"
    assert place.data.images.tags("mirror/tool") == place.source.store.tags("tool")


def _another(place: Place) -> tuple[bytes, str]:
    """Another image's manifest, with its blobs in the repository `tool`."""
    manifest = place.source.store.manifest("library/nginx", "latest")
    assert manifest is not None
    for blob in references(manifest.body):
        place.source.store.mount_blob(blob.digest, "tool")
    return manifest.body, manifest.media_type


def test_a_source_that_limits_is_named_in_the_log(place: Place) -> None:
    rule = place.rule("nginx", "library/nginx")
    place.source.faults.add(Fault("/manifests/", status=429))
    done = place.run(rule)
    assert done["status"] == "Failed"
    (task,) = place.http.get(f"/replication/executions/{done['id']}/tasks").json()
    log = place.http.get(f"/replication/executions/{done['id']}/tasks/{task['id']}/log").text
    assert "http status code: 429" in log


def test_a_session_needs_the_token_that_belongs_to_it(place: Place) -> None:
    with httpx.Client(base_url=place.http.base_url, auth=("admin", PASSWORD)) as browser:
        assert browser.get("/users/current").status_code == 200
        refused = browser.post("/projects", json={"project_name": "x"})
        assert (refused.status_code, refused.json()["errors"][0]["message"]) == (403, "CSRF token not found in request")
        browser.headers["X-Harbor-CSRF-Token"] = browser.get("/users/current").headers["X-Harbor-CSRF-Token"]
        assert browser.post("/projects", json={"project_name": "x"}).status_code == 201


def test_a_session_and_its_token_may_come_in_two_cookie_headers(place: Place) -> None:
    """The provider's way: it takes token and cookie from the refusal, cuts the cookie at `=`, and adds a header."""
    with httpx.Client(base_url=place.http.base_url, auth=("admin", PASSWORD)) as browser:
        browser.get("/users/current")
        session = ("Cookie", f"sid={browser.cookies['sid']}")
    with httpx.Client(base_url=place.http.base_url, auth=("admin", PASSWORD)) as plain:
        refused = plain.post("/projects", json={"project_name": "y"}, headers=[session])
        given = refused.headers["set-cookie"].partition("_gorilla_csrf=")[2].partition(";")[0]
        token = ("X-Harbor-Csrf-Token", refused.headers["X-Harbor-Csrf-Token"])
        plain.cookies.clear()
        again = [session, ("Cookie", f"_gorilla_csrf={given.partition('=')[0]}"), token]
        assert plain.post("/projects", json={"project_name": "y"}, headers=again).status_code == 201
