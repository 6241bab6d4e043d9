"""On the host: what the edge adds to a request. Prints the medians in milliseconds: direct, and through the edge."""

from __future__ import annotations

import http.client
import socket
import ssl
import statistics
import sys
import time

ROUNDS = 600


def median(connection: socket.socket) -> float:
    client = http.client.HTTPConnection("app.test")
    client.sock = connection
    taken = []
    for _round in range(ROUNDS):
        began = time.perf_counter()
        client.request("GET", "/", headers={"Host": "app.test"})
        client.getresponse().read()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    direct = median(socket.create_connection((sys.argv[1], 8000)))
    plain = socket.create_connection(("127.0.0.1", 443))
    print(f"{direct:.3f} {median(context.wrap_socket(plain, server_hostname='app.test')):.3f}")


if __name__ == "__main__":
    main()
