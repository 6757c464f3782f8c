"""What the recordings of Harbor cannot show: time passing, and images of every form moving."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import httpx

from localcloud.faults import Fault
from localcloud.harbor.globs import BadPattern, matches
from localcloud.oci.store import references
from tests.localcloud.conftest import PASSWORD, RunningHarbor, until

DATA = Path(__file__).parents[1] / "data" / "model"


def test_a_schedule_fires_when_it_is_due_and_once(harbor: RunningHarbor) -> None:
    at_noon, at_one = harbor.rule("noon", "tool", "0 0 12 * * *"), harbor.rule("one", "tool", "0 0 13 * * *")
    harbor.clock.now += timedelta(minutes=1)
    until(lambda: len(harbor.runs(at_noon)) == 1)
    assert harbor.runs(at_noon)[0]["trigger"] == "scheduled"
    harbor.clock.now += timedelta(hours=1)
    until(lambda: len(harbor.runs(at_one)) == 1)
    assert len(harbor.runs(at_noon)) == 1, "not again before the next noon"


def test_what_does_not_fire(harbor: RunningHarbor) -> None:
    off = harbor.rule("off", "tool", "0 0 12 * * *", enabled=False)
    never = harbor.rule("never", "tool", "0 0 0 31 2 *")
    moved = harbor.rule("moved", "tool", "0 0 12 * * *")
    gone = harbor.rule("gone", "tool", "0 0 12 * * *")
    harbor.http.delete(f"/replication/policies/{gone}").raise_for_status()
    policy = harbor.http.get(f"/replication/policies/{moved}").json()
    policy["trigger"]["trigger_settings"]["cron"] = "0 0 15 * * *"
    harbor.http.put(f"/replication/policies/{moved}", json=policy).raise_for_status()
    marker = harbor.rule("marker", "tool", "0 0 12 * * *")
    harbor.clock.now += timedelta(minutes=1)
    until(lambda: len(harbor.runs(marker)) == 1)
    assert [harbor.runs(policy) for policy in (off, never, moved, gone)] == [[], [], [], []]


def test_every_form_of_image_arrives_whole(harbor: RunningHarbor) -> None:
    done = harbor.run(harbor.rule("all", "**"))
    assert (done["status"], done["failed"]) == ("Succeed", 0)
    for repository in harbor.source.store.repositories():
        mirrored = f"mirror/{repository}"
        tags = harbor.source.store.tags(repository)
        assert harbor.data.images.tags(mirrored) == tags
        for digest in tags.values():
            _assert_whole(harbor, mirrored, digest)


def _assert_whole(harbor: RunningHarbor, repository: str, digest: str) -> None:
    manifest = harbor.data.images.manifest(repository, digest)
    assert manifest is not None, f"{repository}@{digest}"
    for child in references(manifest.body):
        if child.is_manifest:
            _assert_whole(harbor, repository, child.digest)
        else:
            assert harbor.data.images.blob(child.digest, repository) is not None


def test_a_moved_tag_is_kept_or_replaced(harbor: RunningHarbor) -> None:
    kept = harbor.rule("kept", "tool", override=False)
    harbor.run(kept)
    before = harbor.data.images.tags("mirror/tool")["v1"]
    harbor.source.store.put_manifest("tool", "v1", *_another(harbor))
    assert harbor.run(kept)["status"] == "Succeed"
    assert harbor.data.images.tags("mirror/tool")["v1"] == before
    assert harbor.run(harbor.rule("replaced", "tool"))["status"] == "Succeed"
    assert harbor.data.images.tags("mirror/tool") == harbor.source.store.tags("tool")


def _another(harbor: RunningHarbor) -> tuple[bytes, str]:
    """Another image's manifest, with its blobs in the repository `tool`."""
    manifest = harbor.source.store.manifest("library/nginx", "latest")
    assert manifest is not None
    for blob in references(manifest.body):
        harbor.source.store.mount_blob(blob.digest, "tool")
    return manifest.body, manifest.media_type


def test_a_source_that_limits_is_named_in_the_log(harbor: RunningHarbor) -> None:
    rule = harbor.rule("nginx", "library/nginx")
    harbor.source.faults.add(Fault("/manifests/", status=429))
    done = harbor.run(rule)
    assert done["status"] == "Failed"
    assert "http status code: 429" in harbor.log(done)


def test_a_session_needs_the_token_that_belongs_to_it(harbor: RunningHarbor) -> None:
    with httpx.Client(base_url=harbor.http.base_url, auth=("admin", PASSWORD)) as browser:
        assert browser.get("/users/current").status_code == 200
        refused = browser.post("/projects", json={"project_name": "x"})
        assert (refused.status_code, refused.json()["errors"][0]["message"]) == (403, "CSRF token not found in request")
        browser.headers["X-Harbor-CSRF-Token"] = browser.get("/users/current").headers["X-Harbor-CSRF-Token"]
        assert browser.post("/projects", json={"project_name": "x"}).status_code == 201


def test_a_session_and_its_token_may_come_in_two_cookie_headers(harbor: RunningHarbor) -> None:
    """The provider's way: it takes token and cookie from the refusal, cuts the cookie at `=`, and adds a header."""
    with httpx.Client(base_url=harbor.http.base_url, auth=("admin", PASSWORD)) as browser:
        browser.get("/users/current")
        session = ("Cookie", f"sid={browser.cookies['sid']}")
    with httpx.Client(base_url=harbor.http.base_url, auth=("admin", PASSWORD)) as plain:
        refused = plain.post("/projects", json={"project_name": "y"}, headers=[session])
        given = refused.headers["set-cookie"].partition("_gorilla_csrf=")[2].partition(";")[0]
        token = ("X-Harbor-Csrf-Token", refused.headers["X-Harbor-Csrf-Token"])
        plain.cookies.clear()
        again = [session, ("Cookie", f"_gorilla_csrf={given.partition('=')[0]}"), token]
        assert plain.post("/projects", json={"project_name": "y"}, headers=again).status_code == 201


def test_a_restart_of_the_job_service_leaves_executions_in_progress(harbor: RunningHarbor) -> None:
    harbor.source.faults.add(Fault("/manifests/", delay=1.0))
    lost = harbor.rule("lost", "tool")
    harbor.make("/replication/executions", {"policy_id": lost})
    until(lambda: harbor.runs(lost)[0]["in_progress"])
    harbor.simulator.restart_job_service()
    assert harbor.run(harbor.rule("later", "tool"))["status"] == "Succeed"
    assert harbor.runs(lost)[0]["status"] == "InProgress"
    assert harbor.http.delete(f"/replication/policies/{lost}").status_code == 412


def test_a_destination_path_that_is_too_long_fails_the_run(harbor: RunningHarbor) -> None:
    namespace = "mirror/" + "a" * (245 - len("mirror//library/redis"))
    assert harbor.run(harbor.rule("fits", "library/redis", dest_namespace=namespace))["status"] == "Succeed"
    done = harbor.run(harbor.rule("too-long", "library/redis", dest_namespace=f"{namespace}a"))
    assert done["status"] == "Failed"
    assert "http status code: 500" in harbor.log(done)


def test_patterns_match_as_in_the_library_of_harbor() -> None:
    for line in (DATA / "globs-library.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["pattern"]:  # Harbor does not ask the library about an empty one
            try:
                found, error = matches(row["pattern"], row["name"]), None
            except BadPattern as bad:
                found, error = False, str(bad)
            assert (found, error) == (row["match"], row.get("error")), row
