"""Kubernetes quantities: `500m`, `64Gi`, `1`, 4."""

import re
from decimal import Decimal, DecimalException
from typing import Any

SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10) ** 3, "M": Decimal(10) ** 6, "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12, "P": Decimal(10) ** 15, "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10, "Mi": Decimal(2) ** 20, "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40, "Pi": Decimal(2) ** 50, "Ei": Decimal(2) ** 60,
}  # fmt: skip
QUANTITY = re.compile(
    r"^([+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?|[+-]?[0-9]+\.)(n|u|m|k|Ki|Mi|M|Gi|G|Ti|T|Pi|P|Ei|E)?$"
)

LARGEST = Decimal(2**63 - 1)
"""Kubernetes takes larger amounts for this one."""


def quantity(value: Any) -> Decimal | None:
    """Return the amount in base units (cores, bytes, pieces), or None when it is no quantity.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    match = QUANTITY.match(str(value))
    if not match:
        return None
    try:
        amount = Decimal(match[1]) * SUFFIXES[match[2] or ""]
    except DecimalException:  # an exponent of many digits
        return None
    return max(-LARGEST, min(amount, LARGEST))
