"""Counts the requests of rules at the source: list calls and counted pulls, per run and in Docker Hub's six hours.

In every run, Harbor fetches the manifest of every matching tag before it checks whether it already has the image; a
changed multi-platform image costs one more pull for each platform. The numbers are the cost of an unchanged source.
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
#: Docker Hub publishes no limit for list calls, but has one for all plans: in public reports, runs with more than a
#: hundred pages of tags got 429.
MAX_LIST_CALLS = 100
#: Page sizes of Harbor's adapters: Docker Hub's own API, and a registry's catalogue.
_HUB_PAGE = 100
_CATALOGUE_CALLS = 1


@dataclass(frozen=True)
class Load:
    """What one rule costs at its source; the numbers are lower bounds if `certain` is false."""

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
        """Return why Docker Hub may reject the list calls, on any plan."""
        if self.list_calls <= MAX_LIST_CALLS:
            return None
        return (
            f"rule {self.rule} makes {self.list_calls} list calls in each run, and Docker Hub answers 429 to that many "
            "on every plan; reduce the repositories of the rule or its runs"
        )


def load(
    rule: str,
    type_: str,
    repositories: str,
    schedule: Schedule,
    *,
    tags: Sequence[TagFilter] = (),
    are_all_tags: bool = True,
    expected_tags: int | None = None,
    listed_tags: int | None = None,
) -> Load:
    """Return what a rule costs. `expected_tags` is the number of matching tags, `listed_tags` of all tags to filter.

    Both may be None; exact names then give a lower bound. Without `are_all_tags` the rule copies others besides `tags`.
    """
    names = exact(repositories)
    least_repositories = len(names) if names is not None else 1
    named_tags = _count_named(tags)
    if expected_tags is not None:
        pulls, certain = expected_tags, True
    elif names is not None and named_tags is not None:
        pulls, certain = least_repositories * named_tags, are_all_tags
    else:
        pulls, certain = least_repositories * (named_tags or 1), False
    tag_pages = max(least_repositories, ceil(max(listed_tags or 0, pulls) / _HUB_PAGE))
    return Load(
        rule, schedule.runs_per(WINDOW_HOURS), pulls, _repository_lists(type_, repositories) + tag_pages, certain
    )


def _count_named(tags: Sequence[TagFilter]) -> int | None:
    """Return how many tags the filters name exactly, or None if they have wildcards or there are none."""
    counts = [exact(tag.pattern) for tag in tags if tag.decoration == "matches"]
    named = [len(names) for names in counts if names is not None]
    return min(named) if named else None


def _repository_lists(type_: str, repositories: str) -> int:
    """Return the list calls that find the repositories: Docker Hub always lists namespaces, others for wildcards."""
    if type_ == "docker-hub":
        return len({form.partition("/")[0] for form in expand(repositories)})
    return 0 if specific(repositories) is not None else _CATALOGUE_CALLS


@dataclass(frozen=True)
class Budget:
    """The requests of one endpoint's rules, and what its plan allows."""

    endpoint: str
    plan: Plan
    loads: tuple[Load, ...]

    @property
    def pulls(self) -> int:
        """Return the counted pulls in six hours."""
        return sum(load.pulls_per_window for load in self.loads)

    @property
    def list_calls(self) -> int:
        """Return the list calls in six hours."""
        return sum(load.list_calls_per_window for load in self.loads)

    @property
    def limit(self) -> int | None:
        """Return the counted pulls that the plan allows in six hours; None without a limit."""
        return PULL_LIMITS[self.plan]

    @property
    def certain(self) -> bool:
        """Return whether all tags are known; otherwise the numbers are lower bounds."""
        return all(load.certain for load in self.loads)

    def overrun(self) -> str | None:
        """Return why the pulls exceed the plan."""
        if self.limit is None or self.pulls <= self.limit:
            return None
        least = "" if self.certain else "at least "
        heaviest = max(self.loads, key=lambda load: load.pulls_per_window)
        return (
            f"the rules of {self.endpoint} make {least}{self.pulls} pulls in {WINDOW_HOURS} hours, but Docker Hub "
            f"allows {self.limit} (plan {self.plan}); most come from rule {heaviest.rule}: {heaviest.pulls} tags in "
            f"{heaviest.runs} runs"
        )

    def uncounted(self) -> tuple[Load, ...]:
        """Return the rules that run by schedule within a limit and match an unknown number of tags."""
        return tuple(load for load in self.loads if self.limit is not None and load.runs and not load.certain)


def budget(endpoint: str, plan: Plan | None, loads: Iterable[Load], *, anonymous: bool) -> Budget:
    """Return the budget of an endpoint; the default plan is that of a free account."""
    return Budget(endpoint, plan or ("anonymous" if anonymous else "personal"), tuple(loads))
