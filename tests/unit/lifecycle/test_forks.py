"""A process that forks in C starts no threads, and one of its children sends what it has recorded."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import ctypes, os, threading
from otelflask._internal.export.handover import Handover
from otelflask._internal.lifecycle import forks

class Item:
    def after_fork(self):
        handover.after_fork(forks.is_heir)

forks.start_no_threads(lambda: may_inherit)
handover = Handover()
seen = []
kind = handover.add_view(lambda item: seen.append(item[1]), print)
handover.append((kind, "before"))
item = Item()
may_inherit = False
forks.on_fork(item)
print("parent", threading.active_count(), len(handover), flush=True)

def fork():
    # As uWSGI does: Python is not told.
    child = ctypes.PyDLL(None).fork()
    if child == 0:
        forks.notice()
        handover.append((kind, "after"))
        handover.close()
        print("child", threading.active_count() > 1, seen, flush=True)
        os._exit(0)
    os.waitpid(child, 0)

fork()
may_inherit = True
fork()
fork()
print("parent", threading.active_count(), seen)
"""


def test_the_first_child_that_may_sends_what_a_process_without_threads_recorded() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        "parent 1 1",
        "child True ['after']",
        "child True ['before', 'after']",
        "child True ['after']",
        "parent 1 []",
    ], done.stderr
