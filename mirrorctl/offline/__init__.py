"""What is computed from a stack's files alone: faults, explanations, differences between commits, JSON Schemas."""
