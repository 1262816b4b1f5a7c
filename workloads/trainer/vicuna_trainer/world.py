"""The world: the gang that trains now, as the operator publishes it to its members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Member:
    """One worker pod of the gang."""

    rank: int
    pod: str
    address: str


@dataclass(frozen=True)
class World:
    """Answer of `GET …/world`. `interval` is {"seconds": n} or {"steps": n}; `deadline` an RFC 3339 time."""

    generation: int
    revision: str
    members: tuple[Member, ...]
    directive: str
    deadline: str | None
    resume_step: int | None
    resume_uri: str | None
    interval: dict[str, int]

    @staticmethod
    def parse(value: dict[str, Any]) -> World:
        """Raises KeyError, TypeError or ValueError where the answer is not as the protocol has it."""
        members = [Member(int(m["rank"]), str(m["pod"]), str(m["address"])) for m in value["members"]]
        resume = value["resume"]
        return World(
            generation=int(value["generation"]),
            revision=str(value["revision"]),
            members=tuple(sorted(members, key=lambda m: m.rank)),
            directive=str(value["directive"]),
            deadline=value["deadline"],
            resume_step=None if resume is None else int(resume["step"]),
            resume_uri=None if resume is None else str(resume["uri"]),
            interval=dict(value["checkpointInterval"]),
        )

    def member(self, pod: str) -> Member | None:
        """The pod's own place in the gang, or None where it has none."""
        return next((m for m in self.members if m.pod == pod), None)
