"""The HTML page of `report`: one self-contained file. It has no script and no font, and loads nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from harbor_mirror.harbor.client import Json
from harbor_mirror.secret_texts import Secrets
from mirrorctl.live import causes
from mirrorctl.live.overview import CALENDAR_HOURS, HISTORY, Overview, Storage
from mirrorctl.live.status import STATES, is_success, parse_time
from mirrorctl.output.reports import RuleStatus, StatusReport
from mirrorctl.output.units import duration, size
from mirrorctl.output.untrusted import printable

#: Rules that need attention and are shown at once; the others are folded.
ATTENTION_SHOWN = 12
#: Names of rules in a calendar cell's title.
NAMES_SHOWN = 10
#: CSS classes of states; the page also names every state in text.
TONES = {
    **dict.fromkeys(("failed", "overdue"), "bad"),
    **dict.fromkeys(("empty", "stopped", "never"), "warn"),
    **dict.fromkeys(("running", "skipped", "disabled"), "calm"),
    "ok": "good",
}
EXECUTION_TONES = {"Failed": "bad", "Stopped": "warn", "InProgress": "calm"}
EMPTY_ADVICE = "The rule matched no image: correct its filters."
UNITS = (("d", 86400), ("h", 3600), ("min", 60))
#: Sizes of the calendar's drawing.
LABEL_WIDTH, CELL_WIDTH, ROW_HEIGHT, HEAD_HEIGHT = 64, 10, 16, 20
BAR_STEP, BAR_HEIGHT, SHORTEST_BAR = 6, 20, 4


def render_page(overview: Overview, secrets: Secrets) -> str:
    """Return the page's HTML."""

    def finalize(value: Any) -> Any:
        # Every value passes here before it is escaped. Markup and numbers are not plain strings.
        return printable(secrets.hide(value)) if type(value) is str else value

    environment = Environment(
        loader=PackageLoader("mirrorctl.output", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    environment.filters |= {"size": size, "duration": duration}
    report = overview.report
    counts = Counter(rule.state for rule in report.rules)
    attention = [rule for rule in report.rules if rule.state in ("failed", "overdue", "empty")]
    return environment.get_template("page.html.j2").render(
        title=overview.title,
        report=report,
        paused=[*(["the scheduler"] if report.scheduler_paused else []), *report.paused_queues],
        states=[(state, counts[state]) for state in STATES if counts[state]],
        tones=TONES,
        attention=attention[:ATTENTION_SHOWN],
        more_attention=attention[ATTENTION_SHOWN:],
        failures=overview.failures,
        advice={rule.rule: _advice(rule) for rule in attention},
        ages={rule.rule: (_age(rule.last_run, report), _age(rule.last_success, report)) for rule in report.rules},
        history={rule.rule: _bars(overview.history.get(rule.rule, ())) for rule in report.rules},
        history_width=HISTORY * BAR_STEP,
        calendar=_calendar(overview),
        storage=[(entry, _share(entry)) for entry in overview.storage],
    )


def _advice(rule: RuleStatus) -> str:
    return {"failed": causes.advice(rule.text), "empty": EMPTY_ADVICE}.get(rule.state, "")


def _age(moment: datetime | None, report: StatusReport) -> tuple[str, str]:
    """Return an age in its largest unit, and the exact time."""
    if moment is None:
        return "never", ""
    seconds = max(0.0, (report.checked_at - moment).total_seconds())
    largest = next((f"{seconds // length:.0f} {unit}" for unit, length in UNITS if seconds >= length), None)
    return f"{largest or f'{seconds:.0f} s'} ago", f"{moment:%Y-%m-%d %H:%M} UTC"


def _bars(executions: Sequence[Json]) -> dict[str, Any]:
    """Return a bar for each execution, as high as it took long, with the newest at the right edge."""
    spans = [_seconds(execution) for execution in executions]
    longest = max([*spans, 1.0])
    bars = []
    for index, (execution, span) in enumerate(zip(executions, spans, strict=True), HISTORY - len(executions)):
        height = SHORTEST_BAR + (BAR_HEIGHT - SHORTEST_BAR) * span / longest
        result = _result(execution)
        started = parse_time(execution, "start_time")
        bars.append(
            {
                "x": index * BAR_STEP,
                "y": round(BAR_HEIGHT - height, 1),
                "height": round(height, 1),
                "tone": _execution_tone(execution),
                "title": f"{started:%Y-%m-%d %H:%M} {result}, {duration(span)}" if started else result,
            }
        )
    counts = Counter(map(_result, executions))
    label = ", ".join(f"{number} {name}" for name, number in counts.items()) or "no runs"
    return {"bars": bars, "label": label}


def _result(execution: Json) -> str:
    is_empty = execution.get("status") == "Succeed" and not is_success(execution)
    return "empty" if is_empty else str(execution.get("status"))


def _execution_tone(execution: Json) -> str:
    if execution.get("status") == "Succeed":
        return "good" if is_success(execution) else "warn"
    return EXECUTION_TONES.get(str(execution.get("status")), "calm")


def _seconds(execution: Json) -> float:
    started, ended = parse_time(execution, "start_time"), parse_time(execution, "end_time")
    return max(0.0, (ended - started).total_seconds()) if started and ended else 0.0


def _calendar(overview: Overview) -> dict[str, Any]:
    """Return a row for each hour and a cell for each minute in which a rule starts."""
    begin = overview.report.checked_at.replace(minute=0, second=0, microsecond=0)
    most = max((len(rules) for rules in overview.load.values()), default=0)
    busiest = max(overview.load.items(), key=lambda entry: len(entry[1]), default=None)
    cells = []
    for moment, rules in overview.load.items():
        hour = int((moment - begin).total_seconds() // 3600)
        more = f" and {len(rules) - NAMES_SHOWN} more" if len(rules) > NAMES_SHOWN else ""
        cells.append(
            {
                "x": LABEL_WIDTH + moment.minute * CELL_WIDTH,
                "y": HEAD_HEIGHT + hour * ROW_HEIGHT,
                "opacity": round(0.35 + 0.65 * len(rules) / most, 2),
                "title": f"{moment:%a %H:%M} UTC: {', '.join(rules[:NAMES_SHOWN])}{more}",
            }
        )
    hours = range(CALENDAR_HOURS + 1)
    return {
        "total": sum(len(rules) for rules in overview.load.values()),
        "busiest": busiest and f"{busiest[0]:%a %H:%M} with {len(busiest[1])}",
        "rows": [(HEAD_HEIGHT + hour * ROW_HEIGHT, f"{begin + timedelta(hours=hour):%a %H:00}") for hour in hours],
        "quarters": [(LABEL_WIDTH + minute * CELL_WIDTH, f":{minute:02}") for minute in range(0, 60, 15)],
        "cells": cells,
        "label_width": LABEL_WIDTH,
        "lane_width": 60 * CELL_WIDTH,
        "cell_width": CELL_WIDTH - 1,
        "cell_height": ROW_HEIGHT - 3,
        "width": LABEL_WIDTH + 60 * CELL_WIDTH,
        "height": HEAD_HEIGHT + 4 + len(hours) * ROW_HEIGHT,
    }


def _share(entry: Storage) -> tuple[float, str] | None:
    """Return the used share and its CSS class; None without a limit."""
    if not entry.limit:
        return None
    share = entry.used / entry.limit
    return min(share, 1.0), "good" if share < 0.8 else "warn" if share < 0.95 else "bad"
