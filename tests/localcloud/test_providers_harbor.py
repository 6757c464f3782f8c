"""The Harbor stand-in's requests, steps and state are those of the real plugin, as recorded for one stack."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator

import pytest

from localcloud.providers import Providers
from localcloud.providers.values import Values
from tests.localcloud.providers_replay import (
    Engine,
    RecordedStack,
    Replay,
    StepFailed,
    by_path,
    call_of,
    recordings,
    replaying,
)

PHASES = recordings("harbor")
TOKENS = {
    "p": "harbor:index/project:Project",
    "r": "harbor:index/registry:Registry",
    "rep": "harbor:index/replication:Replication",
    "rp": "harbor:index/robotAccount:RobotAccount",
    "rs": "harbor:index/robotAccount:RobotAccount",
    "ret": "harbor:index/retentionPolicy:RetentionPolicy",
    "gc": "harbor:index/garbageCollection:GarbageCollection",
}


def robot(name: str, level: str) -> Values:
    access = {"action": "pull", "resource": "repository"}
    permissions = [{"accesses": [access], "kind": "project", "namespace": "b-k-proj"}]
    return {"name": name, "level": level, "permissions": permissions}


def program() -> dict[str, Values]:
    """Return the inputs of the recorded program at its beginning."""
    return {
        "p": {"name": "b-k-proj"},
        "r": {
            "name": "b-k-reg",
            "providerName": "docker-registry",
            "endpointUrl": "http://127.0.0.1:25000",
            "insecure": True,
            "description": "d",
        },
        "gc": {"schedule": "0 0 5 * * *", "deleteUntagged": True},
        "rep": {
            "name": "b-k-rep",
            "action": "pull",
            "registryId": 73,
            "destNamespace": "b-k-proj",
            "schedule": "0 0 3 * * *",
            "filters": [{"name": "library/nginx"}, {"tag": "1.*"}],
        },
        "rp": robot("b-k-prj", "project"),
        "rs": robot("b-k-sys", "system"),
        "ret": {
            "scope": "/projects/45",
            "schedule": "Daily",
            "rules": [{"mostRecentlyPushed": 5, "repoMatching": "**", "tagMatching": "**"}],
        },
    }


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    with replaying() as replay:
        yield replay


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with Providers() as providers:
        yield providers.port


@pytest.fixture
def engine(replay: Replay, port: int) -> Iterator[Engine]:
    engine = Engine(port, "harbor", {"url": replay.url, "username": "admin", "password": "Harbor12345"})
    yield engine
    engine.close()


@pytest.fixture
def stack(replay: Replay, engine: Engine) -> RecordedStack:
    """The stack after its first `up`."""
    stack = RecordedStack(replay, engine, PHASES, TOKENS, program())
    assert stack.up("01-up") == [f"create {name}" for name in program()]
    return stack


def test_the_first_up_leaves_the_plugins_state(stack: RecordedStack) -> None:
    state = stack.engine.state
    assert {name: known.id for name, known in state.items()} == {
        "p": "/projects/45",
        "r": "/registries/73",
        "gc": "/system/gc/schedule",
        "rep": "/replication/policies/225",
        "rp": "/robots/1",
        "rs": "/robots/2",
        "ret": "/retentions/3",
    }
    rep = state["rep"]
    assert rep.inputs["__defaults"] == [
        "copyByChunk",
        "deletion",
        "destNamespaceReplace",
        "enabled",
        "executeOnChanged",
        "override",
        "speed",
    ]
    assert rep.inputs["filters"] == [{"name": "library/nginx", "__defaults": []}, {"tag": "1.*", "__defaults": []}]
    assert (rep.outputs["override"], rep.outputs["speed"], rep.outputs["destNamespaceReplace"]) == (True, -1, 0)
    assert rep.outputs["replicationPolicyId"] == 225
    assert state["r"].outputs["registryId"] == 73
    assert state["r"].outputs["status"] == "healthy"
    assert state["p"].outputs["projectId"] == 45
    assert state["rs"].outputs["fullName"] == "robot$b-k-sys"
    assert state["rs"].outputs["name"] == "b-k-sys"
    assert state["rp"].outputs["name"] == "b-k-prj"
    assert len(state["rs"].outputs["secret"]) == 32
    assert state["ret"].outputs["schedule"] == "Daily"


def test_an_unchanged_up_sends_no_requests(stack: RecordedStack) -> None:
    assert stack.up("02-up-again") == []


def test_a_clean_refresh_sees_nothing_and_changes_nothing(stack: RecordedStack) -> None:
    def inputs() -> dict[str, Values]:
        # Without the filters: the bridge lays a set's elements, which state sorts, over the program's one by one.
        found = {name: copy.deepcopy(known.inputs) for name, known in stack.engine.state.items()}
        del found["rep"]["filters"]
        return found

    before = inputs()
    assert stack.refresh("03-refresh") == {}
    assert inputs() == before
    assert stack.up("02-up-again") == []


def filters(*blocks: Values) -> Callable[[dict[str, Values]], object]:
    return lambda wanted: wanted["rep"].update(filters=list(blocks))


def test_replication_is_updated_as_recorded(stack: RecordedStack) -> None:
    name, tag, kind = {"name": "library/nginx"}, {"tag": "1.*", "decoration": "excludes"}, {"resource": "image"}
    assert stack.up("04-update-rep-filters", filters(name, tag, kind)) == ["update rep"]
    many = {"description": "x", "destNamespaceReplace": 1, "enabled": False, "override": False, "copyByChunk": True}
    many |= {"schedule": "0 0 4 * * *", "speed": 100}
    assert stack.up("05-update-rep-many", lambda wanted: wanted["rep"].update(many)) == ["update rep"]

    def manual(wanted: dict[str, Values]) -> None:
        wanted["rep"] |= {"schedule": "manual", "override": True}
        for gone in ("filters", "description", "destNamespace"):
            del wanted["rep"][gone]

    assert stack.up("06-update-rep-schedule-manual-nofilters", manual) == ["update rep"]
    # One block with name and tag sends the tag alone.
    single = filters({"name": "library/nginx", "tag": "1.*"})
    assert stack.up("07-update-rep-filter-name-and-tag-in-one", single) == ["update rep"]
    with pytest.raises(StepFailed, match=r"unexpected status code got: 400 expected: 200"):
        stack.up("08-update-rep-bad-cron", lambda wanted: wanted["rep"].update(schedule="0 3 * * *"))
    # The refused value is the state's now, and the next diff is against it.
    assert stack.engine.state["rep"].outputs["schedule"] == "0 3 * * *"
    back = program()["rep"] | {"destNamespaceReplace": -1, "override": True}
    assert stack.up("09-update-rep-back", lambda wanted: wanted.update(rep=back)) == ["update rep"]


def test_registry_is_updated_in_place_but_for_its_type(stack: RecordedStack) -> None:
    def registry(**values: object) -> Callable[[dict[str, Values]], object]:
        return lambda wanted: wanted["r"].update(values)

    assert stack.up("10-update-reg-description", registry(description="d2")) == ["update r"]
    with pytest.raises(StepFailed, match="the registry is unhealthy"):
        stack.up("11-update-reg-url-unreachable", registry(endpointUrl="http://127.0.0.1:9"))
    credential = {"accessId": "alice", "accessSecret": "alicepw"}
    url = "http://127.0.0.1:25011"
    assert stack.up("12-update-reg-url-htpasswd-with-cred", registry(endpointUrl=url, **credential)) == ["update r"]
    assert stack.up("13-update-reg-name", registry(name="b-k-reg2")) == ["update r"]
    removed = stack.wanted["r"] | {"accessId": None, "accessSecret": None}
    stack.wanted["r"] = {key: value for key, value in removed.items() if value is not None}
    assert stack.up("14-update-reg-cred-removed") == ["update r"]
    with pytest.raises(StepFailed, match="412 expected: 200"):
        stack.up("15-update-reg-type", registry(providerName="harbor"))
    assert stack.up("16-update-reg-type-back", registry(providerName="docker-registry", **credential)) == ["update r"]


def test_the_others_are_updated_as_recorded(stack: RecordedStack) -> None:
    quota = stack.up("17-update-project-public-quota", lambda w: w["p"].update(public=True, storageQuota=5))
    assert quota == ["update p"]
    change = {"duration": 30, "disable": True, "description": "x"}
    assert stack.up("18-update-robot-duration-disable", lambda w: w["rs"].update(change)) == ["update rs"]
    schedule = stack.up("19-update-retention-schedule", lambda w: w["ret"].update(schedule="0 0 6 * * *"))
    assert schedule == ["update ret"]
    hourly = {"schedule": "Hourly", "deleteUntagged": False}
    assert stack.up("20-update-gc-schedule", lambda w: w["gc"].update(hourly)) == ["update gc"]


@pytest.fixture
def settled(replay: Replay, engine: Engine) -> RecordedStack:
    """The stack as it was when the recorded drift began."""
    stack = RecordedStack(replay, engine, PHASES, TOKENS, program())
    stack.up("01-up")
    later = [PHASES[name]["calls"] for name in ("24-failed-update-refresh-then-up", "25-repaired")]
    stack.wanted["rep"] |= {"description": "want-d", "destNamespaceReplace": -1, "speed": 50}
    stack.wanted["r"] |= {"name": "b-k-reg2", "description": "d2", "endpointUrl": "http://127.0.0.1:25011"}
    stack.wanted["r"] |= {"accessId": "alice", "accessSecret": "alicepw"}
    stack.wanted["rs"] |= {"duration": 30, "disable": True, "description": "x"}
    stack.wanted["gc"] |= {"schedule": "Hourly", "deleteUntagged": False}
    stack.wanted["ret"] |= {"schedule": "0 0 6 * * *"}
    answers = [row for calls in later for row in calls if row["method"] == "GET"]
    updates = [{**row, "method": "PUT", "status": 200, "response": None} for row in answers]
    stack.replay.play([*answers, *updates])
    for name, inputs in stack.wanted.items():
        stack.engine.up(name, TOKENS[name], inputs)
    return stack


#: Recorded drift: field by field, what was changed behind the provider's back, and what the refresh showed.
DRIFT = {name: row for name, row in PHASES.items() if "-drift-" in name}


@pytest.mark.parametrize("phase", DRIFT)
def test_drift_is_seen_and_missed_as_recorded(phase: str, settled: RecordedStack) -> None:
    shown = {re.sub(r" *:.*", "", line) for line in DRIFT[phase]["diff"]}
    seen = settled.refresh(phase)
    assert {f"{sign} {name}" for changed in seen.values() for name, sign in changed.items()} == shown


def test_most_recorded_drift_is_seen_and_the_blind_spots_are_not() -> None:
    missed = {name for name, row in DRIFT.items() if not row["diff"]}
    assert {name.split("-drift-")[1] for name in missed} >= {
        "replication-filters",
        "replication-description",
        "replication-speed",
        "robot-secret",
        "project-quota",
    }
    assert len(DRIFT) - len(missed) > 15


def test_an_update_of_a_deleted_object_fails_with_harbors_message(settled: RecordedStack) -> None:
    with pytest.raises(StepFailed) as failure:
        settled.up("56-update-of-deleted-replication", lambda wanted: wanted["rep"].update(description="changed"))
    assert str(failure.value).split(": ", 1)[1] == (
        "1 error occurred:\n\t* [ERROR] unexpected status code got: 404 expected: 200 \n "
        '{"errors": [{"code": "NOT_FOUND", "message": "replication policy 225 not found"}]}\n\n'
    )


def test_a_refused_update_is_sent_again_until_it_is_repaired(settled: RecordedStack) -> None:
    refused = r"\* is not allowed for the Minutes field of the cron setting of replication policy"
    with pytest.raises(StepFailed, match=refused):
        settled.up("22-failed-update", lambda wanted: wanted["rep"].update(schedule="0 * * * * *"))
    with pytest.raises(StepFailed, match=refused):
        settled.up("23-failed-update-same-program-again")
    settled.play("24-failed-update-refresh-then-up")
    for name in list(settled.engine.state):
        settled.engine.refresh(name)
    assert settled.engine.state["rep"].outputs["schedule"] == "0 0 3 * * *"
    with pytest.raises(StepFailed, match=refused):
        settled.engine.up("rep", TOKENS["rep"], settled.wanted["rep"])
    settled.agree()
    assert settled.up("25-repaired", lambda wanted: wanted["rep"].update(schedule="0 0 3 * * *")) == ["update rep"]


def test_a_refresh_removes_deleted_objects_and_the_next_up_recreates_them(settled: RecordedStack) -> None:
    settled.wanted["rep"]["description"] = "changed"
    settled.play("57-up-refresh-of-deleted-replication")
    for name in list(settled.engine.state):
        settled.engine.refresh(name)
    assert "rep" not in settled.engine.state
    before = len(settled.engine.steps)
    for name, inputs in settled.wanted.items():
        settled.engine.up(name, TOKENS[name], inputs)
    settled.agree()
    assert [step for step in settled.engine.steps[before:] if "same" not in step] == ["update gc", "create rep"]


IMPORTS = {name: row for name, row in PHASES.items() if row["command"].startswith("pulumi import")}


@pytest.mark.parametrize("phase", IMPORTS)
def test_imports_find_and_miss_as_recorded(phase: str, replay: Replay, engine: Engine) -> None:
    row = IMPORTS[phase]
    _, _, token, _, id = row["command"].split()[:5]
    # The recorded command reads twice (preview and import) where it finds something, once where it does not.
    replay.play(row["calls"])
    if row["rc"]:
        with pytest.raises(StepFailed, match="does not exist"):
            engine.adopt("x", token, id)
    else:
        engine.adopt("x", token, id)
        engine.adopt("x", token, id)
    assert by_path(replay.calls) == by_path([call_of(call) for call in row["calls"]])


def test_an_imported_replication_knows_neither_filters_nor_description(replay: Replay, engine: Engine) -> None:
    replay.play(PHASES["64-import"]["calls"])
    known = engine.adopt("rep", TOKENS["rep"], "/replication/policies/231")
    assert known.outputs["filters"] == []
    assert known.outputs.get("description") is None
    assert known.inputs == {
        "__defaults": [],
        "action": "pull",
        "destNamespace": "b-k-proj",
        "destNamespaceReplace": -1,
        "name": "b-k-rep",
        "registryId": 79,
        "schedule": "0 0 3 * * *",
    }


def test_an_imported_robot_has_no_secret(replay: Replay, engine: Engine) -> None:
    replay.play(PHASES["68-import"]["calls"])
    known = engine.adopt("rs", TOKENS["rs"], "/robots/2")
    assert known.outputs.get("secret") is None
    assert known.inputs["permissions"] == [
        {
            "__defaults": [],
            "accesses": [{"__defaults": [], "action": "pull", "resource": "repository"}],
            "kind": "project",
            "namespace": "b-k-proj",
        }
    ]


def test_destroy_empties_retention_and_schedule_and_spares_a_project_with_images(settled: RecordedStack) -> None:
    settled.play("69-destroy-with-foreign-policy-images-and-running-execution")
    state = settled.engine.state
    state["rep"].id, state["r"].id = "/replication/policies/231", "/registries/79"
    for name in ("rs", "rp", "ret", "rep", "gc"):
        settled.engine.delete(name)
    with pytest.raises(StepFailed, match="project b-k-proj is not empty, please set force_destroy to TRUE"):
        settled.engine.delete("p")
    with pytest.raises(StepFailed, match="the registry 79 is referenced by replication policies, cannot delete it"):
        settled.engine.delete("r")
    settled.agree()
    settled.play("70-destroy-with-resources-already-gone")
    settled.engine.delete("r")
    with pytest.raises(StepFailed, match="is not empty"):
        settled.engine.delete("p")
    settled.agree()


def test_a_forced_deletion_of_a_project_deletes_its_repositories(replay: Replay, engine: Engine) -> None:
    def row(method: str, path: str, response: object = None, status: int = 200, **more: object) -> Values:
        path = f"/api/v2.0/projects{path}"
        return {"method": method, "path": path, "body": None, "status": status, "response": response, **more}

    # The slash is encoded twice on the wire, as Harbor wants it; the replay sees it decoded once.
    repositories = [{"name": "forced/plain"}, {"name": "forced/library/nginx"}]
    rows = [
        row("POST", "", status=201, location="/api/v2.0/projects/5"),
        row("GET", "/5", {"project_id": 5, "name": "forced", "metadata": {"public": "false"}}),
        row("GET", "/forced/repositories?page=1&page_size=100", repositories),
        row("GET", "/forced/repositories?page=2&page_size=100", []),
        row("DELETE", "/forced/repositories/plain"),
        row("DELETE", "/forced/repositories/library%2Fnginx"),
        row("DELETE", "/5"),
    ]
    replay.play(rows)
    engine.up("p", TOKENS["p"], {"name": "forced", "forceDestroy": True})
    engine.delete("p")
    assert [call.path.rsplit("/", 1)[1] for call in replay.calls[-3:]] == ["plain", "library%2Fnginx", "5"]
