# SPDX-License-Identifier: LGPL-2.1-or-later
"""What holds the memory: the variable that does is named first, with its size, in every kind of script."""
import time

from kit import MiB, Case, have

WAIT = "import sys; print('ready', flush=True); sys.stdin.read()\n"
DATA = "def data(n=40): return [bytes([i]) * (1 << 20) for i in range(n)]\n"  # 40 MiB
NUMPY = "import numpy as np\n"

# what holds it -> (script, name that must come first, its line or None, needs). Each holds 40 MiB, others up to 10.
SCRIPTS = {
    "list of arrays": (
        NUMPY + "arrays = [np.ones(1 << 17) for _ in range(40)]\nother = np.ones(1 << 18)\n",
        "arrays",
        2,
        "numpy",
    ),
    "dict of frames": (
        "import pandas as pd, numpy as np\nframes = {i: pd.DataFrame({'a': np.ones(1 << 16), 'b': np.ones(1 << 16)})"
        " for i in range(40)}\n",
        "frames",
        2,
        "pandas",
    ),
    "one frame": ("import pandas as pd, numpy as np\ndf = pd.DataFrame(np.ones((1 << 16, 80)))\n", "df", 2, "pandas"),
    "frame of strings": (
        "import pandas as pd\ndf = pd.DataFrame({'s': ['%09d' % i for i in range(600000)]})\n",
        "df",
        2,
        "pandas",
    ),
    "nested object": (
        DATA + "class Box: pass\nbox = Box(); box.inner = Box(); box.inner.rows = data()\n",
        "box.inner.rows",
        3,
        None,
    ),
    "closure": (
        DATA + "def make():\n  rows = data()\n  return lambda: len(rows)\nclosure = make()\n",
        "closure",
        5,
        None,
    ),
    "class attribute": (DATA + "class Store:\n  rows = data()\nstore = Store()\n", "Store.rows", 2, None),
    "generator": (
        DATA + "def produce():\n  rows = data()\n  for row in rows: yield row\nproducer = produce(); next(producer)\n",
        "producer",
        5,
        None,
    ),
    "lru_cache": (
        "import functools\n@functools.lru_cache(None)\ndef load(i): return bytes([i]) * (1 << 20)\n"
        "for i in range(40): load(i)\n",
        "load",
        3,
        None,
    ),
    "global in another module": (DATA + "import store\nstore.rows = data()\n", "rows", None, None),
    "local in a loop": (
        DATA + "def main():\n  kept = []\n  for part in range(4):\n    kept += data(10)\n  " + WAIT + "main()\n",
        "kept",
        3,
        None,
    ),
    "view that keeps its base": (NUMPY + "head = np.ones(5 << 20)[:3]\nsmall = np.ones(1 << 17)\n", "head", 2, "numpy"),
    "deque": (DATA + "from collections import deque\nqueue = deque(data())\n", "queue", 3, None),
    "attribute of an object in main's local": (
        DATA
        + "class App:\n  def run(self):\n    self.rows = data()\n    "
        + WAIT
        + "def main():\n  app = App()\n  app.run()\nmain()\n",
        "app.rows",
        7,
        None,
    ),
    "list of bytes": (DATA + "blobs = data()\nalias = blobs\nlast = blobs[-1]\n", "blobs", 2, None),
    "dict of lists of floats": (
        DATA + "import random\ntable = {i: [random.random() for _ in range(1000)] for i in range(1300)}\n",
        "table",
        3,
        None,
    ),
    "set of strings": ("words = {'%040d' % i for i in range(350000)}\n", "words", 1, None),
    "default argument": (DATA + "def work(cache=data()): return cache\n", "work", 2, None),
    "local of a thread": (
        DATA + "import threading, time\ndef work():\n  mine = data()\n  time.sleep(60)\n"
        "threading.Thread(target=work, daemon=True).start(); time.sleep(0.5)\n",
        "mine",
        4,
        None,
    ),
    "bytearray": ("buffer = bytearray(b'x') * (40 << 20)\n", "buffer", 1, None),
    "array.array": ("import array\nnumbers = array.array('d', [1.0]) * (5 << 20)\n", "numbers", 2, None),
    "reference cycle": (
        DATA + "class Node: pass\na = Node(); b = Node(); a.b = b; b.a = a; b.rows = data()\n",
        "a.b.rows",
        3,
        None,
    ),
    "numpy object array": (
        NUMPY + "objects = np.array([bytes([i % 256]) * 1000 for i in range(40000)], dtype=object)\n",
        "objects",
        2,
        "numpy",
    ),
    "slots": (DATA + "class Slim:\n  __slots__ = 'rows'\nslim = Slim(); slim.rows = data()\n", "slim.rows", 4, None),
    "key of a dict": (DATA + "cache = {'2020': data(), '2021': data(4)}\n", "cache['2020']", 2, None),
    "list of few that are large": ("rows = [0] * 1000 + [b'x' * (40 << 20)]\n", "rows", 1, None),
    "memoryview": ("window = memoryview(b'x' * (40 << 20))[:10]\n", "window", 1, None),
    "argument": (DATA + "def work(rows):\n  " + WAIT + "work(data())\n", "rows", 2, None),
    "suspended coroutine": (
        DATA + "async def work():\n  rows = data()\n  await Never()\nclass Never:\n  def __await__(self): yield\n"
        "task = work(); task.send(None)\n",
        "task",
        7,
        None,
    ),
    "tuple unpacked": (DATA + "first, rows = 1, data()\n", "rows", 2, None),
    "exec": (DATA + "space = {'data': data}\nexec('rows = data()', space)\n", "space['rows']", 2, None),
    "many references to few": (
        DATA + "few = [bytes([i]) * 900 for i in range(5)] * 200000\nrows = data(48)\n",
        "rows",
        3,
        None,
    ),
    "BytesIO": ("import io\nfile = io.BytesIO(); file.write(b'x' * (40 << 20))\n", "file", 2, None),
}


class Holders(Case):
    def holders(self, text, name="job.py"):
        job = self.job(text if "ready" in text else text + WAIT, name=name)
        peer = self.daemon.meet()
        self.assertEqual(job.stdout.readline(), "ready\n")
        begin = time.monotonic()
        holders, spare = peer.why()
        self.seconds = time.monotonic() - begin
        self.assertEqual(self.finish(job), "")
        peer.close()
        return holders, spare

    def test_named_first(self):
        """The variable that holds the memory comes first, with its line and its size within a fifth."""
        self.file("store.py", "rows = None\n")
        wrong, tried, slowest = [], 0, (0.0, "")
        for case, (text, name, line, needs) in SCRIPTS.items():
            if needs and not have(needs):
                print("skip - test_why.%s: no %s" % (case, needs))
                continue
            tried += 1
            holders, _ = self.holders(text)
            slowest = max(slowest, (self.seconds, case))
            first = holders[0] if holders else None
            if (
                first is None
                or first[3] != name
                or (line and first[2] != line)
                or not 0.8 < first[0] / (40 * MiB) < 1.7
                or (len(holders) > 1 and holders[1][0] > 11 * MiB)
            ):
                wrong.append((case, holders[:3]))
        print("# holders named first: %d of %d; slowest answer %.2f s, %s" % (tried - len(wrong), tried, *slowest))
        self.assertEqual(wrong, [])

    def test_lines(self):
        """At most ten, largest first, with count and file; none below 1 MiB; nothing else is a holder."""
        text = (
            "".join("v%d = b'x' * (%d << 20)\n" % (i, i) for i in range(1, 15))
            + "small = b'x' * 500000\nrows = [b'y' * (20 << 20)] * 3\n"
        )
        holders, spare = self.holders(text, "a b.py")
        self.assertEqual([holder[3] for holder in holders], ["rows"] + ["v%d" % i for i in range(14, 5, -1)])
        self.assertEqual([holder[2] for holder in holders], [16] + list(range(14, 5, -1)))
        self.assertEqual({holder[4] for holder in holders}, {self.directory + "/a%20b.py"})
        self.assertEqual(holders[0][1], 3)
        self.assertEqual(spare[0], "-1")
        self.assertGreaterEqual(int(spare[1]), -1)
        holders, _ = self.holders("import json, subprocess, logging, email.message\n")
        self.assertEqual(holders, [])

    def test_mapped_file(self):
        """An array in a mapped file is not memory of the job's own."""
        if not have("numpy"):
            self.skipTest("no numpy")
        holders, _ = self.holders(
            NUMPY
            + "m = np.memmap('f', dtype='u1', mode='w+', shape=40 << 20); v = m[5:]; m[:] = 1; n = np.ones(1 << 18)\n"
        )
        self.assertEqual([holder[3] for holder in holders], ["n"])

    def test_nothing_is_asked(self):
        """No attribute, property, proxy or lazy module of the script's is touched, and no code of its runs."""
        holders, _ = self.holders(
            "import sys, types\ndef boom(*a, **k): print('touched', flush=True); raise RuntimeError\n"
            "class Meta(type):\n  __getattribute__ = __instancecheck__ = boom\n"
            "class Trap(metaclass=Meta):\n"
            "  __slots__ = ('rows', '__dict__')\n"
            "  __getattr__ = __len__ = __iter__ = __sizeof__ = __eq__ = __hash__ = __bool__ = __repr__ = boom\n"
            "  __class__ = property(boom)\n  value = property(boom)\n"
            "trap = object.__new__(Trap)\n"
            "object.__setattr__(trap, 'rows', [b'x' * (1 << 20) + bytes([i]) for i in range(9)])\n"
            "class Lazy(types.ModuleType):\n  __getattr__ = __getattribute__ = boom\n"
            "sys.modules['lazy'] = lazy = Lazy('lazy')\nsys.modules['odd'] = trap\nsys.modules['none'] = None\n"
            "class Listing(list):\n  __len__ = __iter__ = __getitem__ = boom\n"
            "class Table(dict):\n  __len__ = __iter__ = keys = values = items = boom\n"
            "listing = Listing(); list.extend(listing, [object() for _ in range(9000)])\n"
            "table = Table(zip(map(str, range(9000)), range(9000)))\n"
        )
        self.assertEqual(holders[0][3], "trap.rows")

    def test_locals_are_let_go(self):
        """The look at a frame leaves nothing behind: what the function deletes afterwards is freed, locals() stays right."""
        text = (
            "import sys\nclass Canary:\n  def __del__(self): print('freed', flush=True)\n"
            "def main():\n  canary = Canary(); kept = locals()\n  del kept\n  print('ready', flush=True)\n"
            "  sys.stdin.readline()\n  del canary\n  print('deleted', sorted(locals()), flush=True)\n"
            "def keeper():\n  value = 1\n  kept = locals()\n  main()\n  print(kept['value'])\n"
            "keeper()\n"
        )
        job = self.job(text)
        peer = self.daemon.meet()
        job.stdout.readline()
        peer.why()
        time.sleep(0.2)
        job.stdin.write("\n")
        job.stdin.flush()
        self.assertEqual(self.finish(job), "freed\ndeleted []\n1\n")

    def test_bounded(self):
        """Ten million objects: answered in time and without much memory of its own, while the script runs on."""
        text = (
            "import sys, threading, time\nrows = [[i, str(i)] for i in range(2000000)]\ndeep = None\n"
            "for i in range(300000): deep = [deep]\n"
            "table = {i: (i,) for i in range(1000000)}\nprint('ready', flush=True)\n"
            "worst = 0; last = time.monotonic(); until = last + 3\n"
            "while last < until:\n  now = time.monotonic(); worst = max(worst, now - last); last = now\n"
            "print(worst, flush=True)\nimport os; os._exit(0)"
        )
        job = self.job(text)
        peer = self.daemon.meet(60)
        job.stdout.readline()

        def peak_kib():
            with open("/proc/%d/status" % job.pid) as status:
                return int([line.split()[1] for line in status if line.startswith("VmHWM")][0])

        before = peak_kib()
        begin = time.monotonic()
        holders, _ = peer.why()
        seconds = time.monotonic() - begin
        grown = peak_kib() - before
        stalled = float(job.stdout.readline())
        print(
            "# 10 million objects: %.2f s, %d MiB, longest stall of the script %.0f ms"
            % (seconds, grown >> 10, 1000 * stalled)
        )
        self.assertEqual(holders[0][3], "rows")
        self.assertLess(seconds, 3)
        self.assertLess(grown, 24 << 10)
        self.assertLess(stalled, 1.5)  # Python may collect garbage meanwhile: 10 million objects
