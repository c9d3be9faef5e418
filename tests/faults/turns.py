"""Let threads take turns, one at a time, in an order that a seed decides."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from random import Random

MOST_TURNS = 200_000


class Killed(BaseException):
    """The process dies here: nothing that handles errors may catch it."""


class Stuck(AssertionError):
    """Actors wait for one another, or take turns without end."""


class Actor(threading.Thread):
    """One line of work that goes on only when it is its turn."""

    def __init__(self, turns: Turns, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self.turn = threading.Semaphore(0)
        self.ready: Callable[[], bool] = lambda: True
        self.ended = False
        self.error: BaseException | None = None
        self._turns, self._work = turns, work

    def run(self) -> None:
        self.turn.acquire()
        try:
            self._work()
        except BaseException as error:  # the director tells what became of an actor
            self.error = error
        self.ended = True
        self._turns.back.release()


class Turns:
    """Directs actors: between two calls of `step` only one of them runs; `digest` tells one order from another."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.back = threading.Semaphore(0)
        self.actors: list[Actor] = []
        self.count = 0
        self._said = hashlib.sha256()

    def start(self, name: str, work: Callable[[], None]) -> Actor:
        """Add an actor; it begins when its turn comes."""
        actor = Actor(self, name, work)
        self.actors.append(actor)
        actor.start()
        return actor

    def step(self, what: str, ready: Callable[[], bool] = lambda: True) -> None:
        """Let others go first, as the seed has it, and go on once it is `ready`; in other threads, do nothing."""
        actor = threading.current_thread()
        if not isinstance(actor, Actor):
            return
        self._said.update(f"{actor.name} {what}\n".encode())
        actor.ready = ready
        self.back.release()
        actor.turn.acquire()

    def direct(self) -> None:
        """Give turns until all have ended; raise what ended an actor by surprise."""
        while self.actors:
            able = [actor for actor in self.actors if actor.ready()]
            self.count += 1
            if not able or self.count > MOST_TURNS:
                raise Stuck(f"after {self.count} turns: {[actor.name for actor in self.actors]}")
            actor = self.chance.choice(able)
            actor.turn.release()
            self.back.acquire()
            if actor.ended:
                self.actors.remove(actor)
                if actor.error is not None:
                    raise actor.error

    @property
    def digest(self) -> str:
        """Digest who did what, in order."""
        return self._said.hexdigest()
