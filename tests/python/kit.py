# SPDX-License-Identifier: LGPL-2.1-or-later
"""
A fake daemon, jobs that run under its hook, and a directory laid out as the hook is installed.

Each test begins with its goal. The Python that runs the tests is the one that the jobs run in.
"""
import atexit
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "client", "python")
MiB = 1 << 20


def _install():
    """As `make install` does: sitecustomize beside the package, byte-compiled."""
    directory = tempfile.mkdtemp(prefix="headroom-python-")
    atexit.register(shutil.rmtree, directory, True)
    shutil.copy(os.path.join(SOURCE, "hook", "sitecustomize.py"), directory)
    shutil.copytree(
        os.path.join(SOURCE, "headroom"),
        os.path.join(directory, "headroom"),
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    subprocess.run([sys.executable, "-m", "compileall", "-q", directory], check=True, env=clean_environment())
    return directory


def clean_environment(**more):
    ours = ("PYTHON", "MEMORY_PRESSURE", "HEADROOM")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment.update(more)
    return environment


HOOK = _install()


def have(module):
    return subprocess.run([sys.executable, "-c", "import " + module], stderr=subprocess.DEVNULL).returncode == 0


class Peer:
    """One connection to the fake daemon."""

    def __init__(self, connection):
        self.connection = connection
        self.pid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        self.received = b""

    def line(self, seconds=10.0):
        """The next line, or None at the end of the connection; AssertionError if neither comes."""
        until = time.monotonic() + seconds
        while b"\n" not in self.received:
            if not select.select([self.connection], [], [], max(0, until - time.monotonic()))[0]:
                raise AssertionError("no line within %s s, but %r" % (seconds, self.received))
            try:
                data = self.connection.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self.received += data
        line, self.received = self.received.split(b"\n", 1)
        return line.decode()

    def says_nothing(self, seconds=0.5):
        try:
            return self.line(seconds) is None
        except AssertionError:
            return True

    def say(self, line):
        self.connection.sendall(line.encode() + b"\n")

    def ask(self, line, seconds=10.0):
        self.say(line)
        return self.line(seconds)

    def ask_checkpoint(self, seconds=10.0):
        return self.ask("checkpoint %.3f" % (time.time() + seconds))

    def why(self):
        """[(bytes, count, line, name, file)], spare"""
        self.say("why")
        holders = []
        while True:
            words = self.line().split(" ")
            if words[0] == "spare":
                return holders, words[1:]
            holders.append((int(words[1]), int(words[2]), int(words[3]), words[4], words[5]))

    def close(self):
        self.connection.close()


class Daemon:
    def __init__(self, directory):
        self.path = os.path.join(directory, "job")
        self.start()

    def start(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(64)

    def stop(self):
        self.socket.close()
        os.unlink(self.path)

    def accept(self, seconds=10.0):
        self.socket.settimeout(seconds)
        return Peer(self.socket.accept()[0])

    def meet(self, seconds=10.0):
        """A peer that has said hello, and was welcomed."""
        peer = self.accept(seconds)
        peer.hello = peer.line(seconds)
        try:
            peer.say("welcome headroom/1 j1")
        except BrokenPipeError:  # it has ended already: what it said can still be read
            pass
        return peer

    def nobody_comes(self, seconds=0.6):
        try:
            self.accept(seconds)
        except socket.timeout:
            return True
        return False


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="headroom-test-")
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.daemon = Daemon(self.directory)
        self.addCleanup(self.daemon.socket.close)

    def file(self, name, text):
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as out:
            out.write(text)
        return path

    def environment(self, **more):
        """What `headroom run` sets."""
        settings = {"MEMORY_PRESSURE_WATCH": self.daemon.path, "PYTHONPATH": HOOK}
        settings.update(more)
        return clean_environment(**settings)

    def job(self, text, options=(), python=sys.executable, environment=None, name="job.py", arguments=(), **popen):
        """A script under the hook. It reads its input, so closing that is how the tests end one that waits for it."""
        path = self.file(name, text)
        process = subprocess.Popen(
            [python, *options, path, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.directory,
            env=self.environment() if environment is None else environment,
            universal_newlines=True,
            **popen,
        )
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def finish(self, process, status=0, seconds=20):
        """Closes its input, and expects silence on stderr. Returns what it printed."""
        out, err = process.communicate(timeout=seconds)
        self.assertEqual((process.returncode, err), (status, ""), out)
        return out
