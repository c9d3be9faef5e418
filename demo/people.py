"""Turn the lake's tokens back, as the steward may, to hold what it says against what the sender knows."""

from __future__ import annotations

from collections.abc import Iterable

from clients.operations.functions import CannotBeDone, call
from clients.privacy.detokenize import detokenize, me
from demo.laptop import DemoFailed
from domain.privacy.domains import is_token

PURPOSE = "demo: hold a model against what is true of its shoppers"


def known(users: Iterable[str]) -> dict[str, str]:
    """Map users as the lake calls them to what the sender calls them; who rests in clear stays so."""
    once = list(dict.fromkeys(users))
    tokens = [user for user in once if is_token(user)]
    try:
        revealed = detokenize(call, tokens, domain="user", purpose=PURPOSE, who=me()) if tokens else {}
    except CannotBeDone as fault:
        raise DemoFailed(str(fault)) from fault
    return {user: user for user in once} | revealed
