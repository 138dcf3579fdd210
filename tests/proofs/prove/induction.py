"""Loops of any number of rounds: one state stands for all that come to the same place."""

import claripy

from machine import Unproven, prove

# What a function that is called may not count on.
LOST = {"r10", "r11"}
# What angr computes flags from, which no function counts on either, and where it is.
KEPT = {"cc_op", "cc_dep1", "cc_dep2", "cc_ndep", "rip"}
SAME, ANY = "same", "any"


class Ghost:
    """A number that the states at one place have each for itself, and that a proof has a name for."""

    def __init__(self, name, size):
        self.variable = claripy.BVS(name, 8 * size, explicit_name=True)
        self.bytes = [self.variable.get_byte(size - 1 - at) for at in range(size)]


class Head:
    """All states in which a function begins that is called in each round of a loop.

    `states` are some of them. Where these differ, in registers and on the stack, the head knows the bytes of
    ghosts, of which each state has its values (`values`, in the order of `ghosts`; little-endian); else it
    holds anything there. Of all else it is proven (`admit`) that it is as in the first of them.
    """

    def __init__(self, machine, states, values, ghosts, known):
        self.ghosts = ghosts
        self.known = known
        self.places = {}
        self.state = states[0].copy()
        self.state.solver.reload_solver(list(known))
        frames = {state.solver.eval_one(state.regs.rsp) for state in states}
        if len({state.addr for state in states}) != 1 or len(frames) != 1:
            raise Unproven("a loop comes to different places")
        [self.frame] = frames
        self.end = machine.project.arch.initial_sp + 0x40
        parts = [
            [[byte(value[number], at) for value in values] for at in range(len(ghost.bytes))]
            for number, ghost in enumerate(ghosts)
        ]
        examples = [Example(state, own) for state, own in zip(states, values)]
        for place in self.all_places(machine):
            read = [load(state, place) for state in states]
            self.places[place] = self.kind(read, examples, values, parts)
        self.places |= dict.fromkeys(LOST, ANY)
        for place in self.places:
            self.put(place)

    def all_places(self, machine):
        """Registers by name, and the bytes of the stack by address."""
        for register in machine.project.arch.register_list:
            if register.general_purpose or register.vector:
                if register.name not in LOST | KEPT:
                    yield register.name
        yield from range(self.frame, self.end)

    def kind(self, read, examples, values, parts):
        first = read[0]
        alike = all(value is first for value in read)
        # A number that only one state is known to have can be a ghost's, unless it is a constant.
        if alike and (len(read) > 1 or first.concrete):
            return SAME
        for number, ghost in enumerate(self.ghosts):
            if first.size() > 8:
                owns = {None: [resized(value[number], first.size()) for value in values]}
            else:
                owns = dict(enumerate(parts[number]))
            for at, own in owns.items():
                # The last first, as it tells most apart.
                if all(of[0].same(*of[1:]) for of in reversed(list(zip(examples, read, own)))):
                    return number, at
        return SAME if alike else ANY

    def put(self, place):
        kind = self.places[place]
        if kind == SAME:
            return
        size = load(self.state, place).size()
        if kind == ANY:
            value = claripy.BVS("anything", size)
        elif kind[1] is None:
            value = resized(self.ghosts[kind[0]].variable, size)
        else:
            value = self.ghosts[kind[0]].bytes[kind[1]]
        if isinstance(place, str):
            setattr(self.state.regs, place, value)
        else:
            self.state.memory.store(place, value)

    def admit(self, path, values):
        """Whether a state is one of these, for these values of the ghosts; if not, the head has become wider."""
        if path.addr != self.state.addr or path.solver.eval_one(path.regs.rsp) != self.frame:
            raise Unproven("a loop comes to different places", path)
        # All at once: the values may hold the ghosts themselves.
        own = [claripy.BVS(f"value_{number}", value.size()) for number, value in enumerate(values)]
        for known in self.known:
            for ghost, name in zip(self.ghosts, own):
                known = claripy.replace(known, ghost.variable, name)
            for name, value in zip(own, values):
                known = claripy.replace(known, name, value)
            prove(path, known)
        wider = False
        for place, kind in self.places.items():
            if kind == ANY:
                continue
            value = load(path, place)
            if kind == SAME:
                expected = load(self.state, place)
            elif kind[1] is None:
                expected = resized(values[kind[0]], value.size())
            else:
                expected = byte(values[kind[0]], kind[1])
            if not same(path, value, expected):
                self.places[place] = ANY
                self.put(place)
                wider = True
        return not wider


def load(state, place):
    return getattr(state.regs, place) if isinstance(place, str) else state.memory.load(place, 1)


def resized(value, bits):
    return value.zero_extend(bits - value.size()) if value.size() < bits else value[bits - 1:0]


def byte(value, at):
    """A byte of a number, the lowest first."""
    return value[8 * at + 7:8 * at]


def same(state, value, expected):
    """Whether two expressions are equal in a state. Of bytes, the solver is asked only where it may be so."""
    if value is expected:
        return True
    if value.concrete and expected.concrete:
        return value.concrete_value == expected.concrete_value
    if value.size() > 64 or any(is_part(one) for one in (value, expected)):
        return False
    constants = [one.concrete_value for one in (value, expected) if one.concrete]
    if value.size() == 8 and (any(constants) or not constants and value.variables != expected.variables):
        return False
    # A solver of its own, which is gone afterwards: there are many of these questions.
    solver = claripy.Solver()
    solver.add([*state.solver.constraints, value != expected])
    return not solver.satisfiable()


class Example:
    """A state with one input that comes to it, which tells most expressions apart without the solver."""

    def __init__(self, state, values):
        self.state = state
        self.values = {}
        leaves = {
            leaf.hash(): leaf
            for known in [*state.solver.constraints, *values] for leaf in known.leaf_asts() if leaf.op == "BVS"
        }
        solver = claripy.Solver()
        solver.add(state.solver.constraints)
        self.input = {}
        # An input that is not full of zeros.
        for leaf in leaves.values():
            unlike = leaf == claripy.BVV(0x5B4D_3E2F_7A69_5847 % 2 ** min(leaf.size(), 63), leaf.size())
            if solver.satisfiable(extra_constraints=[unlike]):
                solver.add(unlike)
        if leaves:
            [found] = solver.batch_eval(list(leaves.values()), 1)
            self.input = {
                leaf: (variable, claripy.BVV(value, variable.size()))
                for (leaf, variable), value in zip(leaves.items(), found)
            }

    def value(self, expression):
        known = self.values.get(expression.hash())
        if known is None:
            known = self.values[expression.hash()] = self.evaluate(expression)
        return known

    def evaluate(self, expression):
        for leaf in list(expression.leaf_asts()):
            if leaf.op == "BVS":
                any_ = claripy.BVV(0xA5 % 2 ** leaf.size(), leaf.size())
                expression = claripy.replace(expression, *self.input.get(leaf.hash(), (leaf, any_)))
        return expression

    def same(self, value, expected):
        if value is expected:
            return True
        if value.concrete and expected.concrete:
            return value.concrete_value == expected.concrete_value
        # A byte that is constant here is hardly a ghost's, and asking would take long.
        if value.size() > 64 or is_part(value) or is_part(expected) or value.size() == 8 and value.concrete:
            return False
        one, other = self.value(value), self.value(expected)
        if one.concrete and other.concrete and one.concrete_value != other.concrete_value:
            return False
        return same(self.state, value, expected)


def is_part(value):
    """Whether an expression is a part of a text of which nothing is known, and so of no other."""
    return value.op == "Extract" and value.args[2].op == "BVS" and value.args[2].size() > 64


class Closure:
    """Heads, which are followed until none becomes wider by what comes back to it."""

    def __init__(self, machine, ghosts, known):
        self.machine, self.ghosts, self.known = machine, ghosts, known
        self.heads, self.waiting = {}, []

    def begin(self, name, states, values):
        """Makes a head of some states that come to it."""
        self.heads[name] = Head(self.machine, states, values, self.ghosts[name], self.known[name])
        self.waiting.append(name)
        for state, own in zip(states, values):
            self.arrive(name, state, own)

    def arrive(self, name, state, values):
        if name not in self.heads:
            self.begin(name, [state], [values])
        elif not self.heads[name].admit(state, values) and name not in self.waiting:
            self.waiting.append(name)

    def close(self, follow):
        """What leaves the heads.

        `follow` gives the states that come next, as triples: the state, the name of its head, and the values of
        the ghosts there. A state that comes to no head is not followed; the result has it, and what stands in
        the place of values.
        """
        leaving = {}
        while self.waiting:
            name = self.waiting.pop(0)
            leaving[name] = []
            for path, target, values in follow(name, self.heads[name].state.copy()):
                if target is None:
                    leaving[name].append((path, values))
                else:
                    self.arrive(target, path, values)
        return leaving
