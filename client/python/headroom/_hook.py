# SPDX-License-Identifier: LGPL-2.1-or-later
# The helper thread that answers the daemon. What it is and does stands in the package's docstring. This file is all that an
# unmodified script loads, and is kept small for that (200 KiB a process, with its thread): comments instead of docstrings,
# nothing imported that Python has not loaded anyway, but _socket, select and atexit.
import _thread
import atexit
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    import signal as _signal
    from typing import Any, Callable, Dict, Optional, Tuple

    Handle = Tuple[int, int, int]
else:
    import _signal  # signal itself imports enum, 600 KiB more
    import _socket  # here, in the main thread: in the helper's own heap it takes 20 KiB more

LINE_BYTES = 4096  # longest line of the protocol, with its end
_SETTLE_SECONDS = 0.2  # chosen, not tuned: a process that ends sooner never bothers the daemon
_RETRY_SECONDS = (1.0, 30.0)  # first and longest pause before the daemon is looked for again
# If a script closes our descriptors and reuses their numbers, poll goes on with its files, silently: so look by ourselves.
_LOOK_SECONDS = 10.0
_QUIET_SECONDS = 1.0  # the longest that a fork waits for an answer in progress
# Finalizers run on this stack: 1000 Python calls deep takes up to 0.5 MiB (3.8 to 3.10). Below 2 MiB no huge page backs it.
_STACK_BYTES = 1 << 20
_FAULTS = {_signal.SIGSEGV, _signal.SIGBUS, _signal.SIGFPE, _signal.SIGILL, _signal.SIGABRT}
_NOTHING = (-1, 0, 0)
_WORDS = ("trim", "why", "checkpoint")  # what hello names, where there is an answer
_MEMORY_ERROR = "memory-error"  # what hello names as well: it is said where it comes to that
_NOWHERE = b"memory-error 0 -\n"  # made before memory is short
_LAST_WORD_SECONDS = 1.0


# The helper thread, its connection, and what it answers to each word.
class Hook:
    def __init__(self) -> None:
        self.watch: Optional[str] = None  # the daemon's socket; None: stay idle
        self.helps = True  # there is to be a helper
        self.begun = False  # watch was set once: the fork and exit handlers are there
        self.generation = 0  # changes in a forked child, so that nothing begun before the fork answers in it
        self.helper = self.helper_tid = 0  # ident of the helper thread; the kernel's number of it
        self.running = _thread.allocate_lock()  # held from before the helper is started until it has done with Python code
        self.pausing = _thread.allocate_lock()  # released: ends the helper's pause without a connection
        self.pausing.acquire()
        self.busy = _thread.allocate_lock()  # held by the helper while it answers, and around a fork
        self.forking = 0  # ident of the thread that holds busy around its fork
        self.connection: Handle = _NOTHING
        self.received = b""
        self.main_thread = _thread.get_ident()
        self.retry_seconds = _RETRY_SECONDS[0]
        self.answers: Dict[str, Callable[[str, int], None]] = {
            "welcome": self.welcome,
            "trim": self.trim,
            "why": self.why,
        }

    # ---- life ----

    # Serves the daemon at the socket `watch` from now on; without a helper it only hears of the end.
    def begin(self, watch: str, helps: bool) -> None:
        self.watch, self.helps = watch, helps
        if not self.begun:
            self.begun = True
            if helps:
                os.register_at_fork(
                    before=self.before_fork, after_in_parent=self.after_fork, after_in_child=self.reborn
                )
            atexit.register(self.leave)
        if helps:
            self.start()

    # At exit. Registered before all that the script registers, it is called after that.
    def leave(self) -> None:
        try:
            if self.watch is not None and ended_by_memory_error():
                self.tell_memory_error()
        except Exception:  # also MemoryError: the daemon hears nothing, and the script ends as it would
            pass
        self.retire()

    # For good: at exit, or when another copy of this module takes over. A thread that woke up while the interpreter is taken
    # apart could crash it (seen with 3.11), so the helper ends before.
    def retire(self) -> None:
        self.watch = None
        self.generation += 1
        if self.pausing.locked():
            self.pausing.release()
        self.use(lambda connection: connection.shutdown(2))  # closed alone, it would stay open in the helper's poll
        if self.helps and self.helper != _thread.get_ident() and self.running.acquire(timeout=_QUIET_SECONDS):
            self.running.release()
            until = time.monotonic() + _QUIET_SECONDS
            try:
                while time.monotonic() < until:  # until the kernel has it no more: some milliseconds at most
                    os.stat("/proc/self/task/%d" % self.helper_tid)
                    time.sleep(0.0002)
            except OSError:
                pass
        self.drop_connection()

    # The helper may hold locks (of imports, of a finalizer's) only while it answers: a child must not inherit them.
    def before_fork(self) -> None:
        if self.watch is None:
            return
        if self.helper != _thread.get_ident() and self.busy.acquire(timeout=_QUIET_SECONDS):
            self.forking = _thread.get_ident()
        if sys.version_info >= (3, 12):
            hide_fork_warning()

    def after_fork(self) -> None:
        if self.forking == _thread.get_ident():
            self.forking = 0
            self.busy.release()

    # In a forked child: lets go of what is the parent's.
    def reborn(self) -> None:
        self.drop_connection()
        watch, generation = self.watch, self.generation + 1
        self.__init__()  # type: ignore[misc]
        self.watch, self.begun, self.generation = watch, True, generation  # there was a helper, or we were not called
        self.start()

    def start(self) -> None:
        if self.watch is None:
            return
        former_stack = _thread.stack_size()
        # It starts with its signals blocked: one that it took instead of the main thread would not end a signal.pause().
        former_mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals() - _FAULTS)
        self.running.acquire(False)
        try:
            _thread.stack_size(_STACK_BYTES)
            _thread.start_new_thread(self.help, (self.generation, self.running))
        except RuntimeError:  # no thread to be had: this process stays idle
            self.running.release()
        finally:
            _thread.stack_size(former_stack)
            _signal.pthread_sigmask(_signal.SIG_SETMASK, former_mask)

    # ---- descriptors ----

    # A descriptor of ours, with its device and inode. 0 to 2 are the script's, also where it has closed them.
    def keep(self, fd: int) -> "Handle":
        if fd < 3:
            try:
                return self.keep(os.dup(fd))
            finally:
                os.close(fd)
        about = os.fstat(fd)
        return fd, about.st_dev, about.st_ino

    # Whether the script has left it alone: it may close or replace any descriptor.
    def is_ours(self, handle: "Handle") -> bool:
        try:
            about = os.fstat(handle[0])
        except OSError:
            return False
        return handle[1:] == (about.st_dev, about.st_ino)

    def drop_connection(self) -> None:
        if self.is_ours(self.connection):
            os.close(self.connection[0])
        self.connection, self.received = _NOTHING, b""

    # ---- the helper thread ----

    def help(self, generation: int, running: "_thread.LockType") -> None:
        try:
            self.helper, self.helper_tid = _thread.get_ident(), _thread.get_native_id()
            self.serve(generation)
        except BaseException:  # the job's stderr is not ours
            pass
        finally:
            running.release()

    def serve(self, generation: int) -> None:
        import select

        pause = _SETTLE_SECONDS
        while self.generation == generation:
            arrived = None
            if self.connection is _NOTHING:
                self.pausing.acquire(timeout=pause)
            else:
                poll = select.poll()
                poll.register(self.connection[0], select.POLLIN)
                arrived = poll.poll(_LOOK_SECONDS * 1000)
            busy = self.busy  # a finalizer may fork: the child has another
            with busy:
                if self.generation != generation or main_thread_has_ended():
                    return
                try:
                    if self.connection is _NOTHING:
                        self.connect()
                        self.hello()
                    elif arrived or not self.is_ours(self.connection):
                        self.receive(generation)
                except Exception:  # also MemoryError: the connection may go, the helper stays
                    if self.generation == generation:
                        self.drop_connection()
            if self.connection is _NOTHING:
                pause = self.retry_seconds
                self.retry_seconds = min(2 * self.retry_seconds, _RETRY_SECONDS[1])

    def connect(self) -> None:
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            connection.settimeout(0.0)
            connection.connect(str(self.watch))
            self.connection = self.keep(connection.detach())
        finally:
            connection.close()

    def receive(self, generation: int) -> None:
        data = os.read(self.connection[0], LINE_BYTES) if self.is_ours(self.connection) else b""
        if not data:
            raise OSError("closed")
        *lines, self.received = (self.received + data).split(b"\n")
        if len(self.received) >= LINE_BYTES:
            raise ValueError("line too long")
        for line in lines:
            word, _, rest = line.decode("utf-8", "replace").partition(" ")
            if word in self.answers and self.generation == generation:
                self.answers[word](rest, generation)

    # One line, in one piece, from any thread; a daemon that doesn't read misses it. Nothing from another process.
    def send(self, line: str, generation: int) -> None:
        if self.generation == generation:
            self.use(lambda connection: connection.send(line.encode() + b"\n", 0x4000))  # MSG_NOSIGNAL

    # Calls operation with the connection as a socket. Its errors are for the helper to find, when it next reads.
    def use(self, operation: "Callable[[_socket.socket], Any]") -> None:
        if self.is_ours(self.connection):
            connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, self.connection[0])
            try:
                connection.settimeout(0.0)
                operation(connection)
            except OSError:
                pass
            finally:
                connection.detach()

    # What this process answers. A later hello replaces the former.
    def hello(self) -> None:
        self.send(
            " ".join(["hello", "headroom/1"] + [word for word in _WORDS if word in self.answers] + [_MEMORY_ERROR]),
            self.generation,
        )

    # Over the connection that there is; a process that never had one waits until the daemon has looked whose it is.
    def tell_memory_error(self) -> None:
        try:
            line = b"memory-error %d %s\n" % place_of_error()
        except Exception:
            line = _NOWHERE
        if self.is_ours(self.connection):
            self.use(lambda connection: connection.send(line, 0x4000))  # MSG_NOSIGNAL
            return
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            connection.settimeout(_LAST_WORD_SECONDS)
            connection.connect(str(self.watch))
            connection.send(b"hello headroom/1\n" + line, 0x4000)
            connection.recv(LINE_BYTES)
        finally:
            connection.close()

    # ---- answers, in the helper thread ----

    def welcome(self, job: str, generation: int) -> None:
        self.retry_seconds = _RETRY_SECONDS[0]

    def trim(self, rest: str, generation: int) -> None:
        import gc

        before = resident_bytes()
        gc.collect()
        malloc_trim = libc_function("malloc_trim")
        if malloc_trim is not None:
            malloc_trim(0)
        self.send("trimmed %d" % max(0, before - resident_bytes()), generation)

    def why(self, rest: str, generation: int) -> None:
        try:
            from . import _holders

            lines = _holders.report(self.main_thread, lambda: self.generation != generation)
        except Exception:  # nothing that a script's objects do may end the helper
            lines = ["spare -1 -1"]
        for line in lines:
            self.send(line, generation)


# The interpreter keeps what it ends by before it calls sys.excepthook: whatever a script has put there, nothing is chained
# to it, and its traceback and status stay its own. At a prompt an error ends nothing, nor does one of a thread.
def ended_by_memory_error() -> bool:
    kind = getattr(sys, "last_type", None)
    return isinstance(kind, type) and issubclass(kind, MemoryError) and not hasattr(sys, "ps1")


# (line, file) of the innermost call that is the script's own, not a library's.
def place_of_error() -> "Tuple[int, bytes]":
    standard = os.path.dirname(os.__file__) + os.sep
    line, file = 0, ""
    trace = getattr(sys, "last_traceback", None)
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not ("-packages" in name or name.startswith((standard, "<frozen"))):
            line, file = trace.tb_lineno, name
        trace = trace.tb_next
    encoded = percent_encoded(os.fsencode(file)).encode()
    return (line, encoded) if 0 < len(encoded) < 3000 else (0, b"-")


def resident_bytes() -> int:
    with open("/proc/self/statm", "rb", buffering=0) as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# A child that was forked in a thread, and returns from it, ends with its last thread: that must not be the helper.
def main_thread_has_ended() -> bool:
    with open("/proc/self/stat", "rb", buffering=0) as stat:
        return b") Z " in stat.read()


# A function of glibc, or None with another libc. ctypes costs 0.5 MiB, so it is loaded when it is needed first.
def libc_function(name: str) -> "Any":
    try:
        import ctypes

        return getattr(ctypes.CDLL(None), name)
    except (ImportError, OSError, AttributeError):
        return None


# As headroom/1 writes paths and names: no space, %, control or non-UTF-8 byte stays.
def percent_encoded(name: bytes) -> str:
    return "".join(
        c
        if c.isprintable() and c not in " %"
        else "".join("%%%02X" % byte for byte in c.encode("utf-8", "surrogateescape"))
        for c in name.decode("utf-8", "surrogateescape")
    )


# Since 3.12 fork warns of other threads (DeprecationWarning). A script that has none but the helper is none the wiser.
class ForkWarning:
    @staticmethod
    def match(text: str) -> bool:
        return "multi-threaded, use of fork" in text and len(os.listdir("/proc/self/task")) == 2


# In front of the filters that hold just now: a script changes them as it likes.
def hide_fork_warning() -> None:
    import _warnings

    filters = getattr(sys.modules.get("warnings", _warnings), "filters", None)
    if isinstance(filters, list) and not (filters and filters[0] is _FORK_FILTER):
        filters.insert(0, _FORK_FILTER)


_FORK_FILTER = ("ignore", ForkWarning, DeprecationWarning, None, 0)


# A socket, or nothing yet: the daemon may be starting. systemd names files and /dev/null by the same variable.
def may_be_socket(watch: "Optional[str]") -> bool:
    if not watch:
        return False
    try:
        return os.stat(watch).st_mode & 0o170000 == 0o140000
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False


# Subinterpreters may not have daemon threads. Python lets only the main one's main thread set a signal handler, so
# it is tried by setting the one that there is.
def is_main_interpreter() -> bool:
    handler = _signal.getsignal(_signal.SIGURG)
    if handler is None:  # so it looks to a subinterpreter of 3.13
        return False
    try:
        _signal.signal(_signal.SIGURG, handler)
        return True
    except ValueError:
        return False


# A short script that ends on a busy machine was seen to abort in free() with these, and only with these (3.11: 3 of 760 runs
# under -X dev, 0 of 800 without).
def has_debug_allocator() -> bool:
    return sys.flags.dev_mode or os.environ.get("PYTHONMALLOC", "").endswith("debug")


def begin() -> None:
    watch = os.environ.get("MEMORY_PRESSURE_WATCH")
    former = sys.modules.get("_headroom._hook")  # the copy that the hook for unmodified scripts has started
    if former is sys.modules[__name__]:
        former = None
    if may_be_socket(watch) and (former is not None or is_main_interpreter()):
        if former is not None:
            former.hook.retire()
        hook.begin(str(watch), not has_debug_allocator())


hook = Hook()
begin()
