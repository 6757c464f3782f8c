"""Images and how they travel: a content-addressed store, the OCI distribution API over it, and a client."""
