"""The `mlservice` command."""
