#!/usr/bin/env python3
"""Speed and cost of an operator on Kubernetes, counted from outside: nothing is asked of the operator itself.

First, on a cluster of its own, the same objects as of the last batch, made by this script: what the control plane takes without
any operator. Then, on a fresh cluster with fake nodes: the operator at rest without resources; 1, 10 and 100 of them are created and after each
batch it rests; then it is restarted with all of them, and a Deployment and a Service are deleted behind its back. Requests are
those that the API server's audit log has of the operator's user: each once when it is answered, a watch when it ends. CPU
and memory come from /proc. Every operator that makes Deployments can be measured: see --help. Run by kubernetes.sh.
"""
import argparse
import base64
import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import shlex
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
TESTBED = HERE.parent / "testbed/kubernetes"
CRD = HERE.parent.parent / "crds/generated/milvusclusters.operator.milvus.io.yaml"
COMMAND = "{operator} run --platform kubernetes --kubeconfig {kubeconfig} --wire-checks platform --metrics-listen 127.0.0.1:0"
TICKS = os.sysconf("SC_CLK_TCK")
NAMESPACE = "bench"
SETTLED = 15  # seconds after its start from which on an operator counts as at rest
sys.path.insert(0, str(TESTBED))
import audit  # noqa: E402  (its folder is known only now)


def run(*command, text=None, check=True):
    """A command's standard output; on failure its standard error is part of the exception."""
    done = subprocess.run(command, input=text, timeout=300, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
    return done.stdout


def cluster(*arguments):
    """cluster.sh of this testbed."""
    return run(str(TESTBED / "cluster.sh"), *arguments).strip()


class Api:
    """One kept connection of the administrator, whose requests are not in the audit log."""

    def __init__(self, kubeconfig):
        config = json.loads(run("kubectl", "--kubeconfig", kubeconfig, "config", "view", "--raw", "-o", "json"))
        server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.url = urllib.parse.urlparse(server["server"])
        self.context = ssl.create_default_context(cadata=base64.b64decode(server["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"]))
            pair.flush()
            self.context.load_cert_chain(pair.name)
        self.connection = None

    def call(self, method, path, body=None, absent=False, accept="application/json"):
        """The decoded answer; anything but success is an error, but None where something may be absent."""
        for again in (True, False):
            if self.connection is None:
                self.connection = http.client.HTTPSConnection(self.url.hostname, self.url.port, context=self.context, timeout=60)
            try:
                self.connection.request(method, path, body and json.dumps(body), {"Accept": accept, "Content-Type": "application/json"})
                answer = self.connection.getresponse()
                text = answer.read()
                break
            except (http.client.HTTPException, ConnectionError, ssl.SSLEOFError):  # the server ends connections that rest
                self.connection = None
                if not again:
                    raise
        if absent and answer.status in (404, 429):  # 429: a kind that has just been defined
            return None
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:500]!r}")
        return json.loads(text)

    def items(self, path):
        """The objects of a list, from the API server's cache."""
        return self.call("GET", f"{path}?resourceVersion=0")["items"]

    def rows(self, path):
        """A list as kubectl shows it: hundreds of whole objects a second would be a good part of the load that is measured."""
        table = self.call("GET", f"{path}?resourceVersion=0&includeObject=None", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        names = [column["name"].upper() for column in table["columnDefinitions"]]
        return [dict(zip(names, row["cells"])) for row in table.get("rows") or []]


def cpu(pid):
    """CPU seconds that a process has used so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Operator:
    """The operator as a process on this machine, under a user whose requests are counted."""

    def __init__(self, args, user="bench"):
        self.user, self.audit = user, pathlib.Path(args.state) / "log/audit.log"
        kubeconfig = cluster("kubeconfig", f"user:{user},system:masters")
        words = {"operator": os.environ.get("MILVUS_TEST_OPERATOR", ""), "kubeconfig": kubeconfig}
        command = [word.format(**words) for word in shlex.split(args.command)]
        if not command[0]:
            raise RuntimeError("no operator: set MILVUS_TEST_OPERATOR to its binary, or give --command")
        self.log = open(pathlib.Path(args.state) / "log/operator.log", "ab")
        self.process = subprocess.Popen(command, cwd=args.folder, env=dict(os.environ, KUBECONFIG=kubeconfig),
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def said(self):
        """The end of its log."""
        return pathlib.Path(self.log.name).read_text(errors="replace")[-3000:]

    def usage(self):
        """CPU seconds so far, resident MiB now and at most."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the operator has ended with {self.process.returncode}:\n{self.said()}")
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        memory = {key: int(re.search(rf"{key}:\s+(\d+)", status).group(1)) / 1024 for key in ("VmRSS", "VmHWM")}
        return cpu(self.process.pid), memory["VmRSS"], memory["VmHWM"]

    def position(self):
        """Where the audit log ends now."""
        return self.audit.stat().st_size if self.audit.exists() else 0

    def requests(self, start):
        """Requests since a position of the log."""
        return audit.count(self.audit, user=self.user, start=start)[self.user]

    def rest(self, seconds):
        """What it costs while nothing happens, a minute."""
        start, (before, _, _), begun = self.position(), self.usage(), time.monotonic()
        time.sleep(seconds)
        (after, rss, peak), minutes = self.usage(), (time.monotonic() - begun) / 60
        counted = self.requests(start)
        return {"seconds": seconds, "cpu_s_per_min": round((after - before) / minutes, 3), "requests_per_min": round(sum(counted.values()) / minutes, 1),
                "writes_per_min": round(audit.writes(counted) / minutes, 1), "rss_mib": round(rss, 1), "peak_mib": round(peak, 1), "by": dict(counted)}

    def stop(self):
        """Ends the process, as an update of the Deployment would."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def value(thing, path):
    """A field by its dotted path; `conditions:Ready` takes the status of the condition of that type."""
    for part in path.split("."):
        name, _, kind = part.partition(":")
        thing = (thing or {}).get(name)
        if kind:
            thing = next((entry["status"] for entry in thing or [] if entry["type"] == kind), None)
    return thing


def available(row):
    """All replicas that it shall have are there, of the newest revision, and have been for long enough."""
    ready, wanted = row["READY"].split("/")
    return ready == wanted == str(row["UP-TO-DATE"]) == str(row["AVAILABLE"])


def first(timeline, column, wanted):
    """The first second in which a column had the value."""
    return next((row[0] for row in timeline if row[column] == wanted), None)


class Readiness(threading.Thread):
    """When each resource became ready, by a watch: lists of a hundred of them would be a good part of the load that is measured."""

    def __init__(self, api, args):
        super().__init__(daemon=True)
        self.field, self.want = args.ready.split("=", 1)
        self.at, self.connection = {}, http.client.HTTPSConnection(api.url.hostname, api.url.port, context=api.context)
        version = api.call("GET", args.path)["metadata"]["resourceVersion"]
        self.connection.request("GET", f"{args.path}?watch=1&resourceVersion={version}", headers={"Accept": "application/json"})
        self.answer = self.connection.getresponse()
        self.start()

    def run(self):
        try:
            while text := self.answer.readline():
                resource = json.loads(text)["object"]
                if str(value(resource, self.field)) == self.want:
                    self.at.setdefault(resource["metadata"]["name"], time.monotonic())
        except (OSError, ValueError, http.client.HTTPException, AttributeError):
            return  # closed

    def stop(self):
        self.connection.sock.close()


def create(api, operator, args, objects, total):
    """Creates a batch and looks until all resources are ready."""
    watch = Readiness(api, args)
    server = int((args.state / "run/kube-apiserver.pid").read_text())
    served, start, (before, _, _) = cpu(server), operator.position(), operator.usage()
    begun, epoch = time.monotonic(), time.time()
    for thing in objects:
        api.call("POST", args.path, thing)
    applied, timeline = time.monotonic() - begun, []
    while time.monotonic() - begun < args.timeout:
        deployments = api.rows(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments")
        row = [round(time.monotonic() - begun, 2), len(deployments), sum(map(available, deployments)), total - len(objects) + len(watch.at)]
        if not timeline or timeline[-1][1:] != row[1:]:
            timeline.append(row)
        if row[3] >= total and row[2] == row[1]:
            break
        time.sleep(max(0.1, total / 100))  # to look takes the longer the more there are, and is part of the load that is measured
    last = timeline[-1]
    ready = None if last[3] < total else round(max(watch.at.values()) - begun, 2)
    watch.stop()
    time.sleep(args.settle)  # what it does after the last is Ready belongs to the batch
    (after, rss, peak), counted = operator.usage(), operator.requests(start)
    made = audit.made(operator.audit, operator.user, "deployments", start)
    return {
        "resources": total, "added": len(objects), "applied_s": round(applied, 2), "deployments": last[1],
        "created_s": made and round(made - epoch, 2), "available_s": first(timeline, 2, last[1]), "ready_s": ready,
        "not_ready": total - last[3], "requests": sum(counted.values()), "writes": audit.writes(counted),
        "requests_per_resource": round(sum(counted.values()) / len(objects), 1), "writes_per_resource": round(audit.writes(counted) / len(objects), 1),
        "cpu_s": round(after - before, 2), "api_server_cpu_s": round(cpu(server) - served, 2), "rss_mib": round(rss, 1), "peak_mib": round(peak, 1), "by": dict(counted.most_common()),
        "timeline": timeline,
    }


def back(api, path, limit):
    """Seconds until an object that is deleted now is there again."""
    old = api.call("GET", path)["metadata"]["uid"]
    begun = time.monotonic()
    api.call("DELETE", path)
    while time.monotonic() - begun < limit:
        found = api.call("GET", path, absent=True)
        if found and found["metadata"]["uid"] != old and "deletionTimestamp" not in found["metadata"]:
            return round(time.monotonic() - begun, 2)
        time.sleep(0.02)
    return None


def owned(api, path, name, part):
    """The first object of a kind that belongs to a resource and has `part` in its name."""
    found = sorted(thing["metadata"]["name"] for thing in api.items(path) if thing["metadata"]["name"].startswith(name) and part in thing["metadata"]["name"])
    if not found:
        raise RuntimeError(f"{path} has no object of {name} with {part!r} in its name")
    return f"{path}/{found[0]}"


def drift(api, args, total):
    """Restarts the operator with all resources there, then deletes one Deployment and one Service."""
    operator = Operator(args)
    try:
        started = operator.rest(args.restart)
        started |= {"requests": sum(started["by"].values()), "cpu_s": operator.usage()[0]}
        result = {"resources": total, "restart": started}
        for key, path, part in (("deployment", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", "proxy"), ("service", f"/api/v1/namespaces/{NAMESPACE}/services", "")):
            start, runs = operator.position(), []
            for number in range(args.drifts):
                runs.append(back(api, owned(api, path, f"m-{number % total:03}", part), args.timeout))
            counted = operator.requests(start)
            result[key] = {"back_s": runs, "requests_each": round(sum(counted.values()) / args.drifts, 1), "writes_each": round(audit.writes(counted) / args.drifts, 1)}
        return result
    finally:
        operator.stop()


def fresh(args):
    """A fresh cluster with the namespace in it; the kubeconfig of its administrator."""
    cluster("up", "2", "0")
    args.state = pathlib.Path(cluster("env").split("=", 1)[1]).parent
    kubeconfig = str(args.state / "admin.kubeconfig")
    run("kubectl", "--kubeconfig", kubeconfig, "create", "namespace", NAMESPACE)
    return kubeconfig


def filled(template, number, outside):
    """The resource of a number."""
    words = {"name": f"m-{number:03}", "namespace": NAMESPACE, "etcd": outside["ETCD"], "storage": outside["STORAGE"], "bucket": outside["BUCKET"]}
    for word, text in words.items():
        template = template.replace("{" + word + "}", text)
    return template


def by_hand(args, number):
    """What our operator would make of so many resources, made by this script alone: eight clients at once, no order, no checks."""
    kubeconfig = fresh(args)
    text = filled(args.resource.read_text(), 0, {"ETCD": "127.0.0.1:2379", "STORAGE": "127.0.0.1:9000", "BUCKET": "bench"})
    planned = json.loads(run(os.environ["MILVUS_TEST_OPERATOR"], "plan", "--platform", "kubernetes", "-f", "-", "-o", "json", text=text))
    places = []
    for thing in planned:
        thing["metadata"].pop("ownerReferences", None)
        if thing["kind"] == "Secret":  # not shown
            thing["data"] = {"content": base64.b64encode(bytes(1000)).decode()}
        group = f"/apis/{thing['apiVersion']}" if "/" in thing["apiVersion"] else f"/api/{thing['apiVersion']}"
        places.append((f"{group}/namespaces/{NAMESPACE}/{thing['kind'].lower()}s", json.dumps(thing)))

    def make(part):
        api = Api(kubeconfig)
        for index in range(part, number, 8):
            for path, body in places:
                api.call("POST", path, json.loads(body.replace("m-000", f"m-{index:03}")))

    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        list(clients.map(make, range(8)))
    created, api = time.monotonic() - begun, Api(kubeconfig)
    while not all(map(available, api.rows(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"))):
        if time.monotonic() - begun > args.timeout:
            raise RuntimeError(f"what was made by hand is not available after {args.timeout} s")
        time.sleep(0.5)
    result = {"resources": number, "created_s": round(created, 2), "available_s": round(time.monotonic() - begun, 2)}
    cluster("down")
    return result


def measure(args):
    """The whole run on a fresh cluster."""
    result = {"command": args.command, "batches": []}
    if args.command == COMMAND:
        result["hand"] = by_hand(args, args.counts[-1] - sum(args.counts[-2:-1]))
        print(line("by hand", result["hand"]), file=sys.stderr, flush=True)
    kubeconfig = fresh(args)
    outside = dict(line.split("=", 1) for line in cluster("external").splitlines())
    kubectl = ("kubectl", "--kubeconfig", kubeconfig)
    run(*kubectl, "-n", NAMESPACE, "create", "-f", "-", text=json.dumps({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "storage-keys"},
        "stringData": {"accesskey": outside["ACCESS_KEY"], "secretkey": outside["SECRET_KEY"]}}))
    for manifest in args.crd:
        run(*kubectl, "apply", "--server-side", "-f", str(manifest))
    api, template = Api(kubeconfig), args.resource.read_text()
    for _ in range(300):
        if api.call("GET", args.path, absent=True):
            break
        time.sleep(0.1)

    operator = Operator(args)
    try:
        # kubectl reads the YAML once; the others differ by name alone.
        things = [json.loads(run(*kubectl, "create", "--dry-run=client", "-o", "json", "-f", "-", text=filled(template, 0, outside)))]
        text = json.dumps(things[0])
        things += [json.loads(text.replace("m-000", f"m-{number:03}")) for number in range(1, max(args.counts))]
        time.sleep(SETTLED)
        result["rest"] = operator.rest(args.rest)
        print(line("at rest", result["rest"]), file=sys.stderr, flush=True)
        have = 0
        for total in args.counts:
            batch = create(api, operator, args, things[have:total], total)
            print(line(f"to {total}", batch), file=sys.stderr, flush=True)
            if batch["not_ready"]:
                raise RuntimeError(f"{batch['not_ready']} of {total} resources were not ready after {args.timeout} s; the operator said last:\n{operator.said()}")
            have = total
            time.sleep(args.pause)
            batch["rest"] = operator.rest(args.rest)
            print(line(f"{total} at rest", batch["rest"]), file=sys.stderr, flush=True)
            result["batches"].append(batch)
    finally:
        operator.stop()
    result["drift"] = drift(api, args, have)
    return result


def line(title, figures):
    """One figure after the other, without the lists."""
    return f"{title:<12} " + ", ".join(f"{key} {figure}" for key, figure in figures.items() if not isinstance(figure, (dict, list)))


def table(result):
    """The figures as a table, a column a batch."""
    batches = result["batches"]
    columns = [("", ["0"] + [str(b["resources"]) for b in batches])]
    for title, key in (("created (s)", "created_s"), ("available (s)", "available_s"), ("Ready (s)", "ready_s"), ("Deployments", "deployments"),
                       ("requests per new resource", "requests_per_resource"), ("  of them writes", "writes_per_resource"), ("CPU of the batch (s)", "cpu_s"),
                       ("  of the API server (s)", "api_server_cpu_s")):
        columns.append((title, [""] + [str(b[key]) for b in batches]))
    for title, key in (("RSS at rest (MiB)", "rss_mib"), ("  peak", "peak_mib"), ("requests a minute at rest", "requests_per_min"),
                       ("  of them writes", "writes_per_min"), ("CPU a minute at rest (s)", "cpu_s_per_min")):
        columns.append((title, [str(rest[key]) for rest in [result["rest"]] + [b["rest"] for b in batches]]))
    print(f"\n{'resources':<28}" + "".join(f"{text:>10}" for text in columns[0][1]))
    for title, texts in columns[1:]:
        print(f"{title:<28}" + "".join(f"{text:>10}" for text in texts))
    if "hand" in result:
        hand = result["hand"]
        print(f"\nby hand, without an operator: {hand['resources']} times the same objects created after {hand['created_s']} s, available after {hand['available_s']} s")
    seen = result["drift"]
    restart = seen["restart"]
    print(f"\nrestart with {seen['resources']}: {restart['requests']} requests and {restart['cpu_s']:.2f} CPU-s in {restart['seconds']} s, RSS {restart['rss_mib']} MiB")
    for key in ("deployment", "service"):
        print(f"{key} deleted: back after {seen[key]['back_s']} s, {seen[key]['requests_each']} requests each, {seen[key]['writes_each']} of them writes")


def main():
    """Parses the command line, runs, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default=COMMAND, help="the operator; {operator} is MILVUS_TEST_OPERATOR, {kubeconfig} a kubeconfig, also in KUBECONFIG")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path.cwd(), help="its working directory")
    parser.add_argument("--crd", type=pathlib.Path, action="append", help="manifest to apply before; may be given several times")
    parser.add_argument("--resource", type=pathlib.Path, default=HERE / "kubernetes.yaml", help="the resource, see there")
    parser.add_argument("--path", default=f"/apis/operator.milvus.io/v1beta1/namespaces/{NAMESPACE}/milvusclusters", help="where its kind is served")
    parser.add_argument("--ready", default="status.phase=Ready", help="how one shows that it is ready; status.conditions:Ready=True is possible too")
    parser.add_argument("--counts", type=lambda text: [int(n) for n in text.split(",")], default=[1, 10, 100])
    parser.add_argument("--rest", type=float, default=60, help="seconds over which it is watched at rest")
    parser.add_argument("--pause", type=float, default=30, help="seconds between a batch and the rest")
    parser.add_argument("--settle", type=float, default=2, help="seconds after the last is ready that belong to the batch")
    parser.add_argument("--restart", type=float, default=60, help="seconds over which a restart is watched")
    parser.add_argument("--drifts", type=int, default=5, help="how many Deployments and Services are deleted, one after the other")
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--json", type=pathlib.Path, help="also write all figures to this file")
    args = parser.parse_args()
    args.crd = args.crd or [CRD]
    try:
        result = measure(args)
    finally:
        cluster("down")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    table(result)
    missing = [key for key in ("deployment", "service") if None in result["drift"][key]["back_s"]]
    if missing:
        sys.exit(f"deleted and not back after {args.timeout} s: {', '.join(missing)}")


if __name__ == "__main__":
    main()
