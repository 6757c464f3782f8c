"""mirrorctl, the command line for operators: start, watch and verify replications."""
