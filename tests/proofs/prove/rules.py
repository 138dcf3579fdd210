"""Rules that are written as programs, and followed beside the paths of the code."""

import claripy


class Rule:
    """A rule, written as a program, for the inputs that take one path of the code.

    Where these inputs differ in what they answer to a question of the rule, they are split, and the rule is
    followed for each part.
    """

    def __init__(self, state, answers):
        self.state = state
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, condition):
        condition = claripy.true() if condition is True else claripy.false() if condition is False else condition
        possible = [
            answer for answer in (True, False)
            if self.state.solver.satisfiable(extra_constraints=[condition if answer else claripy.Not(condition)])
        ]
        if len(possible) == 1:
            return possible[0]
        if self.asked == len(self.answers):
            self.answers.append(True)
        answer = self.answers[self.asked]
        self.asked += 1
        self.state.solver.add(condition if answer else claripy.Not(condition))
        return answer


def split(state, rule):
    """Follows a rule for all inputs that take a path: parts of it, and what the rule says for them."""
    waiting = [[]]
    while waiting:
        answers = waiting.pop()
        part = Rule(state.copy(), answers)
        said = rule(part)
        for at in range(len(answers), len(part.answers)):
            waiting.append([*part.answers[:at], False])
        yield part.state, said
