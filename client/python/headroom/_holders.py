# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What holds the memory of this process, by the names of variables; loaded when the daemon first asks.

The roots are the variables of __main__, the local variables of every running function from the outermost call inwards, and
the variables of the script's other modules, then of installed packages. From each root in turn the objects that it alone,
or it first, refers to are walked by gc.get_referents, so that each object counts once, for the outermost name. A big
container is sampled and extrapolated. Where an attribute or key holds most of it, the name goes on: `app.cache['2020']`.

No attribute of an object is ever asked for, since that can run a script's code or load a library; sizes and contents are
read by the C functions found on its type. The walk works at most 0.5 s of processor time and keeps at most 60 000 objects
(8 MB); what it has not seen by then counts for nobody. Unseen is memory from C that no Python object tells the size of.
"""
from __future__ import annotations

import _thread
import array
import gc
import itertools
import os
import sys
import time
import types

from ._hook import libc_function, percent_encoded, resident_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from io import BytesIO
    from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Set, Tuple
else:
    from _collections import deque
    from _io import BytesIO

_CPU_SECONDS = 0.5
_MOST_NODES = 60_000
_MOST_NODES_OF_ROOT = 25_000
_WHOLE_ITEMS = 4096  # a container up to this length is walked whole, a longer one by _SAMPLE_ITEMS of its items
_SAMPLE_ITEMS = 512
_FEW_ITEMS = 32
_MOST_COUNTED = 500_000  # items of a container that are looked at at all: 4 MB, 40 ms
_SHORT_BYTES = 1024  # numbers and texts of this size on average are summed up, not told apart
_SLICE_NODES = 500  # 1 to 2 ms
_SMALL_BYTES = 65536  # a leaf below counts with what refers to it
_MOST_HOLDERS = 10
_SOURCE_BYTES = 1 << 20
_SCALARS = {str, bytes, int, float, complex, bool, type(None)}
_LEAVES = (str, bytes, bytearray, int, float, complex, array.array)

# These ask neither a metaclass nor a module's own __getattribute__.
_mro_of: Callable[[type], Tuple[type, ...]] = vars(type)["__mro__"].__get__
_namespace_of: Callable[[type], Dict[str, Any]] = vars(type)["__dict__"].__get__
_module_namespace_of: Callable[[Any], Dict[str, Any]] = vars(types.ModuleType)["__dict__"].__get__


class _Root:
    """A variable: its name, where its source is, and its node in the walk."""

    __slots__ = ("name", "file", "first_line", "line", "node")

    def __init__(self, name: str, file: str, first_line: int, line: int, node: int) -> None:
        self.name = name
        self.file = file
        self.first_line = first_line  # of the source in which the name is looked for; 0: line is right
        self.line = line  # for want of a better
        self.node = node


def _class_attribute(kind: type, name: str) -> Any:
    """What instances of kind find under name on their class, without asking a metaclass."""
    for base in _mro_of(kind):
        namespace = _namespace_of(base)
        if name in namespace:
            return namespace[name]
    return None


def _instance_namespace(thing: object) -> Optional[Dict[str, object]]:
    getset = _class_attribute(type(thing), "__dict__")
    if type(getset) is not types.GetSetDescriptorType:
        return None
    namespace = getset.__get__(thing)
    return namespace if type(namespace) is dict else None


def _is_class(thing: object) -> bool:
    return type in _mro_of(type(thing))


class _Walk:
    """A forest of objects, a tree for each root; a node's parent stands before it."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self.stopped = stopped
        self.until = time.thread_time() + _CPU_SECONDS
        self.things: List[object] = []  # kept alive, so that no id is used twice
        self.parents = array.array("l")
        self.bytes = array.array("d")  # its own, times weight; after `sum_up` with all below it
        self.weights = array.array("d")  # how many objects it stands for
        self.heaviest = array.array("l")  # child, -1: none
        self.seen: Set[int] = set()
        self.size_functions: Dict[type, Callable[[object], int]] = {}
        numpy = sys.modules.get("numpy")
        namespace = _module_namespace_of(numpy) if types.ModuleType in _mro_of(type(numpy)) else {}
        self.ndarray: Any = namespace.get("ndarray")
        mmap = sys.modules.get("mmap")
        self.mmap: Any = _module_namespace_of(mmap).get("mmap") if type(mmap) is types.ModuleType else None

    def is_over(self) -> bool:
        return self.stopped() or len(self.things) >= _MOST_NODES or time.thread_time() > self.until

    def root(self, thing: object) -> int:
        """Walks what thing holds; its node, or -1 where it belongs to a root before."""
        if id(thing) in self.seen:
            return -1
        first = node = len(self.things)
        self.add(thing, -1, 1.0)
        while node < len(self.things):
            if node % _SLICE_NODES == 0:
                time.sleep(0)  # lets the script's threads go on
                if self.is_over() or node - first > _MOST_NODES_OF_ROOT:
                    break
            try:
                self.expand(node)
            except (RuntimeError, ValueError, TypeError):
                pass  # changed by another thread meanwhile
            node += 1
        return first

    def add(self, thing: object, parent: int, weight: float) -> None:
        if thing is None or id(thing) in self.seen:
            return
        kind = type(thing)
        if parent >= 0 and (kind in (types.ModuleType, types.CodeType) or _is_class(thing)):
            return  # a class counts for its own name, not for each instance
        self.seen.add(id(thing))
        size = weight * self.size(thing, kind)
        if kind in _LEAVES and size < _SMALL_BYTES and parent >= 0:
            self.bytes[parent] += size
        else:
            self.append(thing, parent, weight, size)

    def append(self, thing: object, parent: int, weight: float, size: float) -> None:
        self.things.append(thing)
        self.parents.append(parent)
        self.weights.append(weight)
        self.bytes.append(size)

    def size(self, thing: object, kind: type) -> int:
        function = self.size_functions.get(kind)
        if function is None:
            function = _class_attribute(kind, "__sizeof__")
            if type(function) is not types.MethodDescriptorType:  # written in Python: it may do anything
                function = self.ndarray.__sizeof__ if self.ndarray in _mro_of(kind) else object.__sizeof__
            self.size_functions[kind] = function
        try:
            return function(thing)
        except Exception:
            return 0

    def expand(self, node: int) -> None:
        thing, weight = self.things[node], self.weights[node]
        kinds = _mro_of(type(thing))
        if self.ndarray in kinds:
            self.expand_array(thing, node, weight)
            return
        if BytesIO in kinds:
            return  # its size has told
        for container, views in _CONTAINERS:
            if container in kinds:
                count = container.__len__(thing)
                # Items that were walked whole leave what else a subclass has; what is left out here is small beside them.
                if count > _FEW_ITEMS and all([self.add_items(view(thing), count, node, weight) for view in views]):
                    return
        for child in gc.get_referents(thing):
            self.add(child, node, weight)

    def add_items(self, items: Iterable[object], count: int, node: int, weight: float) -> bool:
        """Many items, without a walk to each: numbers and short texts by their sum, others by a sample. False: walk."""
        first = list(itertools.islice(items, _MOST_COUNTED))
        if _SCALARS.issuperset(map(type, first)):
            size = sum(map(sys.getsizeof, first))
            if size < _SHORT_BYTES * len(first):
                self.bytes[node] += (
                    weight * size * count / len(first) * self.share(first[:: -(-len(first) // _SAMPLE_ITEMS)], count)
                )
                return True
        if count <= _WHOLE_ITEMS:
            return False
        self.add_sample(first[:: -(-len(first) // _SAMPLE_ITEMS)], count, node, weight)
        return True

    @staticmethod
    def share(sample: List[object], count: int) -> float:
        """What part of count items are different objects: all, or the few that the sample shows again and again."""
        different = len({id(item) for item in sample})
        return 1.0 if 2 * different > len(sample) else different / count

    def add_sample(self, sample: List[object], count: int, node: int, weight: float) -> None:
        each = count / len(sample) if self.share(sample, count) == 1.0 else 1.0
        for item in sample:
            self.add(item, node, weight * each)

    def expand_array(self, thing: Any, node: int, weight: float) -> None:
        """An array that owns its data counts by its size. A view counts for the owner; a mapped file not at all."""
        ndarray = self.ndarray
        base = ndarray.base.__get__(thing)
        if ndarray.dtype.__get__(thing).hasobject:
            count = ndarray.size.__get__(thing)
            step = 1 if count <= _WHOLE_ITEMS else -(-count // _SAMPLE_ITEMS)
            self.add_sample([ndarray.item(thing, index) for index in range(0, count, step)], count, node, weight)
        if base is None or type(base) is self.mmap:
            return
        if self.ndarray in _mro_of(type(base)) or type(base) in (bytes, bytearray, memoryview, array.array):
            self.add(base, node, weight)
        elif id(base) not in self.seen:  # memory from C: all that is known is the size of the view
            self.seen.add(id(base))
            self.append(base, node, weight, weight * ndarray.nbytes.__get__(thing))

    def sum_up(self) -> None:
        self.heaviest = array.array("l", [-1]) * len(self.things)
        for node in range(len(self.things) - 1, -1, -1):
            parent = self.parents[node]
            if parent >= 0:
                self.bytes[parent] += self.bytes[node]
                heaviest = self.heaviest[parent]
                if heaviest < 0 or self.bytes[node] > self.bytes[heaviest]:
                    self.heaviest[parent] = node

    def path(self, node: int, own_modules: Set[str]) -> Iterator[Any]:
        """The attributes and keys, each with its node, that lead from node to what holds three quarters of its bytes."""
        attributes = False
        while self.heaviest[node] >= 0 and self.bytes[self.heaviest[node]] > 0.75 * self.bytes[node]:
            thing, node = self.things[node], self.heaviest[node]
            child = self.things[node]
            owner: Any = thing if _is_class(thing) else type(thing)
            if attributes or _is_a(thing, dict):
                step = _key_of(thing, child)
                if step is None or not (attributes or type(step) in (str, int, tuple)):
                    return
                yield (".%s" % step if attributes else "[%s]" % repr(step)[:60]), node
                attributes = False
            elif _text(_namespace_of(owner).get("__module__")) not in own_modules:
                return  # what a library's object is made of means nothing to the reader
            elif _is_class(thing) or _instance_namespace(thing) is child:
                attributes = True  # the namespace lies between an object and its attribute
            else:
                step = _attribute_of(thing, child)
                if step is None:
                    return
                yield "." + step, node

    def count(self, node: int) -> int:
        """Of how many things the memory consists, as the reader sees it: the items of a container, or 1."""
        kinds = _mro_of(type(self.things[node]))
        for kind, _ in _CONTAINERS:
            if kind in kinds:
                return int(kind.__len__(self.things[node]))
        return 1


def _is_a(thing: object, kind: type) -> bool:
    """isinstance would ask a proxy's __class__."""
    return kind in _mro_of(type(thing))


def _key_of(thing: Any, child: object) -> Any:
    for key, value in itertools.islice(dict.items(thing), _WHOLE_ITEMS):
        if value is child:
            return key
    return None


def _attribute_of(thing: object, child: object) -> Optional[str]:
    namespace = _instance_namespace(thing)
    key = _key_of(namespace, child) if namespace is not None else None
    if key is not None:
        return str(key)
    for base in _mro_of(type(thing)):
        for name, member in _namespace_of(base).items():
            if type(member) is types.MemberDescriptorType:
                try:
                    if member.__get__(thing) is child:
                        return str(name)
                except AttributeError:
                    pass  # a slot without a value
    return None


_CONTAINERS: Tuple[Tuple[Any, Tuple[Callable[[Any], Iterable[object]], ...]], ...] = (
    (dict, (dict.keys, dict.values)),
    (list, (list.__iter__,)),
    (tuple, (tuple.__iter__,)),
    (set, (set.__iter__,)),
    (frozenset, (frozenset.__iter__,)),
    (deque, (deque.__iter__,)),
)


# ---- the roots ----


def _text(value: object) -> str:
    return value if type(value) is str else ""


def _modules() -> Iterator[Tuple[str, Dict[str, object]]]:
    for name, module in list(sys.modules.items()):
        if types.ModuleType in _mro_of(type(module)):
            yield name, _module_namespace_of(module)


def _origin(file: str) -> str:
    """Whose code a file is: the script's `own`, an `installed` package's, or Python's (`standard`)."""
    if not file or file.startswith("<frozen"):
        return "standard"
    if "site-packages" in file or "dist-packages" in file:
        return "installed"
    here = os.path.dirname(os.path.abspath(__file__))
    return "standard" if file.startswith((os.path.dirname(os.__file__) + os.sep, here + os.sep)) else "own"


def _calls(main_thread: int) -> Iterator[types.FrameType]:
    """The frames of all threads but this, each thread's outermost first, the main thread's before the others'."""
    frames = sys._current_frames()
    frames.pop(_thread.get_ident(), None)
    for ident in sorted(frames, key=lambda ident: ident != main_thread):
        calls: List[types.FrameType] = []
        frame: Optional[types.FrameType] = frames[ident]
        while frame is not None and len(calls) < 1000:
            calls.append(frame)
            frame = frame.f_back
        yield from reversed(calls)


def _local_variables(frame: types.FrameType) -> Dict[str, object]:
    """A copy. Up to Python 3.12 f_locals of a function is a dict that the frame keeps: left filled, it would keep alive what
    the function deletes. locals() gives the same dict to the script: if it is held there, it is left as it is."""
    if frame.f_trace is not None:
        return {}  # a debugger writes that dict back
    variables = frame.f_locals
    copy = dict(variables)
    is_function = frame.f_code.co_flags & 1  # CO_OPTIMIZED
    if is_function and sys.version_info < (3, 13) and sys.getrefcount(variables) <= 3:
        variables.clear()
    return copy


def _walk_roots(walk: _Walk, main_thread: int) -> List[_Root]:
    roots: List[_Root] = []

    def add(name: str, thing: object, file: str, first_line: int, line: int) -> None:
        if not walk.is_over():
            node = walk.root(thing)
            if node >= 0:
                roots.append(_Root(name, file, first_line, line, node))

    modules = [(name, namespace, _text(namespace.get("__file__"))) for name, namespace in _modules()]
    calls = list(_calls(main_thread))
    walk.seen.update(id(namespace) for _, namespace, _ in modules)  # functions refer to them
    walk.seen.update(map(id, calls))
    walk.seen.update((id(sys.modules), id(walk), id(roots), id(modules), id(calls)))

    def add_module(namespace: Dict[str, object], file: str, with_code: bool) -> None:
        for name, thing in list(namespace.items()):
            if type(name) is str and not (name.startswith("__") and name.endswith("__")):
                if type(thing) is not types.ModuleType and (with_code or not _is_code(thing)):
                    add(name, thing, file, 1, 0)

    for name, namespace, file in modules:
        if name == "__main__":
            add_module(namespace, file, True)
    for frame in calls:
        code = frame.f_code
        if id(frame.f_globals) not in walk.seen or code.co_flags & 1:
            arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            for name, thing in _local_variables(frame).items():
                if name in arguments:
                    add(name, thing, code.co_filename, 0, code.co_firstlineno)
                else:
                    add(name, thing, code.co_filename, code.co_firstlineno, frame.f_lineno)
    for origin in "own", "installed":
        for name, namespace, file in modules:
            if _origin(file) == origin:
                add_module(namespace, file, origin == "own")
    return roots


def _is_code(thing: object) -> bool:
    return type(thing) in (types.FunctionType, types.BuiltinFunctionType) or _is_class(thing)


# ---- the report ----


def _line_of(root: _Root) -> int:
    """Where the source first assigns the variable: a module's at the margin, if there; else the call's line now, or 0."""
    if root.first_line == 0:
        return root.line
    import re

    word = re.escape(root.name)
    assignment = (
        r"(?:(?:[\w.\[\]()*]+\s*,\s*)*[(*]?%s\s*(?:,[^=]*)?(?::[^=]*)?(?:[-+*/|&@%%^]|//|\*\*|<<|>>)?=(?!=)"
        r"|(?:async\s+)?(?:def|class|for)\s(?:[^=(]*,\s*)?[(*]?%s\b"
        r"|.*\bas\s+%s\b|.*\bimport\b.*\b%s\b|.*\b%s\s*:=)" % ((word,) * 5)
    )
    lines = _source_lines(root.file)
    for margin in ("", r"\s*") if root.first_line == 1 else (r"\s*",):
        matches = re.compile(margin + assignment).match
        for number in range(root.first_line, len(lines) + 1):
            if matches(lines[number - 1]):
                return number
    return root.line


def _source_lines(file: str) -> List[str]:
    try:
        if os.path.isfile(file):
            with open(file, "rb") as source:
                return source.read(_SOURCE_BYTES).decode("utf-8", "replace").splitlines()
    except (OSError, ValueError):
        pass
    return []


def _free_malloc_bytes() -> int:
    """What glibc's malloc holds and nobody uses, or -1."""
    mallinfo2 = libc_function("mallinfo2")
    if mallinfo2 is None:
        return -1
    import ctypes

    fields = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    mallinfo2.restype = type(
        "mallinfo2", (ctypes.Structure,), {"_fields_": [(name, ctypes.c_size_t) for name in fields]}
    )
    return int(mallinfo2().fordblks)


def report(main_thread: int, stopped: Callable[[], bool]) -> List[str]:
    """The answer to `why`: its lines. Ends early once stopped() says so.

    What a collection would free is not told (-1): nothing but a collection finds out.
    """
    smallest = min(resident_bytes() // 100, 1 << 20)
    walk = _Walk(stopped)
    roots = _walk_roots(walk, main_thread)
    walk.sum_up()
    own_modules = {"__main__"}.union(
        name for name, namespace in _modules() if _origin(_text(namespace.get("__file__"))) == "own"
    )
    lines = []
    for root in sorted(roots, key=lambda root: -walk.bytes[root.node])[:_MOST_HOLDERS]:
        size = int(walk.bytes[root.node])
        if size < smallest:
            break
        name, node = root.name, root.node
        for step, node in walk.path(node, own_modules):
            name += step
        encoded = percent_encoded(name[:200].encode("utf-8", "replace"))
        file = percent_encoded(os.fsencode(os.path.abspath(root.file)))[:2000] if os.path.isfile(root.file) else "-"
        lines.append("holds %d %d %d %s %s" % (size, walk.count(node), _line_of(root), encoded, file))
    lines.append("spare -1 %d" % _free_malloc_bytes())
    return lines
