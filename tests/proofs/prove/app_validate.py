"""Theorem about what an update asks of a whole partition table: `ota_core::table::PartitionTable::validate`."""

import claripy

from app_layouts import LAYOUT, OVERLAP, OVERLAPS_TABLE, OUT_OF_FLASH, READER, READING, REFUSAL, prove_refusal, region
from flash_tables import CHIP, FAILED, LOADED, NOTHING, OUT_OF_BOUNDS, RESULT, Flash, failed, prove_verdict, saturated
from induction import Closure, Ghost
from machine import ARGUMENTS, ROOM, Unproven, behind, field, le, prove
from partitions import MAGIC, magic, prove_is, shares
from rules import split

# Bytes of a layout that mean something; the rest of it is padding.
LAYOUT_SIZE = 153
SECTOR = 0x1000
# Type of a partition that holds a partition table, and the reader's error for what is no entry any more.
PARTITION_TABLE, CHANGED = 3, 7
# The loop over the entries, and the one over those before an entry.
ENTRIES, BEFORE = "entries", "before"
# What comes after an entry that was found to be right: it is compared with another, or taken in.
COMPARED, ADDED = "compared", "added"
SAID, ANSWER = ARGUMENTS + 7 * ROOM, ARGUMENTS + 8 * ROOM
# Codes of what `add` and `complete` return, and what each of these errors says; 0 is for success.
OF_ADD = {0: (), 4: ("index", "region", "other", "more"), 5: ("index", "region", "other"), 6: ("index", "region"),
          7: ("index", "other", "more")}
OF_COMPLETE = {0: (), 8: (), 9: (), 10: ("other", "more")}


class Answers:
    """All that a function can return that is replaced: states in which one code stands for each kind of result."""

    def __init__(self, machine, make, codes, size, *more):
        self.all = []
        for code, says in codes.items():
            start = machine.blank()
            # Indices and types are bytes, and so are slots, which are at most 15.
            bits = {"index": 8, "region": 64, "other": 32 if code in (4, 5) else 8, "more": 32 if code == 4 else 8}
            said = {name: claripy.BVS(name, bits[name]) for name in says}
            zeros = claripy.BVV(0, 64)
            start.memory.store(SAID, claripy.Concat(*[zeros] * 9))
            start.memory.store(SAID, claripy.BVV(code, 32), endness="Iend_LE")
            for name, value in said.items():
                at = {"index": 4, "region": 8, "other": 24, "more": 28}[name]
                if name == "region":
                    start.memory.store(SAID + at, value)
                else:
                    start.memory.store(SAID + at, value, endness="Iend_LE")
            if code == 10:
                start.solver.add(*(claripy.ULT(value, 16) for value in said.values()))
            for pointer, value in more:
                start.memory.store(pointer, value)
            [made] = machine.call(start, make, SAID, *(pointer for pointer, _ in more), ANSWER)
            answer = made.memory.load(ANSWER, size)
            self.all.append((code, said, answer, made.solver.constraints))

    def returned(self, path):
        """The states behind a function that returns by address, at the beginning of which a path is."""
        for code, said, answer, known in self.all:
            next_ = behind(path)
            next_.solver.add(*known)
            next_.memory.store(path.regs.rdi, answer)
            next_.regs.rax = path.regs.rdi
            yield next_, code, said


class Validate:
    """The proof about `PartitionTable::validate`."""

    def __init__(self, machine):
        self.machine, self.flash = machine, Flash()
        self.count = claripy.BVS("count", 8)
        self.base = [claripy.ULE(self.flash.capacity, 1 << 32)]
        machine.hook("flash::chip_read", self.flash.procedure())
        self.read, self.add = machine.find("read::read_unaligned"), machine.find("AppLayout::add")
        self.complete = machine.find("AppLayout::complete")
        self.stops = [self.read, self.add, self.complete, machine.end]
        self.layout = claripy.BVS("completed", 8 * 156)
        self.added = Answers(machine, "layouts::layout_added", OF_ADD, 32)
        self.completed = Answers(machine, "layouts::layout_completed", OF_COMPLETE, 160, (LAYOUT, self.layout))
        i, j, at, record = Ghost("i", 8), Ghost("j", 8), Ghost("at", 4), Ghost("entry", 32)
        offset, size, layout = Ghost("offset_of", 4), Ghost("size_of", 4), Ghost("layout_before", LAYOUT_SIZE)
        # The number after `j`, which the loop has already.
        after = Ghost("after_j", 8)
        self.ghosts = {ENTRIES: [i, at, layout], BEFORE: [i, at, layout, j, record, after, offset, size]}
        below = [*self.base, claripy.ULT(i.variable, self.count.zero_extend(56))]
        self.known = {
            ENTRIES: [*below, at.variable == self.place(i.variable)],
            BEFORE: [
                *below, claripy.ULT(j.variable, i.variable), at.variable == self.place(j.variable),
                after.variable == j.variable + 1, offset.variable == field(record.variable, 4, 4),
                size.variable == field(record.variable, 8, 4),
            ],
        }

    def place(self, index):
        return saturated(self.flash.at(index))

    def prove(self):
        start = self.machine.blank()
        start.memory.store(CHIP, self.flash.capacity, endness="Iend_LE")
        start.memory.store(LOADED, self.flash.offset, endness="Iend_LE")
        start.memory.store(LOADED + 4, self.count)
        start.solver.add(*self.base)
        for viewed in self.machine.call(start, "tables::app_view", LOADED, RESULT):
            offset, count = (le(viewed, RESULT + at, 4) for at in (0, 4))
            prove(viewed, claripy.And(offset == self.flash.offset, count == self.count.zero_extend(24)))
        entered = self.machine.enter(start, "layouts::layout_validate", LOADED, LAYOUT, REFUSAL, CHIP)
        zero, empty = claripy.BVV(0, 64), claripy.BVV(0, 8 * LAYOUT_SIZE)
        samples = []
        for first in self.machine.follow_all(entered, self.stops):
            if first.addr == self.read:
                self.entries_frame = first.solver.eval_one(first.regs.rsp)
                samples.append((ENTRIES, first, [zero, self.place(zero), empty]))
            else:
                prove(first, self.count == 0)
                self.finished(first, empty)
        # The first three entries, so that heads tell ghosts from constants.
        while len(samples) < 7:
            name, path, values = samples[-1]
            path, name, values = next(turn for turn in self.round(name, path.copy(), values) if turn[1])
            samples.append((name, path, values))
        closure = Closure(self.machine, self.ghosts, self.known)
        for name in (ENTRIES, BEFORE):
            closure.begin(name, *zip(*(sample[1:] for sample in samples if sample[0] == name)))
        left = closure.close(self.round)
        for name in (ENTRIES, BEFORE):
            if not any(is_complete for _, is_complete in left[name]):
                raise Unproven(f"no table is complete behind one of the {name}")

    def round(self, name, state, values=None):
        """What is done with one record: an entry, or one that it is compared with."""
        i, _, layout, *inner = values or [ghost.variable for ghost in self.ghosts[name]]
        j = inner[0] if inner else None
        turn = self.flash.turn(state, i if j is None else j)
        entry = inner[1] if inner else turn[0]
        for path in self.machine.follow_all(state, self.stops):
            said = {
                next_: refusal
                for case, (next_, refusal) in split(path, lambda rule: self.rule(rule, turn, i, j, entry))
                if next_ or self.refused(path, case, refusal)
            }
            if not said:
                yield path, None, False
                continue
            if len(said) != 1:
                raise Unproven("a path does not tell cases apart that the rule tells apart", path)
            if path.globals["turn"] is not None:
                raise Unproven("comes to a record and does not read it", path)
            if COMPARED in said:
                self.only_at(path, self.read, inner=True)
                next_ = inner[2] if inner else claripy.BVV(0, 64)
                yield path, BEFORE, [
                    i, self.place(next_), layout, next_, entry, next_ + 1, field(entry, 4, 4), field(entry, 8, 4),
                ]
            else:
                self.only_at(path, self.add)
                yield from self.taken(path, i, layout, entry)

    def rule(self, rule, turn, i, j, entry):
        """What follows a record: that it is refused and what the refusal says, or what is done with the entry."""
        record, outcome, index = turn
        reader = dict(index=NOTHING, offset=self.place(index), size=claripy.BVV(0, 64))
        if not rule(claripy.ULE(self.flash.at(index) + 32, self.flash.capacity)):
            bounds = dict(index=claripy.BVV(32, 32), size=self.flash.capacity)
            return None, dict(reader=reader | bounds | dict(code=claripy.BVV(OUT_OF_BOUNDS, 32)))
        if rule(outcome != 0):
            return None, dict(reader=reader | dict(code=failed(FAILED, outcome)))
        if not rule(magic(record) == MAGIC):
            return None, dict(reader=reader | dict(code=claripy.BVV(CHANGED, 32), index=index[31:0]))
        start, end = shares(field(entry, 4, 4), field(entry, 8, 4))
        refusal = dict(index=i[7:0], region=region(entry))
        if j is None:
            outside = claripy.Or(claripy.UGT(end, 0xFFFF_FFFF), claripy.UGT(end, self.flash.capacity))
            if rule(outside):
                return None, dict(code=OUT_OF_FLASH, capacity=self.flash.capacity, **refusal)
            table = shares(self.flash.offset, claripy.BVV(SECTOR, 32))
            if rule(claripy.And(field(entry, 2, 1) != PARTITION_TABLE, overlap((start, end), table))):
                region_ = claripy.Concat(claripy.Reverse(self.flash.offset), claripy.Reverse(claripy.BVV(SECTOR, 32)))
                return None, dict(code=OVERLAPS_TABLE, other_region=region_, **refusal)
            return (ADDED if rule(i == 0) else COMPARED), None
        if rule(overlap((start, end), shares(field(record, 4, 4), field(record, 8, 4)))):
            return None, dict(code=OVERLAP, other=j[7:0], other_region=region(record), **refusal)
        return (ADDED if rule(j + 1 == i) else COMPARED), None

    def refused(self, path, case, refusal):
        """Fails unless the table is refused so."""
        self.only_at(path, self.machine.end)
        refusal = dict(refusal)
        reader = refusal.pop("reader", None)
        prove_refusal(case, **(refusal if reader is None else dict(code=READING)))
        if reader is not None:
            zero = claripy.BVV(0, 64)
            code, index, offset, size = (reader[name] for name in ("code", "index", "offset", "size"))
            prove_verdict(case, code, index, offset, zero, size, REFUSAL + READER)

    def taken(self, path, i, layout, entry):
        """From the beginning of `add`: it gets the layout, the number of the entry, and the entry, and is obeyed."""
        at = path.regs.rsi
        is_ = path.memory.load(at, LAYOUT_SIZE)
        prove(path, is_ == layout, layout=layout, taken_into=is_)
        prove(path, path.regs.rdx[7:0] == i[7:0], index=i)
        prove_is(self.machine, path, path.regs.rcx, entry)
        for next_, code, said in self.added.returned(path):
            after = claripy.BVS("layout", 8 * LAYOUT_SIZE)
            next_.memory.store(at, after)
            for to in self.machine.follow_all(next_, self.stops):
                if code:
                    self.only_at(to, self.machine.end)
                    prove_refusal(to, code=code, **said)
                    yield to, None, False
                elif to.addr == self.read:
                    self.only_at(to, self.read, inner=False)
                    yield to, ENTRIES, [i + 1, self.place(i + 1), after]
                else:
                    prove(to, i + 1 == self.count.zero_extend(56), index=i, count=self.count)
                    self.finished(to, after)
                    yield to, None, True

    def finished(self, path, layout):
        """From the beginning of `complete`: it gets the layout, and what it returns is what comes of the table."""
        self.only_at(path, self.complete)
        is_ = path.memory.load(path.regs.rsi, LAYOUT_SIZE)
        prove(path, is_ == layout, layout=layout, completed=is_)
        for next_, code, said in self.completed.returned(path):
            for to in self.machine.follow_all(next_, self.stops):
                self.only_at(to, self.machine.end)
                prove_refusal(to, code=code, **said)
                if not code:
                    is_ = to.memory.load(LAYOUT, LAYOUT_SIZE)
                    prove(to, is_ == self.layout[8 * 156 - 1:8 * (156 - LAYOUT_SIZE)], layout=is_)

    def only_at(self, path, address, inner=None):
        """Fails unless a path is at a place, and where two loops come to it, in the right one."""
        if path.addr == address:
            if inner is None or inner == (path.solver.eval_one(path.regs.rsp) != self.entries_frame):
                return
        raise Unproven(f"comes to a place out of turn, {self.machine.where(path)}", path)


def overlap(one, other):
    """Whether two regions share a byte."""
    return claripy.And(
        claripy.ULT(one[0], one[1]), claripy.ULT(other[0], other[1]),
        claripy.ULT(one[0], other[1]), claripy.ULT(other[0], one[1]),
    )


def validate(machine):
    """each entry of a table is checked, compared with all before it, and taken in, in order"""
    Validate(machine).prove()


THEOREMS = [
    ("app-table-validate", "all tables of 0 to 255 entries, all contents and sizes of flash", validate),
]
