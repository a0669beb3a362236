# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a willing script gets: checkpoints that are whole or not there, pressure, status."""
import os
import re
import signal
import sys
import time

from kit import Case

BEGIN = "import headroom, os, sys, time\n"
WAIT = "print('ready', flush=True); sys.stdin.read()\n"


class Checkpoint(Case):
    def saver(self, body, decorator="@headroom.checkpoint", rest=WAIT):
        """A job whose checkpoint function has this body, and its connection."""
        lines = "".join("  %s\n" % line for line in body.split("\n"))
        job = self.job(BEGIN + decorator + "\ndef save():\n" + lines + rest)
        peer = self.daemon.meet()
        while peer.pid != job.pid or "checkpoint" not in peer.hello:
            # A child that an earlier job left behind; or a script so slow that it has said hello before it came to this.
            again = peer.line() if peer.pid == job.pid else None
            if again is None:
                peer = self.daemon.meet()
            else:
                peer.hello = again
        self.assertEqual(peer.hello, "hello headroom/1 trim why checkpoint memory-error")
        if rest == WAIT:
            self.assertEqual(job.stdout.readline(), "ready\n")
        return job, peer

    def path(self, name):
        return os.path.join(self.directory, name)

    def answer(self, body, decorator="@headroom.checkpoint"):
        """The answer to one checkpoint request, and stderr."""
        job, peer = self.saver(body, decorator)
        answer = peer.ask_checkpoint()
        self.assertRegex(peer.ask("trim"), "^trimmed ")
        err = job.communicate(timeout=10)[1]
        self.assertEqual(job.returncode, 0)
        return answer, err

    def test_main_thread(self):
        """The function runs in the main thread while that sleeps, computes or reads; what it was doing goes on."""
        work = "print('ready', flush=True)\n"
        for busy in (
            "time.sleep(1.5)",
            "until = time.time() + 1.5\nwhile time.time() < until: pass",
            "print(sys.stdin.readline())",
        ):
            with self.subTest(busy):
                job, peer = self.saver(
                    "import threading\nassert threading.current_thread() is threading.main_thread()\n"
                    "with headroom.saving('state') as path: open(path, 'w').write('all of it')",
                    rest=work + busy + "\nprint('done')\n",
                )
                job.stdout.readline()
                time.sleep(0.2)
                self.assertEqual(peer.ask_checkpoint(), "checkpointed " + self.path("state"))
                job.stdin.write("line\n")
                job.stdin.flush()
                self.assertIn("done", self.finish(job))

    def test_returned_path(self):
        """A returned path counts, percent-encoded; pathlib, directories and bytes beyond UTF-8 as well."""
        answer, _ = self.answer(
            "open('a b%\\udcff\\u00e9', 'w').write('x')\nimport pathlib\nreturn pathlib.Path('a b%\\udcff\\u00e9')"
        )
        self.assertEqual(answer, "checkpointed " + self.path("a%20b%25%FF\u00e9"))
        answer, _ = self.answer("os.makedirs('dir', exist_ok=True)\nopen('dir/part', 'w').write('x')\nreturn 'dir'")
        self.assertEqual(answer, "checkpointed " + self.path("dir"))

    def test_thread(self):
        """With thread=True it runs beside a main thread that is in a long C call, with the script's signal mask."""
        job, peer = self.saver(
            "import signal, threading\nassert threading.current_thread() is not threading.main_thread()\n"
            "assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])\nopen('t', 'w').write('x')\nreturn 't'",
            "import threading\n@headroom.checkpoint(thread=True)",
            "import hashlib; print('ready', flush=True); hashlib.pbkdf2_hmac('sha256', b'x', b'y', 10**9)",
        )
        job.stdout.readline()
        self.assertEqual(peer.ask_checkpoint(), "checkpointed " + self.path("t"))

    def test_lies(self):
        """What is missing, empty, older than the request or not named has failed."""
        for body, reason in (
            ("return 'nowhere'", "FileNotFoundError"),
            ("open('empty', 'w').close()\nreturn 'empty'", "empty"),
            ("return __file__", "older"),
            ("os.makedirs('hollow', exist_ok=True)\nreturn 'hollow'", "empty"),
            ("pass", "no path"),
            ("return 7", "TypeError"),
            ("open('x' * 200, 'w').write('x')\nreturn '/'.join(['.'] * 2000) + '/' + 'x' * 200", "checkpointed"),
        ):
            with self.subTest(body):
                answer, _ = self.answer(body)
                self.assertIn(reason, answer)
                self.assertEqual(answer.startswith("failed "), reason != "checkpointed")

    def test_older_by_moments(self):
        """A file written just before the request does not count."""
        job, peer = self.saver("return 'fresh'", rest="open('fresh', 'w').write('x')\n" + WAIT)
        job.stdout.readline()
        time.sleep(0.05)
        self.assertIn("older", peer.ask_checkpoint())
        self.finish(job)

    def test_raises(self):
        """An exception is the answer, in one bounded line, and the script sees it as one of its own; it goes on."""
        answer, err = self.answer("raise ValueError('two\\nlines \\x07' + 'x' * 9000)")
        self.assertRegex(answer, "^failed ValueError: two lines x+$")
        self.assertLess(len(answer), 500)
        self.assertIn("Traceback", err)
        self.assertIn("in save", err)
        answer, err = self.answer("raise OSError(28, 'No space')", "@headroom.checkpoint(thread=True)")
        self.assertEqual(answer, "failed OSError: [Errno 28] No space")
        self.assertIn("in save", err)

    def test_exits(self):
        """sys.exit within it ends the script, as it says."""
        job, peer = self.saver("sys.exit(5)")
        self.assertEqual(peer.ask_checkpoint(), "failed SystemExit: 5")
        self.finish(job, 5)

    def test_half_written(self):
        """A save that is broken off leaves the former file as it was, and nothing beside it."""
        answer, _ = self.answer(
            "open('s.csv', 'w').write('former')\n"
            "with headroom.saving('s.csv') as path:\n  open(path, 'w').write('half')\n  raise MemoryError"
        )
        self.assertEqual(answer, "failed MemoryError:")
        with open(self.path("s.csv")) as saved:
            self.assertEqual(saved.read(), "former")
        self.assertEqual(sorted(os.listdir(self.directory)), ["job", "job.py", "s.csv"])

    def test_killed_while_saving(self):
        """Killed in the middle: the file of that name is the former one."""
        job, peer = self.saver(
            "with headroom.saving('s') as path:\n  open(path, 'w').write('half')\n"
            "  print('half', flush=True); time.sleep(60)",
            rest="open('s', 'w').write('former')\n" + WAIT,
        )
        job.stdout.readline()
        peer.say("checkpoint %f" % (time.time() + 9))
        self.assertEqual(job.stdout.readline(), "half\n")
        job.kill()
        self.assertIsNone(peer.line())
        with open(self.path("s")) as saved:
            self.assertEqual(saved.read(), "former")

    def test_blocks(self):
        """While it is saving (or never comes back), trims are answered, it is not called again, and it may ask for time."""
        for decorator in ("@headroom.checkpoint", "@headroom.checkpoint(thread=True)"):
            with self.subTest(decorator):
                job, peer = self.saver(
                    "print(0 < headroom.time_left() <= 5, flush=True)\nheadroom.need(60)\n"
                    "print(headroom.time_left() > 50, flush=True)\n"
                    "time.sleep(2)\nopen('b', 'a').write('x')\nreturn 'b'",
                    decorator,
                )
                peer.say("checkpoint %f" % (time.time() + 5))
                self.assertEqual(peer.line(), "need 60.000")
                self.assertRegex(peer.ask("trim"), "^trimmed ")
                # Each request is answered, in order: the former, which the daemon gave up, and the one that it waits for.
                peer.say("checkpoint %f" % (time.time() + 5))
                self.assertEqual(peer.line(), "failed it was still saving when asked again")
                self.assertEqual(peer.line(), "checkpointed " + self.path("b"))
                self.assertTrue(peer.says_nothing())
                self.assertEqual(self.finish(job), "True\nTrue\n")

    def test_too_late(self):
        """A main thread that comes to it only after the deadline doesn't save any more; a later request is served."""
        job, peer = self.saver(
            "open('l', 'w').write('x')\nreturn 'l'",
            rest="import hashlib; print('ready', flush=True); hashlib.pbkdf2_hmac('sha256', b'x', b'y', 4 * 10**6)\n"
            + WAIT,
        )
        job.stdout.readline()
        peer.say("checkpoint %f" % (time.time() + 0.3))
        self.assertIn("deadline", peer.line())
        self.assertEqual(peer.ask_checkpoint(), "checkpointed " + self.path("l"))
        self.finish(job)

    def test_forks(self):
        """A function that forks: the child that it leaves behind doesn't answer."""
        for decorator in ("@headroom.checkpoint", "@headroom.checkpoint(thread=True)"):
            with self.subTest(decorator):
                job, peer = self.saver(
                    "pid = os.fork()\nif pid == 0: time.sleep(0.3); return 'nothing'\n"
                    "os.waitpid(pid, os.WNOHANG); time.sleep(0.6)\nopen('f', 'w').write('x')\nreturn 'f'",
                    decorator,
                )
                self.assertEqual(peer.ask_checkpoint(), "checkpointed " + self.path("f"))
                self.assertTrue(peer.says_nothing())

    def test_child_has_none(self):
        """A forked child, and a spawned worker that imports the script again, have no checkpoint function."""
        job = self.job(
            BEGIN
            + "@headroom.checkpoint\ndef save(): return 'x'\n"
            + (
                "time.sleep(0.5)\nimport multiprocessing\nif __name__ == '__main__':\n"
                "  for method in 'fork', 'spawn':\n"
                "    p = multiprocessing.get_context(method).Process(target=time.sleep, args=(0.7,)); p.start(); p.join()\n"
            )
        )
        hellos = {job.pid: "", 0: ""}
        while len(hellos) < 4:  # 0, the script, and two children at least: spawn starts a resource tracker as well
            peer = self.daemon.meet()
            hellos[peer.pid] = peer.hello
        self.assertEqual(hellos.pop(job.pid), "hello headroom/1 trim why checkpoint memory-error")
        self.assertEqual(set(hellos.values()), {"hello headroom/1 trim why memory-error", ""})
        self.finish(job)

    def test_registered_late(self):
        """hello is said again when there is a function; without one a request fails."""
        job = self.job(BEGIN + "sys.stdin.readline()\nheadroom.checkpoint(lambda: None)\n" + WAIT)
        peer = self.daemon.meet()
        self.assertEqual(peer.hello, "hello headroom/1 trim why memory-error")
        job.stdin.write("go\n")
        job.stdin.flush()
        self.assertEqual(peer.line(), "hello headroom/1 trim why checkpoint memory-error")
        self.finish(job)

    def test_signal_shared(self):
        """The script's own handler of SIGURG still gets its signals; one that replaces ours is told of."""
        job, peer = self.saver(
            "open('u', 'w').write('x')\nreturn 'u'",
            rest=(
                "import signal\nos.kill(os.getpid(), signal.SIGURG); print('ready', flush=True); sys.stdin.readline()\n"
                "signal.signal(signal.SIGURG, lambda *a: print('theirs')); " + WAIT
            ),
            decorator="import signal; signal.signal(signal.SIGURG, lambda *a: print('former', flush=True))\n"
            "@headroom.checkpoint",
        )
        self.assertEqual([job.stdout.readline() for _ in range(2)], ["former\n", "ready\n"])
        self.assertEqual(peer.ask_checkpoint(), "checkpointed " + self.path("u"))
        job.stdin.write("\n")
        job.stdin.flush()
        job.stdout.readline()
        self.assertIn("SIGURG", peer.ask_checkpoint())
        self.finish(job)

    def test_decorated_function_stays(self):
        """The script may call its function and saving itself, without a daemon too; need and time_left do nothing there."""
        job = self.job(
            BEGIN
            + (
                "@headroom.checkpoint\ndef save():\n  headroom.need(5)\n  print(headroom.time_left())\n"
                "  with headroom.saving('s.txt') as path:\n    print(path.endswith('s.txt')); open(path, 'w').write('x')\n"
                "save(); print(open('s.txt').read())\n"
                "try: headroom.checkpoint('not a function')\nexcept TypeError: print('refused')\n"
                "print(headroom.status(), headroom.resume_path())"
            ),
            environment=self.environment(MEMORY_PRESSURE_WATCH="/nonexistent"),
        )
        self.assertEqual(self.finish(job), "None\nTrue\nx\nrefused\nNone None\n")


class Pressure(Case):
    def test_stages(self):
        """Every callback is told every stage, in order; one that raises is shown, one that blocks keeps no trim waiting."""
        job = self.job(
            BEGIN
            + (
                "@headroom.on_pressure\ndef tell(stage): print(stage, flush=True)\n"
                "@headroom.on_pressure\ndef fail(stage):\n  if stage == 'trim': raise KeyError('mine')\n"
                "@headroom.on_pressure\ndef block(stage):\n  if stage == 'hold': time.sleep(60)\n"
            )
            + WAIT
        )
        peer = self.daemon.meet()
        self.assertEqual(job.stdout.readline(), "ready\n")
        for stage in ("notice", "trim", "ok", "hold", "ok"):
            peer.say("pressure " + stage)
        self.assertEqual([job.stdout.readline() for _ in range(4)], ["notice\n", "trim\n", "ok\n", "hold\n"])
        self.assertRegex(peer.ask("trim"), "^trimmed ")
        out, err = job.communicate(timeout=10)
        self.assertEqual((job.returncode, out), (0, ""))
        self.assertEqual(err.count("KeyError: 'mine'"), 1)

    def test_subprocess_in_callback(self):
        """What a callback starts has no signals blocked."""
        job = self.job(
            BEGIN
            + (
                "import subprocess\n@headroom.on_pressure\ndef tell(stage):\n"
                "  print(subprocess.check_output(['grep', 'SigBlk', '/proc/self/status'], text=True), flush=True)\n"
            )
            + WAIT
        )
        self.daemon.meet().say("pressure notice")
        job.stdout.readline()
        self.assertRegex(job.stdout.readline(), "SigBlk:\t0+\n")
        self.finish(job)


class Status(Case):
    def ask(self, answer):
        job = self.job(
            BEGIN + "begin = time.monotonic(); print(headroom.status()); assert time.monotonic() - begin < 2\n",
            options=("-W", "error"),
        )
        peer = self.daemon.accept()
        if peer.line() != "hello headroom/1":  # the hook itself
            peer = self.daemon.accept()
            self.assertEqual(peer.line(), "hello headroom/1")
        self.assertEqual(peer.line(), "status")
        for line in answer:
            peer.say(line)
        return self.finish(job).strip()

    def test_status(self):
        """Stage, bytes and seconds; None for no limit and never, and for a daemon that says nothing or nonsense."""
        self.assertEqual(
            self.ask(["welcome headroom/1 j1", "pressure ok", "status ok 10 20 1.5"]),
            "Status(stage='ok', used_bytes=10, limit_bytes=20, seconds_to_limit=1.5)",
        )
        self.assertEqual(
            self.ask(["status notice 10 -1 -1"]),
            "Status(stage='notice', used_bytes=10, limit_bytes=None, seconds_to_limit=None)",
        )
        self.assertEqual(self.ask(["welcome headroom/1 j1"]), "None")
        self.assertEqual(self.ask(["status ok ten 20 1"]), "None")

    def test_resume(self):
        """The path from which to go on."""
        job = self.job(BEGIN + "print(headroom.resume_path())", environment=self.environment(HEADROOM_RESUME="/a b"))
        self.assertEqual(self.finish(job), "/a b\n")
