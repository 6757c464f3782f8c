"""Generates configurations for the differential trial: mostly valid ones, with the limits of each key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from hypothesis import strategies as st

from harbor_mirror.config.models import AUDIT_HOURS, GC_WORKERS, Operation
from harbor_mirror.config.protection import Event, Severity
from harbor_mirror.plan.robot import KNOWN

#: Components of the source's repositories and of others, and its tags and others.
COMPONENTS = ("library", "nginx", "redis", "alpine", "team", "app", "api", "web", "other")
TAGS = ("1.26.1", "1.27.0", "7.4.1", "latest", "v1.0.0", "v1.1.0-rc.1", "3.20")
#: Characters that Harbor, JSON, SQL and Go's templates could treat in a special way.
TEXTS = st.text("aZ0 _-.,:;/\\'\"<>&{}[]$%`|~#äß漢🙂\n\t", max_size=40)
SUFFIX = st.from_regex(r"[a-z0-9](?:[._-]?[a-z0-9]){0,8}", fullmatch=True)


@dataclass(frozen=True)
class Names:
    """Names of objects in Harbor, with a beginning of their own so that several trials may share one Harbor."""

    prefix: str

    def keys(self, most: int) -> st.SearchStrategy[list[str]]:
        """Return strategies of up to `most` names."""
        suffixes = st.lists(SUFFIX, min_size=1, max_size=most, unique=True)
        return suffixes.map(lambda chosen: [f"{self.prefix}-{suffix}" for suffix in chosen])


def pieces(words: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Return a glob for a name, or a part of a path."""
    word = st.sampled_from(words)
    return st.one_of(
        word,
        st.just("*"),
        st.builds(lambda text, cut: f"{text[:cut]}*", word, st.integers(1, 4)),
        st.builds(lambda text, cut: f"*{text[-cut:]}", word, st.integers(1, 3)),
        st.builds(lambda text: f"?{text[1:]}", word),
        st.builds(lambda text: f"[{text[0]}-z]*", word),
        st.builds(lambda text: f"[^{text[0]}]*", word),
        st.builds(lambda first, second: f"{{{first},{second}}}", word, word),
        st.builds(lambda first, second: f"{{{first},{second[:2]}*}}", word, word),
    )


repositories = st.one_of(
    st.lists(pieces(COMPONENTS), min_size=1, max_size=3).map("/".join),
    st.just("**"),
    st.builds("{}/**".format, st.sampled_from(COMPONENTS)),
    st.builds("**/{}".format, pieces(COMPONENTS)),
    st.sampled_from(["library/nginx", "{library/nginx,library/redis}", "team/**", "{library,team}/**"]),
)
tag_globs = st.one_of(pieces(TAGS), st.just("**"), st.just("v?.*"), st.just("[0-9]*"))
tags = st.fixed_dictionaries(
    {},
    optional={
        "matches": st.lists(tag_globs, min_size=1, max_size=3, unique=True),
        "excludes": st.lists(tag_globs, min_size=1, max_size=2, unique=True),
    },
)


def numbers(low: int, high: int) -> st.SearchStrategy[str]:
    """Return one field of a cron."""
    number = st.integers(low, high)
    pair = st.tuples(number, number).map(sorted)
    return st.one_of(
        number.map(str),
        pair.map(lambda ends: f"{ends[0]}-{ends[1]}"),
        pair.map(lambda ends: f"{ends[0]},{ends[1]}"),
        st.integers(2, max(2, high // 2)).map("*/{}".format),
    )


def any_of(low: int, high: int) -> st.SearchStrategy[str]:
    """Return one field of a cron that may be any value."""
    return st.one_of(st.just("*"), numbers(low, high))


crons = st.builds(
    "0 {} {} {} {} {}".format,
    st.integers(0, 59) | st.just("H"),
    any_of(0, 23) | st.just("H"),
    any_of(1, 31) | st.just("?"),
    any_of(1, 12) | st.sampled_from(["JAN", "mar-JUN"]),
    any_of(0, 6) | st.sampled_from(["MON", "sat,SUN", "?"]),
)
schedules = st.one_of(st.sampled_from(["manual", "hourly", "daily", "weekly"]), crons)
selectors = st.one_of(tag_globs, st.builds(lambda glob: {"excludes": [glob]}, tag_globs))
places = st.one_of(repositories, st.builds(lambda glob: {"excludes": [glob]}, repositories))
keeps = st.one_of(
    st.builds(
        lambda key, count: {key: count},
        st.sampled_from(["mostRecentlyPushed", "mostRecentlyPulled"]),
        st.sampled_from([1, 10, 2**31 - 1]),
    ),
    st.builds(
        lambda key, days: {key: days},
        st.sampled_from(["pushedWithinDays", "pulledWithinDays"]),
        st.sampled_from([1, 30, 36_500]),
    ),
    st.just({"always": True}),
)
retention_rules = st.builds(
    lambda kept, selected: {**kept, **selected},
    keeps,
    st.fixed_dictionaries({}, optional={"repositories": places, "tags": selectors, "untagged": st.booleans()}),
)
retentions = st.fixed_dictionaries(
    {"keep": st.lists(retention_rules, min_size=1, max_size=4)}, optional={"schedule": schedules}
)
webhooks = st.dictionaries(
    st.text("aZ0 _-.äß/%&'\"", min_size=1, max_size=20),
    st.fixed_dictionaries(
        {
            "type": st.just("http"),
            "url": st.sampled_from(["https://hooks.example.com/a", "http://10.0.0.1:8080/x/y%20z"]),
            "events": st.lists(st.sampled_from(get_args(Event)), min_size=1, max_size=4, unique=True),
        },
        optional={
            "authHeader": st.sampled_from(["Bearer abc", "Basic YTpi"]),
            "insecure": st.booleans(),
            "enabled": st.booleans(),
            "description": TEXTS,
        },
    ),
    max_size=2,
)
cves = st.lists(st.sampled_from(["CVE-2024-45337", "GHSA-abcd-1234-wxyz", "CVE-1999-0001"]), max_size=2, unique=True)
projects = st.fixed_dictionaries(
    {},
    optional={
        "public": st.booleans(),
        "quotaGb": st.sampled_from([1, 100, 1024 * 1024]),
        "vulnerabilityScanning": st.booleans(),
        "retention": retentions,
        # The gate of a real Harbor refuses the pulls of nothing here, since a replication pushes.
        "preventVulnerable": st.sampled_from([*get_args(Severity), False]),
        "cveAllowlist": st.one_of(
            cves, st.just({"reuseSystem": True}), st.builds(lambda ids: {"cves": ids, "expires": "2031-01-31"}, cves)
        ),
        "cosign": st.booleans(),
        "sbom": st.booleans(),
        "immutableTags": st.lists(
            st.fixed_dictionaries({}, optional={"repositories": places, "tags": selectors}), min_size=1, max_size=2
        ),
        "webhooks": webhooks,
    },
)
paths = st.one_of(
    st.just(""), st.lists(st.sampled_from(["hub", "a--b", "x_y", "z.9", "a__b"]), min_size=1, max_size=3).map("/".join)
)
rule_settings = st.fixed_dictionaries(
    {"repositories": st.one_of(repositories, st.lists(repositories, min_size=1, max_size=3, unique=True))},
    optional={
        "tags": st.one_of(tag_globs, tags),
        "resource": st.sampled_from(["image", "artifact"]),
        "path": paths,
        "flatten": st.sampled_from([-1, 0, 1, 2, 5]),
        "schedule": schedules,
        "allowFrequent": st.booleans(),
        "override": st.booleans(),
        "enabled": st.sampled_from([True, True, True, False]),
        "deletion": st.booleans(),
        "copyByChunk": st.booleans(),
        # A limit of the bandwidth would slow the runs down.
        "speedKbps": st.sampled_from([-1, 0, 2**31 - 1]),
        "singleActive": st.booleans(),
        "description": TEXTS,
    },
)
robots = st.fixed_dictionaries(
    {"rights": st.lists(st.sampled_from(KNOWN), min_size=1, max_size=4, unique=True)},
    optional={"expiresDays": st.sampled_from([1, 90, 36_500]), "description": TEXTS},
)
maintenance = st.fixed_dictionaries(
    {},
    optional={
        "garbageCollection": st.fixed_dictionaries(
            {}, optional={"schedule": schedules, "deleteUntagged": st.booleans(), "workers": st.integers(1, GC_WORKERS)}
        ),
        "auditPurge": st.fixed_dictionaries(
            {},
            optional={
                "schedule": schedules,
                "retentionHours": st.sampled_from([1, 2160, AUDIT_HOURS]),
                "operations": st.lists(st.sampled_from(get_args(Operation)), min_size=1, unique=True),
            },
        ),
    },
)


@st.composite
def configurations(draw: st.DrawFn, names: Names, source: str) -> Mapping[str, Any]:
    """Return a configuration of a stack on an existing Harbor whose endpoints are one source."""
    endpoints = {
        key: {"type": "docker-registry", "url": source, "name": key, "description": draw(TEXTS)}
        for key in draw(names.keys(2))
    }
    destinations = {key: draw(projects) for key in draw(names.keys(3))}
    rules = {
        key: {
            "endpoint": draw(st.sampled_from(list(endpoints))),
            "project": draw(st.sampled_from(list(destinations))),
            **draw(rule_settings),
        }
        for key in draw(names.keys(4))
    }
    cache = {f"{names.prefix}-cache": {"proxyCache": next(iter(endpoints))}} if draw(st.booleans()) else {}
    return {
        "harbor": {"url": "https://harbor.example.com", "restrictProjectCreation": False},
        "harborPassword": "Harbor-Password-1",
        "endpoints": endpoints,
        "projects": {**destinations, **cache},
        "rules": rules,
        "robots": {
            key: {
                "projects": draw(st.lists(st.sampled_from(list(destinations)), min_size=1, unique=True)),
                **draw(robots),
            }
            for key in draw(names.keys(2))
        },
        "maintenance": draw(maintenance),
    }
