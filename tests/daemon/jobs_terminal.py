# SPDX-License-Identifier: LGPL-2.1-or-later
"""Held jobs in a shell with job control, and a user who starts many jobs in the same instant."""

import os
import time

from jobs_kit import NOBODY, PATIENCE, PYTHON, Terminal, check, read_text, same, scenario, state_of, wait_until


class Shell(Terminal):
    """An interactive bash, with `headroom` to be typed; what was expected is read once."""

    def __init__(self, scene):
        super().__init__(scene, ["bash", "--norc", "--noprofile", "-i"])
        self.type(f"PATH={scene.build}:$PATH PS1='read''y> '\r")
        self.prompt()

    def expect(self, pattern, seconds=PATIENCE):
        found = super().expect(pattern, seconds)
        self.text = self.text[found.end():]
        return found

    def prompt(self):
        self.expect("ready> ")

    def press_ctrl_z(self):
        """While the job is held: the shell has the terminal back."""
        self.type("\x1a")
        self.expect(r"is held, and stops once it goes on; answer: headroom resume j\d+ .*, then fg")
        self.expect("Stopped")
        self.prompt()

    def status_of(self, words):
        """What a command typed here returns."""
        self.type(words + "; echo status=$?\r")
        status = self.expect(r"status=(\d+)\r\n").group(1)
        self.prompt()
        return int(status)

    def leave(self):
        self.type("exit\r")
        self.wait()


def held_in_a_shell(s, *words, config=""):
    """A shell in which a job that was typed is held at 24 MiB; its status and its state file with it."""
    s.daemon(config)
    state = os.path.join(s.work, "state")
    shell = Shell(s)
    typed = ["headroom", "run", "--limit", "24M", "--name", "typed", *words, "--", PYTHON, s.workload, "grow",
             "--to", "45", "--rate", "20", "--step", "128", "--state", state]  # fg lets it run until it is stopped again: no second of it
    shell.type(" ".join(typed) + "\r")
    shell.expect("answer: headroom resume")
    return shell, s.wait_held("typed"), state


@scenario("cgroup", "process")
def ctrl_z_to_a_held_job(s):
    """ctrl-Z to a held job gives the shell back; resumed from there and taken back by fg, it finishes."""
    shell, held, state = held_in_a_shell(s)
    shell.press_ctrl_z()
    check("it is still held", s.stands_still(held), s.told("typed"))
    same("resume", shell.status_of("headroom resume typed --limit 60M"), 0)
    wait_until("it stops by itself", lambda: state_of(held["leader_pid"]) == "T", detail=lambda: s.told("typed"))
    time.sleep(1)
    same("and is not continued", state_of(held["leader_pid"]), "T")
    same("fg", shell.status_of("fg"), 0)
    same("its result", read_text(state, "nothing").split()[0], "finished")
    shell.leave()


@scenario("cgroup", "process")
def fg_to_a_held_job(s):
    """fg takes a held job back and does not let it go: it stays held, says so, and finishes once it is resumed."""
    shell, held, state = held_in_a_shell(s)
    for _ in range(2):
        shell.press_ctrl_z()
        shell.type("fg\r")
        shell.expect("is still held; answer: headroom resume")
        check("it is still held", s.stands_still(held), (s.told("typed"), shell.text))
    s.must("resume", "typed", "--limit", "60M")
    shell.prompt()  # the ctrl-Z was for the shell: it has not stopped once more
    same("its result", read_text(state, "nothing").split()[0], "finished")
    check("once", "Stopped" not in shell.text, shell.text)
    shell.leave()


@scenario("cgroup", "process")
def ended_after_ctrl_z(s):
    """A held job that got a ctrl-Z and is then interrupted or killed ends all the same, and fg tells how."""
    for verb, statuses in (("interrupt", (1, 130, 137)), ("kill", (137,))):
        shell, held, _ = held_in_a_shell(s, "--policy", "short", config="[policy short]\ngrace = 3s\n")
        shell.press_ctrl_z()
        same(verb, shell.status_of(f"headroom {verb} typed"), 0)
        wait_until("it ends", lambda pid=held["leader_pid"]: state_of(pid) in ("Z", "gone"), 20,
                   lambda: s.told("typed"))
        status = shell.status_of("fg")
        check("its status", status in statuses, (verb, status, shell.text))
        shell.leave()
        s.daemons[-1].terminate()
        s.daemons[-1].wait()


@scenario("cgroup", "process")
def many_at_once(s):
    """40 jobs that an ordinary user starts in the same instant all start, and end as they would alone."""
    s.daemon()
    runs = [s.run("timeout", "2", "sleep", "9", limit=None, user=NOBODY) for _ in range(40)]
    for run in runs:
        same("status", run.wait(), 124)
        check("nothing is wrong", "not started" not in run.err() and "unwatched" not in run.err(), run.err())


@scenario("process")
def started_as_told(s):
    """What is said to start a daemon with, typed as it stands, makes one that the next `run` finds."""
    shell = Shell(s)
    shell.type("headroom run true\r")
    command = shell.expect(r"start it with: (headroomd --user --socket \S+ &),\r\n").group(1)
    shell.prompt()
    shell.type(command + "\r")
    shell.expect("watches, socket")
    same("run", shell.status_of("headroom run sh -c 'exit 9'"), 9)
    shell.type("kill %1; wait\r")
    shell.prompt()
    shell.leave()
