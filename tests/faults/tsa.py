#!/usr/bin/env python3
"""A time-stamping authority: HTTP around `openssl ts`. Usage: tsa.py DIR; writes its port to DIR/port.

DIR has tsa.cnf. While DIR/mode holds a word other than `good`, it is wrong in that way: `stale` gives the last answer
again, `fails` is a server error, `bent` changes the last byte of the signature.
"""
import http.server
import os
import subprocess
import sys

folder = sys.argv[1]
last = b""


def mode():
    try:
        with open(os.path.join(folder, "mode")) as f:
            return f.read().strip()
    except FileNotFoundError:
        return "good"


class Tsa(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global last
        query = os.path.join(folder, "query.tsq")
        with open(query, "wb") as f:
            f.write(self.rfile.read(int(self.headers["Content-Length"])))
        answer = subprocess.run(
            ["openssl", "ts", "-reply", "-config", os.path.join(folder, "tsa.cnf"), "-queryfile", query],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        if mode() == "stale" and last:
            answer = last
        elif mode() == "bent":
            answer = answer[:-1] + bytes([answer[-1] ^ 1])
        else:
            last = answer
        self.send_response(503 if mode() == "fails" else 200)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Tsa)
with open(os.path.join(folder, "port.tmp"), "w") as f:
    f.write(str(server.server_port))
os.rename(os.path.join(folder, "port.tmp"), os.path.join(folder, "port"))
server.serve_forever()
