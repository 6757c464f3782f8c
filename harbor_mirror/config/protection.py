"""Protection and notifications of a project: allowlist, immutable tags, webhooks, members."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from harbor_mirror.config.fields import FreeText, Name, Section, one_or_many

#: Harbor's severities of a gate. `none` is the strictest: any known vulnerability.
Severity = Literal["none", "low", "medium", "high", "critical"]
#: A gate of a project; False is none.
Gate = Literal["none", "low", "medium", "high", "critical", False]
#: Harbor's roles of a project.
Role = Literal["projectAdmin", "maintainer", "developer", "guest", "limitedGuest"]
GroupType = Literal["ldap", "oidc", "internal"]
WebhookType = Literal["http", "slack", "teams"]
Event = Literal[
    "REPLICATION",
    "PUSH_ARTIFACT",
    "PULL_ARTIFACT",
    "DELETE_ARTIFACT",
    "QUOTA_EXCEED",
    "QUOTA_WARNING",
    "SCANNING_FAILED",
    "SCANNING_STOPPED",
    "SCANNING_COMPLETED",
    "TAG_RETENTION",
]
#: Columns of Harbor's database.
USERNAME_LENGTH = 255
WEBHOOK_NAME_LENGTH = 256
_CVE = re.compile(r"[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9._:]+)+")
_ROBOT_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")


def _cve(value: str) -> str:
    if not _CVE.fullmatch(value):
        raise ValueError("is not the ID of a vulnerability")
    return value


def _date(value: str) -> str:
    try:
        parse_expiry(value)
    except ValueError:
        raise ValueError("is not a date") from None
    return value


def parse_expiry(value: str) -> datetime:
    """Return the time of a date: in UTC unless it has a zone, at the start of the day unless it has a time."""
    parsed = datetime.fromisoformat(value)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _webhook_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not re.fullmatch(r"https?://[^\s?#@/]+(/[^\s?#]*)?", text):
        if re.match(r"https?://[^\s@]+[?#]", text):
            raise ValueError("has a query, which Harbor removes from a webhook's address")
        raise ValueError("is not an http or https URL without user, query and fragment")
    try:
        urlsplit(text).port  # noqa: B018 - raises for invalid ports
    except ValueError as error:
        raise ValueError(f"is not a URL ({error})") from None
    return value


def _header(value: SecretStr | None) -> SecretStr | None:
    text = "Bearer" if value is None else value.get_secret_value()
    if not text or not text.isprintable() or text != text.strip():
        raise ValueError("is not the value of a header: one line without a space at its ends")
    return value


def _list_of_cves(value: object) -> object:
    return {"cves": value} if isinstance(value, str | list) else value


class CveAllowlist(Section):
    """Vulnerabilities that the gate does not count."""

    cves: Annotated[tuple[Annotated[str, AfterValidator(_cve)], ...], BeforeValidator(one_or_many)] = Field(
        (), examples=[["CVE-2024-45337"]]
    )
    """Their IDs. An empty list: the project's own list has no entry, and the system's does not apply."""
    expires: Annotated[str, AfterValidator(_date)] | None = Field(None, examples=["'2027-01-31'"])
    """Date (UTC) from which the list no longer applies; by default it always does."""
    reuse_system: bool = Field(False, examples=[True])
    """Uses the system's list, as Harbor does in a new project; then without `cves` and `expires`."""


AllowlistForm = Annotated[CveAllowlist | None, BeforeValidator(_list_of_cves)]


class Webhook(Section):
    """Where Harbor sends a message about events in the project."""

    type: WebhookType = Field("http", examples=["slack"])
    """Format of the message, as Harbor calls it."""
    url: Annotated[SecretStr, AfterValidator(_webhook_url)] = Field(examples=["https://hooks.example.com/harbor"])
    """Address. Those of Slack and Teams are secrets: set it with `pulumi config set --path --secret`."""
    auth_header: Annotated[SecretStr | None, AfterValidator(_header)] = Field(None, examples=["{secure: v1:…}"])
    """Value of the Authorization header, a secret; with `type: http` only."""
    events: Annotated[tuple[Event, ...], BeforeValidator(one_or_many)] = Field(
        ("REPLICATION",), min_length=1, examples=[["REPLICATION", "QUOTA_EXCEED"]]
    )
    """Harbor's event types. REPLICATION is sent for each finished replication, with its status."""
    insecure: bool = Field(False, examples=[False])
    """Accepts any certificate of the receiver."""
    enabled: bool = Field(True, examples=[True])
    """A disabled webhook sends nothing."""
    description: FreeText = Field("", examples=["Tells the platform team"])
    """Free text shown in Harbor."""


class GroupMember(Section):
    """A group that is a member of a project."""

    role: Role = Field(examples=["developer"])
    """What its users may do, as Harbor calls it."""
    type: GroupType = Field(examples=["oidc"])
    """Where Harbor knows the group from. A group of `ldap` or `internal` must exist in Harbor."""
    ldap_dn: Name | None = Field(None, min_length=1, examples=["cn=web,ou=groups,dc=example,dc=com"])
    """Distinguished name of a group of `type: ldap`."""


class Members(Section):
    """Users and groups with a role in the project. Members that are not listed here are left as they are."""

    users: Mapping[Annotated[str, Field(min_length=1, max_length=USERNAME_LENGTH)], Role] = Field(
        default_factory=dict, examples=[{"alice": "developer"}]
    )
    """Role of each user by name; the users must exist in Harbor."""
    groups: Mapping[Annotated[str, Field(min_length=1, max_length=USERNAME_LENGTH)], GroupMember] = Field(
        default_factory=dict, examples=[{"web-team": {"role": "developer", "type": "oidc"}}]
    )
    """Groups by name."""


class Robot(Section):
    """A robot account of a team: a login for programs with rights in some projects."""

    projects: Annotated[tuple[str, ...], BeforeValidator(one_or_many)] = Field(min_length=1, examples=[["mirror"]])
    """Keys of the projects that it may use."""
    rights: Annotated[tuple[str, ...], BeforeValidator(one_or_many)] = Field(
        ("pull",), min_length=1, examples=[["pull", "push"]]
    )
    """`pull`, `push` (which includes pull), or Harbor's permissions of a project such as `artifact:list`."""
    expires_days: int | None = Field(None, ge=1, le=36_500, examples=[90])
    """Days after its creation on which it stops working; by default never."""
    enabled: bool = Field(True, examples=[True])
    """A disabled robot account can't log in."""
    description: FreeText = Field("", max_length=1024, examples=["Web team's clusters"])
    """Free text shown in Harbor."""


def is_robot_name(name: str) -> bool:
    """Return whether Harbor accepts a robot account's name (measured: lower case, single separators)."""
    return len(name) <= USERNAME_LENGTH and _ROBOT_NAME.fullmatch(name) is not None
