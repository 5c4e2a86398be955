# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What is done to a move, and when."""

from __future__ import annotations

import dataclasses
import random
import re
import typing as t


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is done, and when: at a line of the journal, and that many seconds later; without a step that long after the run began.

    :param how: a word of lab-fault.
    :param keep: whether the move keeps the old root.
    :param near: whether the move stays on its file system, and so is a rename.
    :param then: what strikes the next run.
    :param neighbour: the seed of somebody who works on the host meanwhile; empty for nobody.
    """

    how: str
    step: str
    event: str = "begin"
    delay: float = 0.0
    keep: bool = True
    then: tuple[Fault, ...] = ()
    near: bool = False
    neighbour: str = ""

    def is_late(self, where: str) -> bool:
        """Whether the change was a step further when it was struck: a busy machine does that."""
        return self.how != "sabotage" and bool(self.step) and not self.delay and where != f"{self.event} {self.step}"

    def __str__(self) -> str:
        moment = f"{self.event} of '{short(self.step)}'" if self.step else "any moment"
        how = [f" + {self.delay:.3f} s" if self.delay else "", " (a rename)" if self.near else "", "" if self.keep else " (old root not kept)"]
        how.append(f" (beside neighbour {self.neighbour})" if self.neighbour else "")
        return f"{self.how} at {moment}{''.join(how)}"


def short(step: str) -> str:
    """A step without the directories of the file that it writes."""
    return re.sub(r"/\S*/", "", step)


def every_step(steps: t.Sequence[str], how: str) -> list[Fault]:
    """A fault between every two things that the move does."""
    return [Fault(how, step) for step in steps]


def both_ways(faults: t.Sequence[Fault]) -> list[Fault]:
    """Each fault twice, once in each direction: directions alternate from fault to fault, so an odd number has to lie between the two."""
    return [*faults, *faults] if len(faults) % 2 else [*faults, faults[-1], *faults[:-1]]


def unprovable() -> list[Fault]:
    """The new root cannot be proved; and on top of that, the worker is killed while it proves."""
    return [Fault("sabotage", "prove"), Fault("sabotage+kill", "prove")]


def renames(steps: t.Sequence[str], how: str) -> list[Fault]:
    """A fault at every step of a move that is a rename."""
    return [Fault(how, step, near=True) for step in steps]


def short_form(steps: t.Sequence[str]) -> list[Fault]:
    """A cut at the steps of which each has its own way back: the scenario 'crash' kills at every step, without load."""
    alike = ("warm copy", "hold", "prove", "finish")
    apart = [step for step in steps if step not in alike and not step.endswith(".conf")]
    return [*every_step(apart, "cut"), *unprovable()]


def long_form(steps: t.Sequence[str]) -> list[Fault]:
    """All of it at every step, both ways."""
    return [fault for how in ("cut", "kill", "kill-both") for fault in both_ways(every_step(steps, how))] + unprovable() * 2


def seconds_by_step(result: t.Mapping[str, t.Any]) -> dict[str, float]:
    """What each step of a move took. Passes of the warm copy are measured as well and are no steps: no line of the journal tells of one.

    :param result: of the module data_root.
    """
    return {one["phase"]: one["seconds"] for one in result["phases"] if one["phase"] in result["plan"]}


def at_random(rng: random.Random, phases: t.Mapping[str, float], count: int, neighbour: bool) -> list[Fault]:
    """Random moments: each step is as likely as any other, whatever it takes; the seconds after the end are one more for a cut. Every third
    cut is followed by another one in the next run, which recovers.

    :param phases: the steps of an undisturbed move with their seconds.
    :param neighbour: whether somebody works on the host beside every second cut and every second kill.
    """
    faults = []
    for number in range(count):
        how = "kill" if number % 2 else "cut"
        step = rng.choice([*phases, *(["end"] if how == "cut" else [])])
        again = (Fault("cut", "", delay=rng.uniform(1, 8)),) if number % 6 == 2 else ()
        one = Fault(how, step, delay=rng.uniform(0, phases.get(step, 3.0)), keep=rng.random() < 0.5, then=again)
        seed = str(rng.randrange(1 << 16))
        faults.append(dataclasses.replace(one, neighbour=seed) if neighbour and number % 4 in (1, 2) else one)
    return faults


__all__ = ("Fault", "at_random", "both_ways", "every_step", "long_form", "renames", "seconds_by_step", "short", "short_form")
