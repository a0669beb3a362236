# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Headroom's Python side: a job that knows when its memory runs short.

Nothing has to be imported. In a Python that `headroom run` starts, a helper thread answers the daemon: asked to trim, it
collects garbage and returns what malloc holds to the system; asked why, it names the variables that hold the memory.
A script that wants to keep its work, whatever happens, says how:

    import headroom

    @headroom.checkpoint
    def save():
        with headroom.saving("state.npy") as path:
            numpy.save(path, state)

    state = numpy.load(headroom.resume_path() or "start.npy")

checkpoint    the decorated function is called, between two lines of the main thread, when memory is about to run out
saving        a file that is either saved whole or not there at all
need          within a checkpoint function: asks for more time;   time_left: how much there is
on_pressure   the decorated function is called with the new stage: ok notice trim checkpoint hold interrupt kill
status        what the daemon knows of this job;   resume_path: the checkpoint from which this run should go on

Without Headroom all of this does nothing, so that the same script runs anywhere. Import it in the main thread.

How it works. The daemon listens on the socket that $MEMORY_PRESSURE_WATCH names and speaks headroom/1, lines of text.
One helper thread per process waits for them, with all signals blocked, so that the script's own handling of signals stays
as it is. Finalizers of garbage found by a trim run in that thread. A fork waits until the thread is idle; the
child has a thread and a connection of its own, and starts without the parent's functions, for a save in the child would
overwrite the parent's. The connection is close-on-exec; where the
script closed or replaced its descriptor, it is given up. A daemon that went away is looked for again, after 1 s to 30 s.
The hook has nothing to say to the job's stderr; errors of the functions that a script registers go to
threading.excepthook, as those of its own threads do.
"""
from __future__ import annotations

import _thread
import os
import sys
import time

from ._hook import LINE_BYTES, hook, may_be_socket, percent_encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from types import FrameType, TracebackType
    from typing import Any, Callable, List, Optional, Set, Type, TypeVar, Union, overload

    _Path = Union[str, "os.PathLike[str]"]
    _Save = TypeVar("_Save", bound=Callable[[], Optional[_Path]])
    _Told = TypeVar("_Told", bound=Callable[[str], Any])
else:
    import _signal  # signal itself imports enum, 600 KiB more

    def overload(function):
        return function


__all__ = ["Status", "checkpoint", "need", "on_pressure", "resume_path", "saving", "status", "time_left"]
__version__ = "0.1.0"

_STATUS_SECONDS = 1.0
# Ignored by default, so harmless wherever it arrives by mistake; Go interrupts its threads by it for the same reason.
_NUDGE = _signal.SIGURG


class _Request:
    """A checkpoint that the daemon asked for. Deadline: seconds since the epoch."""

    __slots__ = ("deadline", "asked", "started", "saved")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.asked = time.clock_gettime(5)  # CLOCK_REALTIME_COARSE: what file systems stamp files with
        self.started = False
        self.saved: Optional[str] = None  # the last file that saving() completed meanwhile


class _Saver:
    """The checkpoint function and the request for it, if there is one: one is answered at a time."""

    def __init__(self) -> None:
        self.function: Optional[Callable[[], Optional[_Path]]] = None
        self.in_thread = False
        self.main_thread = 0
        self.former_handler: Any = None  # the script's own for _NUDGE
        self.mask: Set[Any] = set()  # of the script, for a thread: what is started there must not inherit the helper's
        self.request: Optional[_Request] = None

    def register(self, function: Callable[[], Optional[_Path]], in_thread: bool) -> None:
        if not in_thread:
            handler = _signal.getsignal(_NUDGE)
            if handler != self.nudged:
                _signal.signal(_NUDGE, self.nudged)  # ValueError outside the main thread
                self.former_handler = handler
            self.main_thread = _thread.get_ident()
        self.mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
        self.function, self.in_thread = function, in_thread
        hook.answers["checkpoint"] = self.asked
        hook.hello()

    def asked(self, deadline: str, generation: int) -> None:
        """In the helper thread: has the function called elsewhere, so that other requests are answered meanwhile."""
        request = _Request(float(deadline))
        if self.request is not None and self.request.started:
            # Requests are answered in their order: this for the former, which the daemon gave up, the result for this one.
            hook.send("failed it was still saving when asked again", generation)
            self.request.deadline = request.deadline
            return
        self.request = request
        try:
            if self.in_thread:
                _thread.start_new_thread(self.run_in_thread, (request, generation))
            elif _signal.getsignal(_NUDGE) == self.nudged:
                _signal.pthread_kill(self.main_thread, _NUDGE)
            else:
                raise RuntimeError("the script took SIGURG, by which its main thread is called")
        except RuntimeError as error:
            self.request = None
            hook.send("failed " + _described(error), generation)

    def nudged(self, signum: int, frame: Optional[FrameType]) -> None:
        """The handler of _NUDGE: Python calls it in the main thread, between two bytecodes."""
        request = self.request
        if request is not None and not request.started and not self.in_thread:
            self.run(request, hook.generation)
        elif callable(self.former_handler):
            self.former_handler(signum, frame)

    def run_in_thread(self, request: _Request, generation: int) -> None:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self.mask)
        self.run(request, generation)

    def run(self, request: _Request, generation: int) -> None:
        request.started = True
        answer = "failed"
        try:
            assert self.function is not None
            if time.time() > request.deadline:
                answer = "failed the main thread was busy until after the deadline"
            else:
                answer = _proof(self.function(), request)
        except Exception as error:
            answer = "failed " + _described(error)
            _show_exception()
        except BaseException as error:  # ctrl-C, sys.exit: the script's own affair
            answer = "failed " + _described(error)
            raise
        finally:
            if hook.generation == generation:  # not in a child that the function forked
                self.request = None
                hook.send(answer, generation)


class _Teller:
    """The callbacks, and the stages that they have not been told."""

    def __init__(self) -> None:
        self.callbacks: List[Callable[[str], Any]] = []
        self.untold: List[str] = []
        self.telling = False
        self.mask: Set[Any] = set()

    def register(self, callback: Callable[[str], Any]) -> None:
        self.mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
        self.callbacks.append(callback)
        hook.answers["pressure"] = self.changed

    def changed(self, stage: str, generation: int) -> None:
        self.untold = self.untold[-15:] + [stage]  # bounded: a callback may never return
        if not self.telling:
            self.telling = True
            try:
                _thread.start_new_thread(self.tell, (generation,))
            except RuntimeError:  # no thread to be had: with the next stage
                self.telling = False

    def tell(self, generation: int) -> None:
        """In a thread of its own, so that a callback that takes its time keeps nobody waiting."""
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self.mask)
        while self.untold and hook.generation == generation:
            stage = self.untold.pop(0)
            for callback in list(self.callbacks):
                try:
                    callback(stage)
                except Exception:
                    _show_exception()
        if hook.generation == generation:
            self.telling = False


def _show_exception() -> None:
    """The exception being handled, as one of a thread of the script's own would be shown."""
    excepthook = getattr(sys.modules.get("threading"), "excepthook", _thread._excepthook)
    try:
        excepthook(_thread._ExceptHookArgs((*sys.exc_info(), None)))
    except Exception:
        pass


def _described(error: BaseException) -> str:
    """An exception in one line of text, bounded."""
    try:
        text = "%s: %s" % (type(error).__name__, error)
    except Exception:  # its __str__ raises
        text = type(error).__name__
    return " ".join(
        "".join(c if c.isprintable() else " " for c in text[:400]).encode("utf-8", "replace").decode().split()
    )


def _proof(result: Optional[_Path], request: _Request) -> str:
    """The answer to a request: `checkpointed` only for a file, or a directory with files, not older than the request."""
    path = request.saved if result is None else os.path.abspath(os.fsdecode(result))
    if path is None:
        return "failed the checkpoint function returned no path, and saved nothing with headroom.saving"
    named = percent_encoded(os.fsencode(path))
    if len(named) > 2048:
        return "failed the path of the checkpoint is too long"
    try:
        about = os.stat(path)
        changed, is_empty = about.st_mtime, about.st_size == 0
        if about.st_mode & 0o170000 == 0o040000:
            with os.scandir(path) as entries:
                parts = [entry.stat() for entry in entries]
            changed = max([changed] + [part.st_mtime for part in parts])
            is_empty = not any(part.st_size for part in parts)
    except OSError as error:
        return "failed " + _described(error)
    if is_empty:
        return "failed the checkpoint is empty: " + named
    # Lustre and others stamp whole seconds.
    if changed < (request.asked if changed % 1 else int(request.asked)):
        return "failed the checkpoint is older than the request: " + named
    return "checkpointed " + named


# ---- for scripts ----


class Status:
    """What the daemon says of this job: stage (a word of the ladder), used_bytes, limit_bytes (None: no limit) and
    seconds_to_limit (None: not in sight)."""

    __slots__ = ("stage", "used_bytes", "limit_bytes", "seconds_to_limit")

    def __init__(
        self, stage: str, used_bytes: int, limit_bytes: Optional[int], seconds_to_limit: Optional[float]
    ) -> None:
        self.stage = stage
        self.used_bytes = used_bytes
        self.limit_bytes = limit_bytes
        self.seconds_to_limit = seconds_to_limit

    def __repr__(self) -> str:
        return "Status(%s)" % ", ".join("%s=%r" % (name, getattr(self, name)) for name in self.__slots__)


class saving:
    """`with saving(path) as temporary:` write to `temporary`, a name in the same directory that ends like path.

    When the block ends, the file is on the disk, whole, under the name `path`; when it raises, path is as it was before.
    A checkpoint function that saved this way need not return the path.
    """

    def __init__(self, path: _Path) -> None:
        self.path = os.path.abspath(os.fsdecode(path))
        directory, name = os.path.split(self.path)
        # The whole name stays at the end: numpy.save and pandas go by the suffix.
        self.temporary = os.path.join(directory, ".headroom-%s-%s" % (os.urandom(4).hex(), name))

    def __enter__(self) -> str:
        return self.temporary

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        try:
            if kind is None:
                _sync(self.temporary)
                os.replace(self.temporary, self.path)
        finally:
            try:
                os.unlink(self.temporary)  # there only if something failed
            except OSError:
                pass
        if kind is None:
            _sync(os.path.dirname(self.path))
            request = _saver.request
            if request is not None and request.started:
                request.saved = self.path


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@overload
def checkpoint(function: _Save) -> _Save:
    ...


@overload
def checkpoint(*, thread: bool = ...) -> Callable[[_Save], _Save]:
    ...


def checkpoint(function: Any = None, *, thread: bool = False) -> Any:
    """Registers the function that saves the job's work; the last one registered counts.

    It takes no argument. It returns the path that it saved, a file or a directory, or None if it saved with `saving`. What
    is missing, empty or older than the request counts as failed, as does an exception. It is called in the main thread, as
    a signal handler is (by SIGURG): between two bytecodes, also while the script sleeps or waits, but not before a long
    call into C returns. With thread=True it is called in a thread of its own at any moment, while the script goes on:
    for data that is not being changed. It may be called by the script, too.

    A forked child doesn't inherit it, nor does a multiprocessing worker that imports the script again register it.
    """
    if function is None:
        return lambda late: _registered(late, thread)
    return _registered(function, thread)


def _registered(function: _Save, in_thread: bool) -> _Save:
    if not callable(function):
        raise TypeError("headroom.checkpoint takes a function, not %r" % (function,))
    if getattr(function, "__module__", None) != "__mp_main__":
        _saver.register(function, in_thread)
    return function


def time_left() -> Optional[float]:
    """Seconds until the deadline of the checkpoint being made, maybe negative; None when none is being made."""
    request = _saver.request
    return request.deadline - time.time() if request is not None and request.started else None


def need(seconds: float) -> None:
    """Within a checkpoint function: asks for this many seconds from now, at most 3600. Elsewhere does nothing."""
    request = _saver.request
    if request is not None and request.started:
        seconds = min(max(float(seconds), 0.0), 3600.0)
        request.deadline = time.time() + seconds
        hook.send("need %.3f" % seconds, hook.generation)


def on_pressure(callback: _Told) -> _Told:
    """Registers a function that is called with each new stage, a string, in a thread beside the script's own.

    Stages follow each other in order, one call at a time. Usable as a decorator; a forked child doesn't inherit it.
    """
    _teller.register(callback)
    return callback


def status() -> Optional[Status]:
    """What the daemon knows of this job now, or None where no daemon answers within a second."""
    import _socket

    watch = os.environ.get("MEMORY_PRESSURE_WATCH")
    if watch is None or not may_be_socket(watch):
        return None
    until = time.monotonic() + _STATUS_SECONDS
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(_STATUS_SECONDS)
        connection.connect(watch)
        connection.send(b"hello headroom/1\nstatus\n", _socket.MSG_NOSIGNAL)
        received = b""
        while time.monotonic() < until and len(received) < 4 * LINE_BYTES:
            data = connection.recv(LINE_BYTES)
            if not data:
                return None
            received += data
            for line in received.split(b"\n")[:-1]:
                words = line.decode("utf-8", "replace").split()
                if words[:1] == ["status"] and len(words) >= 5:
                    used, limit, left = int(words[2]), int(words[3]), float(words[4])
                    return Status(words[1], used, None if limit < 0 else limit, None if left < 0 else left)
            connection.settimeout(max(0.001, until - time.monotonic()))
        return None
    except (OSError, ValueError):
        return None
    finally:
        connection.close()


def resume_path() -> Optional[str]:
    """The checkpoint from which this run should go on ($HEADROOM_RESUME), or None: a start from the beginning."""
    return os.environ.get("HEADROOM_RESUME") or None


def _forget() -> None:
    """In a forked child."""
    former_handler = _saver.former_handler
    _saver.__init__()  # type: ignore[misc]
    _saver.former_handler = former_handler
    _teller.__init__()  # type: ignore[misc]


_saver = _Saver()
_teller = _Teller()
os.register_at_fork(after_in_child=_forget)
