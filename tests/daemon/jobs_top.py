# SPDX-License-Identifier: LGPL-2.1-or-later
"""`headroom top` in a terminal: what a person sees there, does there, and has left afterwards."""

import fcntl
import re
import struct
import termios

from jobs_answers import start_nap
from jobs_kit import MIB, check, same, scenario, wait_until
from jobs_terminal import Shell
from screen import Screen


class Seen(Shell):
    """A shell in a terminal of a size, and what it shows."""

    def __init__(self, scene):
        self.screen, self.taken = Screen(24, 80), 0
        super().__init__(scene)
        self.resize(24, 80)

    def resize(self, rows, columns):
        """Its contents are drawn anew by whoever has it."""
        self.read()
        self.screen = Screen(rows, columns)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds=0.05):
        before = len(self.text)
        super().read(seconds)
        self.screen.feed(self.text[before:])

    def see(self, pattern):
        """What stands on the screen, once the pattern is found in it."""
        def found():
            self.read()
            return re.search(pattern, self.screen.text(), re.M)
        return wait_until(f"seen: {pattern}", found, detail=self.screen.text)

    def settings(self):
        self.type("stty -g\r")
        found = self.expect(r"[0-9a-f]+(:[0-9a-f]+){10,}\r\n").group(0)
        self.prompt()
        return found

    def begin(self, words):
        self.type(words + "\r")
        self.expect(re.escape(words) + "\r\n")  # a prompt that is drawn anew, for the new size, stands before it


@scenario("cgroup", "process")
def top_holds_and_resumes(s):
    """In top a person sees the job, holds it, gives it more room, and has the terminal back as it was."""
    s.daemon()
    run = start_nap(s)
    job = run.status()["job"]
    shell = Seen(s)
    before = shell.settings()
    shell.begin("headroom top")
    shell.see(rf"^>{job} +{run.name} +ok +\S+ +2\d% +2\d(\.\d)?M +100M +\S+ +\S+ ")
    shell.see(r"^1 job, 0 held, 2\S+M used; host \S+ of \S+; by time left$")
    shell.type("h")
    shell.see(rf"^>{job} +{run.name} +hold +.* held ")
    shell.see("held as asked")
    shell.see("1 job, 1 held")
    run.wait_held()
    shell.type("r")
    shell.see(rf"^resume {job} {run.name}; new limit .*:$")
    shell.type("200M\r")
    shell.see(rf"^>{job} +{run.name} +ok +\S+ +1\d% +2\S+M +200M")
    check("it goes on", not run.status()["frozen"], run.status())
    same("its limit", run.own_limit(), 200 * MIB)
    shell.resize(10, 40)
    shell.see(rf"^>{job} +{run.name[:5]}\S* +ok +1\d% +2\S+M ")
    shell.see("^s:sort .*h:hold.* q:quit \\?:help$")
    shell.type("\x1a")
    shell.expect("Stopped")
    shell.prompt()
    same("after ctrl-Z", shell.settings(), before)
    shell.resize(24, 80)
    shell.begin("fg")
    shell.see(rf"^>{job} .* 200M")
    shell.type("i")
    shell.see(f"^interrupt {job} {run.name}, which ends it. y/n")
    shell.type("y")
    shell.see("no jobs are watched")
    shell.type("q")
    shell.prompt()
    same("after q", shell.settings(), before)
    shell.begin("headroom top")
    shell.see("no jobs are watched; start one with: headroom run")
    shell.type("\x03")
    shell.prompt()
    same("after ctrl-C", shell.settings(), before)
    shell.leave()
