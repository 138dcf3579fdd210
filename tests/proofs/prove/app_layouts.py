"""Theorems about what an update asks of a partition table: `ota_core::table::AppLayout`.

The rules are those of the project; what they are for is told at `PartitionTable::validate`.
"""

import claripy

from machine import ARGUMENTS, ROOM, Unproven, field, le, prove, prove_covered
from partitions import FACTORY, MAGIC, TEST, VIEW, app, is_otadata, magic
from rules import split

PARTITION, LAYOUT, ADDED, REFUSAL = (ARGUMENTS + at * ROOM for at in range(3, 7))
COMPLETED, VALID = (ARGUMENTS + at * ROOM for at in range(7, 9))
WORDS = 39
SLOTS = 16
# Codes of `proofs::layouts::Refusal`.
OUT_OF_FLASH, OVERLAP, OVERLAPS_TABLE = 1, 2, 3
MISALIGNED, TOO_SMALL, READONLY, DUPLICATE = 4, 5, 6, 7
NO_OTADATA, NO_SLOTS, SLOT_GAP = 8, 9, 10
READING = 11
# Fields of it: where each stands, and its size.
NUMBERS = {"code": (0, 4), "index": (4, 4), "other": (24, 4), "more": (28, 4), "capacity": (32, 8)}
REGIONS = {"region": 8, "other_region": 16}
# The error of the reader of the table, which stands behind them: a `Verdict`.
READER = 40
SECTOR, PAGE = 0x1000, 0x1_0000


def region(record):
    """Offset and size as they stand in memory."""
    return record[223:160]


def prove_refusal(state, **expected):
    """Fails unless a refusal says this; what is not given has to be 0."""
    is_ = {name: le(state, REFUSAL + at, size) for name, (at, size) in NUMBERS.items()}
    is_ |= {name: state.memory.load(REFUSAL + at, 8) for name, at in REGIONS.items()}
    claims = []
    for name, value in is_.items():
        should = expected.pop(name, 0)
        if not isinstance(should, int):
            should = should.zero_extend(value.size() - should.size())
        claims.append(value == should)
    assert not expected
    prove(state, claripy.And(*claims), **is_)


class Layout:
    """A layout of which nothing is known, and which of its words is what: slots are called by their number."""

    def __init__(self, machine, state):
        self.words = [claripy.BVS(f"word_{at}", 32) for at in range(WORDS)]
        for at, word in enumerate(self.words):
            state.memory.store(LAYOUT + 4 * at, word, endness="Iend_LE")
        self.regions = {}
        # No slot has the number behind the last one, so this is about the others.
        for viewed in machine.call(state, "layouts::layout_view", LAYOUT, SLOTS, VIEW):
            self.count = self.place(viewed, le(viewed, VIEW + 32, 4), 8)
            self.show(viewed, "otadata", "factory", "test")
        for k in range(SLOTS):
            shown = state.copy()
            shown.memory.store(LAYOUT + 4 * self.count, claripy.BVV(SLOTS, 8))
            for name in ("factory", "test"):
                shown.memory.store(LAYOUT + 4 * self.regions[name][1], claripy.BVV(0, 32))
            for viewed in machine.call(shown, "layouts::layout_view", LAYOUT, k, VIEW):
                self.show(viewed, None, None, None, k)
        places = {self.count, *(place for pair in self.regions.values() for place in pair)}
        if len(self.regions) != 3 + SLOTS or len(places) != WORDS:
            raise Unproven("some words of a layout are not shown")

    def show(self, viewed, *names):
        for at, name in enumerate(names):
            pair = [self.place(viewed, le(viewed, VIEW + 8 * at + half, 4)) for half in (0, 4)]
            if name is not None and None not in pair:
                self.regions[name] = pair

    def place(self, state, value, bits=32):
        """The number of the word of which a value is the lowest bits, if it is one."""
        for at, word in enumerate(self.words):
            lowest = word[bits - 1:0].zero_extend(32 - bits)
            if word.variables <= value.variables and state.solver.is_true(value == lowest):
                return at
        return None

    def size_of(self, name):
        """Size of a region, which is 0 if there is none."""
        return self.words[self.regions[name][1]]


def names(record):
    """What an entry can be, and where it is that."""
    which = app(record)
    return {
        "otadata": is_otadata(record), "factory": which == FACTORY, "test": which == TEST,
        **{k: which == k for k in range(SLOTS)},
    }


def taken_in(rule, record, layout):
    """Whether an entry goes into a layout, and why not: an error and what it says."""
    named = names(record)
    ota = rule(named["otadata"])
    slot = not ota and rule(claripy.Or(*(named[k] for k in range(SLOTS))))
    if not (ota or slot or rule(claripy.Or(named["factory"], named["test"]))):
        return False, {}
    offset, size, flags = (field(record, at, 4) for at in (4, 8, 28))
    if (ota or slot) and rule(flags & 2 != 0):
        return False, dict(code=READONLY, region=region(record))
    align, least = (SECTOR, 2 * SECTOR) if ota else (PAGE, SECTOR)
    if rule(claripy.Or(offset & (align - 1) != 0, size & (SECTOR - 1) != 0)):
        return False, dict(code=MISALIGNED, region=region(record), other=align, more=SECTOR)
    if rule(claripy.ULT(size, least)):
        return False, dict(code=TOO_SMALL, region=region(record), other=least)
    if rule(claripy.Or(*(claripy.And(named[name], layout.size_of(name) != 0) for name in named))):
        return False, dict(code=DUPLICATE, other=field(record, 2, 1), more=field(record, 3, 1))
    return True, {}


def add(machine):
    """one entry is refused for the right reason, or changes the one region of a layout that it names"""
    start = machine.blank()
    record, index = claripy.BVS("record", 256), claripy.BVS("index", 8)
    start.memory.store(ARGUMENTS, record)
    start.solver.add(magic(record) == MAGIC)
    layout = Layout(machine, start)
    for parsed in machine.call(start, "table::partition_parse", ARGUMENTS, PARTITION):
        ended = machine.call(parsed, "AppLayout::add", ADDED, LAYOUT, index, PARTITION)
        prove_covered(parsed, ended)
        for path in ended:
            for viewed in machine.call(path, "layouts::layout_verdict", ADDED, REFUSAL):
                for case, (goes_in, refusal) in split(viewed, lambda rule: taken_in(rule, record, layout)):
                    prove_refusal(case, **refusal, **({"index": index} if refusal else {}))
                    unchanged_but(case, layout, record, goes_in)


def unchanged_but(state, layout, record, goes_in):
    """Fails unless the region that an entry names, and no other, is now the entry's, or none if it does not go in."""
    changed = {}
    for name, condition in names(record).items():
        for place, at in zip(layout.regions[name], (4, 8)):
            changed[place] = claripy.And(condition, claripy.BoolV(goes_in)), field(record, at, 4)
    for place, word in enumerate(layout.words):
        after = le(state, LAYOUT + 4 * place, 4)
        condition, value = changed.get(place, (claripy.false(), word))
        prove(state, after == claripy.If(condition, value, word), record=record, before=word, after=after)


def complete(machine):
    """a layout is refused for the right reason, or gets the number of its slots, which are those from 0 on"""
    start = machine.blank()
    layout = Layout(machine, start)
    has = [layout.size_of(k) != 0 for k in range(SLOTS)]
    highest, missing = claripy.BVV(0, 8), claripy.BVV(SLOTS, 8)
    for k in range(SLOTS):
        highest = claripy.If(has[k], claripy.BVV(k, 8), highest)
    for k in reversed(range(SLOTS)):
        missing = claripy.If(has[k], missing, claripy.BVV(k, 8))
    reasons = [
        (layout.size_of("otadata") == 0, claripy.BVV(NO_OTADATA, 32)),
        (claripy.Not(claripy.Or(*has)), claripy.BVV(NO_SLOTS, 32)),
        (claripy.ULT(missing, highest), claripy.BVV(SLOT_GAP, 32)),
    ]
    code = claripy.ite_cases(reasons, claripy.BVV(0, 32))
    gap = [claripy.If(code == SLOT_GAP, value, claripy.BVV(0, 8)) for value in (missing, highest)]
    ended = machine.call(start, "AppLayout::complete", COMPLETED, LAYOUT)
    prove_covered(start, ended)
    for path in ended:
        for viewed in machine.call(path, "layouts::layout_result", COMPLETED, VALID, REFUSAL):
            prove_refusal(viewed, code=code, other=gap[0], more=gap[1])
            words = [le(viewed, VALID + 4 * place, 4) for place in range(WORDS)]
            same = [word == words[place] for place, word in enumerate(layout.words) if place != layout.count]
            right = claripy.And(*same, words[layout.count][7:0] == highest + 1)
            prove(viewed, claripy.Or(code != 0, right), code=code, highest=highest)


THEOREMS = [
    ("app-layout-complete", "all layouts", complete),
    ("app-layout-add", "all layouts, all 2^256 entries, all 256 indices", add),
]
