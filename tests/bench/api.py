"""Latency and memory of the operator's API server: 100 clusters, and 50 watchers beside a writer."""
import base64
import http.client
import json
import ssl
import statistics
import tempfile
import threading
import time
import urllib.parse

import testbed

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

    def watch(self, path, seen, stop):
        """Counts the events of a watch into `seen` until told to stop."""
        self.connection.request("GET", f"{path}?watch=1&resourceVersion=0", headers=self.headers)
        answer = self.connection.getresponse()
        while not stop.is_set() and answer.readline():
            seen.append(1)


def cluster(number):
    """A cluster that waits for ever for a Secret that is not there: stored, reconciled, and nothing is started."""
    external = {"external": True}
    return {
        "apiVersion": "operator.milvus.io/v1beta1", "kind": "MilvusCluster",
        "metadata": {"name": f"load-{number:03}", "labels": {"load": "yes"}},
        "spec": {"mode": "cluster", "components": {"image": "milvusdb/milvus:v2.3.5"}, "dependencies": {
            "msgStreamType": "pulsar",
            "etcd": dict(external, endpoints=["192.0.2.1:2379"]),
            "storage": dict(external, type="S3", endpoint="192.0.2.1:9000", bucket="load", secretRef="absent"),
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


def measure():
    """All figures, on a fresh Swarm."""
    swarm = testbed.Swarm()
    operator = testbed.Operator(swarm)
    try:
        client, figures = Client(operator), {"RSS idle (MiB)": operator.rss()}
        creates = [timed(lambda n=n: client.call("POST", PATH, cluster(n))) for n in range(20)]
        time.sleep(5)
        figures["RSS with 20 clusters (MiB)"] = operator.rss()
        creates += [timed(lambda n=n: client.call("POST", PATH, cluster(n))) for n in range(20, 100)]
        figures["create, median"] = statistics.median(creates)
        time.sleep(10)  # conditions of all are written; from here on the API is at rest
        figures["RSS with 100 clusters (MiB)"] = operator.rss()
        figures["CPU with 100 clusters at rest (% of a core)"] = operator.idle(15)
        client = Client(operator)  # the server has closed the old connection, which was idle for too long
        lists = [timed(lambda: client.call("GET", PATH)) for _ in range(30)]
        figures["list of 100, median"], figures["list of 100, worst"] = statistics.median(lists), max(lists)
        alone = writes(client, 100)
        figures["merge patch, median"], figures["merge patch, p95"] = statistics.median(alone), sorted(alone)[94]
        stop, counts, watchers = threading.Event(), [[] for _ in range(50)], []
        for seen in counts:
            watcher = Client(operator)
            watchers.append(watcher)
            threading.Thread(target=watcher.watch, args=(PATH, seen, stop), daemon=True).start()
        time.sleep(3)
        before = [len(seen) for seen in counts]
        watched = writes(client, 100)
        time.sleep(1)
        stop.set()
        figures["merge patch with 50 watchers, median"] = statistics.median(watched)
        figures["merge patch with 50 watchers, p95"] = sorted(watched)[94]
        short = [len(seen) - old for seen, old in zip(counts, before) if len(seen) - old < 100]
        if short:
            raise RuntimeError(f"{len(short)} of 50 watchers saw fewer events than the 100 writes: {short[:5]}")
        for watcher in watchers:
            watcher.connection.sock.close()
        return figures
    finally:
        operator.stop()
