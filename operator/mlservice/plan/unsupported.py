"""Fields that are accepted, so that T9k manifests apply unchanged, but not served yet: never ignored in silence."""

from collections.abc import Iterator

from mlservice.api.mlservice import MLService
from mlservice.api.reasons import Reason
from mlservice.plan.conditions import Condition


def ignored_fields(service: MLService) -> Iterator[str]:
    spec = service.spec
    if spec.canary is not None:
        yield "spec.canary"
    if spec.transformer is not None:
        yield "spec.transformer"
    for release in spec.releases:
        if release.predictor.logger is not None:
            yield f"spec.releases[{release.name}].predictor.logger"


def fields_supported(service: MLService) -> Condition | None:
    """Return the warning condition, or None when every field that is set is served."""
    fields = ", ".join(ignored_fields(service))
    if not fields:
        return None
    return Condition(
        "FieldsSupported",
        status=False,
        reason=Reason.FIELDS_IGNORED,
        message=f"Accepted but without effect in this version: {fields}",
    )
