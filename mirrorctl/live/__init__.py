"""What is read from a stack, its Harbor and the source registries, and changed in them."""
