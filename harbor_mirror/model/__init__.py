"""The configuration and what follows from it: pure, no network, no Pulumi."""
