"""Knocks at ports without a pause, and writes down each time that someone answers.

`knock.py RATE SECONDS PROTOCOL/ADDRESS/PORT …` knocks at each target RATE times a second, for at most SECONDS seconds
or until standard input ends. The report is JSON: {"target": {"sent": N, "answers": [seconds since the start, …]}}.
"""

import errno
import json
import select
import socket
import sys
import time

WAIT = 0.6  # seconds until a knock counts as unheard


def knock(proto, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
    opened.setblocking(False)
    try:
        code = opened.connect_ex((address, port))
        if proto == "udp" and code == 0:
            opened.send(b"knock")
    except OSError as error:
        code = error.errno
    if code not in (0, errno.EINPROGRESS):
        opened.close()
        return None
    return opened


def heard(opened, proto):
    """Say whether a socket that became ready got through."""
    if proto == "tcp":
        return opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    try:
        return bool(opened.recv(100))
    except OSError:
        return False


def main():
    rate, seconds = float(sys.argv[1]), float(sys.argv[2])
    targets = sys.argv[3:]
    report = {target: {"sent": 0, "answers": []} for target in targets}
    began = time.monotonic()
    due = began
    waiting = {}  # socket -> (target, protocol, when it was sent)
    asked_to_end = False
    while waiting or not asked_to_end:
        now = time.monotonic()
        if now - began > seconds:
            asked_to_end = True
        if not asked_to_end and now >= due:
            due += 1 / rate
            for target in targets:
                proto, address, port = target.split("/")
                report[target]["sent"] += 1
                opened = knock(proto, address, int(port))
                if opened is not None:
                    waiting[opened] = (target, proto, now)
        writers = [opened for opened, (_target, proto, _at) in waiting.items() if proto == "tcp"]
        readers = [opened for opened, (_target, proto, _at) in waiting.items() if proto == "udp"]
        pause = max(0.0, min(due - now, 0.05))
        ready_in, ready_out, _bad = select.select([*readers, sys.stdin], writers, [], pause)
        if sys.stdin in ready_in:
            ready_in.remove(sys.stdin)
            asked_to_end = asked_to_end or not sys.stdin.read(1)
        for opened in (*ready_in, *ready_out):
            target, proto, _at = waiting.pop(opened)
            if heard(opened, proto):
                report[target]["answers"].append(round(now - began, 2))
            opened.close()
        for opened in [opened for opened, (_t, _p, at) in waiting.items() if now - at > WAIT]:
            waiting.pop(opened)
            opened.close()
    print(json.dumps(report))


main()
