"""What an MLService depends on: a change of these rings its doorbell."""

from mlservice.api.mlservice import MLService
from mlservice.plan.world import Ref


def references(service: MLService) -> frozenset[Ref]:
    found = set()
    for release in service.spec.releases:
        found.add(Ref("MLServiceRuntime", release.predictor.model.runtime))
        storage = release.predictor.storage
        if storage and storage.pvc:
            found.add(Ref("PersistentVolumeClaim", storage.pvc.name))
    return frozenset(found)
