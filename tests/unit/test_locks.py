"""A child that is forked while another thread holds a lock finds it free."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.integration.conftest import NO_EXPORT

HELD = """
import _thread, gc, logging, os, signal, sys, threading
import flask, otelflask
from otelflask._internal.breaker.breaker import CircuitBreaker
from sqlalchemy import create_engine, text

app = flask.Flask("shop")
breaker = CircuitBreaker("payments")
engine = create_engine(f"sqlite:///{sys.argv[1]}/shop.sqlite3")
otelflask.init(app, console="traces", log_dir=sys.argv[1], state_dir=sys.argv[1], metrics_path="/metrics",
               environment="development", profile_share=1.0, profile_slow=0.0, slow_query_threshold=0.0,
               mail_to="a@b.example", mail_from="a@b.example", mail_server="127.0.0.1:9", mail_security="none")

@app.get("/x")
def x():
    app.logger.error("line")
    otelflask.event("order.placed")
    otelflask.set_user("ann")
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return breaker.call(lambda: "x")

def ask():
    assert app.test_client().get("/x").status_code == 200
    for path in ("/health", "/metrics", "/monitoring"):
        assert app.test_client().get(path, environ_base={"REMOTE_ADDR": "127.0.0.1"}).status_code == 200, path
    otelflask.flush(3)

ask()
kinds = (type(threading.Lock()), type(threading.RLock()))
held = []
for owner in gc.get_objects():
    name = str(type(owner).__module__)
    names = vars(owner) if name.startswith("otelflask") and hasattr(owner, "__dict__") else {}
    if isinstance(owner, type(sys)) and owner.__name__.startswith("otelflask"):
        names = vars(owner)
    for attribute, value in list(names.items()):
        if isinstance(value, kinds):
            held.append((f"{type(owner).__qualname__}.{attribute}", value))
        elif isinstance(value, (threading.Condition, threading.Event)):
            held.append((f"{type(owner).__qualname__}.{attribute}", getattr(value, "_lock", None) or value._cond._lock))

ready = threading.Event()

def hold():
    for _, lock in held:
        lock.acquire(timeout=1)
    ready.set()
    threading.Event().wait()

threading.Thread(target=hold, daemon=True).start()
ready.wait(60)
pid = os.fork()
if pid == 0:
    signal.alarm(30)
    ask()
    otelflask.init(flask.Flask("another"))
    os._exit(0)
status = os.waitpid(pid, 0)[1]
print(status, len({name for name, _ in held}))
os._exit(0)
"""


def test_a_child_forked_while_all_locks_are_held_goes_on(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELD, str(tmp_path)],
        env={**os.environ, **NO_EXPORT},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout, done.stderr[-3_000:]
    status, locks = done.stdout.split()[-2:]
    assert status == "0", done.stderr[-3_000:]
    assert int(locks) > 10
