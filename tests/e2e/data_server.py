"""Runs in a Pod: serves the files of a folder, and gates. A request for /gates/NAME is answered once /tmp/NAME exists,
so that a test decides how long an execution takes.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(SimpleHTTPRequestHandler):
    """Files, and gates."""

    def do_GET(self) -> None:
        folder, _, name = self.path.strip("/").partition("/")
        if folder != "gates":
            super().do_GET()
            return
        while not Path("/tmp", name).exists():
            time.sleep(0.2)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'"open"')


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[2])), partial(Handler, directory=sys.argv[1])).serve_forever()
