# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page of `why --html`, looked at in a browser: on a phone and a desk, in the light and the dark, without colour."""

import base64
import contextlib
import http.client
import json
import os
import re
import shutil
import sqlite3
import struct
import zlib

from jobs_kit import PATIENCE, PYTHON, check, read_text, same, scenario, wait_until
from jobs_part import RETRYING, WILLING, write
from jobs_record import ended

HERE = os.path.dirname(os.path.abspath(__file__))
PHONE, DESK = (390, 844), (1280, 800)
BETWEEN = (320, 353, 513, 705)  # where letters are as small as they come; no pictures of these
TEXT_LEAST_PX = 11
INDENT_MOST_PX = 64  # of the drawing's first label
SCREENS_TO_DEEDS = 2.5  # of a phone
TEXT_CONTRAST, SHAPE_CONTRAST = 4.5, 3  # WCAG 2.1, 1.4.3 and 1.4.11 at level AA
PATTERN_CONTRAST = 1.5  # chosen, not tuned: within a band, of lines half a pixel wide

# ---- the browser ----


class Browser:
    """Headless Chromium, spoken to through chromedriver over HTTP (W3C WebDriver); both end with the scene."""

    def __init__(self, s):
        for program in ("chromium", "chromedriver"):
            check(f"{program} is installed: make deps-check", shutil.which(program))
        home = os.path.join(s.directory, "browser")
        os.mkdir(home)
        log = os.path.join(home, "log")
        with open(log, "wb") as out:
            s.popen(["chromedriver", "--port=0"], stdout=out, stderr=out, start_new_session=True,
                    env=s.environment(HOME=home, TMPDIR=home))
        self.log, self.base = log, ""
        self.port = int(wait_until("chromedriver listens", lambda: re.search(r"successfully on port (\d+)", read_text(log)),
                                   detail=lambda: read_text(log)).group(1))
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                     f"--user-data-dir={home}/profile", f"--disk-cache-dir={home}/cache"]
        session = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": arguments}}}})
        self.base = "/session/" + session["sessionId"]

    def ask(self, method, path, body=None):
        """The value that it answers with."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as to:
            to.request(method, self.base + path, json.dumps(body) if body is not None else None)
            answer = to.getresponse()
            value = json.load(answer)["value"]
        check(f"{method} {path}", answer.status == 200, (value, read_text(self.log)[-2000:]))
        return value

    def tell(self, command, **parameters):
        """A command of Chromium's own protocol."""
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def run(self, script, *arguments):
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def logged(self, kind):
        return self.ask("POST", "/se/log", {"type": kind})

    def open(self, path):
        """Opens a page, and says what it asked for and what the console said."""
        self.logged("browser"), self.logged("performance")  # those before are not of this page
        self.ask("POST", "/url", {"url": "file://" + path})
        events = [json.loads(entry["message"])["message"] for entry in self.logged("performance")]
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return asked, [entry["message"] for entry in self.logged("browser")]

    def look(self, size, scheme, deficiency="none"):
        phone = size[0] < 600
        self.tell("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=phone)
        self.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.tell("Emulation.setEmulatedVisionDeficiency", type=deficiency)

    def picture(self, **more):
        """Of all the page, or a clip of it; PNG."""
        return base64.b64decode(self.tell("Page.captureScreenshot", captureBeyondViewport=True, **more)["data"])

    def keep_picture(self, path):
        with open(path, "wb") as out:
            out.write(self.picture())

    def close(self):
        self.ask("DELETE", "")


# What is on the page, measured there: boxes in pixels of the window, colours as [red, green, blue, opacity].
MEASURE = read_text(os.path.join(HERE, "measure-page.js"))


def rows_of(png):
    """Its rows of pixels, each a tuple that begins with red, green, blue: 8 bits a channel, as Chromium writes it."""
    width, height, depth, kind = struct.unpack_from(">IIBB", png, 16)
    size = {2: 3, 6: 4}[kind]
    same("bits of a channel", depth, 8)
    packed, at = b"", 8
    while at < len(png):
        length, name = struct.unpack_from(">I4s", png, at)
        packed += png[at + 8:at + 8 + length] if name == b"IDAT" else b""
        at += 12 + length
    data, above, rows = zlib.decompress(packed), bytearray(width * size), []
    for y in range(height):
        how, row = data[y * (width * size + 1)], bytearray(data[y * (width * size + 1) + 1:(y + 1) * (width * size + 1)])
        for i, byte in enumerate(row):  # PNG's five filters
            left, up, corner = (row[i - size], above[i], above[i - size]) if i >= size else (0, above[i], 0)
            paeth = min((left, up, corner), key=lambda near, sum=left + up - corner: abs(sum - near))
            row[i] = (byte + (0, left, up, (left + up) // 2, paeth)[how]) & 255
        rows.append([tuple(row[x:x + size]) for x in range(0, len(row), size)])
        above = row
    return rows


# ---- what a person needs ----


def luminance(colour):
    """WCAG 2.1's relative luminance."""
    parts = [c / 255 for c in colour[:3]]
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def inside(inner, outer):
    return all(inner[i] >= outer[i] - 0.5 for i in (0, 1)) and all(inner[i] <= outer[i] + 0.5 for i in (2, 3))


def overlap(a, b):
    return min(a[2], b[2]) - max(a[0], b[0]) > 0.5 and min(a[3], b[3]) - max(a[1], b[1]) > 0.5


def check_layout(where, page, width):
    """It fits the window, and every text of it is where it can be read, large enough."""
    same(f"{where}: as wide as its window", (page["scroll"], page["window"], page["zoom"]), (width, width, 1))
    check(f"{where}: has text", len(page["texts"]) > 20, page)
    for text in page["texts"]:
        check(f"{where}: text within its width", all(0 <= box[0] and box[2] <= width + 0.5 for box in text["boxes"]), text)
        check(f"{where}: text within its drawing", not text["drawn"] or inside(text["boxes"][0], text["frame"]), text)
        check(f"{where}: text of {TEXT_LEAST_PX} px", text["px"] >= TEXT_LEAST_PX, text)
    same(f"{where}: options are whole", page["broken"], [])
    check(f"{where}: what was done is near", page["deeds"] < SCREENS_TO_DEEDS * 844, page["deeds"])
    labels = [text for text in page["texts"] if text["drawn"]]
    check(f"{where}: the drawing has labels", len(labels) >= 6, labels)
    left = min(text["boxes"][0][0] for text in page["texts"])
    check(f"{where}: the drawing begins where the text does", min(one["boxes"][0][0] for one in labels) - left < INDENT_MOST_PX, labels)
    for i, one in enumerate(labels):
        for other in labels[:i]:
            check(f"{where}: labels apart", not overlap(one["boxes"][0], other["boxes"][0]), (one, other))


def check_colours(where, page, scheme):
    """Text and shapes stand out from what they stand on, in the scheme that was asked for."""
    check(f"{where}: is {scheme}", (luminance(page["paper"]) > 0.5) == (scheme == "light"), page["paper"])
    for text in page["texts"]:
        check(f"{where}: nothing runs through text", text["on"], text)
        same(f"{where}: colours without opacity", (text["ink"][3], text["on"][3]), (1, 1))
        check(f"{where}: contrast of text", contrast(text["ink"], text["on"]) >= TEXT_CONTRAST, text)
    for shape in page["shapes"]:
        check(f"{where}: contrast of what is drawn", contrast(shape["ink"], page["paper"]) >= SHAPE_CONTRAST, shape)


def check_shapes(where, page):
    """What is told apart by colour is told apart by something else too, which is explained where it is drawn or below."""
    lines = {shape["what"]: shape["dash"] for shape in page["shapes"]}
    drawn = {"line", "limit", "mark"} & set(lines)
    check(f"{where}: marks", "mark" in drawn, lines)
    same(f"{where}: each kind of line its dashes", len({lines[name] for name in drawn}), len(drawn))
    for kind, is_drawn, is_explained in page["keyed"]:
        same(f"{where}: the key tells {kind} where it is drawn", is_explained, is_drawn)
    bands = {}
    for band in page["bands"]:
        bands.setdefault(band["stage"], set()).add(band["pattern"])
        check(f"{where}: a band has a pattern, and the key tells whose", band["pattern"] and band["explained"], band)
    same(f"{where}: each stage one pattern", [len(each) for each in bands.values()], [1] * len(bands))
    same(f"{where}: each pattern one stage", len(set.union(set(), *bands.values())), len(bands))


def check_grey(where, page, rows):
    """Of what Chromium drew without colour: it has none, and the pattern of each band can be seen."""
    check(f"{where}: grey", all(max(p[:3]) - min(p[:3]) <= 2 for row in rows for p in row))
    left, top = page["drawing"][:2]
    for band in page["bands"]:
        x1, y1, x2, y2 = (round(at - origin) + by for at, origin, by in zip(band["box"], (left, top) * 2, (2, 2, -2, -2)))
        inner = [pixel for row in rows[y1:y2] for pixel in row[x1:x2]]
        if x2 - x1 >= 6:  # a tile of each pattern fits
            tones = sorted(inner)
            check(f"{where}: its pattern is seen", contrast(tones[0], tones[-1]) >= PATTERN_CONTRAST, (band, tones[0], tones[-1]))


def check_page(s, browser, job, name, pictures):
    """The page of an ended job in every window; measured on what a browser made of it."""
    path = os.path.join(s.work, name + ".html")
    s.must("why", job, "--html", path)
    browser.look(DESK, "light")  # what emulates a deficiency is loaded too
    asked, said = browser.open(path)
    same(f"{name}: loads itself alone", asked, ["file://" + path])
    same(f"{name}: the console is silent", said, [])
    found = {}
    for scheme in ("light", "dark"):
        for size in (PHONE, DESK):
            where = f"{name}-{size[0]}-{scheme}"
            browser.look(size, scheme)
            browser.keep_picture(os.path.join(pictures, where + ".png"))
            page = found[where] = browser.run(MEASURE)
            check_layout(where, page, size[0])
            check_colours(where, page, scheme)
            check_shapes(where, page)
    for width in BETWEEN:
        browser.look((width, 800), "light")
        check_layout(f"{name}-{width}", browser.run(MEASURE), width)
    browser.look(PHONE, "light", "achromatopsia")
    browser.keep_picture(os.path.join(pictures, f"{name}-{PHONE[0]}-grey.png"))
    page = browser.run(MEASURE)
    left, top, right, bottom = page["drawing"]
    clip = {"x": left, "y": top, "width": right - left, "height": bottom - top, "scale": 1}
    check_grey(f"{name}-grey", page, rows_of(browser.picture(clip=clip)))
    same(f"{name}: nothing ran", (page["scripts"], page["handlers"], page["ran"]), (0, 0, False))
    return found[f"{name}-{DESK[0]}-light"]


# ---- the jobs ----

HOSTILE = "<img src=x onerror=window.ran=1>\"'&.py"
FRAMES = "import time\nframes = []\nwhile True:\n    frames.append(bytearray(b'x') * (1 << 20))\n    time.sleep(0.04)\n"
STAGES = ("notice", "ok", "trim", "checkpoint", "hold", "ok", "interrupt", "kill")


def stretch(s, name):
    """As if that job had ended five days later, with things done that are near each other first, then far, in every stage."""
    days, each = 5 * 24 * 3600 * 10**6, 14
    with contextlib.closing(sqlite3.connect(os.path.join(s.runtime, "record.db"))) as db, db:
        number, end, limit = db.execute("SELECT number, end_usec, limit_bytes FROM jobs WHERE name = ?", (name,)).fetchone()
        db.execute("UPDATE jobs SET end_usec = ?, last_usec = ?, events_left_out = 7 WHERE number = ?", (end + days,) * 2 + (number,))
        db.executemany("INSERT INTO events VALUES(?,?,?,?,?,?,?,?,?)", [
            (number, end + days * i**2 // (each * len(STAGES))**2, STAGES[i // each], "ok", "notice", "done", "as if",
             limit // 2, limit) for i in range(each * len(STAGES))])


def check_what_is_told(pages):
    """Each page what its job was for."""
    stages = {name: {band["stage"] for band in page["bands"]} for name, page in pages.items()}
    same("one that fits has no bands", stages["once"], set())
    same("one of five days has all", stages["long"], set(STAGES) - {"ok"})
    check("what was held, what was saved, what was ended", "hold" in stages["climbs"] and
          "interrupt" in stages["again"] and "interrupt" in stages["hostile"], stages)
    cached = [name for name, page in pages.items() if ["cache", True, True] in page["keyed"]]
    check("cache where there is some", "reads" in cached and "once" not in cached, cached)
    texts = {name: [text["text"] for text in page["texts"]] for name, page in pages.items()}
    check("that it was started again", any("retry started" in text for text in texts["again"]))
    check("hostile names as they are", any(HOSTILE in text for text in texts["hostile"]), texts["hostile"])
    check("which day, where there are several", any(re.fullmatch(r"\d\d-\d\d \d\d:\d\d:\d\d", text) for text in texts["long"]))
    check("how much is not told", "7 more, before the last, are not on record." in texts["long"])
    marks = [text["text"] for text in pages["long"]["texts"] if text["drawn"] and text["text"].isdecimal()]
    last = [text for text in texts["long"] if text.isdecimal()][-1]  # the table's, of three digits
    check("marks from the first to the last", marks[1] == "1" and marks[-1] == last >= "100", (marks, last))


@scenario("cgroup", alone=True)
def page_in_a_browser(s):
    """
    The page of a job that was held and given room, of one that was started again, of one that just ended, of one with
    hostile names, can be read on a phone and a desk, in the light and the dark, and without colour; none loads or runs
    anything. Pictures of it are kept in BUILD/pages.
    """
    pictures = os.path.join(s.store, "pages")
    os.makedirs(pictures, exist_ok=True)
    daemon = s.daemon(RETRYING)
    climbs = s.grow("--to", "90", "--rate", "25", limit="72M", options=("--name", "climbs"))
    again = s.run(PYTHON, write(s, "willing.py", WILLING), limit="60M", options=("--policy", "batch", "--name", "again"))
    reads = s.program("read", "--folder", s.work, "--size", "8", "--total", "8000", limit="100M", options=("--name", "reads"))
    hostile = s.run(PYTHON, s.script(HOSTILE, FRAMES), "<script>window.ran=1</script>", "w" * 3000, limit="40M",
                    options=("--policy", "batch", "--name", "n" * 60))
    once = s.run("true", options=("--name", "once"))
    browser = Browser(s)
    climbs.wait_held()
    s.must("resume", "climbs", "--limit", "160M")
    for run in (once, reads, hostile, climbs, again):
        run.wait(90)
    pages = {}
    first = s.events(again.name)[0]["job"]
    for name, job in {"once": once.name, "reads": reads.name, "hostile": hostile.name, "climbs": climbs.name, "again": first}.items():
        story = ended(s, job)
        pages[name] = check_page(s, browser, job, name, pictures)
    same("what to type is no more its own", [each["command"] for each in story["next"]], ["headroom why again"])
    daemon.terminate()
    daemon.wait()
    stretch(s, climbs.name)
    s.daemon(RETRYING)
    pages["long"] = check_page(s, browser, climbs.name, "long", pictures)
    browser.close()
    check_what_is_told(pages)
