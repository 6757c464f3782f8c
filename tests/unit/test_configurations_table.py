"""Tables of bad configurations with their exact messages, and of good ones with their warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from harbor_mirror.plan.destinations import destination
from harbor_mirror.plan.filters import matches
from harbor_mirror.plan.mirror import PlannedMirror
from harbor_mirror.plan.validation import validate
from localcloud.registry import RegistrySimulator
from tests.data.model import configurations, resolved, stack

BAD, GOOD = configurations("bad"), configurations("good")
SOURCE = "http://registry.example.com"


def name(case: Mapping[str, Any]) -> str:
    return str(case["case"])


@pytest.mark.parametrize("case", BAD, ids=name)
def test_the_faults_of_a_bad_configuration(case: Mapping[str, Any]) -> None:
    found = resolved(stack(case))
    assert [str(fault) for fault in found.faults] == case["says"].splitlines()
    assert found.mirror is None


@pytest.mark.parametrize("case", GOOD, ids=name)
def test_a_good_configuration_is_accepted_with_these_cautions_only(case: Mapping[str, Any]) -> None:
    found = resolved(stack(case, source=SOURCE))
    assert found.faults == ()
    warned = [f"{caution.section}.{caution.name}: {caution.text}" for caution in found.cautions]
    assert warned == case.get("warns", "").splitlines()


@pytest.fixture(scope="module")
def images() -> dict[str, list[str]]:
    """Return the tags of each repository of the local source."""
    source = RegistrySimulator()
    source.seed()
    return {repository: list(source.store.tags(repository)) for repository in source.store.repositories()}


@pytest.mark.parametrize("case", [case for case in GOOD if "lands" in case], ids=name)
def test_the_predicted_destinations(case: Mapping[str, Any], images: Mapping[str, list[str]]) -> None:
    assert predicted(validate(stack(case, source=SOURCE)), images) == case["lands"]


def predicted(mirror: PlannedMirror, images: Mapping[str, list[str]]) -> dict[str, int]:
    """Return the number of tags of each destination after every rule has run."""
    lands: dict[str, set[str]] = {}
    for rule in mirror.rules.values():
        for repository, tags in images.items() if rule.enabled else ():
            kept = {tag for tag in tags if all(entry.keeps(tag) for entry in rule.tag_filters)}
            if kept and matches(rule.landing.repositories, repository):
                lands.setdefault(destination(repository, rule.namespace, rule.flatten), set()).update(kept)
    return {place: len(tags) for place, tags in lands.items()}


def test_the_tables_have_enough_cases() -> None:
    runnable = [case for case in GOOD if "lands" in case]
    print(f"{len(BAD)} bad configurations, {len(GOOD)} good ones, {len(runnable)} of them run")
    assert len(BAD) >= 200
    assert len(runnable) >= 100
    for cases in (BAD, GOOD):
        assert len({name(case) for case in cases}) == len(cases), "each case has a name of its own"
