"""Invalid configurations register nothing and raise pulumi.RunError, which Pulumi prints without a traceback."""

from __future__ import annotations

import pulumi
import pytest

from tests.data.model import configurations, resolved, stack

from .conftest import Program


def test_no_bad_configuration_registers_anything(program: Program) -> None:
    for case in configurations("bad"):
        with pytest.raises(pulumi.RunError) as caught:
            program(stack(case))
        heading, *lines = str(caught.value).splitlines()
        assert [line.strip() for line in lines] == case["says"].splitlines(), case["case"]
        assert heading.startswith(f"{len(lines)} fault")
        assert not program.recorder.resources, case["case"]


def test_each_good_configuration_registers_its_rules(program: Program) -> None:
    for case in configurations("good"):
        config = stack(case, source="http://registry.example.com")
        made = program(config)
        policies = set(resolved(config).require().rules)
        assert set(config["rules"]) <= policies
        assert {entry.name for entry in made.of("Replication")} == policies, case["case"]
