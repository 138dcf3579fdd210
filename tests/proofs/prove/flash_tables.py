"""What the proofs about both readers of the partition table share: flash, MD5, and what the program reports."""

import angr
import claripy

from machine import ARGUMENTS, ROOM, Unproven, le, prove

LOADED, VERDICT, CHIP, RESULT = (ARGUMENTS + at * ROOM for at in range(4))
# Codes of `proofs::tables::Verdict`.
OUT_OF_BOUNDS, FAILED = 1, 2
# How far a table has been read: so many records were entries, an even or an odd number.
EVEN, ODD = "even", "odd"
NOTHING = claripy.BVV(0, 32)


class Flash:
    """A chip of any size and contents, of which each read may fail."""

    def __init__(self):
        self.offset = claripy.Concat(claripy.BVS("offset", 30), claripy.BVV(0, 2))
        self.capacity = claripy.BVS("capacity", 64)

    def at(self, index):
        """Where a record of the table stands, in numbers of 64 bits."""
        return self.offset.zero_extend(32) + 32 * index

    def turn(self, state, index):
        """Has the next read be that of a record; returns what stands there, and what reading it comes to."""
        turn = claripy.BVS("record", 256), claripy.BVS("read", 8), index
        state.globals["turn"] = turn
        return turn

    def procedure(self):
        """Has a read return the record whose turn it is; it has to be this one, and inside the chip."""
        flash = self

        class Read(angr.SimProcedure):
            def run(self, offset, bytes_, length):
                record, outcome, index = self.state.globals["turn"]
                self.state.globals["turn"] = None
                if self.state.solver.eval_one(length) != 32:
                    raise Unproven("reads something else than a record")
                right = offset[31:0].zero_extend(32) == flash.at(index)
                inside = claripy.ULE(flash.at(index) + 32, flash.capacity)
                shown = dict(offset=offset, table=flash.offset, index=index, capacity=flash.capacity)
                prove(self.state, claripy.And(right, inside), **shown)
                self.state.memory.store(bytes_, record)
                return outcome.zero_extend(56)

        return Read()


class Md5:
    """MD5 with any function as its compression function."""

    START = claripy.BVV(bytes.fromhex("0123456789abcdeffedcba9876543210"))

    def __init__(self):
        self.values = []

    def compress(self, chain, block, state=None):
        for known, value in self.values:
            if known[0] is chain and known[1] is block:
                return value
        for known, value in self.values:
            different = claripy.Or(known[0] != chain, known[1] != block)
            if state is not None and not state.solver.satisfiable(extra_constraints=[different]):
                return value
        self.values.append(((chain, block), claripy.BVS("compressed", 128)))
        return self.values[-1][1]

    def end(self, chain, last, count):
        """The MD5 of so many records, of which the last one has not been compressed if their number is odd."""
        padding = [claripy.BVV(0x80, 8), claripy.BVV(0, 8 * (55 if last is None else 23))]
        length = claripy.Reverse(256 * count)
        return self.compress(chain, claripy.Concat(*([] if last is None else [last]), *padding, length))

    def procedure(self):
        md5 = self

        class Compress(angr.SimProcedure):
            def run(self, chain, blocks, count):
                for at in range(self.state.solver.eval_one(count)):
                    block = self.state.memory.load(blocks + 64 * at, 64)
                    value = md5.compress(self.state.memory.load(chain, 16), block, self.state)
                    self.state.memory.store(chain, value)

        return Compress()


def saturated(number):
    """A number of 64 bits in 32, or the greatest of these."""
    return claripy.If(claripy.UGT(number, 0xFFFF_FFFF), claripy.BVV(0xFFFF_FFFF, 32), number[31:0])


def failed(code, outcome):
    """The code of an error; a failed read has one for each outcome."""
    return claripy.If(outcome == 1, claripy.BVV(2, 32), claripy.BVV(3, 32)) if code == FAILED else claripy.BVV(code, 32)


def prove_verdict(state, code, index, offset, region, size, verdict=VERDICT):
    """Fails unless a verdict says this."""
    is_ = claripy.Concat(
        *(le(state, verdict + at, 4) for at in (0, 4, 8, 12, 16)), le(state, verdict + 24, 8)
    )
    expected = claripy.Concat(code, index, offset, region, size)
    prove(state, is_ == expected, verdict=is_, expected=expected)
