# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Headroom's rows on this machine's own kernel, not emulated: `headroom-v1`, jobs in a cgroup v1 memory group, and
`headroom-tree`, process trees without a cgroup of their own, watched by an ordinary user's daemon, where Headroom alone
enforces the limit. The programs and the judgement are the guest's; a private daemon as in tests/daemon.

usage: host.py BUILD [options of arena.sh]     writes JSON lines to stdout, progress to stderr
"""

import fnmatch
import json
import os
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "guest"), os.path.join(HERE, "..", "daemon"), HERE]
sys.dont_write_bytecode = True

import cells
import headroom_user
import jobs_kit
import plan

KINDS = {"v1": "cgroup", "tree": "process"}
DATA_MIB = 256
CELL_SECONDS_MAX = 60


def missing(kind):
    """Why it can't be played here, or nothing."""
    if kind == "v1" and jobs_kit.VERSION != 1:
        return "this machine has no cgroup v1 memory controller"
    return ""


def play(cell, row, scene, jobs, data):
    scene.daemon()
    to = cells.target_mib(row, cells.OWN, row.limit_mib, 0)
    owner = headroom_user.Owner(scene.client, cells.more_room_mib(row, cells.OWN, row.limit_mib, 0))
    runs = []
    go = os.path.join(scene.work, "go")
    for number in range(cell.jobs()):
        state = os.path.join(scene.work, f"state-{number}")
        paths = {"state": state, "data": data, "go": go, "scratch": state + ".scratch",
                 "shm": f"/dev/shm/arena-{os.path.basename(scene.directory)}"}
        run = scene.run(*cells.command(row, jobs, row.limit_mib, to, paths), limit=f"{row.limit_mib}M",
                        options=("--fuse",) if row.fuse else ())
        run.state = state
        runs.append(run)
    if "{go}" in row.program:
        jobs_kit.wait_until("all are watched, or were refused", lambda: len(scene.jobs()) >= sum(
            run.process.poll() is None for run in runs), CELL_SECONDS_MAX)
        open(go, "w", encoding="ascii").close()
    until = time.monotonic() + CELL_SECONDS_MAX
    while any(run.process.poll() is None for run in runs) and time.monotonic() < until:
        owner.answer()
        time.sleep(0.1)
    names = [run.name for run in runs if run.process.poll() != 125]
    jobs_kit.wait_until("all ends are told", lambda: time.monotonic() > until or len(names) <= sum(
        event["action"] == "end" for event in owner.events()), CELL_SECONDS_MAX + 5)
    events = [event for event in owner.events() if event["name"] in names]
    texts = [jobs_kit.read_text(run.state, "") for run in runs]
    if os.path.exists(paths["shm"]):
        os.unlink(paths["shm"])
    return cells.judge(cell, {
        "names": [run.name for run in runs],
        "states": [json.loads(text) if text else None for text in texts],
        "statuses": [run.process.poll() for run in runs],
        "kernel_kills": sum(event["action"] == "end" and event["outcome"] == "lost" for event in events),
        "timed_out": any(run.process.poll() is None for run in runs),
        "limit_bytes": row.limit_mib << 20,
        "events": events,
        "answers_count": sum(owner.answers.values()),
        "resume_refused": owner.refused,
        "run_says": next((run.err()[-300:] for run in runs if run.process.poll() == 125), ""),
    })


def main():
    build, options = sys.argv[1], plan.parse(sys.argv[2:])
    wanted = [kind for kind in KINDS if kind in options.here.split(",")]
    if "headroom" not in options.contenders.split(",") or cells.OWN not in options.bindings.split(","):
        wanted = []
    rows = [row for row in cells.ROWS
            if cells.OWN in row.bindings and any(fnmatch.fnmatch(row.name, glob) for glob in options.rows.split(","))]
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="headroom-arena-") as programs:
        os.chmod(programs, 0o755)
        for program in ("headroomd", "headroom"):
            shutil.copy(os.path.join(build, program), programs)
        jobs = shutil.copytree(os.path.join(HERE, "guest", "jobs"), os.path.join(programs, "jobs"))
        data = os.path.join(programs, "data")
        with open(data, "wb") as out:
            for _ in range(DATA_MIB if wanted else 0):
                out.write(os.urandom(1 << 20))
        jobs_kit.Scene.build, jobs_kit.Scene.workload = programs, ""
        for kind in wanted:
            for row in rows:
                for number in range(options.runs):
                    count = plan.SHORT_COUNT if options.short and row.count > 1 else 0
                    cell = cells.Cell(row.name, "headroom-" + kind, cells.OWN, 0, number + 1, count)
                    began = time.monotonic()
                    why = missing(kind)
                    if row.program.startswith("stress.sh") and not shutil.which("stress-ng"):
                        why = "stress-ng is not installed here"
                    result = {"cell": cell.name, "row": cell.row, "contender": cell.contender, "binding": cell.binding,
                              "swap_mib": 0, "skip": why}
                    if not why:
                        scene = jobs_kit.Scene.__new__(jobs_kit.Scene)
                        try:
                            scene.__init__(KINDS[kind])
                            result = play(cell, row, scene, jobs, data)
                        except jobs_kit.Skip as skip:
                            result["skip"] = str(skip)
                        except Exception as error:  # one that breaks must not keep the others from being played
                            result["broken"] = f"{type(error).__name__}: {error}"
                            del result["skip"]
                        try:
                            scene.close()
                        except Exception as error:
                            result["trouble"] = f"cleaning up: {error}"
                    result["wall_seconds"] = round(time.monotonic() - began, 1)
                    word = result.get("broken") or result.get("skip") or cells.verdict(result)
                    print(f"# {cell.name}: {word} ({result['wall_seconds']} s)", file=sys.stderr, flush=True)
                    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
