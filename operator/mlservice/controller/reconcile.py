"""Bring one service's world to its plan."""

import logging
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import ValidationError

from mlservice.api.meta import Object, mistakes
from mlservice.cluster.client import Client, all_of
from mlservice.cluster.events import Recorder
from mlservice.cluster.queue import WorkQueue
from mlservice.cluster.resources import DEPLOYMENT
from mlservice.cluster.store import Key, key_of
from mlservice.controller.apply import Applier
from mlservice.controller.observe import Cluster
from mlservice.controller.ownership import OwnerChanged, OwnerGone
from mlservice.plan import Plan, World, plan
from mlservice.plan.owned import owned_template
from mlservice.plan.revision import ready_revisions, unpinned
from mlservice.plan.status import unreadable_status

logger = logging.getLogger(__name__)

ROUNDS = 4
"""Plans made before the service is put back into the queue: a new Deployment, then its replica count, then nothing."""


class Reconciler:
    def __init__(self, client: Client, cluster: Cluster, queue: WorkQueue, recorder: Recorder) -> None:
        self.client, self.cluster, self.queue, self.recorder = client, cluster, queue, recorder
        self.applier = Applier(client, cluster)

    async def reconcile(self, key: Key) -> bool:
        """Observe, plan and apply until nothing is left to write; return False when something was refused.

        Raises what the API raises where another attempt may succeed; every step may be repeated.
        """
        try:
            return await self._reconcile(key)
        except ValidationError as error:
            await self._report_unreadable(key, error)
        except OwnerChanged as changed:
            self.cluster.services.put(changed.live)  # which rings its doorbell
        except OwnerGone as gone:
            obj = self.cluster.services.get(key)
            if obj and obj["metadata"]["uid"] == gone.uid:  # another one of its name may have come meanwhile
                self.cluster.services.remove(obj)
        return True

    async def _reconcile(self, key: Key) -> bool:
        for _ in range(ROUNDS):
            self.queue.read(key)
            world = await self._world(key)
            if world is None:
                return True
            now = datetime.now(UTC)
            final = plan(world, now)
            written, refused = await self.applier.apply(final, world)
            if refused:
                final = plan(replace(await self._world(key) or world, refusals=refused), now)
                if written:
                    self.queue.add(key)
            if refused or not written:
                break
        else:
            self.queue.add(key)
        obj = self.cluster.services.get(key)
        if obj is None:
            return True
        if await self.applier.apply_status(obj, final.status):
            self._tell(obj, final)
            if ready_revisions(obj.get("status", {})) != ready_revisions(final.status):
                self.queue.add(key)
        if final.again_seconds is not None:
            self.queue.add_after(key, final.again_seconds)
        return not refused

    async def _world(self, key: Key) -> World | None:
        """The service's world; what the stores do not keep, who wrote which field, is asked for where it matters."""
        world = self.cluster.world(key)
        if world is None or not (names := list(unpinned(world))):
            return world
        found = await all_of([self.client.get(DEPLOYMENT, key[0], name) for name in names])
        return replace(world, adopted={obj["metadata"]["name"]: owned_template(obj) for obj in found if obj})

    async def _report_unreadable(self, key: Key, error: ValidationError) -> None:
        obj = self.cluster.services.get(key)
        if obj is not None:
            await self.applier.apply_status(obj, unreadable_status(obj, mistakes(error), datetime.now(UTC)))

    def _tell(self, obj: Object, final: Plan) -> None:
        ready = next(c for c in final.status["conditions"] if c["type"] == "Ready")
        where = "/".join(key_of(obj))
        logger.info("MLService %s: Ready=%s, %s: %s", where, ready["status"], ready["reason"], ready["message"])
        for event in final.events:
            self.recorder.record(obj, event.type, event.reason, event.note)
