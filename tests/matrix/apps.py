"""The app of the matrix: without otelflask (`plain`), and with it (`wired`); as WSGI and as ASGI."""

from __future__ import annotations

from pathlib import Path

PATH = "/n/"
ROUTE = "/n/<int:number>"
#: The app's logger.
LOGGER = "matrix"
#: What the app logs about a request: this and the number.
LINE = "request "

_APP = """
import logging
import os
import sys
import time
__IMPORT__
from flask import Flask

# Each line of output says whose it is.
logging.basicConfig(level=logging.INFO, format="%(process)d|%(levelname)s|%(name)s|%(message)s")
# Lines of servers about each request are no signals of the matrix.
for server in ("werkzeug", "waitress", "uvicorn.access", "uvicorn.error", "hypercorn.error"):
    logging.getLogger(server).setLevel(logging.ERROR)
app = Flask("matrix")


@app.get("/n/<int:number>")
def numbered(number):
    app.logger.info("request %d", number)
    return f"{number} {os.getpid()}\\n"


@app.get("/stuck")
def stuck():
    time.sleep(60)
    return "late"

__INIT__
if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), debug=True)
"""
_ASGI = "import {0}\nfrom a2wsgi import WSGIMiddleware\napp = WSGIMiddleware({0}.app)\n"
_GEVENT = """
import sys
from gevent import monkey
monkey.patch_all()
from {0} import app
from gevent.pywsgi import WSGIServer
WSGIServer(("127.0.0.1", int(sys.argv[1])), app, log=None).serve_forever()
"""


def write(folder: Path) -> None:
    """Write the apps into a folder."""
    inits = {"plain": ("", ""), "wired": ("import otelflask", "otelflask.init(app)")}
    for name, (imports, init) in inits.items():
        (folder / f"{name}.py").write_text(_APP.replace("__IMPORT__", imports).replace("__INIT__", init))
        (folder / f"{name}_asgi.py").write_text(_ASGI.format(name))
        (folder / f"{name}_gevent.py").write_text(_GEVENT.format(name))
