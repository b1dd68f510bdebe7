#!/usr/bin/env python3
"""A real client's round through a Milvus endpoint, and a check of what an earlier round left.

    search.py --uri http://HOST:19530                        create, insert, flush, index, load, search
    search.py --uri ... --check-only                         the rows of an earlier run must all be there and be found
    search.py --uri ... --wait 120                           try until the endpoint answers, at most so many seconds
    search.py --uri ... --insert-for 60                      insert for so many seconds, whatever happens meanwhile; every row that
                                                             was acknowledged must be found
    search.py --uri https://... --ca FILE --server-name N    over TLS, to a server whose certificate FILE vouches for

Vectors are made from the row number, so every run knows what a collection must hold. Each step prints its seconds; the exit
code is 0 only if all rows are counted and the nearest neighbour of every probed vector is that vector itself.
"""
import argparse
import json
import random
import sys
import time
import urllib.parse

import grpc
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, MilvusException, connections, utility

DIM = 64
BATCH = 5000
PROBES = 20
# Rows of one insert of many, and the pause between two.
FEW = 5
PAUSE = 0.1


def vector(row):
    """The vector of a row: the same in every run, near to no other."""
    source = random.Random(row)
    return [source.uniform(-1, 1) for _ in range(DIM)]


class Steps:
    """Prints how long each step took and keeps the figures for --json."""

    def __init__(self, quiet):
        self.begin = time.monotonic()
        self.quiet = quiet
        self.times = {}

    def __call__(self, name, action):
        start = time.monotonic()
        result = action()
        self.times[name] = round(time.monotonic() - start, 3)
        if not self.quiet:
            print(f"{name:<8} {self.times[name]:8.2f} s", flush=True)
        return result


def channel_to(args):
    """A connection of its own to the endpoint."""
    address, options = urllib.parse.urlparse(args.uri).netloc, [("grpc.use_local_subchannel_pool", 1)]
    if not args.ca:
        return grpc.insecure_channel(address, options=options)
    with open(args.ca, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    return grpc.secure_channel(address, credentials, options + [("grpc.ssl_target_name_override", args.server_name)])


def reachable(args):
    """Fails until the endpoint speaks HTTP/2. On a connection of its own: gRPC keeps one back-off for all channels of a process to
    an address, which pymilvus never closes when they failed, so a client that knocked too early would come up to a minute late."""
    with channel_to(args) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=2)
        except grpc.FutureTimeoutError as error:
            raise OSError("no gRPC server answers") from error


def connect(args):
    """Connects and asks for the version; with `wait`, again until the endpoint answers."""
    deadline = time.monotonic() + args.wait
    tls = {"secure": True, "server_pem_path": args.ca, "server_name": args.server_name} if args.ca else {}
    while True:
        try:
            reachable(args)
            connections.connect("default", uri=args.uri, token=args.token, timeout=2, **tls)
            return utility.get_server_version(timeout=2)
        except (MilvusException, OSError) as error:
            if time.monotonic() >= deadline:
                raise SystemExit(f"search.py: no answer from {args.uri}: {error}") from error
            connections.disconnect("default")
            time.sleep(0.25)


class Wrong(Exception):
    """An answer that misses rows."""


def retry(action, wait):
    """A cluster that answers may still refuse work while its parts find each other, and right after a query node was lost
    Milvus 2.3 answers a search from the segments loaded so far, so a wrong answer is final only when `wait` is over."""
    deadline = time.monotonic() + wait
    while True:
        try:
            return action()
        except (MilvusException, Wrong) as error:
            if time.monotonic() >= deadline:
                raise
            print(f"search.py: again after: {str(error)[:160]}", file=sys.stderr)
            time.sleep(0.5)


def create(name):
    """A new, empty collection of that name."""
    if utility.has_collection(name, timeout=30):
        utility.drop_collection(name, timeout=60)
    fields = [FieldSchema("row", DataType.INT64, is_primary=True), FieldSchema("vector", DataType.FLOAT_VECTOR, dim=DIM)]
    return Collection(name, CollectionSchema(fields), timeout=60)


def insert(collection, first, rows):
    """Rows first..first+rows, in batches."""
    for start in range(first, first + rows, BATCH):
        numbers = list(range(start, min(start + BATCH, first + rows)))
        collection.insert([numbers, [vector(n) for n in numbers]], timeout=60)


def insert_for(collection, seconds):
    """Inserts new rows, a few at a time, and passes over those that are refused; gives the rows that were acknowledged."""
    acknowledged, first, end = set(), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        rows = list(range(first, first + FEW))
        first += FEW
        try:
            collection.insert([rows, [vector(n) for n in rows]], timeout=10)
            acknowledged.update(rows)
        except MilvusException as error:
            print(f"search.py: refused: {str(error)[:160]}", file=sys.stderr)
        time.sleep(PAUSE)
    return acknowledged


def all_found(collection, rows):
    """Every one of these rows is there."""
    found = {row["row"] for row in collection.query("row >= 0", output_fields=["row"], consistency_level="Strong", timeout=60)}
    if rows - found:
        raise Wrong(f"search.py: {len(rows - found)} of {len(rows)} acknowledged rows are lost")


def index(collection):
    """An HNSW index, finished."""
    parameters = {"index_type": "HNSW", "metric_type": "L2", "params": {"M": 16, "efConstruction": 100}}
    collection.create_index("vector", parameters, timeout=120)
    utility.wait_for_index_building_complete(collection.name, timeout=300)


def search(collection, rows):
    """The nearest neighbour of each probed row is the row itself, and all rows are counted."""
    probes = sorted({(n * (rows - 1)) // (PROBES - 1) for n in range(PROBES)}) if rows > 1 else [0]
    found = collection.search([vector(n) for n in probes], "vector", {"metric_type": "L2", "params": {"ef": 128}}, limit=3,
                              consistency_level="Strong", timeout=60)
    wrong = [n for n, hits in zip(probes, found) if not hits or hits[0].id != n or hits[0].distance > 1e-4]
    if wrong:
        raise Wrong(f"search.py: {len(wrong)} of {len(probes)} searches did not find the vector itself: rows {wrong}")
    counted = collection.query("", output_fields=["count(*)"], consistency_level="Strong", timeout=60)[0]["count(*)"]
    if counted != rows:
        raise Wrong(f"search.py: {counted} of {rows} rows are there")


def main():
    """Parses the command line and runs the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uri", required=True)
    parser.add_argument("--token", default="", help="user:password")
    parser.add_argument("--collection", default="testbed")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--wait", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--check-only", "--expect-existing", action="store_true", help="the rows of an earlier run must be there")
    parser.add_argument("--insert-for", type=float, metavar="SECONDS")
    parser.add_argument("--ca", default="", metavar="FILE", help="certificate of the authority of the server's")
    parser.add_argument("--server-name", default="", help="the name in the server's certificate")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    args = parser.parse_args()

    step = Steps(args.json)
    version = step("answer", lambda: connect(args))
    if args.check_only:
        if not retry(lambda: utility.has_collection(args.collection, timeout=30), args.wait):
            raise SystemExit(f"search.py: there is no collection '{args.collection}'")
        collection = Collection(args.collection)
        step("load", lambda: retry(lambda: collection.load(timeout=120), args.wait))
        step("search", lambda: retry(lambda: search(collection, args.rows), args.wait))
    elif args.insert_for:
        collection = step("create", lambda: retry(lambda: create(args.collection), args.wait))
        retry(lambda: index(collection), args.wait)
        step("load", lambda: retry(lambda: collection.load(timeout=180), args.wait))
        acknowledged = step("insert", lambda: insert_for(collection, args.insert_for))
        step("flush", lambda: retry(lambda: collection.flush(timeout=180), args.wait))
        step("query", lambda: retry(lambda: all_found(collection, acknowledged), args.wait))
        args.rows = len(acknowledged)
    else:
        collection = step("create", lambda: retry(lambda: create(args.collection), args.wait))
        step("insert", lambda: insert(collection, 0, args.rows))
        step("flush", lambda: retry(lambda: collection.flush(timeout=180), args.wait))
        step("index", lambda: retry(lambda: index(collection), args.wait))
        step("load", lambda: retry(lambda: collection.load(timeout=180), args.wait))
        step("search", lambda: retry(lambda: search(collection, args.rows), args.wait))
    step.times["total"] = round(time.monotonic() - step.begin, 3)
    if args.json:
        print(json.dumps({"version": version, "rows": args.rows, "seconds": step.times}))
    else:
        print(f"ok: Milvus {version}, {args.rows} rows, {step.times['total']:.2f} s in all")


try:
    main()
except Wrong as wrong:
    raise SystemExit(str(wrong)) from wrong
