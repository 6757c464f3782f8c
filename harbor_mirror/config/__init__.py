"""The stack configuration: models, reading of YAML files, and the faults that users see."""
