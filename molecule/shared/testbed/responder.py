"""In the container of the CA: answers by OCSP from the files index, issuer.pem and issuer.key of this folder.

OpenSSL makes the answers. As a server it would serve one client at a time, and wait without end for one that connects
and asks nothing, as Go's library does ahead of time.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# Go's library, and so Caddy, takes no answer that brings the certificate of a CA as that of the one who signed.
ANSWER = (
    "openssl ocsp -index index -CA issuer.pem -rsigner issuer.pem -rkey issuer.key -resp_no_certs -no_nonce"
).split()


class Responder(BaseHTTPRequestHandler):
    timeout = 10

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        with tempfile.TemporaryDirectory() as folder:
            question, answer = Path(folder, "question"), Path(folder, "answer")
            question.write_bytes(asked)
            subprocess.run([*ANSWER, "-reqin", question, "-respout", answer], check=True, capture_output=True)
            body = answer.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "application/ocsp-response")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Responder).serve_forever()
