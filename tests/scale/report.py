"""The figures as a table, a column for each number of services, and as drawings."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import linear_regression
from typing import Any

from scale import soak
from scale.svg import Line, chart

Results = dict[str, dict[str, Any]]
MARKS = ("<!-- scale: begin -->", "<!-- scale: end -->")


def table(results: Results) -> str:
    """Markdown; the sizes that were measured, and the services with pods below."""
    sizes = _sizes(results)
    heads = [f"{n['services']:,} services" for n in sizes]
    lines: list[str] = []
    if sizes:
        lines += [f"| figure | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
        lines += [f"| {name} | {' | '.join(cell(n) for n in sizes)} |" for name, cell in ROWS]
    if pods := results.get("pods"):
        lines += ["", *_pods(pods)]
    if soaked := results.get("soak"):
        lines += ["", *_soaked(soaked)]
    return "\n".join(lines)


def publish(results: Results, page: Path) -> None:
    """Replace what is between the marks of the page by the table and the drawings, which are written beside it.

    So are all figures (`scale.json`): a size that is not among these keeps those that it had there.
    """
    folder = page.parent / "figures"
    folder.mkdir(exist_ok=True)
    kept = folder / "scale.json"
    results = (json.loads(kept.read_text()) if kept.exists() else {}) | results
    kept.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    pictures = []
    for name, drawing in drawings(results).items():
        (folder / f"{name}.svg").write_text(drawing)
        pictures.append(f"![{name}](figures/{name}.svg)")
    between = "\n\n".join([table(results), *pictures])
    before, _, rest = page.read_text().partition(MARKS[0])
    page.write_text(f"{before}{MARKS[0]}\n{between}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}")


def drawings(results: Results) -> dict[str, str]:
    """Name and SVG of each drawing whose figures were measured."""
    found = {}
    if sizes := _sizes(results):
        largest, rounds = sizes[-1], sizes[-1]["growth"]["rounds"]
        services = [round_["services"] for round_ in rounds]
        found["scale-rate"] = chart(
            "Bursts, created → status written, by the services that are there",
            "MLServices",
            "services/s",
            [
                Line("without an operator", list(zip(services, [r["ceiling"] for r in rounds], strict=True))),
                Line("with the operator", list(zip(services, [r["rate"] for r in rounds], strict=True))),
            ],
        )
        memory = [(0, largest["growth"]["base_rss"]), *((r["services"], r["rss"]) for r in rounds)]
        found["scale-memory"] = chart(
            "The operator's resident memory", "MLServices", "MiB", [Line("created one burst after the other", memory)]
        )
        told = largest["runtime"]["told"]
        counts = [(at, (i + 1) * largest["runtime"]["services"] / len(told)) for i, at in enumerate(told)]
        found["scale-runtime"] = chart(
            f"One runtime of {largest['runtime']['services']:,} services is edited",
            "seconds after the edit",
            "services that say UpdateAvailable",
            [Line("told", counts)],
        )
        found["scale-crashes"] = chart(
            f"The pods of {largest['crashes']['services']} services crash again and again",
            "seconds",
            "writes of the operator",
            [Line("in all", largest["crashes"]["timeline"])],
        )
    if pods := results.get("pods"):
        found["scale-pods"] = chart(
            f"{pods['services']:,} services with a pod each",
            "seconds",
            "services",
            [
                Line(name, [(at, (i + 1) * pods["services"] / len(times)) for i, at in enumerate(times)])
                for name, times in pods["timeline"].items()
            ],
        )
    if soaked := results.get("soak"):
        found["scale-soak"] = chart(
            f"{soaked['services']} services, something is done to one of them ten times a second",
            "minutes",
            "MiB",
            [Line("the operator's resident memory", [(at / 60, rss) for at, rss, _, _ in soaked["samples"]])],
        )
    return found


def _sizes(results: Results) -> list[dict[str, Any]]:
    return sorted((n for name, n in results.items() if name.isdigit()), key=lambda n: int(n["services"]))


def rate(n: dict[str, Any]) -> str:
    """Means over the rounds' time, since each round does the same work."""
    rounds = n["growth"]["rounds"]
    ours, ceiling = (len(rounds) / sum(1 / r[key] for r in rounds) for key in ("rate", "ceiling"))
    return f"{ours:.0f}/s of {ceiling:.0f}/s ({ours / ceiling:.2f})"


def cost(n: dict[str, Any]) -> str:
    """The machine's speed is in both."""
    ours, without = n["growth"]["cpu_ms_per_write"], n["growth"]["cpu_ms_per_write_without"]
    return f"{ours:.2f} ms of {without:.2f} ms ({ours / without:.2f})"


def slope(n: dict[str, Any]) -> float:
    """KiB a service, by least squares over the rounds."""
    points = [(r["services"], r["rss"]) for r in n["growth"]["rounds"]]
    points = points if len(points) > 1 else [(0, n["growth"]["base_rss"]), *points]
    return 1024 * linear_regression(*zip(*points, strict=True)).slope


def _spread(part: str, name: str) -> Callable[[dict[str, Any]], str]:
    def cell(n: dict[str, Any]) -> str:
        values = n[part][name]
        return f"p50 {values['p50']:.0f} ms, p99 {values['p99']:.0f} ms"

    return cell


ROWS: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
    ("commit", lambda n: n["commit"]),
    ("burst, created → status written, against the same writes without an operator", rate),
    ("operator's CPU time per write, created → Ready, against the load generator's for the same writes", cost),
    ("operator's writes per service, created → Ready", lambda n: f"{n['growth']['writes_per_service']:.2f}"),
    ("created → all children", _spread("latencies", "created")),
    ("Deployment available → Ready", _spread("latencies", "ready")),
    ("parameter changed → Deployment changed", _spread("latencies", "changed")),
    (
        "operator's memory: without services, with them, per service",
        lambda n: f"{n['growth']['base_rss']:.0f} MiB, {n['growth']['rounds'][-1]['rss']:.0f} MiB, {slope(n):.0f} KiB",
    ),
    (
        "restart, until all are compared",
        lambda n: f"{n['restart']['seconds']:.1f} s, {n['restart']['writes']} writes, {n['restart']['rss']:.0f} MiB",
    ),
    (
        "at rest, verified every 60 s",
        lambda n: (
            f"{n['rest']['writes']:.0f} writes in {n['rest']['seconds']} s, {100 * n['rest']['cpu']:.1f} % of a core"
        ),
    ),
    (
        "/healthz meanwhile, asked four times a second",
        lambda n: (
            f"{_spread('rest', 'healthz')(n)}, longest of {n['rest']['healthz']['of']}: "
            f"{n['rest']['healthz']['longest']:.0f} ms"
        ),
    ),
    (
        "one runtime edited",
        lambda n: (
            f"{n['runtime']['services']} told after {n['runtime']['seconds']:.1f} s by {n['runtime']['status_writes']} "
            f"writes, {n['runtime']['deployments_changed']} Deployments changed"
        ),
    ),
    ("a service created meanwhile → its children", lambda n: f"{n['runtime']['newcomer_ms']:.0f} ms"),
    (
        "one service changed ten times a second",
        lambda n: (
            f"each change: {_spread('busy', 'changed')(n)}; another service available → Ready: "
            f"{_spread('busy', 'ready')(n)}; {n['busy']['others_written']} others written"
        ),
    ),
    (
        "100 services whose pods crash in a loop",
        lambda n: (
            f"{n['crashes']['pod_changes']} changes of pods in {n['crashes']['seconds']:.0f} s, "
            f"{n['crashes']['writes']} writes, {n['crashes']['writes_in_the_second_half']} of them in the second half, "
            f"{100 * n['crashes']['cpu']:.0f} % of a core"
        ),
    ),
)


def _pods(pods: dict[str, Any]) -> list[str]:
    return [
        f"| figure | {pods['services']:,} services with a pod each |",
        "| --- | --- |",
        f"| commit | {pods['commit']} |",
        f"| created → all Ready | {pods['seconds']:.0f} s |",
        f"| Deployment available → Ready, in the burst | {_spread('pods', 'available_to_ready')({'pods': pods})} |",
        f"| operator's CPU time per service | {pods['cpu_ms_per_service']:.1f} ms |",
        f"| operator's writes per service | {pods['writes_per_service']:.2f} |",
        f"| operator's memory | {pods['rss']:.0f} MiB, without services {pods['base_rss']:.0f} MiB |",
        f"| restart, until all are compared | {pods['restart']['seconds']:.1f} s, {pods['restart']['writes']} writes |",
    ]


def _soaked(found: dict[str, Any]) -> list[str]:
    warm = next(sample for sample in found["samples"] if sample[0] >= soak.WARM * found["seconds"])
    last, done = found["samples"][-1], found["done"]
    return [
        f"| figure | {found['services']} services for {found['seconds'] / 60:.0f} minutes |",
        "| --- | --- |",
        f"| commit | {found['commit']} |",
        f"| what was done | {', '.join(f'{count} {what}' for what, count in sorted(done.items()))}: "
        f"{sum(done.values()) / found['seconds']:.1f} a second |",
        f"| operator's memory, warm and at the end | {warm[1]:.0f} MiB, {last[1]:.0f} MiB; "
        f"{soak.slope(found):+.1f} MiB an hour |",
        f"| its open files and tasks, warm and at the end | {warm[2]} and {warm[3]}, {last[2]} and {last[3]} |",
        f"| lines of complaint in its log | {len(found['complaints'])} |",
        f"| its CPU time | {100 * found['cpu']:.1f} % of a core |",
    ]
