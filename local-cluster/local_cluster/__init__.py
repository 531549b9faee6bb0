"""A local Kubernetes built from Go modules and Debian packages, without a Docker engine or a registry."""
