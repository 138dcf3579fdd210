"""Symbolic execution of functions of the program `proofs`."""

import logging
import re

import angr
import claripy

logging.disable()

# Where arguments that are passed by address are put, far from the program and its stack.
ARGUMENTS = 0x1000_0000
ROOM = 0x1000
# Registers that a function need not keep.
CLOBBERED = ["rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", *(f"ymm{at}" for at in range(16))]


class Unproven(Exception):
    """Why a theorem does not hold, or why that could not be found out."""


class Panic(angr.SimProcedure):
    """Ends a path in which the program panics."""

    NO_RET = True

    def run(self):
        self.exit(1)


class Copy(angr.SimProcedure):
    """`memcpy` and `memmove` of a length that is known."""

    def run(self, to, source, length):
        length = self.state.solver.eval_one(length)
        if length:
            self.state.memory.store(to, self.state.memory.load(source, length))
        return to


class Fill(angr.SimProcedure):
    """`memset` of a length that is known."""

    def run(self, to, byte, length):
        length = self.state.solver.eval_one(length)
        if length:
            self.state.memory.store(to, claripy.Concat(*[byte[7:0]] * length))
        return to


class Compare(angr.SimProcedure):
    """`memcmp` and `bcmp` of a length that is known, as far as equality goes."""

    def run(self, left, right, length):
        length = self.state.solver.eval_one(length)
        if not length:
            return claripy.BVV(0, 64)
        equal = self.state.memory.load(left, length) == self.state.memory.load(right, length)
        return claripy.If(equal, claripy.BVV(0, 64), claripy.BVV(1, 64))


class Machine:
    """The program, loaded."""

    def __init__(self, program):
        self.program = str(program)
        self.project = angr.Project(self.program, auto_load_libs=False)
        self.symbols = [s for s in self.project.loader.main_object.symbols if s.is_function]
        for name, procedure in [
            ("memcpy", Copy), ("memmove", Copy), ("memset", Fill), ("memcmp", Compare), ("bcmp", Compare),
        ]:
            self.project.hook_symbol(name, procedure(), replace=True)
        for symbol in self.symbols:
            if re.search("4core9panicking|slice_index_fail|unwrap_failed|expect_failed", symbol.name):
                self.hook(symbol.rebased_addr, Panic())

    def find(self, path):
        """Address of the only function whose path ends so, such as `otadata::active`."""
        # An implementation of something elsewhere has a part of its own in between.
        names = r"([0-9]+_\$LT\$impl.*GT\$)?".join(f"{len(name)}{name}" for name in path.split("::"))
        pattern = re.compile(f"^_ZN.*{names}17h[0-9a-f]{{16}}E")
        found = {s.rebased_addr for s in self.symbols if pattern.match(s.name)}
        if len(found) != 1:
            raise Unproven(f"{len(found)} functions are called {path}; there must be one")
        return found.pop()

    def hook(self, function, procedure):
        """Has a procedure take the place of a function, given by its path or its address."""
        address = self.find(function) if isinstance(function, str) else function
        self.project.hook(address, procedure, replace=True)

    def blank(self):
        """A state in which nothing is known of registers and memory."""
        return self.project.factory.blank_state(add_options={
            angr.options.SYMBOL_FILL_UNCONSTRAINED_MEMORY,
            angr.options.SYMBOL_FILL_UNCONSTRAINED_REGISTERS,
            angr.options.SYMBOLIC_WRITE_ADDRESSES,
        })

    def call(self, state, function, *arguments):
        """All states in which the function returns, for arguments that are numbers or expressions.

        No path is left out: one that panics, that leaves the program or that cannot be followed is an
        error.
        """
        return self.follow(self.enter(state, function, *arguments), [self.end])

    @property
    def end(self):
        """The address to which `call` and `enter` have functions return."""
        return self.project.simos.return_deadend

    def enter(self, state, function, *arguments):
        """The state in which the function begins."""
        address = self.find(function) if isinstance(function, str) else function
        arguments = [a if isinstance(a, int) else a.zero_extend(64 - a.size()) for a in arguments]
        prototype = f"long f({', '.join(['long'] * len(arguments))})"
        return self.project.factory.call_state(
            address, *arguments, base_state=state.copy(), ret_addr=self.end, prototype=prototype
        )

    def follow(self, start, stops):
        """All states that come next to one of some addresses; `call` tells what is an error."""
        paths = self.project.factory.simulation_manager(start, save_unconstrained=True)
        while paths.active:
            paths.step()
            for error in paths.errored:
                where = self.where(error.state)
                raise Unproven(f"a path could not be followed, {where}: {error.error}", error.state)
            for lost in paths.unconstrained:
                raise Unproven(f"a path leaves the program, {self.where(lost)}", lost)
            for panicked in paths.deadended:
                raise Unproven(f"panics, {self.where(panicked)}", panicked)
            paths.move("active", "stopped", lambda state: state.addr in stops)
            for state in paths.active + paths.stashes.get("stopped", []):
                state.downsize()
        stopped = paths.stashes.get("stopped", [])
        if not stopped:
            raise Unproven("no path returns")
        return stopped

    def follow_all(self, start, stops):
        """As `follow`, and proves that each input takes one of the paths: none was lost on the way."""
        stopped = self.follow(start.copy(), stops)
        prove_covered(start, stopped)
        return stopped

    def where(self, state):
        """The functions that a path went through last."""
        names = []
        for address in reversed(list(state.history.bbl_addrs)):
            symbol = self.project.loader.find_symbol(address, fuzzy=True)
            name = re.sub("17h[0-9a-f]{16}E.*", "", symbol.name) if symbol else hex(address)
            if name not in names:
                names.append(name)
            if len(names) == 4:
                break
        return "by way of " + ", ".join(names)


def behind(path):
    """The state behind a function at the beginning of which a path is.

    Of registers, it has those that the function has to keep; nothing is known of the others.
    """
    state = path.copy()
    for register in CLOBBERED:
        setattr(state.regs, register, claripy.BVS("lost", state.regs.get(register).size()))
    state.regs.ip = state.memory.load(state.regs.rsp, 8, endness="Iend_LE")
    state.regs.rsp += 8
    return state


def le(state, address, size):
    """The little-endian number at an address."""
    return state.memory.load(address, size, endness="Iend_LE")


def result(state, bits):
    """What a function returned."""
    return state.regs.rax[bits - 1:0]


def field(record, at, size):
    """The little-endian number at an offset of a byte string."""
    high = record.size() - 1 - 8 * at
    return claripy.Reverse(record[high:high + 1 - 8 * size])


def prove(state, claim, /, **shown):
    """Fails unless a claim follows from what is known in a state; shows these expressions then."""
    if state.solver.satisfiable(extra_constraints=[claripy.Not(claim)]):
        counter = state.copy()
        counter.solver.add(claripy.Not(claim))
        values = []
        for name, expression in shown.items():
            value = counter.solver.eval(expression)
            counter.solver.add(expression == value)
            text = value.to_bytes(expression.size() // 8).hex() if expression.size() > 64 else hex(value)
            values.append(f"{name} = {text}")
        raise Unproven("not so for " + ", ".join(values))


def prove_covered(start, ended, axioms=()):
    """Fails unless each of the inputs allowed at the start takes one of the paths that ended."""
    known = {*start.solver.constraints, *axioms}
    rest = start.copy()
    rest.solver.add(*axioms)
    for state in ended:
        taken = [constraint for constraint in state.solver.constraints if constraint not in known]
        rest.solver.add(claripy.Not(claripy.And(*taken, claripy.true())))
    if rest.solver.satisfiable():
        raise Unproven("some inputs take a path that was lost")
