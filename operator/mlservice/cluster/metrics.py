"""The operator's Prometheus metrics; docs/reference/metrics.md lists them."""

import asyncio

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("mlservice_api_requests_total", "Requests to the Kubernetes API.", ["verb", "resource", "code"])
RECONCILES = Counter(
    "mlservice_reconciles_total",
    "Services handled, by outcome: ok, or retry (tried again with a growing delay).",
    ["outcome"],
)
RECONCILE_SECONDS = Histogram(
    "mlservice_reconcile_seconds",
    "Time to handle one service.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
QUEUE_DEPTH = Gauge("mlservice_queue_depth", "Services waiting to be handled.")
LEADER = Gauge("mlservice_leader", "1 while this replica holds the Lease.")
SERVICES = Gauge("mlservice_services", "MLServices known at the last full list.")
TASKS = Gauge("mlservice_tasks", "Tasks of the event loop; at rest their number does not grow.")
TASKS.set_function(lambda: len(asyncio.all_tasks()))
