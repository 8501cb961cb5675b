"""Identifiers: unique also in a process that was forked."""

from __future__ import annotations

import os

from apps.core import clock
from apps.core.ids import first_at, uuid7


def test_a_child_makes_other_ids_than_its_parent() -> None:
    uuid7()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, uuid7().bytes[8:])
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 8) != uuid7().bytes[8:]


def test_ids_rise_and_their_random_part_is_never_given_twice() -> None:
    ids = [uuid7() for _ in range(3_000)]
    assert ids == sorted(ids)
    assert len({one.bytes[8:] for one in ids}) == len(ids)
    assert {one.version for one in ids} == {7}


def test_the_first_id_of_a_moment_parts_those_before_it_from_those_after():
    before = uuid7()
    while (moment := clock.now()).timestamp() * 1000 <= (before.int >> 80) + 1:
        pass
    assert before < first_at(moment) <= uuid7()
