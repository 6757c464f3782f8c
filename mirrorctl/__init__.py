"""The operators' tool: triggers, watches and proves replications. `python -m mirrorctl --help`."""
