"""Standard output holds results alone, whoever prints."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import ctypes, os
from edgeprune.cli.standard_output import kept_for_results

with kept_for_results():
    print("by Python")
    os.write(1, b"by the system\\n")
    ctypes.CDLL(None).printf(b"by a library in C\\n")
print("the result")
"""


def test_what_is_printed_on_the_way_goes_to_standard_error() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == "the result\n"
    assert all(f"by {who}\n" in done.stderr for who in ("Python", "the system", "a library in C"))


def test_standard_error_may_be_closed() -> None:
    script = f"import os, sys\nos.close(2)\nsys.stderr = open(os.devnull, 'w')\n{SCRIPT}"
    script = script.replace('    os.write(1, b"by the system\\n")\n', "").replace(
        "ctypes.CDLL(None).printf", "len"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "the result\n"
