"""Container images: a content-addressed store, the OCI distribution API, and a client."""
