"""The Linode simulator over HTTP: its rules, its changes over time, and its errors."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from localcloud.faults import Fault
from localcloud.http import serve
from localcloud.linode import Instance, LinodeSimulator
from tests.waiting import until

TOKEN = "test-token"
PATIENCE = 20.0
Json = dict[str, Any]

RULE = {"action": "ACCEPT", "protocol": "TCP", "ports": "443", "addresses": {"ipv4": ["0.0.0.0/0"]}}
RULES: Json = {"inbound": [RULE], "inbound_policy": "DROP", "outbound": [], "outbound_policy": "ACCEPT"}
HOST: Json = {
    "label": "host",
    "region": "us-east",
    "type": "g6-standard-2",
    "image": "linode/debian13",
    "root_pass": "Some-Root-Pass-1",
}


class Guests:
    """A boot hook that remembers what was booted and stopped."""

    def __init__(self) -> None:
        self.booted: list[Instance] = []
        self.stopped: list[str] = []
        self.error: Exception | None = None

    def __call__(self, instance: Instance) -> Guest:
        self.booted.append(instance)
        if self.error:
            raise self.error
        return Guest(self, instance.label)


class Guest:
    def __init__(self, guests: Guests, label: str) -> None:
        self.guests, self.label = guests, label

    def stop(self) -> None:
        self.guests.stopped.append(self.label)


class Account:
    """A client that knows the token and how to wait."""

    def __init__(self, url: str, api: LinodeSimulator, guests: Guests) -> None:
        self.api, self.guests = api, guests
        headers = {"Authorization": f"Bearer {TOKEN}"}
        # verify: loading certificates for nothing takes longer than most tests.
        self.http = httpx.Client(base_url=f"{url}/v4", headers=headers, timeout=PATIENCE, verify=False)

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.http.request(method, path, **({"json": body} if body is not None else {}), **more)

    def do(self, method: str, path: str, body: Any = None, **more: Any) -> Json:
        response = self.ask(method, path, body, **more)
        assert response.status_code == 200, response.text
        answer: Json = response.json()
        return answer

    def refused(self, method: str, path: str, body: Any = None, **more: Any) -> list[Json]:
        response = self.ask(method, path, body, **more)
        assert response.status_code == 400, response.text
        errors: list[Json] = response.json()["errors"]
        return errors

    def until(self, path: str, settled: Callable[[Json], bool]) -> Json:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            answer = self.do("GET", path)
            if settled(answer):
                return answer
            time.sleep(0.005)
        raise AssertionError(f"{path} did not settle: {answer}")

    def host(self, **more: Any) -> Json:
        made = self.do("POST", "/linode/instances", HOST | more)
        return self.until(
            f"/linode/instances/{made['id']}", lambda instance: instance["status"] in ("running", "offline")
        )

    def volume(self, **more: Any) -> Json:
        made = self.do("POST", "/volumes", {"label": "data", "region": "us-east", "size": 20} | more)
        return self.until(f"/volumes/{made['id']}", lambda volume: volume["status"] == "active")

    def detached(self, volume: Json) -> Json:
        return self.until(f"/volumes/{volume['id']}", lambda volume: volume["linode_id"] is None)

    def firewall(self, **more: Any) -> Json:
        return self.do("POST", "/networking/firewalls", {"label": "web", "rules": RULES} | more)

    def reserved(self, region: str = "us-east") -> str:
        body = {"type": "ipv4", "public": True, "reserved": True, "region": region}
        return str(self.do("POST", "/networking/ips", body)["address"])

    def delete_host(self, host: Json) -> None:
        self.do("DELETE", f"/linode/instances/{host['id']}")
        until(lambda: self.ask("GET", f"/linode/instances/{host['id']}").status_code == 404)


class Door:
    """One server for all tests of this file; behind it a fresh account for each."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def door() -> Iterator[tuple[Door, str]]:
    door = Door()
    with serve(door) as server:
        yield door, server.url


@pytest.fixture
def account(door: tuple[Door, str]) -> Iterator[Account]:
    guests = Guests()
    with LinodeSimulator(TOKEN, guests, boot_seconds=0.02, job_seconds=0.01) as api:
        door[0].app = api.app
        account = Account(door[1], api, guests)
        yield account
        account.http.close()


# --- tokens, versions, lists


@pytest.mark.parametrize("path", ["/linode/types", "/linode/instances"])
def test_wrong_token_is_refused_everywhere(account: Account, path: str) -> None:
    response = account.ask("GET", path, headers={"Authorization": "Bearer other"})
    assert (response.status_code, response.json()) == (401, {"errors": [{"reason": "Invalid Token"}]})


def test_without_a_token_only_the_price_list_can_be_read(account: Account) -> None:
    del account.http.headers["Authorization"]
    assert account.ask("GET", "/regions/sg-sin-2").status_code == 200
    assert account.ask("POST", "/linode/instances", HOST).status_code == 401
    assert account.api.instances == []


def test_unknown_paths_and_methods_answer_in_linodes_form(account: Account) -> None:
    assert account.ask("GET", "/v4/linode/types").json() == {"errors": [{"reason": "Not found"}]}
    assert account.ask("DELETE", "/regions").status_code == 405
    assert account.ask("GET", "/linode/instances/1").json() == {"errors": [{"reason": "Not found"}]}


def test_lists_are_paged(account: Account) -> None:
    for number in range(30):
        account.do("POST", "/volumes", {"label": f"v{number}", "region": "us-east", "size": 10})
    first = account.do("GET", "/volumes", params={"page_size": 25})
    second = account.do("GET", "/volumes", params={"page_size": 25, "page": 2})
    assert (first["page"], first["pages"], first["results"], len(first["data"])) == (1, 2, 30, 25)
    assert (second["page"], len(second["data"])) == (2, 5)
    assert account.refused("GET", "/volumes", params={"page_size": 10})[0]["field"] == "page_size"


def test_lists_are_filtered_and_ordered(account: Account) -> None:
    for label, size in (("a", 30), ("b", 10), ("c", 20)):
        account.do("POST", "/volumes", {"label": label, "region": "us-east", "size": size, "tags": [f"tag-{label}"]})

    def list_labels(wanted: Json) -> list[str]:
        listed = account.do("GET", "/volumes", headers={"X-Filter": json.dumps(wanted)})
        return [item["label"] for item in listed["data"]]

    assert list_labels({"label": "b"}) == ["b"]
    assert list_labels({"tags": "tag-c"}) == ["c"]
    assert list_labels({"+order_by": "size", "+order": "desc"}) == ["a", "c", "b"]
    assert list_labels({"+or": [{"label": "a"}, {"size": 10}]}) == ["a", "b"]
    errors = account.refused("GET", "/volumes", headers={"X-Filter": '{"colour": "red"}'})
    assert errors == [{"reason": "Cannot filter on colour", "field": "X-Filter"}]


# --- instances


def test_an_instance_is_provisioned_booted_and_runs(account: Account) -> None:
    account.api.cloud.boot_seconds = 0.5
    made = account.do("POST", "/linode/instances", HOST)
    seen = {made["status"]}

    def running(instance: Json) -> bool:
        seen.add(instance["status"])
        return bool(instance["status"] == "running")

    account.until(f"/linode/instances/{made['id']}", running)
    assert seen == {"provisioning", "booting", "running"}
    until(lambda: account.guests.booted)


def test_the_guest_sees_what_was_asked_for(account: Account) -> None:
    firewall = account.firewall()
    metadata = {"user_data": base64.b64encode(b"#cloud-config\n").decode()}
    made = account.host(metadata=metadata, firewall_id=firewall["id"], tags=["prod"])
    assert made["has_user_data"]
    assert "user_data" not in json.dumps(made).replace("has_user_data", "")
    until(lambda: account.guests.booted)
    guest = account.guests.booted[0]
    assert (guest.id, guest.label, guest.region, guest.image) == (made["id"], "host", "us-east", "linode/debian13")
    assert guest.user_data == b"#cloud-config\n"
    assert guest.addresses == made["ipv4"]
    assert guest.firewall == [RULE]
    assert guest.volumes == []


@pytest.mark.parametrize("more", [{"booted": False}, {"image": None, "root_pass": None}])
def test_without_image_or_boot_it_stays_off(account: Account, more: Json) -> None:
    assert account.host(**more)["status"] == "offline"
    assert account.guests.booted == []


def test_labels_are_unique_among_linodes(account: Account) -> None:
    account.host()
    errors = account.refused("POST", "/linode/instances", HOST)
    assert errors == [{"field": "label", "reason": "Label must be unique among your linodes"}]
    other = account.host(label="other")
    assert account.refused("PUT", f"/linode/instances/{other['id']}", {"label": "host"})[0]["field"] == "label"


TOO_LONG = base64.b64encode(b"x" * 16385).decode()


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"label": "ab"}, "label"),
        ({"label": "a" * 65}, "label"),
        ({"label": "no spaces"}, "label"),
        ({"label": "two--dashes"}, "label"),
        ({"region": "us-nowhere"}, "region"),
        ({"type": "g6-huge"}, "type"),
        ({"image": "linode/plan9"}, "image"),
        ({"root_pass": "Short-1"}, "root_pass"),
        ({"root_pass": "A1-" + "a" * 126}, "root_pass"),
        ({"root_pass": "aaaaaaaaaaaa"}, "root_pass"),
        ({"firewall_id": 4711}, "firewall_id"),
        ({"tags": ["t2"]}, "tags"),
        ({"disk_encryption": "maybe"}, "disk_encryption"),
        ({"metadata": {"user_data": "not base64!"}}, "metadata.user_data"),
        ({"metadata": {"user_data": TOO_LONG}}, "metadata.user_data"),
        ({"ipv4": ["192.0.2.1"]}, "ipv4"),
    ],
)
def test_what_an_instance_may_not_be(account: Account, more: Json, field: str) -> None:
    errors = account.refused("POST", "/linode/instances", HOST | more)
    assert {error["field"] for error in errors} == {field}
    assert account.api.instances == []


def test_an_image_needs_a_way_to_log_in(account: Account) -> None:
    errors = account.refused("POST", "/linode/instances", HOST | {"root_pass": None})
    assert errors == [{"reason": "Must provide valid root_pass, authorized_keys, or authorized_users"}]


def test_largest_user_data(account: Account) -> None:
    account.host(metadata={"user_data": base64.b64encode(b"x" * 16384).decode()})


def test_user_data_needs_the_metadata_service(account: Account) -> None:
    account.api.cloud.regions["us-east"]["capabilities"].remove("Metadata")
    body = HOST | {"metadata": {"user_data": base64.b64encode(b"#cloud-config").decode()}}
    assert account.refused("POST", "/linode/instances", body)[0]["field"] == "region"


def test_power(account: Account) -> None:
    host = account.host()
    path = f"/linode/instances/{host['id']}"
    until(lambda: account.api.instances[0].guest)
    account.do("POST", f"{path}/shutdown", {})
    account.until(path, lambda instance: instance["status"] == "offline")
    assert account.guests.stopped == ["host"]
    account.do("POST", f"{path}/boot")
    account.until(path, lambda instance: instance["status"] == "running")
    until(lambda: account.api.instances[0].guest)
    assert account.refused("POST", f"{path}/boot") == [{"reason": "Linode already booted."}]
    account.do("POST", f"{path}/reboot", {})
    account.until(path, lambda instance: instance["status"] == "running")
    until(lambda: len(account.guests.booted) == 3)
    assert account.guests.stopped == ["host", "host"]


def test_a_busy_instance_says_so(account: Account) -> None:
    account.api.cloud.boot_seconds = 60
    made = account.do("POST", "/linode/instances", HOST)
    errors = account.refused("POST", f"/linode/instances/{made['id']}/reboot", {})
    assert errors == [{"reason": "Linode busy."}]


def test_resize(account: Account) -> None:
    host = account.host()
    path = f"/linode/instances/{host['id']}"
    body = {"type": "g6-standard-4", "migration_type": "cold", "allow_auto_disk_resize": False}
    account.do("POST", f"{path}/resize", body)
    grown = account.until(
        path, lambda instance: instance["status"] == "running" and instance["type"] == "g6-standard-4"
    )
    assert grown["specs"]["vcpus"] == 4
    before = account.do("GET", f"{path}/disks")["data"]
    account.do("POST", f"{path}/resize", {"type": "g6-standard-6", "allow_auto_disk_resize": True})
    account.until(path, lambda instance: instance["status"] == "running" and instance["type"] == "g6-standard-6")
    after = account.do("GET", f"{path}/disks")["data"]
    assert sum(disk["size"] for disk in before) == 81920
    assert sum(disk["size"] for disk in after) == 327680
    assert account.refused("POST", f"{path}/resize", {"type": "g6-standard-1"})[0]["field"] == "type"


def test_deletion_is_over_when_its_event_is_finished(account: Account) -> None:
    host = account.host()
    wanted = {"+order": "desc", "+order_by": "created", "action": "linode_delete", "entity.type": "linode"}
    header = {"X-Filter": json.dumps(wanted | {"entity.id": host["id"]})}
    assert account.do("GET", "/account/events", headers=header)["data"] == []
    account.do("DELETE", f"/linode/instances/{host['id']}")
    event = account.do("GET", "/account/events", headers=header)["data"][0]
    done = account.until(f"/account/events/{event['id']}", lambda event: event["status"] == "finished")
    assert (done["percent_complete"], done["entity"]["label"]) == (100, "host")
    assert account.ask("GET", f"/linode/instances/{host['id']}").status_code == 404
    account.host()


def test_a_failing_boot_hook_shows_on_the_console_only(account: Account) -> None:
    account.guests.error = RuntimeError("no bootable disk")
    assert account.host()["status"] == "running"
    until(lambda: account.api.instances[0].console)
    assert account.api.instances[0].console == ["boot failed: no bootable disk"]


def test_deletion_stops_the_guest_before_anything_is_given_up(account: Account) -> None:
    address = account.reserved()
    host = account.host(ipv4=[address])
    volume = account.volume(linode_id=host["id"])
    until(lambda: account.api.instances[0].guest)
    stopping, may_end = threading.Event(), threading.Event()

    class Slow:
        def stop(self) -> None:
            stopping.set()
            may_end.wait(PATIENCE)

    account.api.instances[0].guest = Slow()
    account.do("DELETE", f"/linode/instances/{host['id']}")
    assert stopping.wait(PATIENCE)
    assert account.do("GET", f"/volumes/{volume['id']}")["linode_id"] == host["id"]
    may_end.set()
    account.detached(volume)


# --- configuration profiles and volumes


def config_of(account: Account, host: Json) -> Json:
    config: Json = account.do("GET", f"/linode/instances/{host['id']}/configs")["data"][0]
    return config


def test_a_volume_is_plugged_into_the_profile(account: Account) -> None:
    host = account.host()
    volume = account.volume(linode_id=host["id"])
    assert volume["filesystem_path"] == "/dev/disk/by-id/scsi-0Linode_Volume_data"
    assert config_of(account, host)["devices"]["sdc"] == {"disk_id": None, "volume_id": volume["id"]}
    until(lambda: account.api.instances[0].volumes)
    assert account.do("GET", f"/linode/instances/{host['id']}/volumes")["data"][0]["io_ready"]


def test_stale_devices_lose_the_volume_at_the_next_boot(account: Account) -> None:
    host = account.host()
    account.volume(linode_id=host["id"])
    instance = account.api.instances[0]
    until(lambda: instance.volumes)
    config = config_of(account, host)
    stale = {slot: config["devices"][slot] for slot in ("sda", "sdb")}
    path = f"/linode/instances/{host['id']}"
    account.do("PUT", f"{path}/configs/{config['id']}", {"devices": stale, "interfaces": None})
    assert [volume.label for volume in instance.volumes] == ["data"]
    account.do("POST", f"{path}/reboot", {"config_id": config["id"]})
    account.until(path, lambda instance: instance["status"] == "running")
    assert instance.volumes == []
    assert "not in the configuration profile" in instance.console[-1]


def test_a_profile_takes_only_what_exists(account: Account) -> None:
    host = account.host()
    path = f"/linode/instances/{host['id']}/configs/{config_of(account, host)['id']}"
    assert account.refused("PUT", path, {"devices": {"sda": {"disk_id": 1}}})[0]["field"] == "devices.sda.disk_id"
    errors = account.refused("PUT", path, {"devices": {"sda": {"volume_id": 1}}})
    assert errors[0]["field"] == "devices.sda.volume_id"


def test_what_is_on_a_volume_outlives_the_instance(account: Account) -> None:
    host = account.host()
    volume = account.volume(linode_id=host["id"])
    until(lambda: account.api.instances[0].volumes)
    account.api.instances[0].volumes[0].disk["written"] = "by the first"
    account.delete_host(host)
    assert account.do("GET", f"/volumes/{volume['id']}")["linode_id"] is None
    second = account.host()
    account.do("POST", f"/volumes/{volume['id']}/attach", {"linode_id": second["id"]})
    until(lambda: account.api.instances[0].volumes)
    assert account.api.instances[0].volumes[0].disk == {"written": "by the first"}


def test_detaching_a_volume_in_use_stops_the_guest_first(account: Account) -> None:
    host = account.host()
    volume = account.volume(linode_id=host["id"])
    until(lambda: account.api.instances[0].guest and account.api.instances[0].volumes)
    assert account.do("POST", f"/volumes/{volume['id']}/detach", {}) == {}
    account.detached(volume)
    assert account.guests.stopped == ["host"]
    assert account.do("GET", f"/linode/instances/{host['id']}")["status"] == "running"
    assert config_of(account, host)["devices"]["sdc"] is None
    assert account.api.instances[0].console == ["volume data was detached while in use"]


def test_an_attached_volume_is_neither_deleted_nor_attached_again(account: Account) -> None:
    host, other = account.host(), account.host(label="other")
    volume = account.volume(linode_id=host["id"])
    account.refused("POST", f"/volumes/{volume['id']}/attach", {"linode_id": other["id"]})
    account.refused("DELETE", f"/volumes/{volume['id']}")
    account.do("POST", f"/volumes/{volume['id']}/detach", {})
    account.detached(volume)
    account.do("DELETE", f"/volumes/{volume['id']}")
    assert account.ask("GET", f"/volumes/{volume['id']}").status_code == 404


def test_volumes_grow_and_never_shrink(account: Account) -> None:
    volume = account.volume()
    path = f"/volumes/{volume['id']}"
    assert account.do("POST", f"{path}/resize", {"size": 30})["status"] == "resizing"
    assert account.until(path, lambda volume: volume["status"] == "active")["size"] == 30
    assert account.refused("POST", f"{path}/resize", {"size": 20})[0]["field"] == "size"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"label": "data"}, "label"),
        ({"label": "x" * 33}, "label"),
        ({"size": 9}, "size"),
        ({"size": 16385}, "size"),
        ({"region": "us-nowhere"}, "region"),
        ({"region": None}, "region"),
        ({"encryption": "rot13"}, "encryption"),
        ({"linode_id": 4711}, "linode_id"),
    ],
)
def test_what_a_volume_may_not_be(account: Account, body: Json, field: str) -> None:
    account.volume()
    errors = account.refused("POST", "/volumes", {"label": "new", "region": "us-east", "size": 20} | body)
    assert [error["field"] for error in errors] == [field]


# --- addresses


def test_a_reserved_address_stays_across_replacement(account: Account) -> None:
    address = account.reserved()
    first = account.host(ipv4=[address])
    assert first["ipv4"] == [address]
    errors = account.refused("POST", "/linode/instances", HOST | {"label": "second", "ipv4": [address]})
    assert errors == [{"field": "ipv4", "reason": "Address must be currently unassigned."}]
    account.delete_host(first)
    assert account.do("GET", f"/networking/ips/{address}")["linode_id"] is None
    assert account.host(label="second", ipv4=[address])["ipv4"] == [address]


def test_an_ephemeral_address_dies_with_its_instance(account: Account) -> None:
    first = account.host()
    account.delete_host(first)
    assert account.ask("GET", f"/networking/ips/{first['ipv4'][0]}").status_code == 404
    assert account.host()["ipv4"] != first["ipv4"]


def test_a_reserved_address_can_be_added_and_removed(account: Account) -> None:
    host, address = account.host(), account.reserved()
    path = f"/linode/instances/{host['id']}/ips"
    body = {"type": "ipv4", "public": True, "address": address}
    assert account.do("POST", path, body)["linode_id"] == host["id"]
    assert account.refused("POST", path, body)[0]["field"] == "address"
    public = account.do("GET", path)["ipv4"]["public"]
    assert {entry["address"] for entry in public} == {address, *host["ipv4"]}
    account.do("DELETE", f"{path}/{address}")
    assert account.do("GET", f"/networking/reserved/ips/{address}")["linode_id"] is None
    account.refused("DELETE", f"{path}/{host['ipv4'][0]}")


# --- DNS


def zone_of(account: Account) -> Json:
    listed = account.do("GET", "/domains", headers={"X-Filter": '{"domain":"example.com"}'})
    assert listed["results"] == 1
    zone: Json = listed["data"][0]
    return zone


def test_records_come_back_without_the_zone(account: Account) -> None:
    path = f"/domains/{zone_of(account)['id']}/records"
    record = account.do(
        "POST", path, {"type": "A", "name": "harbor.example.com", "target": "192.0.2.7", "ttl_sec": 299}
    )
    assert (record["name"], record["ttl_sec"]) == ("harbor", 300)
    changed = account.do("PUT", f"{path}/{record['id']}", {"target": "192.0.2.8", "priority": 0})
    assert (changed["name"], changed["target"]) == ("harbor", "192.0.2.8")
    assert account.do("GET", path)["data"] == [changed]
    account.do("DELETE", f"{path}/{record['id']}")
    assert account.ask("GET", f"{path}/{record['id']}").status_code == 404
    assert account.refused("POST", path, {"type": "A", "name": "x", "target": "elsewhere"})[0]["field"] == "target"


def test_reverse_dns_has_to_lead_back(account: Account) -> None:
    address = account.reserved()
    path = f"/networking/ips/{address}"
    errors = account.refused("PUT", path, {"rdns": "harbor.example.com"})
    assert "unable to perform a lookup" in errors[0]["reason"]
    record = {"type": "A", "name": "harbor", "target": address}
    account.do("POST", f"/domains/{zone_of(account)['id']}/records", record)
    assert account.do("PUT", path, {"rdns": "harbor.example.com"})["rdns"] == "harbor.example.com"
    host = account.host(ipv4=[address])
    assert account.do("GET", path)["rdns"] == "harbor.example.com"
    assert account.do("PUT", path, {"rdns": None})["rdns"].endswith(".ip.linodeusercontent.com")
    account.delete_host(host)
    assert account.refused("PUT", path, {"rdns": "not a name"})[0]["reason"] == "Domain is not valid."


# --- firewalls


def test_the_firewall_decides_what_gets_in(account: Account) -> None:
    admin = RULE | {"ports": "22", "addresses": {"ipv4": ["203.0.113.0/24"]}}
    web = RULE | {"ports": "80, 8000-8080"}
    firewall = account.firewall(rules=RULES | {"inbound": [admin, web]})
    account.host(firewall_id=firewall["id"])
    instance = account.api.instances[0]
    assert [port for port in (22, 80, 443, 8000, 8040, 8081) if instance.allows(port)] == [22, 80, 8000, 8040]
    assert instance.allows(22, source="203.0.113.9")
    assert not instance.allows(22, source="198.51.100.9")
    account.do("PUT", f"/networking/firewalls/{firewall['id']}/rules", RULES)
    assert instance.allows(443)
    assert not instance.allows(80)
    account.do("PUT", f"/networking/firewalls/{firewall['id']}", {"status": "disabled"})
    assert instance.allows(80)


def test_rules_have_versions(account: Account) -> None:
    firewall = account.firewall()
    path = f"/networking/firewalls/{firewall['id']}/rules"
    same = account.do("PUT", path, RULES)
    other = account.do("PUT", path, RULES | {"inbound": []})
    assert (firewall["rules"]["version"], same["version"], other["version"]) == (1, 1, 2)
    assert same["fingerprint"] != other["fingerprint"]
    assert account.do("GET", path) == other


def test_devices(account: Account) -> None:
    firewall = account.firewall()
    path = f"/networking/firewalls/{firewall['id']}"
    host = account.host(firewall_id=firewall["id"])
    device = account.do("GET", f"{path}/devices")["data"][0]
    assert device["entity"]["id"] == host["id"]
    assert account.do("GET", path)["entities"][0]["label"] == "host"
    assert account.do("GET", f"/linode/instances/{host['id']}/firewalls")["data"][0]["id"] == firewall["id"]
    account.refused("POST", f"{path}/devices", {"id": host["id"], "type": "linode"})
    account.do("DELETE", f"{path}/devices/{device['id']}")
    account.do("POST", f"{path}/devices", {"id": host["id"], "type": "linode"})
    account.delete_host(host)
    assert account.do("GET", f"{path}/devices")["data"] == []
    account.do("DELETE", path)
    assert account.ask("GET", path).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"action": "ALLOW"}, "rules.inbound[0].action"),
        ({"protocol": "SCTP"}, "rules.inbound[0].protocol"),
        ({"ports": "http"}, "rules.inbound[0].ports"),
        ({"protocol": "ICMP"}, "rules.inbound[0].ports"),
        ({"label": "no"}, "rules.inbound[0].label"),
        ({"addresses": {}}, "rules.inbound[0].addresses"),
        ({"addresses": {"ipv4": ["203.0.113.7"]}}, "rules.inbound[0].addresses.ipv4"),
        ({"addresses": {"ipv6": ["0.0.0.0/0"]}}, "rules.inbound[0].addresses.ipv6"),
    ],
)
def test_what_a_rule_may_not_be(account: Account, change: Json, field: str) -> None:
    rules = RULES | {"inbound": [RULE | change]}
    errors = account.refused("POST", "/networking/firewalls", {"label": "web", "rules": rules})
    assert [error["field"] for error in errors] == [field]


# --- object storage and tags


def test_buckets_and_keys(account: Account) -> None:
    regions = {endpoint["region"] for endpoint in account.do("GET", "/object-storage/endpoints")["data"]}
    assert "sg-sin-2" in regions
    account.do("POST", "/object-storage/buckets", {"region": "us-east", "label": "blobs", "acl": "private"})
    bucket = "/object-storage/buckets/us-east/blobs"
    assert account.do("GET", bucket)["hostname"] == "blobs.us-east-1.linodeobjects.com"
    assert account.do("GET", f"{bucket}/access")["cors_enabled"]
    account.do("POST", f"{bucket}/access", {"acl": "private", "cors_enabled": False})
    assert not account.do("GET", f"{bucket}/access")["cors_enabled"]
    access = [{"region": "us-east", "bucket_name": "blobs", "permissions": "read_write"}]
    key = account.do("POST", "/object-storage/keys", {"label": "harbor", "bucket_access": access})
    assert key["limited"]
    assert key["secret_key"] not in ("", "[REDACTED]")
    assert account.do("GET", f"/object-storage/keys/{key['id']}")["secret_key"] == "[REDACTED]"
    access[0]["bucket_name"] = "other"
    account.refused("POST", "/object-storage/keys", {"label": "harbor", "bucket_access": access})
    account.do("DELETE", f"/object-storage/keys/{key['id']}")
    account.do("DELETE", bucket)
    assert account.ask("GET", bucket).status_code == 404


def test_a_request_that_took_effect_and_was_answered_500_leaves_an_orphan(account: Account) -> None:
    account.api.faults.add(Fault(r"/linode/instances$", method="POST", status=500, takes_effect=True))
    response = account.ask("POST", "/linode/instances", HOST)
    assert (response.status_code, response.json()) == (500, {"errors": [{"reason": "internal server error"}]})
    assert account.refused("POST", "/linode/instances", HOST)[0]["field"] == "label"


def test_an_instance_that_never_runs(account: Account) -> None:
    account.api.cloud.never_running = True
    made = account.do("POST", "/linode/instances", HOST)
    account.api.cloud.never_running = False
    account.host(label="sound")
    assert account.do("GET", f"/linode/instances/{made['id']}")["status"] == "provisioning"
    assert [guest.label for guest in account.guests.booted] == ["sound"]
    account.delete_host(made)
