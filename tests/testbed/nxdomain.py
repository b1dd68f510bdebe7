#!/usr/bin/env python3
"""A name server that knows no name: nxdomain.py ADDRESS.

Engines forward names they do not know to the machine's name server and pass on nothing while it is silent, so that a
container waits five seconds for every name that is not there yet. A site has a name server that says no at once.
"""
import socket
import struct
import sys


def refuse(query):
    """The query's own id and question with the answer NXDOMAIN, or None for what is no query."""
    if len(query) < 12:
        return None
    ident, flags, questions = struct.unpack(">HHH", query[:6])
    if flags & 0x8000 or questions != 1:
        return None
    end = 12
    while end < len(query) and query[end]:
        end += query[end] + 1
    question = query[12:end + 5]
    return struct.pack(">HHHHHH", ident, 0x8083 | flags & 0x0100, 1, 0, 0, 0) + question


def main(address):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    while True:
        query, client = server.recvfrom(4096)
        if answer := refuse(query):
            server.sendto(answer, client)


main(sys.argv[1])
