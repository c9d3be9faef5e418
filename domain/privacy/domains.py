"""The domains of tokens: what has the same token joins, so what must never join is in another domain."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

HEAD = r"^t(?P<version>\d{1,9})\."
"""How a token begins: with the version of its key."""

PUNCTUATION = re.compile(r"[^0-9+]")


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


USER = DOMAINS["user"]


def is_token(text: str) -> bool:
    """Tell a token from a value that rests in clear.

    >>> is_token("t1.AAAA"), is_token("u-1")
    (True, False)
    """
    return re.match(HEAD, text) is not None


def one(value: str, domain: Domain) -> str:
    r"""Bring one value to its domain's form; a phone number to E.164 as far as it says its country.

    >>> one("\uff21\uff22 ", Domain("user")), one("Straße", Domain("email", ignores_case=True))
    ('AB', 'strasse')
    >>> one("0049 (170) 12-34567", Domain("phone", is_phone=True))
    '+491701234567'
    """
    text = unicodedata.normalize("NFKC", value).strip()
    if domain.ignores_case:
        text = unicodedata.normalize("NFKC", text.casefold())
    return dialled(text) if domain.is_phone else text


def dialled(text: str) -> str:
    """Write a phone number without its punctuation, in the digits of ASCII.

    What has letters or no digit is no number: without them others would be the same, so it stays as it is.

    >>> dialled("\u0660\u0661-\u0667"), dialled("n/a"), dialled("1-800-FLOWERS")
    ('017', 'n/a', '1-800-FLOWERS')
    """
    digits = "".join(str(unicodedata.decimal(each, each)) for each in text)
    bare = PUNCTUATION.sub("", digits)
    if any(map(str.isalpha, text)) or not bare.strip("+"):
        return text
    return f"+{bare[2:]}" if bare.startswith("00") else bare
