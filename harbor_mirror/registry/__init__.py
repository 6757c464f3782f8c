"""Source registries: the OCI distribution client, credentials, Docker Hub."""
