"""Metrics of `status` for Prometheus, as a file for node_exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from mirrorctl.failure import Failure
from mirrorctl.live.status import STATES
from mirrorctl.output.reports import RuleStatus, StatusReport
from mirrorctl.output.untrusted import printable


def write_metrics(path: Path, report: StatusReport) -> None:
    """Replace the file in one step, so that it is never read half-written. Raise Failure."""
    try:
        write_to_textfile(str(path), collect_metrics(report))
    except OSError as error:
        raise Failure(f"--prometheus {path}: {error.strerror}") from None


def collect_metrics(report: StatusReport) -> CollectorRegistry:
    """Return the gauges of a report."""
    registry = CollectorRegistry()

    def gauge(name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(f"harbor_mirror_{name}", documentation, labels, registry=registry)

    gauge("up", "Harbor answered.").set(1)
    gauge("checked_timestamp_seconds", "When this was read.").set(report.checked_at.timestamp())
    gauge("scheduler_paused", "Harbor's scheduler is paused.").set(report.scheduler_paused)
    queue_paused = gauge("queue_paused", "A job queue is paused.", "queue")
    for queue in report.paused_queues:
        queue_paused.labels(printable(queue)).set(1)
    rule_state = gauge("rule_state", "The rule is in this state.", "rule", "state")
    last_duration = gauge("rule_last_duration_seconds", "How long the last execution took.", "rule")
    last_tasks = gauge("rule_last_tasks", "Repositories of the last execution.", "rule", "result")
    times = {
        "last_run": gauge("rule_last_run_timestamp_seconds", "Start of the last execution.", "rule"),
        "last_success": gauge("rule_last_success_timestamp_seconds", "End of the last success.", "rule"),
        "next_run": gauge("rule_next_run_timestamp_seconds", "Next time the schedule fires.", "rule"),
    }
    for rule in report.rules:
        name = printable(rule.rule)
        for state in STATES:
            rule_state.labels(name, state).set(rule.state == state)
        for field, moment in _times(rule).items():
            if moment is not None:
                times[field].labels(name).set(moment.timestamp())
        if rule.last_seconds is not None:
            last_duration.labels(name).set(rule.last_seconds)
        last_tasks.labels(name, "succeeded").set(rule.succeeded)
        last_tasks.labels(name, "failed").set(rule.failed)
    return registry


def _times(rule: RuleStatus) -> Mapping[str, datetime | None]:
    return {"last_run": rule.last_run, "last_success": rule.last_success, "next_run": rule.next_run}
