"""The parts of a cluster, one component per file. Importing them needs pulumi-kubernetes (requirements-cluster.txt)."""
