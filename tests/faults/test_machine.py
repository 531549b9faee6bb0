"""Random steps on a real API server, with faults and kills among them: whatever happens, the end is the plan's."""

import json
import os
import time
from pathlib import Path

import pytest
from faults.machine import Machine
from faults.progress import commit

SEEDS = [1, 2]
STEPS = 36
EPISODE = 120
"""Steps of one seed in the long run: then a new namespace is begun."""

RECORD = Path(__file__).with_name("seeds.jsonl")
"""The seeds of the long run that came to their end, each with the commit that was tried: kept in the repository."""


@pytest.mark.parametrize("seed", SEEDS)
def test_cluster_is_what_the_plan_says(kube, proxy, operator, seed):
    Machine(kube, proxy, operator, seed).run(STEPS)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_ten_thousand_steps(kube, proxy, operator, monitor, capsys):
    """FAULTS_STEPS and FAULTS_SEED say how many and from which seed; a run that was broken off goes on where it was."""
    wanted, first = int(os.environ.get("FAULTS_STEPS", "10000")), int(os.environ.get("FAULTS_SEED", "1000"))
    done = _done(first)
    began, seed, steps = time.monotonic(), first + len(done), sum(episode["steps"] for episode in done)
    while steps < wanted:
        started = time.monotonic()
        Machine(kube, proxy, operator, seed).run(EPISODE)
        assert (broken := monitor.broken()) == [], f"seed {seed}: {broken}"
        monitor.sample(operator)
        steps += EPISODE
        took = time.monotonic() - started
        with RECORD.open("a") as record:
            print(json.dumps({"seed": seed, "steps": EPISODE, "seconds": round(took), "commit": commit()}), file=record)
        with capsys.disabled():
            print(f"\nseed {seed}: {steps} of {wanted} steps, {(time.monotonic() - began) / 60:.1f} minutes", end="")
        seed += 1


def _done(first: int) -> list[dict[str, int]]:
    """Episodes of this commit that came to their end, from the first seed on without a gap."""
    lines = [json.loads(line) for line in RECORD.read_text().splitlines()] if RECORD.exists() else []
    seeds = {line["seed"]: line for line in lines if line["commit"] == commit()}
    found = []
    while first + len(found) in seeds:
        found.append(seeds[first + len(found)])
    return found
