#!/usr/bin/env python3
"""The operator beside a hand-written stack of the same parts: interleaved runs, medians. Run by bench.sh."""
import argparse
import concurrent.futures
import json
import pathlib
import statistics
import sys
import time

import api
import testbed

HERE = pathlib.Path(__file__).resolve().parent
FIRST_WAVE = ("etcd", "minio", "zookeeper")


def by_hand():
    """`docker stack deploy` on an empty Swarm until a search is right."""
    swarm = testbed.Swarm()
    start = time.monotonic()
    swarm.docker("stack", "deploy", "--resolve-image", "never", "-c", str(HERE / "stack.yaml"), "milvus")
    deployed = time.monotonic() - start
    steps = swarm.search()
    return {"created": deployed, "answer": deployed + steps["answer"], "search": time.monotonic() - start,
            "failed tasks": sum(swarm.failures().values())}


def timeline(swarm, start):
    """When each service was created and its first task ran, in seconds after `start` (epoch)."""
    rows = {name: [testbed.seconds(s["CreatedAt"]) - start, None] for name, s in swarm.services().items()}
    names = {s["ID"]: name for name, s in swarm.services().items()}
    for task in swarm.tasks():
        name = names.get(task["ServiceID"])
        if name and task["Status"]["State"] in ("running", "complete"):
            ran = testbed.seconds(task["Status"]["Timestamp"]) - start
            if rows[name][1] is None or ran < rows[name][1]:
                rows[name][1] = ran
    return rows


def by_operator(sample, rest):
    """`kubectl apply` on an empty Swarm until a search is right, and what the operator cost."""
    swarm = testbed.Swarm()
    operator = testbed.Operator(swarm)
    try:
        result = {"idle RSS": operator.rss(), "idle CPU": operator.idle(rest)}
        cpu, start, epoch = operator.cpu(), time.monotonic(), time.time()
        operator.kubectl("apply", "-f", str(sample))
        result["applied"] = time.monotonic() - start
        # Beside the client, who does not wait for Ready: neither does who deploys by hand.
        with concurrent.futures.ThreadPoolExecutor(1) as beside:
            waiting = beside.submit(ready, operator, sample)
            steps = swarm.search()
            searched = time.monotonic() - start
            result["Ready"] = waiting.result() - start
        result["answer"] = result["applied"] + steps["answer"]
        result["search"] = searched
        result["failed tasks"] = sum(swarm.failures().values())
        result["CPU until searched"] = operator.cpu() - cpu
        rows = timeline(swarm, epoch)
        created = [created for name, (created, _) in rows.items() if any(part in name for part in FIRST_WAVE)]
        result["first service"], result["first wave created"] = min(created), max(created)
        versions = {name: s["Version"]["Index"] for name, s in swarm.services().items()}
        result["CPU with 1 cluster"] = operator.idle(rest)
        moved = [name for name, s in swarm.services().items() if versions.get(name) != s["Version"]["Index"]]
        result["services written at rest"] = len(moved)
        result["RSS with 1 cluster"] = operator.rss()
        result["edit to service"] = edit(operator, swarm)
        return result, rows
    finally:
        operator.stop()


def ready(operator, sample):
    """The moment (monotonic) at which the resource says that it is ready."""
    operator.kubectl("wait", "--for=condition=Ready", "-f", str(sample), "--timeout=300s")
    return time.monotonic()


def edit(operator, swarm):
    """Seconds from the API's answer to an edit until the engine stored the changed service."""
    name = operator.kubectl("get", "milvusclusters", "-o", "name").strip().split("/")[-1]
    client = api.Client(operator)
    before = {n: s["Version"]["Index"] for n, s in swarm.services().items()}
    client.patch(f"{api.PATH}/{name}", {"spec": {"components": {"queryNode": {"replicas": 2}}}})
    answered = time.time()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for service, state in swarm.services().items():
            if "query" in service.lower() and state["Version"]["Index"] != before.get(service):
                return testbed.seconds(state["UpdatedAt"]) - answered
        time.sleep(0.1)
    raise RuntimeError("the edit of queryNode.replicas reached no service in 30 s")


def median(results, key):
    """Median and range of one figure over the runs that have it."""
    values = [r[key] for r in results if key in r]
    return f"{statistics.median(values):8.2f}  ({min(values):.2f} - {max(values):.2f})" if values else "-"


def table(title, results):
    """Prints the medians of one side."""
    if not results:
        return
    print(f"\n{title}: median (range) of {len(results)}")
    for key in dict.fromkeys(k for r in results for k in r):
        unit = "MiB" if "RSS" in key else "%" if key in ("idle CPU", "CPU with 1 cluster") else "" if "tasks" in key or "rest" in key else "s"
        print(f"  {key:<26} {median(results, key)} {unit}")


def main():
    """Parses the command line, runs, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", choices=["hand", "operator", "api"])
    parser.add_argument("--sample", type=pathlib.Path, default=HERE.parent.parent / "deploy/samples/demo.yaml")
    parser.add_argument("--rest", type=float, default=20, help="seconds over which CPU at rest is measured")
    parser.add_argument("--json", type=pathlib.Path, help="also write all figures to this file")
    args = parser.parse_args()

    hand, ours, rows = [], [], {}
    for number in range(1, args.runs + 1):
        if args.only in (None, "hand"):
            hand.append(by_hand())
            print(f"run {number} by hand:   {hand[-1]['search']:6.2f} s", file=sys.stderr)
        if args.only in (None, "operator"):
            result, rows = by_operator(args.sample, args.rest)
            ours.append(result)
            print(f"run {number} operator:  {result['search']:6.2f} s", file=sys.stderr)
    table("By hand, empty Swarm to a right search", hand)
    table("By the operator, empty Swarm to a right search", ours)
    if rows:
        print("\nWhere the time of the last run went (seconds after kubectl apply: service created, task running)")
        for name, (created, ran) in sorted(rows.items(), key=lambda row: row[1][0]):
            print(f"  {name:<26} {created:6.2f}  {ran if ran is None else round(ran, 2)}")
    figures = {}
    if args.only in (None, "api"):
        figures = api.measure()
        print("\nThe operator's API on a three-manager Swarm (milliseconds unless said)")
        for key, value in figures.items():
            print(f"  {key:<44} {value:8.2f}")
    if args.json:
        args.json.write_text(json.dumps({"hand": hand, "operator": ours, "api": figures}, indent=2))
    if hand and ours:
        mine, theirs = (statistics.median(r["search"] for r in side) for side in (ours, hand))
        print(f"\nempty Swarm to a right search: operator {mine:.1f} s, by hand {theirs:.1f} s")
        sys.exit(0 if mine <= theirs else 1)


main()
