"""What rules cost at the source: list calls and counted pulls, per run and in Docker Hub's window of six hours.

Harbor fetches the manifest of every matching tag in every run, changed or not, before it looks whether it has it; a
changed multi-platform image costs one more for each platform. So the numbers here are what an unchanged source costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from harbor_mirror.config.models import Plan
from harbor_mirror.plan.filters import TagFilter
from harbor_mirror.plan.globs import exact, expand, specific
from harbor_mirror.plan.schedule import Schedule

#: Docker Hub counts pulls in a sliding window of this length.
WINDOW_HOURS = 6
#: Counted pulls in a window (docs.docker.com, docker-hub/usage/pulls): per address, per account, no limit.
PULL_LIMITS: dict[Plan, int | None] = {"anonymous": 100, "personal": 200, "paid": None}
#: Docker Hub publishes no limit for list calls, and it holds for paid plans too; runs with more than a hundred pages of
#: tags have met 429 in public reports.
MOST_LIST_CALLS = 100
#: Page sizes of Harbor's adapters: Docker Hub's own API, and a registry's catalogue.
_HUB_PAGE = 100
_CATALOGUE_CALLS = 1


@dataclass(frozen=True)
class Load:
    """What one rule costs at its source. A number is a lower bound where `certain` is false."""

    rule: str
    runs: int
    """The most runs in six hours."""
    pulls: int
    """Counted pulls of one run."""
    list_calls: int
    """List calls of one run."""
    certain: bool

    @property
    def pulls_per_window(self) -> int:
        return self.pulls * self.runs

    @property
    def list_calls_per_window(self) -> int:
        return self.list_calls * self.runs

    def overrun(self) -> str | None:
        """Why Docker Hub may refuse the list calls, whatever the plan."""
        if self.list_calls <= MOST_LIST_CALLS:
            return None
        return (
            f"rule {self.rule} needs {self.list_calls} list calls in each run, and Docker Hub answers 429 to such long "
            "lists whatever the plan; fewer runs or repositories help"
        )


def load(
    rule: str,
    type_: str,
    repositories: str,
    schedule: Schedule,
    *,
    tags: Sequence[TagFilter] = (),
    expected_tags: int | None = None,
    listed_tags: int | None = None,
) -> Load:
    """What a rule costs. `expected_tags` is how many tags match in all; `listed_tags`, how many there are to filter.

    Both may be left out: exact names then give the least that is possible.
    """
    names = exact(repositories)
    least_repositories = len(names) if names is not None else 1
    named_tags = _named(tags)
    if expected_tags is not None:
        pulls, certain = expected_tags, True
    elif names is not None and named_tags is not None:
        pulls, certain = least_repositories * named_tags, True
    else:
        pulls, certain = least_repositories * (named_tags or 1), False
    tag_pages = max(least_repositories, ceil(max(listed_tags or 0, pulls) / _HUB_PAGE))
    return Load(
        rule, schedule.runs_per(WINDOW_HOURS), pulls, _repository_lists(type_, repositories) + tag_pages, certain
    )


def _named(tags: Sequence[TagFilter]) -> int | None:
    """How many tags a filter names one by one, or None if it has a wildcard or is missing."""
    counts = [exact(tag.pattern) for tag in tags if tag.decoration == "matches"]
    named = [len(names) for names in counts if names is not None]
    return min(named) if named else None


def _repository_lists(type_: str, repositories: str) -> int:
    """List calls that find the repositories: Docker Hub always lists namespaces, others only for wildcards."""
    if type_ == "docker-hub":
        return len({form.partition("/")[0] for form in expand(repositories)})
    return 0 if specific(repositories) is not None else _CATALOGUE_CALLS


@dataclass(frozen=True)
class Budget:
    """The rules of one endpoint against its plan."""

    endpoint: str
    plan: Plan
    loads: tuple[Load, ...]

    @property
    def pulls(self) -> int:
        """Counted pulls in six hours."""
        return sum(load.pulls_per_window for load in self.loads)

    @property
    def list_calls(self) -> int:
        """List calls in six hours."""
        return sum(load.list_calls_per_window for load in self.loads)

    @property
    def limit(self) -> int | None:
        """Counted pulls that the plan allows in six hours; None without limit."""
        return PULL_LIMITS[self.plan]

    @property
    def certain(self) -> bool:
        """False if some rule's tags are unknown, so that the numbers are the least that is possible."""
        return all(load.certain for load in self.loads)

    def overrun(self) -> str | None:
        """Why the pulls exceed the plan."""
        if self.limit is None or self.pulls <= self.limit:
            return None
        least = "" if self.certain else "at least "
        heaviest = max(self.loads, key=lambda load: load.pulls_per_window)
        return (
            f"{least}{self.pulls} manifests are pulled through {self.endpoint} in {WINDOW_HOURS} hours, and Docker "
            f"Hub allows {self.limit} ({self.plan}); most are rule {heaviest.rule}'s: "
            f"{heaviest.pulls} tags in {heaviest.runs} runs"
        )

    def overruns(self) -> tuple[str, ...]:
        """What exceeds Docker Hub's limits, one sentence each: warnings in a preview, errors where strict."""
        return tuple(text for text in [self.overrun(), *(load.overrun() for load in self.loads)] if text)


def budget(endpoint: str, plan: Plan | None, loads: Iterable[Load], *, anonymous: bool) -> Budget:
    """The budget of an endpoint; without a stated plan, that of an account without payment."""
    return Budget(endpoint, plan or ("anonymous" if anonymous else "personal"), tuple(loads))
