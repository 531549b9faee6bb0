"""What users write and read: the custom resources, their CRDs, the reasons in their status, the operator's settings."""
