"""Types that several sections of the configuration share: names, addresses, versions, and the section itself."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict
from pydantic.alias_generators import to_camel

from .described import Described

EXAMPLE_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#: A host in a URL: a name in ASCII, or an IPv6 address in brackets.
URL_HOST = r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
#: One RFC 1123 host name without a port: a label must not start or end with a hyphen.
HOSTNAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


def _http_url(value: str) -> str:
    if not re.fullmatch(rf"https?://{URL_HOST}(:[0-9]{{1,5}})?(/[^\s?#]*)?", value):
        raise ValueError("is not an http or https URL without user, query and fragment")
    try:
        urlsplit(value).port  # noqa: B018 - raises for invalid IPv6 addresses and ports
    except ValueError as error:
        raise ValueError(f"is not a URL ({error})") from None
    return value.rstrip("/")


def base_url(value: str) -> str:
    if urlsplit(_http_url(value)).path.strip("/"):
        raise ValueError("has a path; use only the base address")
    return value.rstrip("/")


def trimmed(value: str) -> str:
    if value != value.strip():
        raise ValueError("starts or ends with a space or a line break")
    return one_line(value)


def one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("contains a line break or a control character")
    if value and not value.strip():
        raise ValueError("is blank")
    return value


def one_or_many(value: object) -> object:
    """Return a text or a list as a tuple: the short form of a list is one text."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _free_text(value: str) -> str:
    if "\0" in value:
        raise ValueError("contains a NUL character, which Harbor's database rejects")
    return value


def _cidr(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise ValueError(f"is not a network in CIDR notation ({error})") from None


def _hostname(value: str) -> str:
    if not HOSTNAME.fullmatch(value):
        raise ValueError("is not a host name: lower case letters, digits, hyphens and dots, no scheme, port or path")
    # Harbor's `prepare` fails on these two, when the server already exists.
    if value in {"127.0.0.1", "reg.mydomain.com"}:
        raise ValueError("is rejected by Harbor's installer")
    return value


def _bucket(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value):
        raise ValueError("is not a bucket name: 3 to 63 lower case letters, digits, dots and hyphens")
    return value


def _time_of_day(value: str) -> str:
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise ValueError("is not a time of day from 00:00 to 23:59")
    return value


def _email(value: str) -> str:
    if not re.fullmatch(r"[^\s@{}\"#]+@[A-Za-z0-9.-]+", value):
        raise ValueError("is not an e-mail address")
    return value


def _version(value: str) -> str:
    if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", value):
        raise ValueError("is not a version of three numbers")
    return value


def _sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("is not a SHA-256 checksum: 64 hexadecimal digits, lower case")
    return value


BaseUrl = Annotated[str, AfterValidator(base_url)]
Name = Annotated[str, AfterValidator(trimmed)]
FreeText = Annotated[str, AfterValidator(_free_text)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Cidr = Annotated[str, AfterValidator(_cidr)]
Hostname = Annotated[str, AfterValidator(_hostname)]
BucketName = Annotated[str, AfterValidator(_bucket)]
TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]
Email = Annotated[str, AfterValidator(_email)]
Version = Annotated[str, AfterValidator(_version)]
Sha256 = Annotated[str, AfterValidator(_sha256)]


class Section(Described):
    """A frozen part of the configuration: unknown keys are errors, and types are not converted."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", alias_generator=to_camel)

    @classmethod
    def read(cls, raw: object) -> Any:
        """Validate JSON-like data. Raise pydantic.ValidationError with every fault of this section."""
        # Through JSON: strict mode then accepts lists for tuples, but not "5" for 5.
        return cls.model_validate_json(json.dumps(raw))
