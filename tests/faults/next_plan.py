"""What the operator would still do, were it to look now: at rest that is nothing."""

from dataclasses import replace
from datetime import UTC, datetime

from kubernetes.aio import client as official
from kubernetes.aio import config
from mlservice.api.settings import Settings
from mlservice.cli.rehearsal import DryRun
from mlservice.cli.stage import Stage
from mlservice.cluster.client import Client
from mlservice.cluster.resources import DEPLOYMENT
from mlservice.plan import Finding, World, plan
from mlservice.plan.drift import contains, first_difference
from mlservice.plan.owned import owned_template
from mlservice.plan.revision import unpinned
from mlservice.plan.world import ref
from rig import Project


async def against_the_plan(project: Project) -> list[str]:
    """Each difference between the live namespace and the plan of its services, in words."""
    configuration = official.Configuration()
    await config.load_kube_config(str(project.kube.kubeconfig), client_configuration=configuration)
    client = Client(configuration)
    try:
        stage = Stage(Settings(), project.name, client)
        await stage.read()
        found = []
        for obj in stage.cluster.services:
            if world := stage.cluster.world((project.name, obj["metadata"]["name"])):
                found += [f"{world.service.name}: {left}" for left in await _left_to_do(client, world)]
        return found
    finally:
        await client.close()


async def _left_to_do(client: Client, world: World) -> list[str]:
    found = [await client.get(DEPLOYMENT, world.service.namespace, name) for name in unpinned(world)]
    world = replace(world, adopted={d["metadata"]["name"]: owned_template(d) for d in found if d})
    first, attempt = plan(world, datetime.now(UTC)), DryRun(client, world.service)
    refusals, left = {}, [f"{ref(child)} is unwanted" for child in first.unwanted]
    for child in first.children:
        live = world.children.get(ref(child))
        if live and contains(live, child):
            continue
        outcome = await attempt.write(child, live)
        if isinstance(outcome, Finding):
            refusals[ref(child)] = outcome
        elif live is None:
            left.append(f"{ref(child)} is missing")
        elif outcome["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]:
            left.append(f"{ref(child)} differs in {first_difference(live, child)}")
    final = plan(replace(world, refusals=refusals), datetime.now(UTC))
    left += [f"replicas should be {final.replicas}"] if final.replicas else []
    if world.service.status != final.status:
        left.append(f"the status is {world.service.status}, and should be {final.status}")
    return left
