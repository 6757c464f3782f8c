"""The parts of a cluster, one component a file. Importing them needs pulumi-kubernetes (requirements-cluster.txt)."""
