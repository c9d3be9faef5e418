"""Turn the tokens of what landed into what decisions call the same units, where privacy is on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from domain.privacy import audit, tokens
from domain.privacy.domains import USER
from domain.privacy.keyring import TOKENS, UNITS, Keyring
from domain.privacy.units import called
from lambdas.datakeys import DataKeys

WHO, PURPOSE = "rivermill-learn", "count rewards to the decisions of their units"


@dataclass(frozen=True)
class Units:
    """Whoever learns holds two keys, each opened when the first token comes: that of tokens, and that of decisions."""

    data: DataKeys

    @cached_property
    def ring(self) -> Keyring:
        """Open both keys; that of decisions is made here if nobody was decided for yet."""
        both = (self.data.ring((TOKENS,)), self.data.ring((UNITS,), make=True))
        return Keyring({purpose: keys for ring in both for purpose, keys in ring.keys.items()})

    def revealed(self, some: pa.Array) -> pa.Array:
        """Turn tokens back, and write down that it was done; not of whom, since each minute has everybody's."""
        values = tokens.revealed(some, self.ring, USER)
        moment = datetime.now(timezone.utc)
        print(audit.line(audit.Act.REVERSAL, who=WHO, at=moment, purpose=PURPOSE, values=len(some)))
        return values

    def called(self, users: pa.ChunkedArray) -> Sequence[str]:
        """Say of users what each is called among the decisions; who rests in clear is called so there too.

        Raises KeyUnavailable while a key is missing or revoked: what has landed waits.
        """
        coded = users.combine_chunks().dictionary_encode()
        known = coded.dictionary
        are_tokens = pc.match_substring_regex(known, tokens.BEGINS)
        revealed = tokens.replaced(known, are_tokens, self.revealed)
        names = [
            called(name, self.ring) if is_token else name
            for name, is_token in zip(revealed.to_pylist(), are_tokens.to_pylist(), strict=True)
        ]
        return [names[place] for place in coded.indices.to_pylist()]
