"""Theorems about the application's partition table: `ota_core::table::PartitionTable`.

The rules are those of ESP-IDF: `partition.c`.
"""

import claripy

from flash_tables import (
    CHIP, EVEN, FAILED, LOADED, NOTHING, ODD, OUT_OF_BOUNDS, RESULT, VERDICT, Flash, Md5, failed, prove_verdict,
    saturated,
)
from induction import Closure, Ghost
from machine import le, prove
from partitions import magic
from rules import split

# Codes of `proofs::tables::Verdict`, and where the application is that looks for no MD5 record.
EMPTY, NO_MD5, WRONG_MD5 = 4, 5, 6
PLAIN = "plain"


class AppTable:
    """The proof about `PartitionTable::load`, or `load_without_md5`."""

    # Entries that fit into the table's sector.
    MOST = 128

    def __init__(self, machine, with_md5):
        self.machine, self.with_md5 = machine, with_md5
        self.flash, self.md5 = Flash(), Md5()
        self.base = [claripy.ULE(self.flash.capacity, 1 << 32)]
        self.read = machine.find("read::read_unaligned")
        machine.hook("flash::chip_read", self.flash.procedure())
        machine.hook("compress::compress", self.md5.procedure())
        self.k, self.at, self.m = Ghost("k", 8), Ghost("at", 4), Ghost("m", 8)
        self.chain, self.last = Ghost("chain", 16), Ghost("last", 32)
        self.ghosts = {
            EVEN: [self.k, self.at, self.m, self.chain], ODD: [self.k, self.at, self.m, self.chain, self.last],
            PLAIN: [self.k, self.at],
        }

    def place(self, index):
        return saturated(self.flash.at(index))

    def prove(self):
        start = self.machine.blank()
        start.memory.store(CHIP, self.flash.capacity, endness="Iend_LE")
        start.solver.add(*self.base)
        entered = self.machine.enter(
            start, "tables::app_load", LOADED, VERDICT, CHIP, self.flash.offset, int(self.with_md5)
        )
        [first] = self.machine.follow_all(entered, [self.read, self.machine.end])
        k, m, zero = self.k.variable, self.m.variable, claripy.BVV(0, 64)
        common = [*self.base, claripy.ULT(k, self.MOST), self.at.variable == self.place(k), claripy.ULT(m, 64)]
        known = {EVEN: [*common, k == 2 * m], ODD: [*common, k == 2 * m + 1], PLAIN: common[:3]}
        values = [zero, self.place(zero), zero, self.md5.START] if self.with_md5 else [zero, self.place(zero)]
        samples = [(EVEN if self.with_md5 else PLAIN, first, values)]
        for _ in range(3):
            name, path, values = samples[-1]
            samples += [(to, path, values) for path, to, values in self.round(name, path.copy(), values) if to]
        closure = Closure(self.machine, self.ghosts, known)
        for name in {sample[0] for sample in samples}:
            closure.begin(name, *zip(*(sample[1:] for sample in samples if sample[0] == name)))
        for name, paths in closure.close(self.round).items():
            for path, (turn, digest) in paths:
                for case, said in split(path, lambda rule: self.rule(rule, turn, digest)):
                    self.ended(case, *said)

    def round(self, name, state, values=None):
        """One record."""
        k, _, *sums = values or [ghost.variable for ghost in self.ghosts[name]]
        turn = self.flash.turn(state, k)
        record, digest = turn[0], None
        if name != PLAIN:
            m, chain, *last = sums
            digest = self.md5.end(chain, last[0] if last else None, k)
        for path in self.machine.follow_all(state, [self.read, self.machine.end]):
            next_ = [k + 1, self.place(k + 1)]
            if path.addr != self.read:
                yield path, None, (turn, digest)
                continue
            prove(path, claripy.And(turn[1] == 0, magic(record) == 0xAA50), record=record)
            if name == PLAIN:
                yield path, PLAIN, next_
            elif name == EVEN:
                yield path, ODD, [*next_, m, chain, record]
            else:
                both = self.md5.compress(chain, claripy.Concat(last[0], record), path)
                yield path, EVEN, [*next_, m + 1, both]

    def rule(self, rule, turn, digest):
        """Why no record is read behind this one: the code of an error or 0, and where or how many."""
        record, outcome, k = turn
        if not rule(claripy.ULE(self.flash.at(k) + 32, self.flash.capacity)):
            return OUT_OF_BOUNDS, self.place(k), None
        if rule(outcome != 0):
            return failed(FAILED, outcome), self.place(k), None
        if rule(magic(record) == 0xAA50):
            prove(rule.state, k == self.MOST - 1, index=k)
            if self.with_md5:
                return NO_MD5, self.place(k + 1), None
            return 0, NOTHING, k + 1
        if self.with_md5 and not rule(magic(record) == 0xEBEB):
            return NO_MD5, self.place(k), None
        if self.with_md5 and not rule(digest == record[127:0]):
            return WRONG_MD5, self.place(k), None
        return (EMPTY, self.flash.offset, None) if rule(k == 0) else (0, NOTHING, k)

    def ended(self, state, code, offset, count):
        """Fails unless the table is refused, or loaded with so many entries."""
        is_bounds = code is OUT_OF_BOUNDS
        code = claripy.BVV(code, 32) if isinstance(code, int) else code
        number, size = (claripy.BVV(32, 32), self.flash.capacity) if is_bounds else (NOTHING, claripy.BVV(0, 64))
        prove_verdict(state, code, number, offset, claripy.BVV(0, 64), size)
        if count is not None:
            for viewed in self.machine.call(state, "tables::app_view", LOADED, RESULT):
                is_ = [le(viewed, RESULT + at, 4) for at in (0, 4)]
                prove(viewed, claripy.And(is_[0] == self.flash.offset, is_[1] == count[31:0]), count=is_[1])


def app_table(machine):
    """the application's table: which records are read, where they end, how many they are, which errors"""
    AppTable(machine, True).prove()


def app_table_without_md5(machine):
    """the same where no MD5 record is looked for"""
    AppTable(machine, False).prove()


THEOREMS = [
    ("app-table", "all contents and sizes of flash", app_table),
    ("app-table-no-md5", "all contents and sizes of flash", app_table_without_md5),
]
