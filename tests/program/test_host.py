"""The program's resources for a host, and the checks of the Linode account before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi.runtime.mocks import MockMonitor

from harbor_mirror.config.host import Host
from harbor_mirror.host import fingerprint
from tests.unit.test_host_of_configuration import AUTHORITY

from .conftest import Program

HOST = {"region": "sg-sin-2", "hostname": "harbor.example.com", "dnsZone": "example.com", "version": "2.13.5"}


@pytest.fixture
def ignored(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Return resource -> properties whose changes the program ignores."""
    found: dict[str, list[str]] = {}
    register = MockMonitor.RegisterResource

    def noting(self: MockMonitor, request: Any) -> Any:
        found[request.name] = list(request.ignoreChanges)
        return register(self, request)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(MockMonitor, "RegisterResource", noting)
    return found


MISSING = {"error": "invoking: Failed to get it: [404] Not found"}


def stack(**host: object) -> dict[str, Any]:
    return {"host": {**HOST, **host}, "projects": {"mirror": {}}}


def volume(**values: object) -> dict[str, Any]:
    """Return an answer to the look-up of volumes."""
    usual = {"label": "harbor-test-data", "region": "sg-sin-2", "size": 200, "linodeId": 7, "tags": []}
    return {"getVolumes": {"volumes": [{**usual, **values}]}}


@pytest.mark.parametrize(
    ("lookups", "says"),
    [
        ({"getRegion": MISSING}, "host.region: 'sg-sin-2' is not a Linode region. Example: sg-sin-2"),
        (
            {"getRegion": {"capabilities": ["Block Storage"]}},
            "host.region: 'sg-sin-2' lacks Metadata, which delivers the server's configuration; choose another region.",
        ),
        (
            {"getRegion": {"capabilities": ["Metadata"]}},
            "host.region: 'sg-sin-2' lacks Block Storage, which stores Harbor's data; choose another region.",
        ),
        ({"getInstanceType": MISSING}, "host.type: 'g6-standard-4' is not a Linode type. Example: g6-standard-4"),
        (
            {"getInstanceType": {"vcpus": 1, "memory": 2048}},
            "host.type: 'g6-standard-4' has 1 CPU and 2048 MB, and Harbor needs 2 and 4096. Example: g6-standard-2",
        ),
        (
            {"getInstanceType": {"vcpus": 2, "memory": 2048}},
            "host.type: 'g6-standard-4' has 2 CPU and 2048 MB, and Harbor needs 2 and 4096. Example: g6-standard-2",
        ),
        ({"getImage": MISSING}, "host.image: 'linode/debian13' is not a Linode image. Example: linode/debian13"),
        (
            {"getImage": {"capabilities": []}},
            "host.image: 'linode/debian13' lacks cloud-init, which reads the server's configuration. "
            "Example: linode/debian13",
        ),
        (
            {"getDomain": {"error": "was not found"}},
            "host.dnsZone: 'example.com' is not a zone of this Linode account.",
        ),
        (
            volume(region="us-ord"),
            "host.region: 'sg-sin-2' is not the region of this stack's volume (us-ord): the server would start with "
            "a blank one. Example: a new stack, and a restore of the backup into it",
        ),
        (
            volume(size=500),
            "host.volumeGb: 200 is smaller than the volume, which cannot shrink. Example: 500",
        ),
    ],
)
def test_each_missing_offer_of_linode_is_reported_before_resources_are_registered(
    program: Program, lookups: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(pulumi.RunError) as caught:
        program(stack(), lookups, preview=True)
    assert str(caught.value).splitlines() == [
        "1 fault in the stack's configuration; nothing was changed:",
        f"  {says}",
    ]
    assert not [entry for entry in program.recorder.resources if entry.type.startswith(("linode", "random", "harbor:"))]


def test_all_missing_offers_of_linode_are_reported_at_once(program: Program) -> None:
    lookups = {"getRegion": MISSING, "getInstanceType": MISSING, "getImage": MISSING, **volume(size=500)}
    with pytest.raises(pulumi.RunError, match="4 faults"):
        program(stack(), lookups)


def test_the_program_stops_if_linode_does_not_answer(program: Program) -> None:
    with pytest.raises(pulumi.RunError, match=r"could not be asked what the stack needs.*\[401\] Invalid"):
        program(stack(), {"getVolumes": {"error": "[401] Invalid OAuth Token"}})


@pytest.mark.parametrize(
    ("before", "wanted", "says"),
    [
        ("2.13.5", "2.13.5", None),
        ("2.13.4", "2.13.5", None),
        ("2.11.2", "2.13.5", None),
        ("2.15.1", "2.13.5", "is older than 2.15.1"),
        ("2.13.5", "2.13.4", "is older than 2.13.5"),
        ("2.10.3", "2.13.5", "Set `version` to 2.12.4, then to 2.13.5"),
        ("2.9.5", "2.15.2", "Set `version` to 2.11.2, then to 2.13.5, then to 2.15.2"),
        ("3.0.0", "2.13.5", "cannot be checked: 3.0.0 on the volume's tag"),
    ],
)
def test_an_upgrade_is_checked_against_the_version_on_the_volume(
    program: Program, before: str, wanted: str, says: str | None
) -> None:
    on_volume = volume(tags=["team", f"harbor-version:{before}"])
    if says is None:
        made = program(stack(version=wanted), on_volume)
        assert f"harbor-version:{wanted}" in made.only("Volume").inputs["tags"]
        return
    with pytest.raises(pulumi.RunError) as caught:
        program(stack(version=wanted), on_volume)
    (line,) = str(caught.value).splitlines()[1:]
    assert line.startswith(f"  host.version: '{wanted}' ")
    assert says in line


def test_a_volume_without_the_tag_is_left_to_the_server(program: Program) -> None:
    assert program(stack(), volume(tags=["team"])).of("Instance")


def test_reverse_dns_waits_for_the_dns_record(program: Program) -> None:
    made = program(stack())
    order = [entry.type.rsplit(":", 1)[-1] for entry in made.resources]
    assert order.index("DomainRecord") < order.index("Rdns")
    assert made.only("Rdns").inputs == {
        "address": "192.0.2.10",
        "rdns": "harbor.example.com",
        "waitForAvailable": True,
    }
    assert made.only("DomainRecord").inputs["domainId"] == 77.0
    without = {key: value for key, value in HOST.items() if key != "dnsZone"}
    assert not program({"host": without, "projects": {"mirror": {}}}).of("Rdns")


@pytest.mark.parametrize(("host", "times"), [({}, 1), ({"installerSha256": "ab" * 32}, 0)])
def test_an_unpinned_installer_gets_one_warning_at_preview(
    program: Program, caplog: pytest.LogCaptureFixture, host: Mapping[str, Any], times: int
) -> None:
    program(stack(**host), preview=True)
    warned = [record for record in caplog.records if "installerSha256" in record.getMessage()]
    assert len(warned) == times
    program(stack(**host))
    assert len([record for record in caplog.records if "installerSha256" in record.getMessage()]) == times


def test_unpinned_images_get_a_warning(program: Program, caplog: pytest.LogCaptureFixture) -> None:
    program(stack(), preview=True)
    assert "host.imageDigests is not set and the digests of Harbor 2.13.5 are not known here" in caplog.text
    caplog.clear()
    program(stack(imageDigests={"goharbor/harbor-core": f"sha256:{'ab' * 32}"}), preview=True)
    assert "imageDigests" not in caplog.text


OLD_RELEASE = "0123456789ab"


@pytest.mark.parametrize(
    ("tags", "keeps"),
    [
        (["harbor-version:2.13.5"], True),
        (["harbor-version:2.13.4"], False),
        (["harbor-version:2.13.5", "harbor-server:SAME.SAME"], False),
        (["harbor-version:2.13.5", f"harbor-server:SAME.{OLD_RELEASE}"], True),
        (["harbor-version:2.13.5", f"harbor-server:{OLD_RELEASE}.{OLD_RELEASE}"], False),
    ],
    ids=["earlier release", "earlier release, other version", "unchanged", "other scripts", "other configuration"],
)
def test_protected_server_is_not_replaced_for_other_scripts_alone(
    program: Program, ignored: dict[str, list[str]], caplog: pytest.LogCaptureFixture, tags: list[str], keeps: bool
) -> None:
    configured, _, released = fingerprint(Host.read({**HOST, "protect": True})).partition(".")
    recorded = [tag.replace("SAME.SAME", f"{configured}.{released}").replace("SAME.", f"{configured}.") for tag in tags]
    made = program(stack(protect=True), volume(tags=recorded), preview=True)
    assert ("metadatas" in ignored["harbor-instance"]) == keeps
    assert ("keeps the scripts of the release that created it" in caplog.text) == keeps
    server_tags = [tag for tag in made.only("Volume").inputs["tags"] if tag.startswith("harbor-server:")]
    expected = [tag for tag in recorded if tag.startswith("harbor-server:")]
    assert server_tags == (expected if keeps else [f"harbor-server:{configured}.{released}"])


def test_a_protected_server_with_older_scripts_may_not_know_authorities(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    database = {"host": "pg.example.com", "username": "harbor", "password": "Database-Pw-1", "sslMode": "verify-full"}
    settings = {"protect": True, "objectStorage": {}, "database": {**database, "caCertificate": AUTHORITY}}
    program(stack(**settings), volume(tags=["harbor-version:2.13.5"]), preview=True)
    assert "caCertificate of database or redis needs scripts of a release that has this key" in caplog.text
    caplog.clear()
    program(stack(**settings), preview=True)
    assert "caCertificate" not in caplog.text, "a new server has the scripts of this release"


def test_unprotected_server_gets_newer_scripts(program: Program, ignored: dict[str, list[str]]) -> None:
    program(stack(), volume(tags=["harbor-version:2.13.5"]), preview=True)
    assert ignored["harbor-instance"] == ["authorizedKeys"]
