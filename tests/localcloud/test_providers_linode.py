"""The Linode stand-in's requests, steps and state are those of the real plugin, as recorded."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import MappingProxyType

import pytest

from localcloud.providers import Providers
from localcloud.providers.linode import client, objects
from localcloud.providers.linode import instance as instances
from localcloud.providers.values import Values
from tests.localcloud.providers_replay import Engine, RecordedStack, Replay, StepFailed, recordings, replaying

PHASES = recordings("linode")
TOKENS = {
    "fw": "linode:index/firewall:Firewall",
    "inst": "linode:index/instance:Instance",
    "vol": "linode:index/volume:Volume",
    "att": "linode:index/volume:Volume",
    "rec": "linode:index/domainRecord:DomainRecord",
    "rdns": "linode:index/rdns:Rdns",
    "rip": "linode:index/networkingIp:NetworkingIp",
    "bucket": "linode:index/objectStorageBucket:ObjectStorageBucket",
    "key": "linode:index/objectStorageKey:ObjectStorageKey",
}
PASSWORD = "RootPassMark-Aa1!xyz99"


def user_data(version: int) -> list[Values]:
    return [{"userData": b64encode(f"USERDATA_PLAIN_MARK #cloud-config v{version}".encode()).decode()}]


def rule(label: str, ports: str, ipv4: list[str], ipv6: list[str] | None = None) -> Values:
    made = {"label": label, "action": "ACCEPT", "protocol": "TCP", "ports": ports, "ipv4s": ipv4}
    return made | ({"ipv6s": ipv6} if ipv6 else {})


def firewall() -> Values:
    return {
        "label": "harbor-fw",
        "inboundPolicy": "DROP",
        "outboundPolicy": "ACCEPT",
        "inbounds": [
            rule("allow-https", "80, 443", ["0.0.0.0/0"], ["::/0"]),
            rule("allow-ssh", "22", ["203.0.113.0/24"]),
        ],
        "outbounds": [rule("out-all", "1-65535", ["0.0.0.0/0"])],
        "tags": ["harbor"],
    }


def instance(firewall_id: int, **more: object) -> Values:
    return {
        "label": "harbor-host",
        "region": "us-east",
        "type": "g6-standard-1",
        "image": "linode/ubuntu24.04",
        "rootPass": PASSWORD,
        "authorizedKeys": ["ssh-ed25519 AAAAC3Nz fake@x"],
        "backupsEnabled": True,
        "tags": ["harbor", "prod"],
        "metadatas": user_data(1),
        "firewallId": firewall_id,
        "diskEncryption": "enabled",
        **more,
    }


def data_volume() -> Values:
    return {"label": "harbor-data", "region": "us-east", "size": 20, "tags": ["harbor"]}


def program(firewall_id: int = 1002) -> dict[str, Values]:
    """Return the recorded set of resources, with the ids that the recording gave."""
    access = {"region": "us-east", "bucketName": "harbor-bucket", "permissions": "read_write"}
    return {
        "rip": {"type": "ipv4", "public": True, "reserved": True, "region": "us-east"},
        "vol": data_volume(),
        "fw": firewall(),
        "bucket": {"region": "us-east", "label": "harbor-bucket", "acl": "private", "corsEnabled": False},
        "inst": instance(firewall_id),
        "key": {"label": "harbor-key", "bucketAccesses": [access]},
        "att": {"label": "harbor-att", "region": "us-east", "size": 10, "linodeId": 1003},
        "rec": {"domainId": 77, "name": "harbor", "recordType": "A", "target": "198.51.100.12", "ttlSec": 300},
        "rdns": {"address": "198.51.100.12", "rdns": "harbor.example.com"},
    }


class LinodeStory(RecordedStack):
    """As the stack, but without the calls that come from functions (no resource here depends on them)."""

    settings: Mapping[str, str] = MappingProxyType({})

    def play(self, phase: str) -> None:
        self.replay.play([row for row in self.phases[phase]["calls"] if "function" not in row])
        self.engine.configure(configuration(self.replay) | dict(self.settings))


def configuration(replay: Replay) -> Values:
    return {"url": replay.url, "token": "FAKETOKEN-AAA", "eventPollMs": "1", "minRetryDelayMs": "1"}


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    with replaying() as replay:
        yield replay


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with Providers() as providers:
        yield providers.port


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "KEY_PAUSE_SECONDS", 0)
    monkeypatch.setattr(instances, "DISK_POLL_SECONDS", 0)
    # Retry-After is obeyed to the letter, but not in a test.
    monkeypatch.setattr(client, "MAX_RETRY_MS", 1)


@pytest.fixture
def engine(replay: Replay, port: int) -> Iterator[Engine]:
    replay.play([row for row in PHASES["02-up"]["calls"] if row["path"] == "/v4/linode/types"])
    engine = Engine(port, "linode", configuration(replay))
    yield engine
    engine.close()


def tell(replay: Replay, engine: Engine, wanted: dict[str, Values]) -> LinodeStory:
    return LinodeStory(replay, engine, PHASES, TOKENS, wanted)


@pytest.fixture
def stack(replay: Replay, engine: Engine) -> LinodeStory:
    """The whole set after its first `up`."""
    stack = tell(replay, engine, program())
    assert stack.up("02-up") == [f"create {name}" for name in program()]
    return stack


def test_the_first_up_leaves_the_plugins_state(stack: LinodeStory) -> None:
    state = stack.engine.state
    assert {name: known.id for name, known in state.items()} == {
        "rip": "198.51.100.11",
        "vol": "1001",
        "fw": "1002",
        "bucket": "us-east:harbor-bucket",
        "inst": "1003",
        "key": "1009",
        "att": "1010",
        "rec": "1011",
        "rdns": "198.51.100.12",
    }
    inst = state["inst"].outputs
    assert inst["rootPass"] == b64encode(hashlib.sha3_512(PASSWORD.encode()).digest()).decode()
    assert state["inst"].inputs["rootPass"] == PASSWORD
    assert (inst["status"], inst["ipAddress"], inst["ipv4s"]) == ("running", "198.51.100.12", ["198.51.100.12"])
    assert inst["configs"][0]["devices"]["sda"]["diskId"] == 1004
    assert inst["swapSize"] == 512
    assert '"create":900000000000' in inst["__meta"]
    assert state["inst"].inputs["__defaults"] == [
        "migrationType",
        "placementGroupExternallyManaged",
        "resizeDisk",
        "watchdogEnabled",
    ]
    assert "__defaults" not in state["fw"].inputs
    assert state["vol"].outputs["linodeId"] == 0
    assert state["att"].outputs["linodeId"] == 1003
    assert state["key"].outputs["secretKey"] == "FAKE-S3-SECRET-1009"


def test_only_the_bucket_needs_a_second_up(stack: LinodeStory) -> None:
    # `cors_enabled: false` is not sent at creation; where the API thinks otherwise, the next run says it.
    assert stack.up("03-up-again") == ["update bucket"]


def test_a_refresh_without_changes_is_clean(stack: LinodeStory) -> None:
    assert stack.refresh("04-refresh") == {}
    # That the firewall has a device by now is in its state, and no difference to the program.
    assert stack.engine.state["fw"].outputs["linodes"] == [1003]
    assert {stack.engine.up(name, TOKENS[name], inputs) for name, inputs in stack.wanted.items()} == {"same"}


def test_any_update_of_an_instance_writes_its_config_back(replay: Replay, engine: Engine) -> None:
    stack = tell(replay, engine, program(1001))
    stack.up("13-up")

    def tags(tag: str) -> Callable[[dict[str, Values]], object]:
        return lambda wanted: wanted["inst"].update(tags=["harbor", tag])

    # The devices are those that state knows: the volume came after the instance.
    assert stack.up("13b-tags-stale-devices", tags("t2")) == ["update bucket", "update inst"]
    stack.refresh("13c-refresh")
    assert stack.up("13d-tags-fresh", tags("t3")) == ["update inst"]
    stack.refresh("13e-refresh")
    assert stack.up("13f-tags-with-volume-in-state", tags("t4")) == ["update inst"]

    # With another label the new host may come first; the old one goes last.
    def move(wanted: dict[str, Values]) -> None:
        wanted["inst"] |= {"label": "harbor-host-2", "metadatas": user_data(2)}
        wanted["att"]["linodeId"] = 1012
        wanted["rec"]["target"] = wanted["rdns"]["address"] = "198.51.100.13"

    moved = stack.up("14-ud-replace-newlabel", move)
    assert moved == ["replace inst", "update att", "update rec", "replace rdns"]


@pytest.fixture
def tagged(stack: LinodeStory) -> LinodeStory:
    """The set after its first update."""
    tags = ["Extra", "harbor", "prod"]
    assert stack.up("05-tags2", lambda wanted: wanted["inst"].update(tags=tags)) == ["update bucket", "update inst"]
    return stack


def test_a_resize_powers_off_and_reboots(tagged: LinodeStory) -> None:
    assert tagged.up("06-resize2", lambda wanted: wanted["inst"].update(type="g6-standard-2")) == ["update inst"]
    grown = {"type": "g6-standard-4", "resizeDisk": True}
    assert tagged.up("06c-resizedisk", lambda wanted: wanted["inst"].update(grown)) == ["update inst"]
    with pytest.raises(StepFailed, match=r"linode type .* has insufficient disk capacity for the config\. Have 51200"):
        tagged.up("06d-downsize", lambda wanted: wanted["inst"].update(type="g6-standard-1", resizeDisk=False))
    # The refused type is the state's now.
    assert tagged.engine.state["inst"].outputs["type"] == "g6-standard-1"


def test_a_replacement_with_the_same_label_can_not_come_first(tagged: LinodeStory) -> None:
    change = {"type": "g6-nanode-1", "metadatas": user_data(2)}
    with pytest.raises(StepFailed, match=r"Error creating a Linode Instance: \[400\] \[label\] Label must be unique"):
        tagged.up("07a-ud-replace-samelabel", lambda wanted: wanted["inst"].update(change))
    diff = tagged.engine.diff("inst", TOKENS["inst"], tagged.wanted["inst"])
    assert list(diff.replaces) == ["metadatas"]
    assert not diff.deleteBeforeReplace
    # Old host untouched; the program then asks for deletion first.
    tagged.play("07b-ud-replace-dbr")
    engine = tagged.engine
    engine.delete("rdns")
    engine.delete("inst")
    engine.up("inst", TOKENS["inst"], tagged.wanted["inst"])
    engine.up("rec", TOKENS["rec"], tagged.wanted["rec"] | {"target": "198.51.100.13"})
    engine.up("att", TOKENS["att"], tagged.wanted["att"] | {"linodeId": 1015})
    engine.up("rdns", TOKENS["rdns"], tagged.wanted["rdns"] | {"address": "198.51.100.13"})
    tagged.agree()


REPLACING: dict[str, Values] = {
    "image": {"image": "linode/debian12"},
    "rootPass": {"rootPass": "Another-Pass-99"},
    "authorizedKeys": {"authorizedKeys": ["ssh-ed25519 BBBB other@x"]},
    "metadatas": {"metadatas": user_data(9)},
    "firewallId": {"firewallId": 7},
    "interfaceGeneration": {"interfaceGeneration": "linode"},
    "ipv4s": {"ipv4s": ["192.0.2.9"]},
    "diskEncryption": {"diskEncryption": "disabled"},
}
UPDATING: dict[str, Values] = {
    "label": {"label": "other"},
    "tags": {"tags": ["x"]},
    "type": {"type": "g6-standard-2"},
    "region": {"region": "us-ord"},
    "backupsEnabled": {"backupsEnabled": False},
    "resizeDisk": {"resizeDisk": True},
    "migrationType": {"migrationType": "warm"},
}


def test_what_replaces_an_instance_and_what_updates_it(stack: LinodeStory) -> None:
    for name, change in (REPLACING | UPDATING).items():
        diff = stack.engine.diff("inst", TOKENS["inst"], stack.wanted["inst"] | change)
        assert list(diff.diffs) == [name]
        assert list(diff.replaces) == ([name] if name in REPLACING else [])
    without = {key: value for key, value in stack.wanted["inst"].items() if key != "metadatas"}
    assert list(stack.engine.diff("inst", TOKENS["inst"], without).replaces) == ["metadatas"]


def test_what_replaces_the_others(stack: LinodeStory) -> None:
    def replaces(name: str, **change: object) -> list[str]:
        diff = stack.engine.diff(name, TOKENS[name], stack.wanted[name] | change)
        assert diff.diffs
        return list(diff.replaces)

    assert replaces("vol", region="us-ord") == ["region"]
    assert replaces("vol", size=30) == replaces("vol", label="x") == replaces("vol", linodeId=1003) == []
    assert replaces("rdns", address="192.0.2.1") == ["address"]
    assert replaces("rec", target="192.0.2.1") == []
    assert replaces("fw", label="other") == []
    # Tags that differ in case only are the same tags.
    diff = stack.engine.diff("inst", TOKENS["inst"], stack.wanted["inst"] | {"tags": ["Harbor", "PROD"]})
    assert not diff.diffs


def test_destroy_in_the_recorded_order(stack: LinodeStory) -> None:
    stack.engine.state["inst"].id = "1015"
    stack.engine.state["rdns"].id = stack.engine.state["rdns"].outputs["address"] = "198.51.100.13"
    stack.play("08-destroy")
    for name in ("rec", "rdns", "att", "key", "inst", "fw", "bucket", "rip", "vol"):
        stack.engine.delete(name)
    stack.agree()


def test_reserved_address_stays_when_the_host_is_replaced(replay: Replay, engine: Engine) -> None:
    wanted = {
        "fw": firewall(),
        "rip": program()["rip"],
        "rec": program()["rec"] | {"target": "198.51.100.11"},
        "rdns": program()["rdns"] | {"address": "198.51.100.11"},
        "inst": instance(1001, ipv4s=["198.51.100.11"]),
        "att": program()["att"],
    }
    stack = tell(replay, engine, wanted)
    stack.up("15-reservedip-up")
    assert stack.up("15a-up-again") == []
    # Delete-before-replace is the program's wish; the engine carries it out.
    stack.play("15c-reservedip-replace-dbr")
    engine.delete("inst")
    engine.up("inst", TOKENS["inst"], wanted["inst"] | {"metadatas": user_data(2)})
    for name, step in (("rec", "same"), ("rdns", "same"), ("att", "update")):
        assert engine.up(name, TOKENS[name], wanted[name] | ({"linodeId": 1012} if name == "att" else {})) == step
    stack.agree()
    assert stack.refresh("15d-refresh") == {}
    assert engine.state["rip"].outputs["linodeId"] == 1012
    assert engine.state["inst"].outputs["configs"][0]["devices"]["sdc"] == {"volumeId": 1009}
    assert {engine.up(name, TOKENS[name], engine.state[name].inputs) for name in wanted} == {"same"}
    stack.play("15e-destroy")
    for name in ("att", "rec", "rdns", "inst", "rip", "fw"):
        engine.delete(name)
    stack.agree()


def test_volume_attached_later_resized_and_removed(replay: Replay, engine: Engine) -> None:
    stack = tell(replay, engine, {"vol": data_volume(), "fw": firewall(), "inst": instance(1002)})
    stack.up("20a-volfirst-up")
    assert stack.up("20b-attach-later", lambda wanted: wanted["vol"].update(linodeId=1003)) == ["update vol"]
    # Leaving the attachment out again detaches nothing.
    assert stack.up("20c-remove-linodeid", lambda wanted: wanted["vol"].pop("linodeId")) == []
    assert stack.up("20d-resize-vol", lambda wanted: wanted["vol"].update(size=30)) == ["update vol"]
    stack.play("20e-destroy")
    for name in ("vol", "inst", "fw"):
        engine.delete(name)
    stack.agree()


def test_a_volume_that_was_never_attached_is_detached_before_it_is_deleted(replay: Replay, engine: Engine) -> None:
    stack = tell(replay, engine, {"vol": data_volume()})
    stack.up("28a-up")
    stack.play("28b-destroy-detach400")
    with pytest.raises(StepFailed, match=r"^Failed to Detach Volume 1001: \[400\] "):
        engine.delete("vol")
    stack.agree()


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        ("17b-401-post", "1 error occurred:\n\t* Error creating a Linode Instance: [401] Invalid OAuth Token\n\n"),
        ("17d-500-post", "1 error occurred:\n\t* Error creating a Linode Instance: [500] "),
    ],
)
def test_a_refused_instance_leaves_nothing_behind(phase: str, message: str, replay: Replay, engine: Engine) -> None:
    stack = tell(replay, engine, {"fw": firewall(), "inst": instance(1001)})
    with pytest.raises(StepFailed) as failure:
        stack.up(phase)
    assert str(failure.value).startswith(message)
    assert list(engine.state) == ["fw"]
    if phase == "17d-500-post":
        assert stack.up("17d2-500-post-retry") == ["create inst"]


def test_a_failed_wait_keeps_the_instance_and_the_next_up_updates_it(replay: Replay, engine: Engine) -> None:
    stack = tell(replay, engine, {"fw": firewall(), "inst": instance(1001)})
    with pytest.raises(
        StepFailed, match=r"timed-out waiting for Linode instance 1002 to reach status running: \[500\]"
    ):
        stack.up("17g-500-poll")
    assert engine.state["inst"].id == "1002"
    assert engine.state["inst"].errors
    assert stack.up("17g3-up") == ["update inst"]


def test_an_instance_that_never_runs_fails_after_the_programs_own_limit(replay: Replay, engine: Engine) -> None:
    rows = [row for row in PHASES["22a-up"]["calls"] if row["path"] != "/v4/linode/instances/1002"]
    booting = {"method": "GET", "path": "/v4/linode/instances/1002", "body": None, "status": 200}
    replay.play([*rows, {**booting, "response": {"id": 1002, "status": "booting"}}])
    engine.timeout = 0.2
    with pytest.raises(StepFailed, match="to reach status running: context deadline exceeded"):
        engine.up("inst", TOKENS["inst"], instance(1001))
    assert engine.state["inst"].id == "1002"


def test_shutting_down_ends_waiting_operations(replay: Replay) -> None:
    rows = [row for row in PHASES["28a-up"]["calls"] if row["path"] != "/v4/volumes/1001"]
    creating = {"method": "GET", "path": "/v4/volumes/1001", "body": None, "status": 200}
    replay.play([*rows, {**creating, "response": {"id": 1001, "status": "creating"}}])
    providers = Providers()
    engine = Engine(providers.port, "linode", configuration(replay))
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(engine.up, "vol", TOKENS["vol"], data_volume())
        while not any(call.path == "/v4/volumes/1001" for call in replay.calls):
            assert not waiting.done()
        providers.close()
        with pytest.raises(StepFailed):
            waiting.result()
    engine.close()


def test_an_instance_that_was_deleted_by_hand(replay: Replay, engine: Engine) -> None:
    stack = tell(replay, engine, {"fw": firewall(), "inst": instance(1001)})
    stack.up("22a-up")
    with pytest.raises(StepFailed, match=r"Error fetching data about the current linode: \[404\] Not found"):
        stack.up("22c-update-gone", lambda wanted: wanted["inst"].update(tags=["z"]))
    stack.play("22d-destroy-gone")
    with pytest.raises(StepFailed, match=r"Error deleting Linode instance 1002: \[404\] Not found"):
        engine.delete("inst")
    stack.agree()
    stack.refresh("22e-refresh-gone")
    assert list(engine.state) == ["fw"]


@pytest.mark.parametrize(
    ("phase", "change"),
    [
        ("24-igen-up", {"interfaceGeneration": "linode"}),
        ("25-nolabel", {"label": None}),
        ("19a-udsecret-up", {"stackscriptId": 123, "stackscriptData": {"pw": "StackDataMark1", "x": "y"}}),
    ],
)
def test_variants_of_an_instance(phase: str, change: Values, replay: Replay, engine: Engine) -> None:
    inputs = {key: value for key, value in (instance(1001) | change).items() if value is not None}
    stack = tell(replay, engine, {"fw": firewall(), "inst": inputs})
    stack.up(phase)
    assert {engine.up(name, TOKENS[name], inputs) for name, inputs in stack.wanted.items()} == {"same"}


@pytest.mark.parametrize("phase", ["17c-429-post", "17c3-429-poll"])
def test_a_request_to_a_busy_api_is_repeated(phase: str, replay: Replay, engine: Engine) -> None:
    stack = tell(replay, engine, {"fw": firewall(), "inst": instance(1001)})
    assert stack.up(phase) == ["create fw", "create inst"]


def test_waiting_can_be_left_out(replay: Replay, engine: Engine) -> None:
    stack = tell(replay, engine, {"fw": firewall(), "inst": instance(1001)})
    stack.settings = {"skipInstanceReadyPoll": "true", "skipInstanceDeletePoll": "true"}
    stack.up("21a-skipready")
    assert engine.state["inst"].outputs["status"] == "provisioning"
    assert stack.up("21a2-up-again") == []
    stack.play("21b-skipdel-destroy")
    engine.delete("inst")
    engine.delete("fw")
    stack.agree()


def test_url_token_and_interval_come_from_the_environment(replay: Replay) -> None:
    replay.play(PHASES["28a-up"]["calls"])
    environment = {"LINODE_URL": replay.url, "LINODE_TOKEN": "FAKETOKEN-AAA", "LINODE_EVENT_POLL_MS": "1"}
    with Providers(environment) as providers, closing(Engine(providers.port, "linode", {})) as engine:
        assert engine.up("vol", TOKENS["vol"], data_volume()) == "create"


def test_the_stand_in_never_connects_to_linode(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.delenv("LINODE_URL", raising=False)
    with pytest.raises(StepFailed, match="needs the URL of a local cloud: set linode:url or LINODE_URL"):
        Engine(port, "linode", {"token": "t"})


def test_another_version_of_the_api(replay: Replay, port: int) -> None:
    replay.play(PHASES["21f-v4beta"]["calls"])
    config = configuration(replay) | {"url": replay.url + "/", "apiVersion": "v4beta"}
    with closing(Engine(port, "linode", config)):
        assert [call.path for call in replay.calls] == ["/v4beta/linode/types?page=100"]


def test_a_configuration_that_does_not_work_fails_at_once(replay: Replay, port: int) -> None:
    refused = {"errors": [{"reason": "Invalid OAuth Token"}]}
    row = {"method": "GET", "path": "/v4/linode/types", "query": "page=100", "body": None}
    replay.play([{**row, "status": 401, "response": refused}])
    with pytest.raises(StepFailed, match=r"Error connecting to the Linode API: \[401\] Invalid OAuth Token"):
        Engine(port, "linode", configuration(replay))


def test_bad_values_are_refused_before_anything_is_sent(engine: Engine) -> None:
    with pytest.raises(StepFailed) as failure:
        engine.check("inst", TOKENS["inst"], instance(1, label="ab", rootPass="short"))
    assert str(failure.value) == (
        "expected length of label to be in the range (3 - 50), got ab. Examine values at 'inst.label'.; "
        "expected length of root_pass to be in the range (11 - 128), got short. Examine values at 'inst.rootPass'."
    )
    with pytest.raises(StepFailed, match="Attribute label string length must be between 3 and 32, got: 2"):
        engine.check("fw", TOKENS["fw"], firewall() | {"label": "fw"})
    rule = {"label": "ssh", "action": "ACCEPT", "protocol": "TCP", "ports": "22", "ipv4s": ["10.0.0.0/8"], "ipv6s": []}
    with pytest.raises(StepFailed, match="Attribute ipv6 list must contain at least 1 elements, got: 0"):
        engine.check("fw", TOKENS["fw"], firewall() | {"inbounds": [rule]})


def test_secrets_are_marked_and_user_data_is_not(engine: Engine) -> None:
    wire = engine.secrets_of("inst", TOKENS["inst"], instance(1))
    assert wire.count("1b47061264138c4ac30d75fd1eb44270") == 2  # rootPass and stackscriptData
    assert user_data(1)[0]["userData"] in wire
