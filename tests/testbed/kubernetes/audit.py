#!/usr/bin/env python3
"""Counts requests in the audit log of a testbed's API server.

    audit.py LOG [--user NAME] [--since SECONDS]    prints a line per user, verb and resource

Each request counts once, when it is answered; a watch counts once, when it ends.
"""
import argparse
import collections
import datetime
import json
import pathlib

WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def events(log, start=0, end=None):
    """Complete audit events between two byte positions of the log."""
    position = start
    with open(log, "rb") as lines:
        lines.seek(start)
        for line in lines:
            position += len(line)
            if not line.endswith(b"\n") or (end is not None and position > end):
                return
            yield json.loads(line)


def answered(event):
    """The event that counts for its request."""
    return event.get("stage") in ("ResponseComplete", "Panic")


def what(event):
    """Verb and resource (with its subresource), or the path of what is no resource."""
    ref = event.get("objectRef") or {}
    name = ref.get("resource") or event["requestURI"].split("?")[0]
    return f"{event['verb']} {name}" + (f"/{ref['subresource']}" if ref.get("subresource") else "")


def seconds(stamp):
    """A time of the log in seconds of the epoch."""
    return datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def count(log, user=None, start=0, end=None, since=None):
    """Requests by user, each a counter by verb and resource. `since` is in seconds of the epoch."""
    found = collections.defaultdict(collections.Counter)
    for event in events(log, start, end):
        name = event["user"].get("username", "?")
        if not answered(event) or (user and name != user):
            continue
        if since is not None and seconds(event["requestReceivedTimestamp"]) < since:
            continue
        found[name][what(event)] += 1
    return found


def made(log, user, resource, start=0):
    """When the last object of a resource was made by a user since a byte position of the log, in seconds of the epoch; None without one."""
    new = (event for event in events(log, start) if event.get("responseStatus", {}).get("code") == 201 and event["user"].get("username") == user)
    return max((seconds(event["stageTimestamp"]) for event in new if (event.get("objectRef") or {}).get("resource") == resource), default=None)


def writes(counter):
    """How many of the requests change something."""
    return sum(n for key, n in counter.items() if key.split()[0] in WRITES)


def main():
    """Parses the command line and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=pathlib.Path)
    parser.add_argument("--user")
    parser.add_argument("--since", type=float, help="seconds of the epoch")
    args = parser.parse_args()
    for name, counter in sorted(count(args.log, args.user, since=args.since).items()):
        for key, number in sorted(counter.items(), key=lambda item: -item[1]):
            print(f"{name}\t{key.split()[0]}\t{key.split(maxsplit=1)[1]}\t{number}")


if __name__ == "__main__":
    main()
