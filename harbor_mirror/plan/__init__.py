"""What a configuration means: schedules, filters, destinations, request budgets. Pure: no network, no files."""
