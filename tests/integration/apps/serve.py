"""Servers without a command of their own: ``serve.py SERVER PORT`` serves ``bodies:app``."""

from __future__ import annotations

import sys

server, port = sys.argv[1], int(sys.argv[2])

if server == "eventlet":
    import warnings

    warnings.simplefilter("ignore")
    import eventlet

    eventlet.monkey_patch()
    import eventlet.wsgi
    from bodies import app

    eventlet.wsgi.server(eventlet.listen(("127.0.0.1", port)), app)
elif server == "gevent":
    from gevent import monkey

    monkey.patch_all()
    from bodies import app
    from gevent.pywsgi import WSGIServer

    WSGIServer(("127.0.0.1", port), app).serve_forever()
elif server == "wsgiref":
    from wsgiref.simple_server import make_server

    from bodies import app

    make_server("127.0.0.1", port, app).serve_forever()
else:
    raise SystemExit(f"no server {server!r}")
