"""Two managers that write one field against each other: said in the status, and not carried on as fast as they can."""

from mlservice.api.meta import MANAGER, REPAIRER, SCALER, Object
from mlservice.api.reasons import Reason
from mlservice.plan.drift import first_difference
from mlservice.plan.world import Finding, Ref

BURST, SECONDS = 5, 20.0
"""How often one child is made or set right again without a change of ours: so often at once, then once in so long."""


def contest(where: Ref, live: Object | None, wanted: Object) -> Finding:
    """Return the finding about a child that somebody else deletes, or changes from what is wanted, again and again."""
    slowly = f"it is set right only every {SECONDS:.0f} seconds"
    if live is None:
        return Finding(
            Reason.FIELDS_CONTESTED, f"Somebody deletes {where} again and again: {slowly}. Find out who it is"
        )
    place = first_difference(live, wanted)
    others = {entry["manager"] for entry in live["metadata"].get("managedFields", [])} - {MANAGER, REPAIRER, SCALER}
    whom = f" ({', '.join(sorted(others))})" if others else ""
    better = "give the autoscaler the MLService's bounds" if place == "spec.replicas" else "say so in the MLService"
    return Finding(
        Reason.FIELDS_CONTESTED,
        f"Another manager of {where}{whom} changes {place} again and again, against what the MLService says: {slowly}. "
        f"Stop it, or {better}",
    )
