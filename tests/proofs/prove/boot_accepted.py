"""Theorem about the table that the bootloader accepts: `ota_core::table::BootTable::load`, behind the terminator.

The rules are those of ESP-IDF: `bootloader_utility.c`.
"""

import claripy

from boot_tables import GONE, MAX_RECORDS, BootTable
from flash_tables import FAILED, LOADED, NOTHING, failed, prove_verdict
from induction import Closure, Ghost
from machine import Unproven, behind, prove
from partitions import VIEW, prove_is

# The name of the loop that takes records in.
TAKING = "taking"
# Size of a `BootTable`: `proofs::tables` asserts that it is this.
TABLE_SIZE = 156
EMPTY = claripy.BVV(0, 8 * TABLE_SIZE)


class Taken:
    """Tables of which nothing is known but which records were taken into them, and in which order.

    Each is what taking a record into another one comes to, and stands for whatever that is.
    """

    def __init__(self, machine):
        self.machine = machine
        self.collect = machine.find("BootTable::collect")

    def by(self, path, table, record):
        """The table after `collect`, at whose beginning a path is.

        It has to get this table and the partition that the record says. What follows is the state behind it.
        """
        at, partition = path.regs.rdi, path.regs.rsi
        is_ = path.memory.load(at, TABLE_SIZE)
        prove(path, is_ == table, table=table, taken_into=is_)
        prove_is(self.machine, path, partition, record)
        after = claripy.BVS("table", 8 * TABLE_SIZE)
        next_ = behind(path)
        next_.memory.store(at, after)
        return next_, after


class Accepted:
    """The proof about what `BootTable::load` does once a terminator has been found."""

    def __init__(self, machine):
        self.machine = machine
        self.proof = BootTable(machine)
        self.flash, self.read = self.proof.flash, self.proof.read
        self.taken = Taken(machine)
        self.stops = [self.read, self.taken.collect, machine.end]
        self.k, self.at, self.n = Ghost("taken", 8), Ghost("taken_at", 4), Ghost("entries", 8)
        self.table = Ghost("table_before", TABLE_SIZE)

    def verify(self):
        k, n = self.k.variable, self.n.variable
        known = [
            *self.proof.base, claripy.ULT(k, n), claripy.ULT(n, MAX_RECORDS), self.at.variable == self.proof.place(k),
            claripy.ULE(self.flash.at(n), self.flash.capacity),
        ]
        ghosts = [self.k, self.at, self.n, self.table]
        closure = Closure(self.machine, {TAKING: ghosts}, {TAKING: known})
        accepted = 0
        firsts = []
        for head, paths in self.proof.verify().items():
            for path, (case, turn) in paths:
                if case == "end":
                    accepted += 1
                    # In each state of these heads, all records before this one were entries, but for one MD5
                    # record where the head says so.
                    count = turn[2] - 1 if head == GONE else turn[2]
                    firsts += self.begin(path, count)
        if not accepted:
            raise Unproven("no table is accepted")
        if not firsts:
            raise Unproven("nothing is taken into a table")
        # Of each, two rounds: what differs neither between rounds nor between terminators is taken for constant.
        samples = [*firsts]
        for path, values in firsts:
            for _ in range(2):
                [(path, values)] = [(to, own) for to, name, own in self.round(TAKING, path.copy(), values) if name]
                samples.append((path, values))
        closure.begin(TAKING, *zip(*samples))
        for path, values in firsts:
            closure.arrive(TAKING, path, values)
        left = closure.close(self.round)[TAKING]
        if not any(is_loaded for _, is_loaded in left):
            raise Unproven("no table with an entry is accepted")

    def begin(self, path, count):
        """From a terminator to the first record that is taken in, or to the end: there, the table is empty."""
        for to in self.machine.follow_all(path, self.stops):
            if to.addr == self.read:
                zero = claripy.BVV(0, 64)
                yield to, [zero, self.proof.place(zero), count, EMPTY]
                continue
            self.only_at(to, self.machine.end)
            prove(to, count == 0, entries=count)
            loaded(to, EMPTY)

    def round(self, _, state, values=None):
        """One record that is taken in."""
        k, _, count, table = values or [ghost.variable for ghost in (self.k, self.at, self.n, self.table)]
        turn = self.flash.turn(state, k)
        record, outcome, _ = turn
        for path in self.machine.follow_all(state, self.stops):
            if path.globals["turn"] is not None:
                raise Unproven("comes to a record and does not read it", path)
            if path.addr != self.taken.collect:
                self.only_at(path, self.machine.end)
                prove(path, outcome != 0, record=record, index=k)
                self.refused(path, outcome, k)
                yield path, None, False
                continue
            prove(path, outcome == 0, record=record, index=k)
            next_, after = self.taken.by(path, table, record)
            for to in self.machine.follow_all(next_, self.stops):
                if to.addr == self.read:
                    yield to, TAKING, [k + 1, self.proof.place(k + 1), count, after]
                    continue
                self.only_at(to, self.machine.end)
                prove(to, k + 1 == count, index=k, entries=count)
                loaded(to, after)
                yield to, None, True

    def only_at(self, path, address):
        if path.addr != address:
            raise Unproven(f"comes to a place out of turn, {self.machine.where(path)}", path)

    def refused(self, path, outcome, k):
        """Fails unless the verdict is that this record could not be read."""
        zero = claripy.BVV(0, 64)
        prove_verdict(path, failed(FAILED, outcome), NOTHING, self.proof.place(k), zero, zero)


def loaded(path, table):
    """Fails unless a table was accepted, and is this one."""
    zero = claripy.BVV(0, 64)
    prove_verdict(path, claripy.BVV(0, 32), NOTHING, NOTHING, zero, zero)
    is_ = path.memory.load(LOADED, TABLE_SIZE)
    prove(path, is_ == table, loaded=is_, expected=table)


def empty(machine):
    """Fails unless the table into which nothing was taken has no region and no slot."""
    start = machine.blank()
    start.memory.store(LOADED, EMPTY)
    for viewed in machine.call(start, "table::boot_table_view", LOADED, claripy.BVS("k", 32), VIEW):
        view = viewed.memory.load(VIEW, 36)
        prove(viewed, view == 0, view=view)


def boot_table_load(machine):
    """the bootloader's table: behind a terminator, as many records are taken in as there are entries, in order"""
    Accepted(machine).verify()
    empty(machine)


THEOREMS = [
    ("boot-table-load", "all contents and sizes of flash, all generations", boot_table_load),
]
