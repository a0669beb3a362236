# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page of `why --html`, looked at in a browser: on a phone and a desk, in the light and the dark, without colour."""

import base64
import contextlib
import http.client
import json
import os
import re
import shutil

from jobs_kit import PATIENCE, PYTHON, check, read_text, same, scenario, wait_until
from jobs_part import RETRYING, WILLING, write
from jobs_record import ended

HERE = os.path.dirname(os.path.abspath(__file__))
PHONE, DESK = (390, 844), (1280, 800)
BETWEEN = (320, 353, 513, 705)  # where letters are as small as they come; no pictures of these
TEXT_LEAST_PX = 11
TEXT_CONTRAST, SHAPE_CONTRAST = 4.5, 3  # WCAG 2.1, 1.4.3 and 1.4.11 at level AA

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

    def keep_picture(self, path):
        """All of the page."""
        with open(path, "wb") as out:
            out.write(base64.b64decode(self.tell("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def close(self):
        self.ask("DELETE", "")


# What is on the page, measured there: boxes in pixels of the window, colours as [red, green, blue, opacity].
MEASURE = read_text(os.path.join(HERE, "measure-page.js"))

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
        check(f"{where}: text within its frame", all(inside(box, text["frame"]) for box in text["boxes"]), text)
        check(f"{where}: text of {TEXT_LEAST_PX} px", text["px"] >= TEXT_LEAST_PX, text)
    labels = [text for text in page["texts"] if text["drawn"]]
    check(f"{where}: the drawing has labels", len(labels) >= 6, labels)
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
    bands = {}
    for band in page["bands"]:
        bands.setdefault(band["stage"], set()).add(band["pattern"])
        check(f"{where}: a band has a pattern, and the key tells whose", band["pattern"] and band["explained"], band)
    same(f"{where}: each stage one pattern", [len(each) for each in bands.values()], [1] * len(bands))
    same(f"{where}: each pattern one stage", len(set.union(set(), *bands.values())), len(bands))


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
    same(f"{name}: nothing ran", (page["scripts"], page["handlers"], page["ran"]), (0, 0, False))
    return found[f"{name}-{DESK[0]}-light"]


# ---- the jobs ----

HOSTILE = "<img src=x onerror=window.ran=1>\"'&.py"
FRAMES = "import time\nframes = []\nwhile True:\n    frames.append(bytearray(b'x') * (1 << 20))\n    time.sleep(0.04)\n"


@scenario("cgroup")
def page_in_a_browser(s):
    """
    The page of a job that was held and given room, of one that was started again, of one that just ended, of one with
    hostile names, can be read on a phone and a desk, in the light and the dark, and without colour; none loads or runs
    anything. Pictures of it are kept in BUILD/pages.
    """
    pictures = os.path.join(s.store, "pages")
    os.makedirs(pictures, exist_ok=True)
    s.daemon(RETRYING)
    climbs = s.grow("--to", "90", "--rate", "25", limit="72M", options=("--name", "climbs"))
    again = s.run(PYTHON, write(s, "willing.py", WILLING), limit="60M", options=("--policy", "batch", "--name", "again"))
    hostile = s.run(PYTHON, s.script(HOSTILE, FRAMES), "<script>window.ran=1</script>", "w" * 3000, limit="40M",
                    options=("--policy", "batch", "--name", "n" * 60))
    once = s.run("true", options=("--name", "once"))
    browser = Browser(s)
    climbs.wait_held()
    s.must("resume", "climbs", "--limit", "160M")
    for run in (once, hostile, climbs, again):
        run.wait(90)
    pages = {}
    for name, job in (("once", once.name), ("hostile", hostile.name), ("climbs", climbs.name), ("again", s.events("again")[0]["job"])):
        ended(s, job)
        pages[name] = check_page(s, browser, job, name, pictures)
    browser.close()
    stages = {name: {band["stage"] for band in page["bands"]} for name, page in pages.items()}
    same("one that fits has no bands", stages["once"], set())
    check("one that was held, one that was saved, one that was ended", "hold" in stages["climbs"] and
          "interrupt" in stages["again"] and "interrupt" in stages["hostile"], stages)
    check("that it was started again is said", any("retry started" in text["text"] for text in pages["again"]["texts"]))
    check("hostile names are told as they are", any(HOSTILE in text["text"] for text in pages["hostile"]["texts"]),
          pages["hostile"]["texts"])
