#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The real daemon, the real client, real jobs and the kernel of the machine at hand. Each scenario has a private daemon,
a directory and cgroups of its own, and begins with its goal. What can't be played here says skip and why.

usage: test-jobs.py BUILD_DIRECTORY [-k PATTERN] [-j SCENARIOS_AT_ONCE] [-l]
"""

import argparse
import os
import queue
import re
import shutil
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import jobs_kit
import jobs_answers  # noqa: F401  each registers its scenarios
import jobs_doctor  # noqa: F401
import jobs_drill  # noqa: F401
import jobs_criu  # noqa: F401
import jobs_finding  # noqa: F401
import jobs_hardship  # noqa: F401
import jobs_ladder  # noqa: F401
import jobs_life  # noqa: F401
import jobs_metrics  # noqa: F401
import jobs_page  # noqa: F401
import jobs_part  # noqa: F401
import jobs_record  # noqa: F401
import jobs_saving  # noqa: F401
import jobs_terminal  # noqa: F401
import jobs_top  # noqa: F401
import jobs_trees  # noqa: F401
import jobs_words  # noqa: F401

counts = {"ok": 0, "not ok": 0, "skip": 0}
print_lock = threading.Lock()


def report(result, name, why="", seconds=0.0):
    with print_lock:
        counts[result] += 1
        if result == "ok":
            print(f"ok - {name} ({seconds:.1f} s)", flush=True)
        else:
            print(f"{result} - {name}: {why}", flush=True)


def where(error):
    """The scenario's own line that failed."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__)
             if re.match(r"jobs_(?!kit)", os.path.basename(frame.filename))]
    return f"{os.path.basename(lines[-1].filename)}:{lines[-1].lineno}: " if lines else ""


def play(scenario):
    began = time.monotonic()
    scene, result, why = None, "ok", ""
    try:
        scene = jobs_kit.Scene.__new__(jobs_kit.Scene)
        scene.__init__(scenario.kind)
        scenario.function(scene)
    except jobs_kit.Skip as skip:
        result, why = "skip", str(skip)
    except Exception as error:  # one that breaks must not keep the others from running
        result, why = "not ok", f"{where(error)}{type(error).__name__}: {error}"
    try:
        scene.close()
    except Exception as error:
        if result == "ok":
            result, why = "not ok", f"cleaning up: {error}"
    report(result, scenario.name, why, time.monotonic() - began)


def play_all(scenarios, at_once):
    """Those that wait long in threads of their own, then the many, some at once, then those that need the machine."""
    background = [threading.Thread(target=play, args=(s,)) for s in scenarios if s.background]
    for thread in background:
        thread.start()
    many = queue.SimpleQueue()
    for s in scenarios:
        if not s.background and not s.alone:
            many.put(s)

    def work():
        while True:
            try:
                s = many.get_nowait()
            except queue.Empty:
                return
            play(s)

    workers = [threading.Thread(target=work) for _ in range(at_once)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    for s in scenarios:
        if s.alone and not s.background:
            play(s)
    for thread in background:
        thread.join()


def gather_programs(build, directory):
    """Copies, where an ordinary user can run them too, whatever the rights of the build directory are."""
    os.chmod(directory, 0o755)
    for program in ("headroomd", "headroom"):
        path = os.path.join(build, program)
        if not os.access(path, os.X_OK):
            sys.exit(f"test-jobs.py: there is no {program} in {build}: make B={build}")
        shutil.copy(path, directory)
    shutil.copytree(os.path.join(build, "python"), os.path.join(directory, "python"))
    workload = os.path.join(directory, "workload.py")
    shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "workload.py"), workload)
    os.chmod(workload, 0o755)
    pressed = os.path.join(build, "tests/daemon/fake-pressed")
    if os.path.exists(pressed):  # else the scenario that needs it says so
        shutil.copy(pressed, directory)
    jobs_kit.Scene.build, jobs_kit.Scene.workload, jobs_kit.Scene.store = directory, workload, os.path.abspath(build)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("-k", metavar="PATTERN", default="", help="only scenarios whose name it is found in")
    parser.add_argument("-j", metavar="N", type=int, default=3, help="scenarios at once")
    parser.add_argument("-l", action="store_true", help="list them with their goals")
    o = parser.parse_args()
    chosen = [s for s in jobs_kit.SCENARIOS if re.search(o.k, s.name)]
    if o.l:
        for s in chosen:
            print(f"{s.name}: {' '.join(s.function.__doc__.split())}")
        return 0
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="headroom-programs-") as programs:
        gather_programs(o.build, programs)
        play_all(chosen, o.j)
    print(f"jobs: {counts['ok']} passed, {counts['not ok']} failed, {counts['skip']} skipped")
    return 1 if counts["not ok"] else 0


if __name__ == "__main__":
    sys.exit(main())
