"""Theorems about select entries: `ota_core::otadata`.

The rules are those of ESP-IDF: `esp_flash_partitions.h`, `bootloader_common.c`, `bootloader_common_loader.c`.
"""

import angr
import claripy
import z3

from machine import ARGUMENTS, ROOM, Unproven, field, prove, prove_covered, result

BLANK = 0xFFFF_FFFF
NONE = 0xFFFF_FFFF
INVALID, ABORTED, UNDEFINED = 3, 4, 0xFFFF_FFFF
OUT = ARGUMENTS + ROOM


class Crc:
    """The CRC as any function of the sequence number.

    That it is the right function is a theorem of its own; the others hold whatever the function is.
    """

    def __init__(self):
        self.values = []
        self.axioms = []

    def of(self, seq):
        for known, value in self.values:
            if known is seq:
                return value
        value = claripy.BVS(f"crc_{len(self.values)}", 32, explicit_name=True)
        for known, other in self.values:
            self.axioms.append(claripy.Or(known != seq, other == value))
        self.values.append((seq, value))
        return value

    def procedure(self):
        crc = self

        class Call(angr.SimProcedure):
            def run(self, seq):
                value = crc.of(seq[31:0])
                self.state.solver.add(*crc.axioms)
                return value.zero_extend(32)

        return Call()


def seq_of(entry):
    return field(entry, 0, 4)


def state_of(entry):
    return field(entry, 24, 4)


def is_invalid(entry):
    state = state_of(entry)
    return claripy.Or(seq_of(entry) == BLANK, state == INVALID, state == ABORTED)


def crc_ok(entry, crc):
    return field(entry, 28, 4) == crc.of(seq_of(entry))


def is_valid(entry, crc):
    return claripy.And(claripy.Not(is_invalid(entry)), crc_ok(entry, crc))


def active(first, second, crc):
    """0 or 1, or `NONE`: of the valid entries the one with the larger number, the first at a tie."""
    a, b = is_valid(first, crc), is_valid(second, crc)
    newer = claripy.UGT(seq_of(second), seq_of(first))
    one, two = claripy.BVV(0, 32), claripy.BVV(1, 32)
    return claripy.If(
        claripy.And(a, b), claripy.If(newer, two, one),
        claripy.If(a, one, claripy.If(b, two, claripy.BVV(NONE, 32))),
    )


def codec(machine):
    """parse and emit move each field to its place, and are inverse to each other"""
    start = machine.blank()
    entry = claripy.BVS("entry", 256)
    start.memory.store(ARGUMENTS, entry)
    for parsed in machine.call(start, "otadata::entry_parse", ARGUMENTS, OUT):
        # The program lays the fields out in the order in which they stand on flash.
        fields = parsed.memory.load(OUT, 32)
        prove(parsed, fields == entry, entry=entry, fields=fields)
        for emitted in machine.call(parsed, "otadata::entry_emit", OUT, OUT + ROOM):
            bytes_ = emitted.memory.load(OUT + ROOM, 32)
            prove(emitted, bytes_ == entry, entry=entry, emitted=bytes_)
    for emitted in machine.call(start, "otadata::entry_emit", ARGUMENTS, OUT):
        for parsed in machine.call(emitted, "otadata::entry_parse", OUT, OUT + ROOM):
            fields = parsed.memory.load(OUT + ROOM, 32)
            prove(parsed, fields == entry, entry=entry, fields=fields)


def predicates(machine):
    """crc_ok, is_invalid, is_valid, is_blank_or_bad_crc, is_bootable and is_odd are what ESP-IDF compares"""
    crc = Crc()
    machine.hook("otadata::seq_crc", crc.procedure())
    start = machine.blank()
    entry = claripy.BVS("entry", 256)
    start.memory.store(ARGUMENTS, entry)
    ended = machine.call(start, "otadata::entry_tests", ARGUMENTS)
    state = state_of(entry)
    expected = [
        crc_ok(entry, crc),
        is_invalid(entry),
        is_valid(entry, crc),
        claripy.Or(seq_of(entry) == BLANK, claripy.Not(crc_ok(entry, crc))),
        claripy.And(state != INVALID, state != ABORTED),
        claripy.And(claripy.UGT(state, ABORTED), state != UNDEFINED),
    ]
    for path in ended:
        path.solver.add(*crc.axioms)
        bits = result(path, 32)
        for bit, holds in enumerate(expected):
            prove(path, (bits[bit:bit] == 1) == holds, entry=entry, tests=bits)
        prove(path, bits[31:len(expected)] == 0, entry=entry, tests=bits)
    prove_covered(start, ended, crc.axioms)


def new_entry(machine):
    """new makes an entry that is valid unless its number or state forbids it"""
    crc = Crc()
    machine.hook("otadata::seq_crc", crc.procedure())
    start = machine.blank()
    seq, state = claripy.BVS("seq", 32), claripy.BVS("state", 32)
    for path in machine.call(start, "otadata::entry_new", seq, state, OUT):
        entry = path.memory.load(OUT, 32)
        path.solver.add(*crc.axioms)
        claim = claripy.And(seq_of(entry) == seq, state_of(entry) == state, crc_ok(entry, crc))
        prove(path, claim, seq=seq, state=state, entry=entry)


def choice(machine):
    """active is the valid entry with the larger number, sector 0 at a tie, none if none is valid"""
    crc = Crc()
    machine.hook("otadata::seq_crc", crc.procedure())
    start = machine.blank()
    first, second = claripy.BVS("first", 256), claripy.BVS("second", 256)
    start.memory.store(ARGUMENTS, claripy.Concat(first, second))
    ended = machine.call(start, "otadata::entries_active", ARGUMENTS)
    for path in ended:
        expected = active(first, second, crc)
        path.solver.add(*crc.axioms)
        prove(path, result(path, 32) == expected, first=first, second=second, active=result(path, 32))
    prove_covered(start, ended, crc.axioms)


def slot(machine):
    """slot_index is (seq - 1) mod count in 32-bit arithmetic, and none without slots"""
    start = machine.blank()
    entry, count = claripy.BVS("entry", 256), claripy.BVS("count", 32)
    start.memory.store(ARGUMENTS, entry)
    ended = machine.call(start, "otadata::entry_slot", ARGUMENTS, count)
    before = seq_of(entry) - 1
    for path in ended:
        some = (before.zero_extend(32) % claripy.If(count == 0, 1, count).zero_extend(32))[31:0]
        expected = claripy.If(count == 0, claripy.BVV(-1, 64), some.zero_extend(32))
        prove(path, result(path, 64) == expected, entry=entry, count=count, slot=result(path, 64))
    prove_covered(start, ended)


def next_number(machine):
    """next_seq is the least number above the current one that selects the slot, or none near the end"""
    for count in range(1, 17):
        least_above(count)
        start = machine.blank()
        some, current, slot = claripy.BVS("some", 8), claripy.BVS("current", 32), claripy.BVS("slot", 8)
        start.solver.add(claripy.ULE(some, 1))
        ended = machine.call(start, "otadata::seq_next", some, current, slot, count)
        # 64 bits, in which nothing overflows.
        n, c, t = claripy.BVV(count, 64), current.zero_extend(32), slot.zero_extend(56)
        selected = (current - 1).zero_extend(32) % n
        ahead = claripy.If(claripy.UGT(t, selected), t - selected, t + n - selected)
        number = claripy.If(claripy.Or(some == 0, current == 0), t + 1, c + ahead)
        refused = claripy.Or(claripy.UGE(t, n), claripy.And(claripy.UGT(number, BLANK - 2 * n), some == 1))
        expected = claripy.If(refused, claripy.BVV(NONE, 64), number)
        for path in ended:
            shown = dict(some=some, current=current, slot=slot, next=result(path, 32))
            prove(path, result(path, 32).zero_extend(32) == expected, **shown)
        prove_covered(start, ended)


def least_above(count):
    """The formula of `next_number` means what it is there for, in the arithmetic of integers."""
    current, slot, other = z3.Ints("current slot other")
    selected = (current - 1) % count
    number = current + z3.If(slot > selected, slot - selected, slot + count - selected)
    solver = z3.Solver()
    solver.add(current >= 1, 0 <= slot, slot < count)
    between = z3.And(current < other, other < number, (other - 1) % count == slot)
    solver.add(z3.Or((number - 1) % count != slot, number <= current, number > current + count, between))
    if solver.check() != z3.unsat:
        raise Unproven(f"the formula is wrong for {solver.model()}")


def update(machine):
    """an entry with a larger number, written to the other sector in a bootable state, is the active one"""
    crc = Crc()
    machine.hook("otadata::seq_crc", crc.procedure())
    start = machine.blank()
    first, second = claripy.BVS("first", 256), claripy.BVS("second", 256)
    seq, state = claripy.BVS("seq", 32), claripy.BVS("state", 32)
    start.memory.store(ARGUMENTS, claripy.Concat(first, second))
    start.solver.add(seq != BLANK, state != INVALID, state != ABORTED)
    for before in machine.call(start, "otadata::entries_active", ARGUMENTS):
        chosen = active(first, second, crc)
        for stays, current in [(0, seq_of(first)), (1, seq_of(second)), (NONE, claripy.BVV(0, 32))]:
            case = before.copy()
            case.solver.add(*crc.axioms, chosen == stays, claripy.UGT(seq, current))
            if not case.solver.satisfiable():
                continue
            # Without an active entry either sector will do.
            for sector in [1 - stays] if stays != NONE else [0, 1]:
                for written in machine.call(case, "otadata::entry_new", seq, state, ARGUMENTS + 32 * sector):
                    for after in machine.call(written, "otadata::entries_active", ARGUMENTS):
                        shown = dict(first=first, second=second, seq=seq, state=state)
                        prove(after, result(after, 32) == sector, **shown)


THEOREMS = [
    ("entry-codec", "all 2^256 entries", codec),
    ("entry-predicates", "all 2^256 entries", predicates),
    ("entry-new", "all numbers and states", new_entry),
    ("active-entry", "all 2^512 pairs of entries", choice),
    ("slot-of-entry", "all entries, all 2^32 slot counts", slot),
    ("next-number", "all 2^32 + 1 current numbers, all slots, 1 to 16 slots", next_number),
    ("update-wins", "all pairs of entries, all larger numbers, all bootable states", update),
]
