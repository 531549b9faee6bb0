"""Talks to Kubernetes: requests, watched stores, the work queue, the Lease, Events."""
