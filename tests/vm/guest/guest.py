# SPDX-License-Identifier: LGPL-2.1-or-later
"""What programs that measure in the guest share (tests/arena, tests/bench)."""

import subprocess
import time


def run(*words, timeout=60):
    """Status, what it said, and what it complained of; 124 when the time is up."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False)
        return done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired:
        return 124, "", f"no end within {timeout} s"


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
