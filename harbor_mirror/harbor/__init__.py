"""Harbor: the API client, and the mapping between the plan and Harbor's JSON."""
