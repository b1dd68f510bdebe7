"""The testbed as the benchmark sees it: fresh Swarms, an operator process, figures from /proc and from the engine."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
from datetime import datetime, timezone

SWARM = os.environ["MILVUS_TEST_SWARM"]
CLIENT = os.environ["MILVUS_TEST_CLIENT"]
TICKS = os.sysconf("SC_CLK_TCK")


def run(*command, env=None, timeout=600, check=True):
    """A command's standard output; on failure its standard error is part of the exception."""
    done = subprocess.run(command, env=env, timeout=timeout, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
    return done.stdout


def seconds(stamp):
    """An engine's time stamp (RFC 3339, nanoseconds) as seconds since the epoch."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return moment.timestamp() + float(f"0.{fraction or 0}")


def free_port():
    """A TCP port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Swarm:
    """A fresh Swarm of three managers whose nodes have all images."""

    def __init__(self, managers=3):
        run(SWARM, "up", str(managers))
        self.nodes = [line.split() for line in run(SWARM, "nodes").splitlines()]
        self.host = f"unix://{self.nodes[0][3]}"
        self.address = self.nodes[0][2]

    def docker(self, *command):
        """Output of a docker command on the first manager."""
        return run("docker", "-H", self.host, *command)

    def services(self):
        """All services, as the engine describes them, by name."""
        ids = self.docker("service", "ls", "-q").split()
        if not ids:
            return {}
        return {s["Spec"]["Name"]: s for s in json.loads(self.docker("service", "inspect", *ids))}

    def tasks(self):
        """All tasks that the engine remembers."""
        ids = sorted({t for node in self.docker("node", "ls", "-q").split() for t in self.docker("node", "ps", "-q", node).split()})
        return json.loads(self.docker("inspect", "--type", "task", *ids)) if ids else []

    def failures(self):
        """How many tasks ended by themselves, with an error, by service."""
        names = {s["ID"]: name for name, s in self.services().items()}
        ended = {}
        for task in self.tasks():
            if task["Status"]["State"] in ("failed", "rejected"):
                name = names.get(task["ServiceID"], "?")
                ended[name] = ended.get(name, 0) + 1
        return ended

    def search(self, wait=300, port=19530):
        """One round of the real client; its figures in seconds, counted from its own start."""
        out = run(CLIENT, "search", "--uri", f"http://{self.address}:{port}", "--wait", str(wait), "--json", timeout=wait + 400)
        return json.loads(out.splitlines()[-1])["seconds"]


class Operator:
    """The operator as a process on this machine, talking to a Swarm."""

    def __init__(self, swarm, store="swarm"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="milvus-bench-"))
        self.kubeconfig = self.folder / "kubeconfig"
        self.metrics = f"127.0.0.1:{free_port()}"
        self.log = open(self.folder / "operator.log", "wb")
        start = time.monotonic()
        self.process = subprocess.Popen(
            [os.environ["MILVUS_TEST_OPERATOR"], "run", "--platform", "swarm", "--docker-host", swarm.host,
             "--api-listen", f"127.0.0.1:{free_port()}", "--write-kubeconfig", self.kubeconfig, "--store", store,
             "--keys", self.folder / "keys", "--metrics-listen", self.metrics, "--gateway-image", os.environ["MILVUS_TEST_GATEWAY_IMAGE"]],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.env = dict(os.environ, KUBECONFIG=str(self.kubeconfig))
        while True:
            if self.process.poll() is not None or time.monotonic() - start > 60:
                raise RuntimeError(f"the operator is not ready: {(self.folder / 'operator.log').read_text()[-3000:]}")
            if self.kubeconfig.exists() and "ok" in run("kubectl", "get", "--raw", "/readyz", env=self.env, check=False):
                break
            time.sleep(0.05)
        self.started = time.monotonic() - start

    def kubectl(self, *command):
        """Output of a kubectl command against the operator's API."""
        return run("kubectl", *command, env=self.env)

    def rss(self):
        """Resident memory in MiB."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no VmRSS")

    def cpu(self):
        """Seconds of CPU used so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def idle(self, span):
        """Percent of a core used over so many seconds of rest."""
        before = self.cpu()
        time.sleep(span)
        return 100 * (self.cpu() - before) / span

    def stop(self):
        """Ends the process, as an update of the service would."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder)
