"""An endpoint for the quick start: prints each webhook that it receives. `receiver.py [HOST] PORT`."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        print(self.headers["webhook-id"], body.decode(), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments):
        """Prints only the webhooks."""


host, port = (["127.0.0.1"] + sys.argv[1:])[-2:]
HTTPServer((host, int(port)), Receiver).serve_forever()
