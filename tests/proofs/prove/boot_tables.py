"""Theorems about the bootloader's partition table: `ota_core::table::BootTable`.

The rules are those of ESP-IDF: `flash_partitions.c`, `bootloader_utility.c`.
"""

import claripy

from flash_tables import (
    CHIP, EVEN, FAILED, LOADED, NOTHING, ODD, OUT_OF_BOUNDS, VERDICT, Flash, Md5, failed, prove_verdict,
    saturated,
)
from induction import Closure, Ghost
from machine import Unproven, field, le, prove
from partitions import magic

MAX_RECORDS = 96
# Generations, as numbered by `Generation::ALL`.
V3_3, V5_5, V6_1, COUNT = 2, 5, 6, 8
# Where the bootloader is, besides: behind an MD5 record.
GONE = "gone"


class Rule:
    """What the bootloader makes of a record, after an MD5 record or before."""

    def __init__(self, flash, chip_size, generation, turn, md5):
        record, outcome, index = turn
        offset, size = (field(record, at, 4).zero_extend(32) for at in (4, 8))
        chip = chip_size.zero_extend(32)
        wraps = claripy.ULT(generation, V6_1)
        end = claripy.If(wraps, (offset + size) & 0xFFFF_FFFF, offset + size)
        fits = claripy.And(claripy.ULE(offset, chip), claripy.ULE(end, chip))
        readable = claripy.ULE(flash.at(index) + 32, flash.capacity)
        is_entry = magic(record) == 0xAA50
        is_md5 = claripy.And(magic(record) == 0xEBEB, claripy.UGE(generation, V3_3))
        ends = claripy.And(record[255:224] == 0xFFFF_FFFF, claripy.Or(index != 0, claripy.ULT(generation, V5_5)))
        self.cases = exclusive([
            (OUT_OF_BOUNDS, claripy.Not(readable)),
            (FAILED, outcome != 0),
            ("entry", claripy.And(is_entry, fits)),
            (4, is_entry),
            ("md5", claripy.And(is_md5, claripy.false() if md5 is None else md5 == record[127:0])),
            (6 if md5 is None else 5, is_md5),
            ("end", ends),
            (7, claripy.true()),
        ])

    def of(self, state):
        """The case that a path is in; it has to be in one."""
        for name, condition in self.cases:
            if not state.solver.satisfiable(extra_constraints=[claripy.Not(condition)]):
                return name
        raise Unproven("a path does not tell cases apart that the rule tells apart", state)


def exclusive(cases):
    """Cases of which each is meant only where no case before it holds."""
    none = claripy.true()
    out = []
    for name, condition in cases:
        out.append((name, claripy.And(none, condition)))
        none = claripy.And(none, claripy.Not(condition))
    return out


class BootTable:
    """The proof about `BootTable::load`."""

    def __init__(self, machine):
        self.machine = machine
        self.flash, self.md5 = Flash(), Md5()
        self.chip_size, self.generation = claripy.BVS("chip_size", 32), claripy.BVS("generation", 8)
        self.base = [claripy.ULE(self.flash.capacity, 1 << 32), claripy.ULT(self.generation, COUNT)]
        self.read = machine.find("read::read_unaligned")
        machine.hook("flash::chip_read", self.flash.procedure())
        machine.hook("compress::compress", self.md5.procedure())
        self.k, self.at, self.m = Ghost("k", 8), Ghost("at", 4), Ghost("m", 8)
        self.chain, self.last = Ghost("chain", 16), Ghost("last", 32)
        self.ghosts = {
            EVEN: [self.k, self.at, self.m, self.chain],
            ODD: [self.k, self.at, self.m, self.chain, self.last],
            GONE: [self.k, self.at],
        }

    def verify(self):
        start = self.machine.blank()
        start.memory.store(CHIP, self.flash.capacity, endness="Iend_LE")
        start.solver.add(*self.base)
        entered = self.machine.enter(
            start, "tables::boot_load", LOADED, VERDICT, CHIP, self.flash.offset, self.chip_size, self.generation
        )
        [verifying] = self.machine.follow_all(entered, [self.machine.find("boot::verify")])
        self.verified = le(verifying, verifying.regs.rsp, 8).concrete_value
        [first] = self.machine.follow_all(verifying, [self.read, self.verified])
        samples = {EVEN: [], ODD: [], GONE: []}
        zero = claripy.BVV(0, 64)
        self.sample(samples, EVEN, first, [zero, self.place(zero), zero, self.md5.START], 3)
        k = self.k.variable
        below = [claripy.ULT(k, MAX_RECORDS), self.at.variable == self.place(k)]
        known = {
            EVEN: [*self.base, *below, k == 2 * self.m.variable, claripy.ULT(self.m.variable, 48)],
            ODD: [*self.base, *below, k == 2 * self.m.variable + 1, claripy.ULT(self.m.variable, 48)],
            GONE: [*self.base, *below, k != 0],
        }
        closure = Closure(self.machine, self.ghosts, known)
        for name, found in samples.items():
            closure.begin(name, *zip(*found))
        return closure.close(self.round)

    def place(self, index):
        return saturated(self.flash.at(index))

    def sample(self, samples, name, state, values, rounds):
        """The first rounds, one state for each head that comes up."""
        samples[name].append((state, values))
        if rounds == 0:
            return
        state = state.copy()
        # One generation will do.
        state.solver.add(self.generation == V6_1)
        for path, target, values in self.round(name, state, values):
            if target is not None and (target != GONE or len(samples[GONE]) < 3):
                self.sample(samples, target, path, values, rounds - 1)

    def round(self, name, state, values=None):
        """What the bootloader does with one record."""
        k, _, *sums = values or [ghost.variable for ghost in self.ghosts[name]]
        turn = self.flash.turn(state, k)
        record = turn[0]
        md5 = None
        if name != GONE:
            m, chain, *last = sums
            md5 = self.md5.end(chain, last[0] if last else None, k)
        rule = Rule(self.flash, self.chip_size, self.generation, turn, md5)
        for path in self.machine.follow_all(state, [self.read, self.verified]):
            case = rule.of(path)
            if path.addr == self.verified:
                yield path, None, (case, turn)
            elif case == "md5" or (case == "entry" and name == GONE):
                yield path, GONE, [k + 1, self.place(k + 1)]
            elif case == "entry" and name == EVEN:
                yield path, ODD, [k + 1, self.place(k + 1), m, chain, record]
            elif case == "entry":
                both = self.md5.compress(chain, claripy.Concat(last[0], record), path)
                yield path, EVEN, [k + 1, self.place(k + 1), m + 1, both]
            else:
                raise Unproven(f"reads on behind a record that is {case}", path)


def boot_table(machine):
    """the bootloader's table: which records are read, where they end, and why a table is refused"""
    proof = BootTable(machine)
    for paths in proof.verify().values():
        for path, (case, turn) in paths:
            if case in ("entry", "md5"):
                prove(path, turn[2] == MAX_RECORDS - 1, index=turn[2])
            if case != "end":
                refused(machine, path, proof, case, turn)


def refused(machine, path, proof, case, turn):
    """Fails unless the bootloader's table is refused for the right reason."""
    record, outcome, index = turn
    code, at = (8, index + 1) if isinstance(case, str) else (case, index)
    number = {OUT_OF_BOUNDS: claripy.BVV(32, 32), FAILED: NOTHING, 8: NOTHING}.get(code, index[31:0])
    region = claripy.Concat(field(record, 4, 4), field(record, 8, 4)) if code == 4 else claripy.BVV(0, 64)
    size = {OUT_OF_BOUNDS: proof.flash.capacity, 4: proof.chip_size.zero_extend(32)}.get(code, claripy.BVV(0, 64))
    for ended in machine.follow_all(path, [machine.end]):
        prove_verdict(ended, failed(code, outcome), number, saturated(proof.flash.at(at)), region, size)


THEOREMS = [
    ("boot-table-refusal", "all contents and sizes of flash, all generations", boot_table),
]
