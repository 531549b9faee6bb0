"""The parts of docs/reference/ that are generated: `make docs` writes them, a test compares them."""

import re
import sys
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from mlservice.api.reference import cell, fields_page
from mlservice.api.settings import Settings
from mlservice.cluster import metrics

BEGIN, END = "<!-- make docs: begin -->", "<!-- make docs: end -->"
"""Around a generated table; what stands outside is written by hand."""


def settings_table() -> str:
    """Markdown: one row for each setting."""
    rows = [
        f"| `MLSERVICE_{name.upper()}` | `{field.default or '(empty)'}` | {_line(field.description)} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows])


def metrics_table() -> str:
    """Markdown: one row for each metric, under the name that Prometheus sees."""
    rows = []
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (told,) = metric.describe()
            name = f"{told.name}_total" if told.type == "counter" else told.name
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            rows.append(f"| `{name}` | {told.type} | {labels} | {_line(told.documentation)} |")
    return "\n".join(["| metric | type | labels | meaning |", "| --- | --- | --- | --- |", *rows])


def with_table(page: str, table: str) -> str:
    """The page with its generated part replaced."""
    return re.sub(f"(?s){BEGIN}.*{END}", lambda _: f"{BEGIN}\n{table}\n{END}", page)


def pages(folder: Path) -> dict[Path, str]:
    """Each generated page of docs/reference, as it should be."""
    tables = {folder / "settings.md": settings_table(), folder / "metrics.md": metrics_table()}
    return {folder / "fields.md": fields_page()} | {
        path: with_table(path.read_text(), table) for path, table in tables.items()
    }


def _line(text: str | None) -> str:
    return cell(" ".join((text or "").split()))


if __name__ == "__main__":
    for path, text in pages(Path(sys.argv[1])).items():
        path.write_text(text)
