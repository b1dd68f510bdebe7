#!/usr/bin/env python3
"""Where the time of a run goes.

times.py run NAME COMMAND...   run a command as one step and note how long it took
times.py tests SUITE           read a test runner's output from standard input, pass it on, and note each test of 20 s and more
times.py report                print what was noted, a line each, and the sum

TIMES names the file of notes; without it commands run and nothing is noted. Steps may run side by side: the sum is that of the
clock, from the first begin to the last end.
"""
import os
import re
import subprocess
import sys
import time

LONG = 20.0  # seconds from which a test has a line of its own
FILE = os.environ.get("TIMES")


def note(kind, name, began, code=0):
    if FILE:
        with open(FILE, "a") as file:
            file.write(f"{kind}\t{name}\t{began:.1f}\t{time.time():.1f}\t{code}\n")


def run(name, command):
    began = time.time()
    process = subprocess.Popen(command)
    try:
        code = process.wait()
    except KeyboardInterrupt:  # the command has the signal too, and ends in its own way
        code = process.wait() or 130
    note("step", name, began, code)
    return code if code >= 0 else 128 - code


def tests(suite):
    """Tests run one after the other, so each begins where the one before ended."""
    began, name = time.time(), None
    for line in sys.stdin:
        sys.stdout.write(line)
        sys.stdout.flush()
        if re.match(r"running \d+ tests?$", line):
            began = time.time()
        started = re.match(r"test (\S+) \.\.\. ", line)
        if started:
            name = started[1]
        ended = re.search(r"(?:^|\.\.\. )(ok|FAILED)$", line)
        if name and ended:
            if time.time() - began >= LONG:
                note("test", f"{suite} {name}", began, int(ended[1] != "ok"))
            began, name = time.time(), None
    return 0


def report():
    if not FILE or not os.path.exists(FILE):
        return 0
    with open(FILE) as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    rows = [(kind, name, float(began), float(ended), int(code)) for kind, name, began, ended, code in rows]
    if not rows:
        return 0
    print("== where the time went, in seconds ==")
    for kind, name, began, ended, code in sorted(rows, key=lambda row: (row[2], -row[3])):
        indent = "    " if kind == "test" else ""
        print(f"{ended - began:7.0f}  {indent}{name}{'  FAILED' if code else ''}")
    print(f"{max(row[3] for row in rows) - min(row[2] for row in rows):7.0f}  from the first to the last")
    return 0


def main(args):
    if args[:1] == ["run"] and len(args) > 2:
        return run(args[1], args[2:])
    if args[:1] == ["tests"] and len(args) == 2:
        return tests(args[1])
    if args == ["report"]:
        return report()
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
