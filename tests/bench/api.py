"""Latency and memory of the operator's API server: 100 clusters, and 50 watchers beside a writer."""
import base64
import http.client
import json
import multiprocessing
import os
import re
import selectors
import ssl
import statistics
import tempfile
import time
import urllib.parse
import urllib.request

import testbed

NAME = "milvus_operator_apiserver_request_duration_seconds"
PATH = "/apis/operator.milvus.io/v1beta1/namespaces/default/milvusclusters"


class Client:
    """One kept connection with the kubeconfig's credentials; no client library in the figures."""

    def __init__(self, operator):
        config = json.loads(operator.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        url = urllib.parse.urlparse(cluster["server"])
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        self.headers = {"Accept": "application/json"}
        if "client-certificate-data" in user:
            with tempfile.NamedTemporaryFile() as pair:
                pair.write(base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"]))
                pair.flush()
                context.load_cert_chain(pair.name)
        if "token" in user:
            self.headers["Authorization"] = f"Bearer {user['token']}"
        self.connection = http.client.HTTPSConnection(url.hostname, url.port, context=context, timeout=60)

    def call(self, method, path, body=None, content="application/json"):
        """The decoded answer; anything but success is an error."""
        data = None if body is None else json.dumps(body)
        self.connection.request(method, path, data, dict(self.headers, **({"Content-Type": content} if data else {})))
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:500]!r}")
        return json.loads(text)

    def patch(self, path, body):
        """A merge patch."""
        return self.call("PATCH", path, body, "application/merge-patch+json")

    def watch(self, path):
        """The socket of a watch, from now on not waited for."""
        self.connection.request("GET", f"{path}?watch=1&resourceVersion=0", headers=self.headers)
        self.connection.getresponse()
        self.connection.sock.setblocking(False)
        return self.connection.sock


def watchers(operator, number, told):
    """Counts the changes that each of many watchers hears of, in a process of its own that yields to what is measured:
    watchers live on other machines. Says "watching" and, when asked, the counts."""
    os.nice(15)
    clients = [Client(operator) for _ in range(number)]
    choice = selectors.DefaultSelector()
    counts, tails, mark = [0] * number, [b""] * number, b'"type":"MODIFIED"'
    for index, client in enumerate(clients):
        choice.register(client.watch(PATH), selectors.EVENT_READ, index)
    choice.register(told, selectors.EVENT_READ, None)
    told.send("watching")
    while True:
        for key, _ in choice.select():
            if key.data is None:
                told.recv()
                told.send(counts)
                return
            try:
                while text := key.fileobj.recv(65536):
                    text = tails[key.data] + text
                    counts[key.data] += text.count(mark)
                    tails[key.data] = text[-len(mark) + 1:]
            except ssl.SSLWantReadError:
                pass


def cluster(number):
    """A cluster that waits for ever for a Secret that is not there: stored, reconciled, and nothing is started."""
    external = {"external": True}
    return {
        "apiVersion": "operator.milvus.io/v1beta1", "kind": "MilvusCluster",
        "metadata": {"name": f"load-{number:03}", "labels": {"load": "yes"}},
        "spec": {"mode": "cluster", "components": {"image": "milvusdb/milvus:v2.3.5"}, "dependencies": {
            "msgStreamType": "pulsar",
            "etcd": dict(external, endpoints=["192.0.2.1:2379"]),
            "storage": dict(external, type="S3", endpoint="192.0.2.1:9000", bucket="load", rootPath=f"load-{number:03}", secretRef="absent"),
            "pulsar": dict(external, endpoint="192.0.2.1:6650")}},
    }


def timed(action):
    """Milliseconds of one call."""
    start = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - start)


def writes(client, count):
    """Latencies of merge patches that each change a resource."""
    return [timed(lambda n=n: client.patch(f"{PATH}/load-{n % 100:03}", {"metadata": {"annotations": {"load": f"{time.time()}"}}}))
            for n in range(count)]


class AtServer:
    """What the API server itself says of a verb's requests to clusters: the mean, in milliseconds, while in this block."""

    def __init__(self, operator, verb):
        self.operator, self.labels = operator, f'{{resource="milvusclusters",subresource="",verb="{verb}"}}'

    def read(self):
        """Seconds and requests so far."""
        with urllib.request.urlopen(f"http://{self.operator.metrics}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return [float(found.group(1)) if (found := re.search(re.escape(f"{NAME}_{part}{self.labels} ") + r"(\S+)", text)) else 0.0 for part in ("sum", "count")]

    def __enter__(self):
        self.before = self.read()
        return self

    def __exit__(self, *_):
        seconds, count = (new - old for new, old in zip(self.read(), self.before))
        self.mean = 1000 * seconds / count


def measure():
    """All figures, on a fresh Swarm."""
    swarm = testbed.Swarm()
    operator = testbed.Operator(swarm)
    try:
        client, figures = Client(operator), {"RSS idle (MiB)": operator.rss()}

        def create(number):
            latency = timed(lambda: client.call("POST", PATH, cluster(number)))
            time.sleep(0.5)  # its finalizer, conditions and events are written by then
            return latency

        with AtServer(operator, "create") as server:
            singly = [create(n) for n in range(20)]
        figures["create, median"], figures["create, at the server, mean"] = statistics.median(singly), server.mean
        time.sleep(5)
        figures["RSS with 20 clusters (MiB)"] = operator.rss()
        at_once = [timed(lambda n=n: client.call("POST", PATH, cluster(n))) for n in range(20, 100)]
        figures["create without a pause, median"] = statistics.median(at_once)
        time.sleep(10)  # conditions of all are written; from here on the API is at rest
        figures["RSS with 100 clusters (MiB)"] = operator.rss()
        figures["CPU with 100 clusters at rest (% of a core)"] = operator.idle(15)
        client = Client(operator)  # the server has closed the old connection, which was idle for too long
        lists = [timed(lambda: client.call("GET", PATH)) for _ in range(30)]
        figures["list of 100, median"], figures["list of 100, worst"] = statistics.median(lists), max(lists)
        with AtServer(operator, "patch") as server:
            alone = writes(client, 100)
        figures["merge patch, median"], figures["merge patch, p95"] = statistics.median(alone), sorted(alone)[94]
        figures["merge patch, at the server, mean"] = server.mean
        told, theirs = multiprocessing.Pipe()
        watching = multiprocessing.Process(target=watchers, args=(operator, 50, theirs), daemon=True)
        watching.start()
        if told.recv() != "watching":
            raise RuntimeError("the watchers did not start")
        time.sleep(3)
        with AtServer(operator, "patch") as server:
            watched = writes(client, 100)
        figures["merge patch with 50 watchers, median"] = statistics.median(watched)
        figures["merge patch with 50 watchers, p95"] = sorted(watched)[94]
        figures["merge patch with 50 watchers, at the server, mean"] = server.mean
        time.sleep(2)
        told.send("how many")
        counts = told.recv()
        watching.join(10)
        short = [seen for seen in counts if seen < 100]
        if short:
            raise RuntimeError(f"{len(short)} of 50 watchers saw fewer events than the 100 writes: {short[:5]}")
        return figures
    finally:
        operator.stop()
