"""The domains of tokens: what has the same token joins, so what must never join is in another domain."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Domain:
    """Values of one meaning; how they are written does not count where a rule says so.

    All are brought to one form of Unicode (NFKC) and lose the white space around them.
    """

    name: str
    ignores_case: bool = False
    is_phone: bool = False


DOMAINS: dict[str, Domain] = {
    domain.name: domain
    for domain in (
        Domain("user"),
        Domain("order"),
        Domain("email", ignores_case=True),
        Domain("phone", is_phone=True),
        Domain("account"),
    )
}
