"""Theorems about single partitions: `ota_core::partition`, and what both tables do with one entry.

The rules are those of ESP-IDF: `esp_flash_partitions.h`, `gen_esp32part.py`, `bootloader_utility.c`.
"""

import claripy

from machine import ARGUMENTS, ROOM, field, le, prove, prove_covered, result

OUT = ARGUMENTS + ROOM
VIEW = ARGUMENTS + 2 * ROOM
MAGIC = 0xAA50
FACTORY, TEST, NO_APP = 0x100, 0x200, 0xFFFF
# Fields of `proofs::table::Fields`: where each stands there, where on flash, and its size.
FIELDS = [(0, 2, 1), (1, 3, 1), (4, 4, 4), (8, 8, 4), (28, 28, 4)]
LABEL = 12


def magic(record):
    return record[255:240]


def app(record):
    """Number of the slot that a partition is, or which other application."""
    ty, subtype = field(record, 2, 1), field(record, 3, 1)
    slot = claripy.And(claripy.UGE(subtype, 0x10), claripy.ULE(subtype, 0x1F))

    def word(value):
        return claripy.BVV(value, 16)

    of_app = claripy.If(
        subtype == 0, word(FACTORY),
        claripy.If(subtype == 0x20, word(TEST),
                   claripy.If(slot, (subtype - 0x10).zero_extend(8), word(NO_APP))),
    )
    return claripy.If(ty == 0, of_app, word(NO_APP))


def is_otadata(record):
    return claripy.And(field(record, 2, 1) == 1, field(record, 3, 1) == 0)


def prove_is(machine, state, partition, record):
    """Fails unless a partition in memory says what a record on flash does."""
    for viewed in machine.call(state, "table::partition_view", partition, VIEW):
        for there, on_flash, size in FIELDS:
            value = le(viewed, VIEW + there, size)
            prove(viewed, value == field(record, on_flash, size), record=record, value=value)
        label = viewed.memory.load(VIEW + LABEL, 16)
        prove(viewed, label == record[159:32], record=record, label=label)
        which = le(viewed, VIEW + 2, 2)
        prove(viewed, which == app(record), record=record, app=which)


def codec(machine):
    """parse takes what starts with AA 50, moves each field to its place, and emit is inverse to it"""
    start = machine.blank()
    record = claripy.BVS("record", 256)
    start.memory.store(ARGUMENTS, record)
    ended = machine.call(start, "table::partition_parse", ARGUMENTS, OUT)
    for parsed in ended:
        taken = result(parsed, 8)
        prove(parsed, (taken == 1) == (magic(record) == MAGIC), record=record, taken=taken)
        if parsed.solver.satisfiable(extra_constraints=[taken == 0]):
            continue
        prove_is(machine, parsed, OUT, record)
        for emitted in machine.call(parsed, "table::partition_emit", OUT, VIEW):
            bytes_ = emitted.memory.load(VIEW, 32)
            prove(emitted, bytes_ == record, record=record, emitted=bytes_)
    prove_covered(start, ended)


def overlap(machine):
    """two regions overlap exactly if they share a byte, also beyond 2^32"""
    start = machine.blank()
    a, b, c, d = (claripy.BVS(name, 32) for name in ("offset_a", "size_a", "offset_b", "size_b"))
    start.memory.store(ARGUMENTS, claripy.Concat(*map(claripy.Reverse, (a, b, c, d))))
    ended = machine.call(start, "table::regions_overlap", ARGUMENTS, ARGUMENTS + 8)
    first, second = shares(a, b), shares(c, d)
    for path in ended:
        expected = claripy.And(
            b != 0, d != 0, claripy.ULT(first[0], second[1]), claripy.ULT(second[0], first[1])
        )
        claim = (result(path, 8) == 1) == expected
        prove(path, claim, offset_a=a, size_a=b, offset_b=c, size_b=d)
    prove_covered(start, ended)


def shares(offset, size):
    """First byte, and the one behind the last, in numbers that do not overflow."""
    start = offset.zero_extend(32)
    return start, start + size.zero_extend(32)


def collect(machine):
    """an entry changes the one region of the bootloader's table that it names, and counts if it is a slot"""
    start = machine.blank()
    record, k = claripy.BVS("record", 256), claripy.BVS("k", 32)
    start.memory.store(ARGUMENTS, record)
    # An MD5 record can be taken for an entry. A partition does not hold the magic, so this is no limit.
    start.solver.add(magic(record) == MAGIC)
    words = [claripy.BVS(f"word_{at}", 32) for at in range(64)]
    for at, word in enumerate(words):
        start.memory.store(TABLE + 4 * at, word, endness="Iend_LE")
    partition = OUT
    for parsed in machine.call(start, "table::partition_parse", ARGUMENTS, partition):
        for viewed in machine.call(parsed, "table::boot_table_view", TABLE, k, VIEW):
            count = le(viewed, VIEW + 32, 4)
            [place] = [at for at, word in enumerate(words) if viewed.solver.is_true(word == count)]
            viewed.solver.add(claripy.ULT(count, 96))
            slot = region_at(viewed, 3)
            all_counted = with_count(viewed, place, 95)
            for before in machine.call(all_counted, "table::boot_table_view", TABLE, k, VIEW):
                regions = [region_at(before, which) for which in range(4)]
                shown = claripy.And(claripy.ULT(k, count), claripy.ULT(k, 16))
                claim = slot == claripy.If(shown, regions[3], claripy.BVV(0, 64))
                prove(viewed, claim, k=k, count=count, slot=slot)
                for path in machine.call(viewed, "BootTable::collect", TABLE, partition):
                    collected(machine, path, place, record, k, count, regions)


TABLE = ARGUMENTS + 4 * ROOM


def with_count(state, place, count):
    """A table that says to have so many slots, and so shows all that it has."""
    state = state.copy()
    state.memory.store(TABLE + 4 * place, claripy.BVV(count, 32), endness="Iend_LE")
    return state


def region_at(state, which):
    """otadata, factory, test or slot `k` of a table that was viewed, as one number."""
    return state.memory.load(VIEW + 8 * which, 8)


def collected(machine, path, place, record, k, count, before):
    """Fails unless the table is, after an entry, what it has to be."""
    after = le(path, TABLE + 4 * place, 4)
    expected = claripy.If(claripy.ULT(app(record), 16), count + 1, count)
    prove(path, after == expected, record=record, count=count, after=after)
    named = [
        is_otadata(record),
        app(record) == FACTORY,
        app(record) == TEST,
        claripy.And(claripy.ULT(k, 16), app(record).zero_extend(16) == k),
    ]
    region = record[223:160]
    for viewed in machine.call(with_count(path, place, 95), "table::boot_table_view", TABLE, k, VIEW):
        for which, name in enumerate(named):
            is_, was = region_at(viewed, which), before[which]
            prove(viewed, is_ == claripy.If(name, region, was), record=record, k=k, was=was, after=is_)


THEOREMS = [
    ("partition-codec", "all 2^256 entries", codec),
    ("region-overlap", "all 2^128 pairs of regions", overlap),
    ("boot-table-entry", "all tables of 0 to 95 slots, all 2^256 entries", collect),
]
