# SPDX-License-Identifier: LGPL-2.1-or-later
"""The hook in unmodified scripts: it answers, it costs next to nothing, and it is not noticed."""
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import unittest

from kit import HOOK, MiB, SOURCE, Case, clean_environment, have

WAIT = "import sys; sys.stdin.read()\n"


class Answers(Case):
    def test_hello_and_trim(self):
        """An idle script says hello, and trims."""
        job = self.job(WAIT)
        peer = self.daemon.meet()
        self.assertEqual(peer.hello, "hello headroom/1 trim why memory-error")
        self.assertEqual(peer.pid, job.pid)
        self.assertRegex(peer.ask("trim"), r"^trimmed \d+$")
        self.finish(job)

    def test_trim_gives_back_cyclic_garbage(self):
        """What comes back is measured: 64 MiB in a dropped cycle, with the collector off."""
        job = self.job(
            "import gc; gc.disable()\n"
            "class Node: pass\n"
            "node = Node(); node.me = node; node.data = bytearray(b'x' * (64 << 20)); del node\n"
            "print('ready', flush=True); " + WAIT
        )
        peer = self.daemon.meet()
        job.stdout.readline()
        self.assertGreater(int(peer.ask("trim").split()[1]), 60 * MiB)
        self.finish(job)

    def test_unknown_lines_and_cut_lines(self):
        """Unknown words are ignored, a line may come in pieces, several in one."""
        job = self.job(WAIT)
        peer = self.daemon.meet()
        peer.say("sing a song\n\npressure notice")
        peer.connection.sendall(b"tr")
        time.sleep(0.1)
        peer.connection.sendall(b"im\ntrim\n")
        self.assertRegex(peer.line(), "^trimmed ")
        self.assertRegex(peer.line(), "^trimmed ")
        self.finish(job)

    def test_line_too_long(self):
        """A daemon that breaks the bound is left, and looked for again."""
        job = self.job(WAIT)
        peer = self.daemon.meet()
        peer.connection.sendall(b"x" * 5000)
        while peer.line() is not None:
            pass
        self.daemon.meet()
        self.finish(job)

    def trim_seconds_during(self, text):
        job = self.job(text)
        peer = self.daemon.meet()
        self.assertEqual(job.stdout.readline(), "ready\n")
        worst = 0.0
        for _ in range(5):
            time.sleep(0.1)
            begin = time.monotonic()
            self.assertRegex(peer.ask("trim"), "^trimmed ")
            worst = max(worst, time.monotonic() - begin)
        self.assertIsNone(job.poll(), "the job should be busy still")
        print("# slowest of 5 trims: %.0f ms" % (1000 * worst))
        self.assertLess(worst, 1.0)

    def test_trim_during_long_c_call(self):
        """The main thread is inside a C function that has released the GIL, for longer than the test."""
        self.trim_seconds_during(
            "import hashlib; print('ready', flush=True)\nhashlib.pbkdf2_hmac('sha256', b'x', b'y', 10**9)"
        )

    def test_trim_during_numpy_call(self):
        """The same within numpy: one matrix product of 20 s and more."""
        if not have("numpy"):
            self.skipTest("no numpy")
        self.trim_seconds_during(
            "import numpy as np\na = np.ones((6000, 6000), dtype=np.longdouble)\nprint('ready', flush=True)\na @ a"
        )

    def test_trim_during_python_loop(self):
        """The main thread never lets go of the GIL by itself."""
        self.trim_seconds_during("print('ready', flush=True)\nwhile True: pass")


class Cost(Case):
    def test_memory(self):
        """
        An idle hook takes at most 200 KiB of memory of the job's own, 240 before Python 3.11: both measured side by side,
        below scripts that have loaded more and more. The median of them, since whoever comes to the table of all names when
        it is full pays for its next size, 150 KiB or more: so does the hook below one of these, another under each Python.
        """

        def resident_kib(imports, environment, hooked):
            job = self.job(imports + "\nprint(flush=True); " + WAIT, environment=environment)
            job.stdout.readline()
            if hooked:
                peer = self.daemon.meet()
                time.sleep(0.2)
            with open("/proc/%d/smaps_rollup" % job.pid) as rollup:
                sizes = dict(line.split()[:2] for line in list(rollup)[1:])
            self.finish(job)
            if hooked:
                peer.close()
            return int(sizes["Rss:"]), int(sizes["Anonymous:"])

        more = []
        for imports in "pass", "import json", "import json, logging", "import json, logging, subprocess", "import argparse, csv":
            resident_kib(imports, clean_environment(), False)  # warms the page cache
            pairs = [
                (resident_kib(imports, self.environment(), True), resident_kib(imports, clean_environment(), False))
                for _ in range(3)
            ]
            more.append([statistics.median(a[i] - b[i] for a, b in pairs) for i in (0, 1)])
        rss, anonymous = (statistics.median(kib) for kib in zip(*more))
        print("# idle hook: %d KiB of RSS, %d KiB of them anonymous, %s" % (rss, anonymous, [kib[1] for kib in more]))
        # The rest of RSS are pages of programs, shared by all who run them.
        self.assertLessEqual(anonymous, 200 if sys.version_info >= (3, 11) else 240)

    def test_start(self):
        """It adds little to the start of a process that ends at once, and doesn't bother the daemon."""

        def milliseconds(environment):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", "pass"], env=environment, check=True)
            return 1000 * (time.perf_counter() - begin)

        times = [(milliseconds(self.environment()), milliseconds(clean_environment())) for _ in range(25)]
        added = statistics.median(hooked - bare for hooked, bare in times)
        print("# start-up: %.1f ms more (least: %.1f)" % (added, min(a for a, _ in times) - min(b for _, b in times)))
        self.assertLess(added, 30)  # 2 ms on a quiet machine
        came, slow = 0, sum(hooked > 150 for hooked, _ in times)  # those that did not end at once may come
        while not self.daemon.nobody_comes(0.1):
            came += 1
        self.assertLessEqual(came, slow)

    def test_idle(self):
        """Nothing runs while nothing is asked: no processor time, no switches."""
        job = self.job(WAIT)
        peer = self.daemon.meet()
        time.sleep(0.3)

        def switches():
            total = 0
            for task in os.listdir("/proc/%d/task" % job.pid):
                with open("/proc/%d/task/%s/status" % (job.pid, task)) as status:
                    total += sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)
            return total

        before = switches()
        time.sleep(1.5)
        self.assertEqual(switches(), before)
        self.finish(job)
        peer.close()

    def test_imports(self):
        """Only small modules of the standard library, and no ctypes before the first trim."""
        job = self.job(
            "import sys\nbefore = set(sys.modules)\nimport time; time.sleep(0.6)\n"
            "print(*sorted(m for m in sys.modules if not m.startswith('_headroom')))"
        )
        self.daemon.meet()
        hooked = set(self.finish(job).split())
        bare = self.job("import sys\nimport time\nprint(*sorted(sys.modules))", environment=clean_environment())
        self.assertLessEqual(hooked - set(self.finish(bare).split()), {"_socket", "select", "atexit", "sitecustomize"})


class Unnoticed(Case):
    def test_exit_status_and_silence(self):
        """Every way to end gives the status that it gives without the hook, in no more time."""
        endings = {
            "pass": 0,
            "raise SystemExit(3)": 3,
            "import os; os._exit(4)": 4,
            "import time; time.sleep(0.5)": 0,
            "import os, signal; os.kill(os.getpid(), signal.SIGTERM)": -15,
            "import os, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGINT)": -2,
            "import threading, time; threading.Thread(target=time.sleep, args=(0.4,)).start()": 0,
            "import threading, time; threading.Thread(target=time.sleep, args=(9,), daemon=True).start()": 0,
            "import atexit, time; atexit.register(time.sleep, 0.4)": 0,
            "import sys, time\nclass Late:\n  def __del__(self): time.sleep(0.3)\nsys.late = Late()": 0,
        }
        for ending, status in endings.items():
            with self.subTest(ending):
                begin = time.monotonic()
                self.finish(self.job(ending, options=("-W", "error")), status)
                self.assertLess(time.monotonic() - begin, 5)

    def test_debug_allocators(self):
        """With Python's debug allocators there is no helper: see has_debug_allocator."""
        count = "import os, time; time.sleep(0.5); print(len(os.listdir('/proc/self/task')))"
        for options, environment, wanted in (((), {}, "2"), (("-X", "dev"), {}, "1"), ((), {"PYTHONMALLOC": "debug"}, "1")):
            with self.subTest(options or environment):
                job = self.job(count, options=options, environment={**self.environment(), **environment})
                self.assertEqual(self.finish(job), wanted + "\n")

    def test_end_during_trims(self):
        """The interpreter ends while trims come in."""
        for _ in range(10):
            job = self.job("import sys; sys.stdin.readline()")
            peer = self.daemon.meet()
            try:
                for trims in range(200):
                    if trims == 50:
                        job.stdin.write("\n")
                        job.stdin.flush()
                    peer.say("trim")
                    time.sleep(0.001)
            except OSError:
                pass
            self.finish(job)

    def test_no_daemon(self):
        """No socket, a file, /dev/null, a relative or endless path: idle and silent."""
        for watch in ("/nonexistent/job", __file__, "/dev/null", "job", "x" * 200, "", self.directory):
            with self.subTest(watch):
                self.finish(
                    self.job("import time; time.sleep(0.3)", environment=self.environment(MEMORY_PRESSURE_WATCH=watch))
                )

    def test_daemon_comes_back(self):
        """After a restart of the daemon the job is there again, silently."""
        job = self.job(WAIT)
        peer = self.daemon.meet()
        peer.close()
        self.daemon.stop()
        time.sleep(1.5)
        self.daemon.start()
        self.assertRegex(self.daemon.meet().ask("trim"), "^trimmed ")
        self.finish(job)

    def test_refused(self):
        """Who is closed at once comes back ever more rarely."""
        job = self.job(WAIT)
        times = []
        for _ in range(3):
            peer = self.daemon.accept()
            times.append(time.monotonic())
            peer.close()
        self.assertGreater(times[1] - times[0], 0.9)
        self.assertGreater(times[2] - times[1], 1.9)
        self.finish(job)

    def test_signals(self):
        """pause, sigwait, an interrupted sleep and a handler behave as in a process with one thread."""
        job = self.job(
            "import signal, time, os\n"
            "signal.signal(signal.SIGUSR1, lambda *a: print('handled', flush=True))\n"
            "print('ready', flush=True); signal.pause()\n"
            "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]); print('waiting', flush=True)\n"
            "print(signal.sigwait([signal.SIGUSR2]) == signal.SIGUSR2, flush=True)\n"
            "try:\n  time.sleep(30)\nexcept KeyboardInterrupt: print('interrupted')\n"
        )
        self.daemon.meet()
        for expected, number in (
            ("ready", signal.SIGUSR1),
            ("handled", None),
            ("waiting", signal.SIGUSR2),
            ("True", signal.SIGINT),
        ):
            self.assertEqual(job.stdout.readline(), expected + "\n")
            time.sleep(0.2)
            if number is not None:
                job.send_signal(number)
        self.assertEqual(self.finish(job), "interrupted\n")

    def test_settings_stay(self):
        """Switch interval, stack size, signal mask, handlers and hooks are the script's."""
        text = (
            "import sys, signal, threading, warnings, gc\n"
            "print(sys.getswitchinterval(), threading.stack_size(), signal.pthread_sigmask(signal.SIG_BLOCK, []),"
            "[signal.getsignal(n) for n in signal.valid_signals()], sys.excepthook is sys.__excepthook__,"
            "threading.active_count(), gc.isenabled(), gc.get_threshold(), sys.path[0])"
        )
        hooked = self.finish(self.job(text))
        self.assertEqual(hooked, self.finish(self.job(text, environment=clean_environment())))

    def test_descriptors_closed(self):
        """A script that closes all descriptors and uses their numbers keeps them; the hook comes back on its own."""
        job = self.job(
            "import os, sys, time\ntime.sleep(0.6)\nos.closerange(3, 256)\n"
            "pairs = [os.pipe() for _ in range(8)]\nprint('closed', flush=True)\nsys.stdin.readline()\n"
            "import select\nr, _, _ = select.select([a for a, b in pairs], [], [], 0)\nprint(r)\n"
            "for a, b in pairs:\n  os.write(b, b'mine'); assert os.read(a, 9) == b'mine'\n" + WAIT
        )
        peer = self.daemon.meet()
        self.assertEqual(job.stdout.readline(), "closed\n")
        self.assertIsNone(peer.line(15))  # it looks every 10 s
        self.assertRegex(self.daemon.meet().ask("trim"), "^trimmed ")
        job.stdin.write("go\n")
        job.stdin.flush()
        self.assertEqual(self.finish(job), "[]\n")

    def test_standard_descriptors_closed_at_start(self):
        """With 0, 1 and 2 closed at the start, none of them becomes the connection."""
        script = self.file(
            "job.py",
            "import os, time\ntime.sleep(0.6)\nos.write(os.open('out', os.O_CREAT | os.O_WRONLY), b'%d' % os.dup(9))",
        )
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'exec "$0" "$1" 9</dev/null <&- >&- 2>&-', sys.executable, script],
            env=self.environment(),
            cwd=self.directory,
        )
        self.daemon.meet()
        self.assertEqual(process.wait(10), 0)

    def test_exec(self):
        """Across exec no connection is left open, and the new program has one of its own."""
        job = self.job(
            "import os, sys, time\ndef sockets():\n  d = '/proc/self/fd/'\n"
            "  links = [os.readlink(d + n) for n in os.listdir(d) if os.path.lexists(d + n)]\n"
            "  return [link for link in links if 'socket' in link]\n"
            "if len(sys.argv) > 1:\n  print(len(sys.argv), len(set(sockets()) & set(sys.argv)), flush=True); "
            + WAIT
            + "else:\n  time.sleep(0.6); os.execv(sys.executable, [sys.executable, __file__] + sockets())\n"
        )
        peer = self.daemon.meet()
        self.assertIsNone(peer.line())
        self.assertEqual(self.daemon.meet().pid, job.pid)
        self.assertEqual(self.finish(job), "2 0\n")

    def test_finalizers(self):
        """Finalizers run in the helper: one that raises, recurses deeply or forks disturbs nobody."""
        job = self.job(
            "import gc, os, sys, threading; gc.disable()\n"
            "def deep(n):\n  return n and deep(n - 1)\n"
            "class Odd:\n  def __init__(self): self.me = self\n"
            "  def __del__(self):\n    deep(900)\n    if os.fork() == 0: os._exit(0)\n    os.wait()\n"
            "    print('done', flush=True)\n"
            "Odd()\n" + WAIT
        )
        peer = self.daemon.meet()
        self.assertRegex(peer.ask("trim"), "^trimmed ")
        self.assertRegex(peer.ask("trim"), "^trimmed ")
        self.assertEqual(self.finish(job), "done\n")


class MemoryErrors(Case):
    """What ends by an uncaught MemoryError says so, and is none the worse for it."""

    RAISE = "import time\ntime.sleep(%s)\nbytearray(1 << 60)\n"

    def ends(self, text, options=(), status=1, name="job.py", environment=None):
        """Runs it to its end. The lines that it says after hello, and its stderr, which is as it is without the hook."""
        job = self.job(text, options=options, name=name, environment=environment)
        lines = []
        try:
            peer = self.daemon.meet(5)
            while (line := peer.line()) is not None:
                lines.append(line)
        except socket.timeout:
            pass
        err = job.communicate(timeout=20)[1]
        self.assertEqual(job.returncode, status, err)
        bare = self.job(text, options=options, name=name, environment=clean_environment())
        self.assertEqual((err, job.returncode), (bare.communicate(timeout=20)[1], bare.returncode))
        return lines

    def test_connected(self):
        """Over the connection of its helper: the script's line, not a library's, in a file of any name."""
        self.file("job py/100%.py", "def f():\n  return bytearray(1 << 60)\n")
        text = "import runpy, sys, time\ntime.sleep(0.6)\nrunpy.run_path('job py/100%.py')['f']()"
        self.assertEqual(self.ends(text), ["memory-error 2 job%20py/100%25.py"])

    def test_too_short_for_a_connection(self):
        """A process that ends before its helper has connected comes for that alone, and waits until it is known."""
        lines = self.ends(self.RAISE % 0)
        self.assertEqual(len(lines), 1)
        self.assertRegex(lines[0], "^memory-error 3 .*/job.py$")

    def test_debug_allocators(self):
        """Under -X dev, which has no helper, as well."""
        self.assertRegex(self.ends(self.RAISE % 0.6, options=("-X", "dev"))[0], "^memory-error 3 ")

    def test_numpy(self):
        """numpy's own kind of MemoryError is one, at the script's line."""
        if not have("numpy"):
            self.skipTest("no numpy")
        lines = self.ends("import numpy, time\ntime.sleep(0.6)\nnumpy.full(1 << 50, 1.0)\n")
        self.assertRegex(lines[0], "^memory-error 3 .*/job.py$")

    def test_own_excepthook(self):
        """The script's own excepthook, chained or not, that exits as it likes, is called as ever; so is its atexit."""
        hook = (
            "import atexit, sys\natexit.register(lambda: print('bye', file=sys.stderr))\ndef mine(*error):\n"
            "  print('mine', error[0].__name__, file=sys.stderr)\n%s\nsys.excepthook = mine\n"
        )
        for then, status in (("  sys.__excepthook__(*error)", 1), ("  pass", 1), ("  sys.exit(7)", 7)):
            with self.subTest(then):
                lines = self.ends(hook % then + self.RAISE % 0.6, status=status)
                self.assertRegex(lines[0], "^memory-error 9 ")

    def test_nothing_left(self):
        """With every small allocation failing, by a limit of the script's own, it is still said."""
        text = (
            "import resource, time\ntime.sleep(0.6)\n"
            "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + (48 << 20)\n"
            "resource.setrlimit(resource.RLIMIT_AS, (size, size))\nkeep = None\nwhile True:\n  keep = [keep]\n"
        )
        job = self.job(text)
        peer = self.daemon.meet()
        self.assertRegex(peer.line(20), "^memory-error ")
        self.assertEqual((job.communicate(timeout=20)[1][-12:], job.returncode), ("MemoryError\n", 1))

    def test_other_ends(self):
        """Nothing is said by what fails otherwise, catches its error, meets it in a thread or at a prompt."""
        catches = "try:\n  bytearray(1 << 60)\nexcept MemoryError:\n  pass\n"
        thread = "import threading\nt = threading.Thread(target=bytearray, args=(1 << 60,)); t.start(); t.join()\n"
        pause = "import time\ntime.sleep(0.6)\n"
        for text, status in ((pause + "1 / 0", 1), (pause + catches, 0), (pause + catches + "raise SystemExit(1)", 1)):
            with self.subTest(text):
                self.assertEqual(self.ends(text, status=status), [])
        job = self.job(pause + thread)
        self.assertIsNone(self.daemon.meet().line())
        self.assertIn("MemoryError", job.communicate(timeout=20)[1])
        job = self.job(pause, options=("-i", "-q"))
        peer = self.daemon.meet()
        job.stdin.write("bytearray(1 << 60)\n")
        self.assertIn("MemoryError", job.communicate(timeout=20)[1])
        self.assertIsNone(peer.line())

    def test_no_answer(self):
        """A daemon that accepts nobody holds the end up for a second at most."""
        begin = time.monotonic()
        job = self.job(self.RAISE % 0)
        job.communicate(timeout=20)
        self.assertEqual(job.returncode, 1)
        self.assertLess(time.monotonic() - begin, 5)

    def test_forked_child(self):
        """A child that is forked says it of itself."""
        text = (
            "import os, time\ntime.sleep(0.6)\nif os.fork() == 0:\n  time.sleep(0.6)\n  bytearray(1 << 60)\n"
            "time.sleep(0.3)\nos.wait()\n"
        )
        job = self.job(text)
        parent = self.daemon.meet()
        child = self.daemon.meet()
        self.assertNotEqual(child.pid, job.pid)
        self.assertRegex(child.line(), "^memory-error ")
        self.assertIsNone(parent.line())


class Processes(Case):
    def test_fork(self):
        """Parent and child have a connection each; the parent's goes on; no warning of threads (3.12), even as an error."""
        job = self.job(
            "import os, sys\nsys.stdin.readline()\npid = os.fork()\nsys.stdin.readline() if pid else sys.stdin.read()\n"
            "if pid: os.wait()\n",
            options=("-W", "error"),
        )
        parent = self.daemon.meet()
        job.stdin.write("go\n")
        job.stdin.flush()
        child = self.daemon.meet()
        self.assertEqual((parent.pid, child.pid == job.pid), (job.pid, False))
        for peer in (parent, child):
            self.assertRegex(peer.ask("trim"), "^trimmed ")
        job.stdin.write("\n")
        self.finish(job)
        self.assertIsNone(child.line())

    def test_many_forks(self):
        """Forks in a row, from several threads, during trims: all of them end, and the parent still answers."""
        job = self.job(
            "import os, sys, threading, time\n"
            "def forks():\n  for _ in range(30):\n    pid = os.fork()\n    if pid == 0: os._exit(7)\n"
            "    assert os.waitpid(pid, 0)[1] == 7 << 8\n"
            "time.sleep(0.5)\nthreads = [threading.Thread(target=forks) for _ in range(3)]\n"
            "[t.start() for t in threads]; [t.join() for t in threads]; print('forked', flush=True)\n" + WAIT,
            options=("-W", "ignore"),
        )  # since 3.12: these threads are the script's own
        peer = self.daemon.meet()
        time.sleep(0.3)
        for _ in range(20):
            self.assertRegex(peer.ask("trim"), "^trimmed ")
        self.assertEqual(job.stdout.readline(), "forked\n")
        self.assertRegex(peer.ask("trim"), "^trimmed ")
        self.finish(job)

    def test_fork_cost(self):
        """What a fork costs with the helper: measured."""
        text = (
            "import os, time\ntime.sleep(0.5)\nbegin = time.perf_counter()\nfor _ in range(100):\n  pid = os.fork()\n"
            "  if pid == 0: os._exit(0)\n  os.waitpid(pid, 0)\nprint((time.perf_counter() - begin) * 10)"
        )
        times = []
        for _ in range(3):
            job = self.job(text)
            self.daemon.meet()
            times.append((float(self.finish(job)), float(self.finish(self.job(text, environment=clean_environment())))))
        hooked, bare = map(min, zip(*times))
        print("# fork and wait: %.2f ms, without the hook %.2f ms" % (hooked, bare))
        self.assertLess(hooked - bare, 5)

    def test_multiprocessing(self):
        """Workers that are forked and spawned are there as well, and end as they should."""
        for method in ("fork", "spawn", "forkserver"):
            with self.subTest(method):
                job = self.job(
                    "import multiprocessing, time\ndef work(n):\n  time.sleep(0.6); return n * n\n"
                    "if __name__ == '__main__':\n  with multiprocessing.get_context('%s').Pool(2) as pool:\n"
                    "    print(pool.map(work, range(4)))\n" % method
                )
                peers = [self.daemon.meet() for _ in range(3)]  # kept: who is closed comes again
                self.assertEqual(len({peer.pid for peer in peers}), 3)
                self.assertEqual(self.finish(job, seconds=60), "[0, 1, 4, 9]\n")
                while not self.daemon.nobody_comes(0.3):
                    pass

    def test_subprocess(self):
        """A Python started by the script has the hook too."""
        job = self.job("import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import time; time.sleep(0.6)'])")
        peers = [self.daemon.meet() for _ in range(2)]  # kept: who is closed comes again
        self.assertEqual(len({peer.pid for peer in peers}), 2)
        self.finish(job)

    def test_subinterpreter(self):
        """A subinterpreter starts nothing, and ends well."""
        module = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
        if not have(module):
            self.skipTest("no " + module)
        run = "exec" if sys.version_info >= (3, 13) else "run_string"
        job = self.job(
            "import %s as i, time\none = i.create()\ni.%s(one, 'import time; time.sleep(0.5); print(1, flush=True)')\n"
            "i.destroy(one)\nprint(2)" % (module, run)
        )
        self.daemon.meet()
        self.assertEqual(self.finish(job), "1\n2\n")
        self.assertTrue(self.daemon.nobody_comes(0.1))


class Startup(Case):
    def test_without_site(self):
        """-S, -I and -E start without the hook, and are as ever."""
        for option in ("-S", "-I", "-E"):
            with self.subTest(option):
                self.finish(self.job("import time; time.sleep(0.3)", options=(option,)))
        self.assertTrue(self.daemon.nobody_comes(0.1))

    def test_next_sitecustomize(self):
        """The sitecustomize that would have been found without us runs as the module of that name, once."""
        self.file(
            "theirs/sitecustomize.py",
            "import sys\nprint('theirs', __name__, sys.modules[__name__].__file__ == __file__)\nmark = 1",
        )
        path = HOOK + os.pathsep + os.path.join(self.directory, "theirs")
        job = self.job(
            "import sitecustomize, time; print(sitecustomize.mark); time.sleep(0.5)",
            environment=self.environment(PYTHONPATH=path),
        )
        self.daemon.meet()
        self.assertEqual(self.finish(job), "theirs sitecustomize True\n1\n")

    def test_next_sitecustomize_fails(self):
        """Its errors are reported as without us, and the hook is there all the same."""
        self.file("theirs/sitecustomize.py", "raise ValueError('theirs')")
        theirs = os.path.join(self.directory, "theirs")
        job = self.job(
            "import time; time.sleep(0.5)", environment=self.environment(PYTHONPATH=HOOK + os.pathsep + theirs)
        )
        self.daemon.meet()
        bare = self.job("pass", environment=clean_environment(PYTHONPATH=theirs))
        self.assertEqual(job.communicate(timeout=9)[1], bare.communicate(timeout=9)[1])

    def test_own_module_headroom(self):
        """A script's own module of our name is imported, not ours, from its directory or PYTHONPATH."""
        self.file("headroom.py", "mine = 1")
        job = self.job("import headroom, time; print(headroom.mine); time.sleep(0.5)")
        self.daemon.meet()
        self.assertEqual(self.finish(job), "1\n")

    def test_import_headroom(self):
        """A script finds the package without installing it; the hook's copy gives way to it."""
        job = self.job(
            "import headroom, sys, time\ntime.sleep(0.6)\nprint(headroom.__version__, len(sys._current_frames()))"
        )
        peer = self.daemon.meet()
        self.assertTrue(self.daemon.nobody_comes(0.2))
        self.assertEqual(self.finish(job), "0.1.0 2\n")
        self.assertIsNone(peer.line())

    def test_import_late(self):
        """Imported when the hook's copy is connected already: one connection follows the other."""
        job = self.job("import sys, time\ntime.sleep(0.6)\nimport headroom\n" + WAIT)
        self.assertIsNone(self.daemon.meet().line())
        self.assertRegex(self.daemon.meet().ask("trim"), "^trimmed ")
        self.finish(job)

    def test_venv(self):
        """In a virtual environment the hook is there, and the environment's own sitecustomize as well."""
        venv = os.path.join(self.directory, "venv")
        if subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", venv], env=clean_environment(), stderr=subprocess.DEVNULL
        ).returncode:
            self.skipTest("no venv")
        site = "venv/lib/python%d.%d/site-packages/sitecustomize.py" % sys.version_info[:2]
        self.file(site, "print('venv')")
        job = self.job(
            "import sys, time; time.sleep(0.5); print(sys.prefix != sys.base_prefix)",
            python=os.path.join(venv, "bin", "python"),
        )
        self.daemon.meet()
        printed = self.finish(job).split()
        self.assertEqual(printed[-1], "True")
        self.assertIn("venv", printed[:-1] or ["venv"])  # Debian's own sitecustomize comes before the environment's

    def test_old_pythons(self):
        """Python 2.7, 3.6 and 3.7 run as ever, with the sitecustomize that they would have had."""
        found = [
            python
            for python in os.environ.get("HEADROOM_OLD_PYTHONS", "").split() + ["python2.7", "python3.6", "python3.7"]
            if subprocess.run(["/bin/sh", "-c", 'command -v "$0"', python], stdout=subprocess.DEVNULL).returncode == 0
        ]
        found = [
            python for python in found if subprocess.run([python, "-c", ""], stderr=subprocess.DEVNULL).returncode == 0
        ]
        if not found:
            self.skipTest("none found; HEADROOM_OLD_PYTHONS names some")
        self.file("theirs/sitecustomize.py", "print('theirs')")
        path = HOOK + os.pathsep + os.path.join(self.directory, "theirs")
        for python in found:
            with self.subTest(python):
                job = self.job(
                    "import sitecustomize\nprint(1)", python=python, environment=self.environment(PYTHONPATH=path)
                )
                self.assertEqual(self.finish(job), "theirs\n1\n")
        self.assertTrue(self.daemon.nobody_comes(0.1))


class Source(unittest.TestCase):
    def files(self):
        for directory, _, names in os.walk(SOURCE):
            for name in names:
                if name.endswith(".py") and "build" not in directory:
                    yield os.path.join(directory, name)

    def test_syntax_of_3_8(self):
        """Every file is in the language of Python 3.8, with the licence first and lines of at most 125."""
        import ast

        for path in self.files():
            with self.subTest(path), open(path) as source:
                text = source.read()
                ast.parse(text, feature_version=(3, 8))
                self.assertTrue(text.startswith("# SPDX-License-Identifier: LGPL-2.1-or-later\n"))
                self.assertLessEqual(max(map(len, text.splitlines())), 125)

    def test_types(self):
        """mypy --strict finds nothing."""
        if not have("mypy"):
            self.skipTest("no mypy")
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, "headroom"],
            cwd=SOURCE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_pip_install(self):
        """pip installs the package, which then needs no hook directory."""
        if not have("setuptools, pip"):
            self.skipTest("no pip and setuptools")
        import shutil
        import tempfile

        with tempfile.TemporaryDirectory() as directory:
            copy = os.path.join(directory, "source")
            shutil.copytree(SOURCE, copy)
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "pip",
                    "install",
                    "-q",
                    "--no-build-isolation",
                    "--no-deps",
                    "--no-index",
                    "--target",
                    directory + "/t",
                    copy,
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                universal_newlines=True,
                env=clean_environment(),
            )
            if done.returncode and ("bdist_wheel" in done.stdout or "setuptools>=61" in done.stdout):
                self.skipTest("setuptools here is too old or lacks wheel")
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertTrue(os.path.exists(directory + "/t/headroom/py.typed"))
            subprocess.run(
                [sys.executable, "-c", "import headroom"],
                check=True,
                env=clean_environment(PYTHONPATH=directory + "/t"),
            )
