"""Proves the theorems about the program `proofs`, given by its path, and prints a line for each."""

import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import app_layouts
import app_tables
import app_validate
import boot_accepted
import boot_tables
import partitions
import select_entries
from machine import Machine, Unproven

def crc(machine):
    """seq_crc is the CRC-32 of ESP-IDF's mask ROM"""
    try_all(machine.program)


def slots(machine):
    """validate takes otadata and slots without a gap, and names the first gap otherwise"""
    try_all(Path(machine.program).with_name("slots"))


def try_all(program):
    """Runs a program that tries all inputs, as that is cheaper than a derivation."""
    tried = subprocess.run([program], stdout=subprocess.PIPE, text=True)
    if tried.returncode:
        raise Unproven(tried.stdout.strip() or f"the program ended with status {tried.returncode}")


# Those that take long come first.
THEOREMS = [
    ("crc", "all 2^32 sequence numbers, tried", crc),
    *boot_accepted.THEOREMS,
    *boot_tables.THEOREMS,
    *app_validate.THEOREMS,
    *app_layouts.THEOREMS,
    *app_tables.THEOREMS,
    *partitions.THEOREMS,
    *select_entries.THEOREMS,
    ("layout-slots", "all 2^16 sets of slots, with otadata and without, tried", slots),
]


def attempt(program, number):
    """What came of a theorem: a line, and whether it is proven."""
    name, domain, theorem = THEOREMS[number]
    start = time.monotonic()
    try:
        theorem(Machine(program))
        reason = None
    except Unproven as unproven:
        reason = unproven.args[0]
    seconds = time.monotonic() - start
    verdict = f"FAILED: {reason}" if reason else "proven"
    return f"{name:19} {domain:66} {seconds:6.1f} s  {verdict}", reason is None


def main(program, only=""):
    selected = [number for number, theorem in enumerate(THEOREMS) if only in theorem[0]]
    proven = 0
    with ProcessPoolExecutor() as pool:
        for future in as_completed(pool.submit(attempt, program, number) for number in selected):
            line, holds = future.result()
            print(line, flush=True)
            proven += holds
    print(f"{proven} of {len(selected)} proven")
    return 0 if selected and proven == len(selected) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
