"""Answers on TCP and UDP ports, IPv4 and IPv6: `answer.py PORT …`. What it says is the name of the machine."""

import os
import selectors
import socket
import sys

NAME = os.uname().nodename.encode() + b"\n"
chosen = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        opened = socket.socket(socket.AF_INET6, kind)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        opened.bind(("::", port))
        if kind == socket.SOCK_STREAM:
            opened.listen(128)
        chosen.register(opened, selectors.EVENT_READ)
while True:
    for key, _events in chosen.select():
        if key.fileobj.type == socket.SOCK_STREAM:
            connection, _peer = key.fileobj.accept()
            connection.send(NAME)
            connection.close()
        else:
            _data, peer = key.fileobj.recvfrom(100)
            key.fileobj.sendto(NAME, peer)
