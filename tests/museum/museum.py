#!/usr/bin/env python3
"""The museum of planted bugs: what the simulator is known to find.

museum.py check             every bug still applies: the text that it replaces is found exactly once
museum.py run [NAME...]     build operator and simulator with the bugs in them, and see that each of them is caught

A bug is a file NAME.bug beside this program. It begins with words for people: what the bug is, what it does to a cluster, and
which promise it breaks. Then come

    caught-by: TEST FUNCTION [within N cases]     the test that must fail; N lives where it is one of random lives
    in: FILE or FOLDER                            where the text is found; of a folder all Rust sources count
    was:                                          indented by four spaces, the text that stands there; how it is broken into
        ...                                       lines is of no account, and where a part of it is marked with « and », only
    now:                                          that part is replaced
        ...                                       the text in its place: an expression for an expression, else statements

where `in`, `was` and `now` may come again. All bugs are built into one copy of the sources (target/museum), each behind a switch
that the environment variable PLANTED_BUG sets, because one build for each would take hours. Before that the tests run
without any bug: what fails for its own reasons catches nothing.
"""
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
TREE = ROOT / "target/museum"
# The crate that all others with bugs in them depend on; the switch is put there.
SWITCH = "operator/core/src/lib.rs"
# Seconds that a test may take: a bug that makes it go on without an end is caught by nothing.
LIMIT = int(os.environ.get("MUSEUM_LIMIT", "900"))
# The version of the workspace in its manifest, and of its packages in the lock file.
VERSION = rb'((?:\[workspace\.package\]|name = "milvus-[a-z]+")\nversion = "[^"]+)"'
CODE = """

extern crate self as milvus_core;

/// Whether a bug of the museum is switched on.
pub fn planted(bug: &str) -> bool {
    static BUG: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var("PLANTED_BUG").ok());
    BUG.as_deref() == Some(bug)
}
"""


class Fault(Exception):
    """What is wrong with a bug, for people."""


class Bug:
    """One planted bug, as its file says."""

    def __init__(self, file):
        self.name = file.stem
        self.edits, self.cases = [], None
        words, block, edit = [], None, {}
        for line in file.read_text().splitlines():
            key, _, rest = line.partition(":")
            if key in ("caught-by", "in", "was", "now") and line[:1] != " ":
                block = key
                if key == "caught-by":
                    self.judge(rest.split())
                elif key == "in":
                    edit = {"in": rest.strip(), "was": [], "now": []}
                    self.edits.append(edit)
            elif block in ("was", "now"):
                edit[block].append(line[4:])
            elif block is None:
                words.append(line)
        self.title = words[0] if words else ""
        if len(words) < 3 or not self.edits or not hasattr(self, "test"):
            raise Fault(f"{file.name}: wants a title, words, caught-by, and at least one in, was, now")
        for edit in self.edits:
            edit["was"], edit["now"] = ("\n".join(edit[key]).strip() for key in ("was", "now"))

    def judge(self, words):
        self.test, self.function = words[0], words[1] if len(words) > 1 else ""
        if "within" in words:
            self.cases = int(words[words.index("within") + 1])

    def places(self):
        """Where each edit goes: path, begin, end, new text."""
        for edit in self.edits:
            found = []
            for path in sources(edit["in"]):
                match = pattern(edit["was"]).finditer(read(path))
                found += [(path, m.start("part"), m.end("part")) for m in match]
            if len(found) != 1:
                at = ", ".join(str(path.relative_to(ROOT)) for path, _, _ in found)
                where = f"{len(found)} times ({at})" if found else "nowhere"
                raise Fault(f"{self.name}.bug: its text is found {where} in {edit['in']}, and not once:\n{edit['was']}")
            yield (*found[0], edit["now"])


TEXTS = {}


def read(path):
    if path not in TEXTS:
        TEXTS[path] = path.read_text()
    return TEXTS[path]


def sources(place):
    path = ROOT / place
    return sorted(path.rglob("*.rs")) if path.is_dir() else [path] if path.exists() else []


def pattern(text):
    """What finds a text however it is broken into lines; the part to be replaced is the group `part`."""
    before, mark, rest = text.partition("«")
    part, _, after = rest.partition("»") if mark else (text, "", "")
    before = "" if not mark else before
    tokens = [[re.escape(t) for t in re.findall(r"\w+|[^\w\s]", piece)] for piece in (before, part, after)]
    joined = [r"\s*".join(piece) for piece in tokens]
    return re.compile(r"\s*".join(filter(None, (joined[0], f"(?P<part>{joined[1]})", joined[2]))))


def bugs(names=()):
    found = [Bug(file) for file in sorted(HERE.glob("*.bug"))]
    unknown = set(names) - {bug.name for bug in found}
    if unknown:
        raise Fault(f"there is no bug {', '.join(sorted(unknown))}")
    return [bug for bug in found if not names or bug.name in names]


def planted(all_bugs):
    """The changed sources, by path: every bug behind its switch."""
    edits = {}
    for bug in all_bugs:
        for path, begin, end, now in bug.places():
            edits.setdefault(path, {}).setdefault((begin, end), []).append((bug.name, now))
    changed = {}
    for path, spans in edits.items():
        ordered = sorted(spans)
        for (first, second) in zip(ordered, ordered[1:]):
            if second[0] < first[1]:
                names = [name for span in (first, second) for name, _ in spans[span]]
                raise Fault(f"{' and '.join(names)} replace parts of the same text")
        text = read(path)
        for begin, end in reversed(ordered):
            was = text[begin:end]
            switch = "".join(f'if milvus_core::planted("{name}") {{ {now} }} else ' for name, now in spans[begin, end])
            new = f"{switch}{{ {was} }}"
            text = text[:begin] + (new if was[-1] in ";}" else f"({new})") + text[end:]
        changed[path] = text
    return changed


def copy(changed):
    """Brings the copy of the sources up to date. What is as it was keeps its time, so that it is not built again."""
    switch = ROOT / SWITCH
    changed = {**changed, switch: changed.get(switch, read(switch)) + CODE}
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-zco", "--exclude-standard"], check=True, capture_output=True)
    names = {name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()}
    for name in names:
        source, target = ROOT / name, TREE / name
        content = changed[source].encode() if source in changed else source.read_bytes()
        if name in ("Cargo.toml", "Cargo.lock"):
            # Of another version, so that nothing built of the copy is taken for what was built of the sources themselves.
            content = re.sub(VERSION, rb'\1-museum"', content)
        if not target.exists() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    for path in TREE.rglob("*"):
        if path.is_file() and str(path.relative_to(TREE)) not in names:
            path.unlink()


def build(tests):
    """Builds the tests of the copy; gives the program of each."""
    command = [*os.environ.get("CARGO", "cargo").split(), "test", "--locked", "--workspace", "--no-run", "--message-format=json"]
    command += [word for test in sorted(tests) for word in ("--test", test)]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(ROOT / "target")}
    built = subprocess.run(command, cwd=TREE, env=environment, stdout=subprocess.PIPE, text=True)
    programs = {}
    for line in built.stdout.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("executable"):
            programs[message["target"]["name"]] = message["executable"]
        elif message.get("message", {}).get("level") == "error":
            print(message["message"]["rendered"], file=sys.stderr)
    if built.returncode:
        raise Fault("the copy with the bugs in it cannot be built")
    return programs


def test(program, function, cases, bug):
    """Runs one test with one bug, or without any. Gives whether it failed, and what to say of it."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PLANTED_BUG", "SIM_CASES", "SIM_SEED")}
    # The same lives each time, and nothing else at the same time: the number of cases is a promise.
    environment |= {"SIM_SEED": "1", "SIM_JOBS": "1", "SIM_SHRINK": "0", "SIM_CASES": str(cases or 1)}
    if bug:
        environment["PLANTED_BUG"] = bug
    command = [program, function, "--test-threads=1"]
    try:
        ran = subprocess.run(command, cwd=TREE / "operator/sim", env=environment, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return False, f"no end within {LIMIT} s"
    output = ran.stdout + ran.stderr
    if not re.search(r"running [1-9]\d* test", output):
        return False, f"no test {function}"
    if "test result: FAILED" in output:
        life = re.search(r"life (\d+) of \d+", output)
        names = re.findall(r"^test (\S+) \.\.\. FAILED", output, re.M)
        return True, f"{life[1]} cases" if life else "kept life" if "life that was kept" in output else ", ".join(names)
    return False, "passes" if ran.returncode == 0 else f"ended with {ran.returncode}:\n{output[-2000:]}"


def run(names):
    chosen = bugs(names)
    copy(planted(bugs()))
    began = time.time()
    programs = build({bug.test for bug in chosen})
    print(f"museum: {len(chosen)} bugs, built in {time.time() - began:.0f} s", flush=True)
    missing = sorted({bug.test for bug in chosen} - set(programs))
    if missing:
        raise Fault(f"there is no test {', '.join(missing)}")
    control = {}
    for bug in chosen:
        key = (bug.test, bug.function)
        control[key] = max(control.get(key, 0), bug.cases or 0)
    jobs = int(os.environ.get("MUSEUM_JOBS", os.cpu_count() or 1))
    failed = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        def measured(program, function, cases, bug):
            began = time.time()
            return (*test(program, function, cases, bug), time.time() - began)

        healthy = {key: pool.submit(measured, programs[key[0]], key[1], cases, None) for key, cases in control.items()}
        caught = {bug.name: pool.submit(measured, programs[bug.test], bug.function, bug.cases, bug.name) for bug in chosen}
        for (name, function), result in healthy.items():
            broke, words, took = result.result()
            if broke or words != "passes":
                failed.append(f"{name} {function} without a bug: {words}")
        lives = sum(control.values())
        print(f"museum: without a bug {len(control)} tests pass, {lives} random lives among them" if not failed else "\n".join(failed))
        print(f"{'planted bug':<34} {'caught by':<58} {'after':>9} {'seconds':>8}", flush=True)
        for bug in chosen:
            found, words, took = caught[bug.name].result()
            after = words if found and bug.cases else "1 test" if found else "-"
            by = f"{bug.test}::{bug.function}"
            print(f"{bug.name:<34} {by:<58} {after:>9} {took:>8.1f}" + ("" if found else f"  NOT CAUGHT: {words}"), flush=True)
            if not found:
                failed.append(bug.name)
    if failed:
        raise Fault(f"{len(failed)} of {len(chosen)} went wrong")
    print(f"museum: all {len(chosen)} planted bugs were caught, {time.time() - began:.0f} s in all")


def main(words):
    try:
        if words[:1] == ["check"] and len(words) == 1:
            planted(bugs())
            print(f"museum: {len(bugs())} planted bugs apply")
        elif words[:1] == ["run"]:
            run(words[1:])
        else:
            print(__doc__.split("\n\n")[1], file=sys.stderr)
            return 2
    except Fault as fault:
        print(f"museum: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
