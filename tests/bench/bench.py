"""Measure the operator beside Kubernetes' own controllers, in the same run; `--write FILE` puts the table there."""

import argparse
import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import latency

MARKS = ("<!-- bench: begin -->", "<!-- bench: end -->")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="page whose table is replaced")
    chosen = parser.parse_args()
    began = time.perf_counter()
    rows = await latency.rows()
    table = "\n".join(["| figure | value | against |", "| --- | --- | --- |", *(f"| {' | '.join(r)} |" for r in rows)])
    print(f"\n{table}\n\nMeasured in {time.perf_counter() - began:.0f} s.")
    if chosen.write:
        before, _, rest = chosen.write.read_text().partition(MARKS[0])
        chosen.write.write_text(f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}")
        print(f"Wrote {chosen.write}. Next: git diff {chosen.write}")


if __name__ == "__main__":
    asyncio.run(main())
