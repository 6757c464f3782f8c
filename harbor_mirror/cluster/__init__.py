"""What a cluster is made of: charts and their values, Kubernetes objects, and what they cost. No network, no Pulumi."""
