"""What is live: the stack, its Harbor, executions, the source registries."""
