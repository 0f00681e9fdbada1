"""Instructions of single calls, counted by valgrind: the same on a busy machine as on an idle one.

A child process runs under callgrind and asks it for a count around each call, by a sequence of
machine code that valgrind takes as a request and a processor executes without effect (valgrind.h,
``__SPECIAL_INSTRUCTION_PREAMBLE``).
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

_CODE = bytes.fromhex(
    "4889f8"  # mov rax, rdi: the request and its arguments
    "31d2"  # xor edx, edx: the answer without valgrind
    "48c1c70348c1c70d48c1c73d48c1c733"  # rol rdi by 3, 13, 61, 51: together without effect
    "4887db"  # xchg rbx, rbx
    "4889d0c3"  # mov rax, rdx; ret
)
#: Callgrind's requests begin with the letters "CT" (callgrind.h).
_BASE = ord("C") << 24 | ord("T") << 16
_ZERO, _DUMP_AT = _BASE + 1, _BASE + 3
#: Seconds after which a process hangs. One with hundreds of texts takes many minutes on a busy machine.
HANGS_S = 1_800
_memory: mmap.mmap | None = None


def _ask(question: int, text: bytes = b"") -> None:
    global _memory
    if _memory is None:
        _memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        _memory.write(_CODE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(_memory))
    buffer = ctypes.create_string_buffer(text)
    arguments = (ctypes.c_uint64 * 6)(question, ctypes.addressof(buffer))
    ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)(ctypes.addressof(arguments))


def measure(name: str, function: Callable[[], object]) -> None:
    """Count the instructions of `function` under this name, after a first call that fills caches. For the child."""
    function()
    gc.disable()
    _ask(_ZERO)
    function()
    _ask(_DUMP_AT, name.encode())
    gc.enable()


def count(script: Path, folder: Path, **variables: str) -> Mapping[str, int]:
    """Run a script that calls `measure`. Returns instructions by name. The test is skipped without valgrind."""
    if shutil.which("valgrind") is None:
        pytest.skip("no valgrind is installed (Debian: apt-get install valgrind)")
    if platform.machine() != "x86_64":
        pytest.skip("instructions are counted on x86_64 only")
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/counts", sys.executable, str(script)]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANGS_S)
    assert done.returncode == 0, done.stderr[-4_000:]
    found = {}
    for file in folder.glob("counts*"):
        text = file.read_text()
        name = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.M)
        totals = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
        if name is not None and totals is not None:
            found[name.group(1)] = int(totals.group(1))
    return found
