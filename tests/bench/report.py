# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Tells what cost.sh measured.

usage: report.py COST_JSONL MARKDOWN SVG

Prints the tables, and writes them as Markdown, and as one plot: memory, CPU time and system calls against the number of
jobs, at rest and under load, on logarithmic axes. Each contender has a marker and a dash of its own: no colour is needed.
"""

import json
import math
import sys
from xml.sax.saxutils import escape

MIB = 1 << 20
# name: title, marker, dash, colour (Okabe and Ito's, told apart by most eyes)
CONTENDERS = {
    "headroom": ("Headroom", "circle", "", "#0072b2"),
    "headroom-match": ("Headroom, found by [match]", "ring", "2 3", "#56b4e9"),
    "earlyoom": ("earlyoom", "square", "8 4", "#d55e00"),
    "systemd-oomd": ("systemd-oomd", "triangle", "1 4", "#009e73"),
    "nohang": ("nohang", "diamond", "10 3 2 3", "#444444"),
}
STATES = {"rest": "at rest", "load": "under load"}
LOAD = "Under load: each job fills 2 MiB and gives them back, in 16 seconds."
REST = ("At rest (for 300 s when the most are measured, over 600 s), the number of jobs falls from the most to 1 within one life "
        "of each daemon, which may keep what memory it had. Under load, Headroom is started anew for each.")
# key, title, unit, scale, the least that is drawn
MEASURES = (
    ("pss_bytes", "Resident memory (PSS)", "MiB", 1 / MIB, 0.1),
    ("cpu_share_percent", "CPU time", "% of one emulated core", 1, 0.001),
    ("calls_per_second", "System calls", "a second", 1, 0.1),
)


def told(value):
    """Three digits are all that it is worth."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 4)}f}"


def load(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def title_of(result):
    title = CONTENDERS[result["contender"]][0]
    missed = result["contender"] in ("headroom", "headroom-match") and result["watched"] != result["jobs"]
    return f"{title}: {result['watched']} of them" if missed else title


def tables(results):
    """[(title, head, rows)]"""
    found = []
    order = list(CONTENDERS)
    for state, what in STATES.items():
        rows = []
        chosen = [result for result in results if result["state"] == state]
        for result in sorted(chosen, key=lambda item: (item["jobs"], order.index(item["contender"]))):
            rows.append([
                str(result["jobs"]), title_of(result),
                told(result["pss_bytes"] / MIB), told(result["rss_bytes"] / MIB), told(result["anonymous_bytes"] / MIB),
                told(result["kernel_bytes"] / MIB), told(result["cpu_share_percent"]), told(result["cpu_usec_per_job_second"]),
                told(result["calls_per_second"]), told(result["calls_per_job_second"]),
            ])
        found.append((f"Jobs {what}, in an emulated machine",
                      ["jobs", "", "PSS MiB", "RSS MiB", "anonymous MiB", "kernel MiB", "CPU %", "CPU µs a job-second",
                       "calls/s", "calls a job-second"], rows))
    most = max(result["jobs"] for result in results)
    rows = []
    for result in results:
        if result["jobs"] == most:
            seconds = result["calls_per_second"]
            calls = {name: count for name, count in result["calls_by_name"].items() if name != "clock_gettime"}
            total = sum(calls.values()) or 1
            rows.append([title_of(result), result["state"], told(seconds),
                         ", ".join(f"{name} {100 * count / total:.0f} %" for name, count in
                                   list(calls.items())[:5])])
    found.append((f"What the calls are, {most} jobs", ["", "state", "calls/s", "of them"], rows))
    return found


def as_text(title, head, rows):
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    lines = [title, ""]
    for row in [head, *rows]:
        cells = [cell.rjust(width) if cell[:1].isdigit() else cell.ljust(width) for cell, width in zip(row, widths)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def as_markdown(title, head, rows):
    lines = [f"### {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


# ---- the plot ----

WIDE, HIGH, LEFT, TOP, ACROSS, DOWN = 300, 230, 70, 88, 400, 322  # a panel; the first one's place; from one to the next


def marker(kind, x, y, colour):
    filled = f'fill="{colour}" stroke="{colour}"'
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" {filled}/>'
    if kind == "ring":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="#fff" stroke="{colour}" stroke-width="2"/>'
    if kind == "square":
        return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" {filled}/>'
    shape = ((0, -5.5), (5, 4), (-5, 4)) if kind == "triangle" else ((0, -6), (6, 0), (0, 6), (-6, 0))
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in shape)
    return f'<polygon points="{points}" {filled}/>'


def power(exponent):
    return f"{10 ** exponent:,}" if exponent >= 0 else f"{10 ** exponent:.{-exponent}f}"


class Panel:
    def __init__(self, x, y, title, unit, counts, least, most):
        self.x, self.y, self.title, self.unit, self.counts = x, y, title, unit, counts
        self.low, self.high = math.floor(math.log10(least)), math.ceil(math.log10(most))
        self.high = max(self.high, self.low + 1)

    def at(self, count, value):
        first, last = math.log10(self.counts[0]), math.log10(self.counts[-1])
        across = (math.log10(count) - first) / (last - first or 1)
        up = (math.log10(max(value, 10 ** self.low)) - self.low) / (self.high - self.low)
        return self.x + 14 + across * (WIDE - 28), self.y + HIGH - up * HIGH

    def frame(self):
        out = [f'<rect x="{self.x}" y="{self.y}" width="{WIDE}" height="{HIGH}" fill="none" stroke="#222"/>',
               f'<text x="{self.x}" y="{self.y - 25}" class="title">{escape(self.title)}</text>',
               f'<text x="{self.x}" y="{self.y - 9}">{escape(self.unit)}</text>']
        for exponent in range(self.low, self.high + 1):
            y = self.at(self.counts[0], 10.0 ** exponent)[1]
            out.append(f'<line x1="{self.x}" x2="{self.x + WIDE}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
            out.append(f'<text x="{self.x - 6}" y="{y + 4:.1f}" text-anchor="end">{power(exponent)}</text>')
        for count in self.counts:
            x = self.at(count, 1)[0]
            out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{self.y + HIGH}" y2="{self.y + HIGH + 5}" stroke="#222"/>')
            out.append(f'<text x="{x:.1f}" y="{self.y + HIGH + 19}" text-anchor="middle">{count:,}</text>')
        out.append(f'<text x="{self.x + WIDE / 2}" y="{self.y + HIGH + 36}" text-anchor="middle">jobs</text>')
        return out

    def line(self, points, kind, dash, colour):
        places = [self.at(count, value) for count, value in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>',
                *(marker(kind, x, y, colour) for x, y in places)]


def plot(results):
    counts = sorted({result["jobs"] for result in results})
    width, height = LEFT + ACROSS * (len(MEASURES) - 1) + WIDE + 30, TOP + DOWN * len(STATES) + 16
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
           "<title>What watching costs, against the number of jobs</title>",
           "<style>text{font:12px sans-serif;fill:#222}.title{font-weight:bold}</style>",
           f'<rect width="{width}" height="{height}" fill="#fff"/>']
    x = LEFT
    for title, kind, dash, colour in CONTENDERS.values():
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        out.append(f'<line x1="{x}" x2="{x + 44}" y1="22" y2="22" stroke="{colour}" stroke-width="2"{dashes}/>')
        out.append(marker(kind, x + 22, 22, colour))
        out.append(f'<text x="{x + 52}" y="26">{escape(title)}</text>')
        x += 76 + 7 * len(title)
    for row, (state, what) in enumerate(STATES.items()):
        for column, (key, title, unit, scale, least) in enumerate(MEASURES):
            both = [result[key] * scale for result in results if result["state"] in STATES]
            shown = [value for value in both if value >= least] or [least]
            panel = Panel(LEFT + column * ACROSS, TOP + row * DOWN, f"{title}, jobs {what}", unit, counts,
                          max(least, min(shown)), max(shown))
            out += panel.frame()
            for name, (_, kind, dash, colour) in CONTENDERS.items():
                points = sorted((result["jobs"], result[key] * scale) for result in results
                                if result["contender"] == name and result["state"] == state)
                if points:
                    out += panel.line(points, kind, dash, colour)
    notes = (f"{LOAD} A mark on the lowest line: that, or less.",
             REST,
             "Measured in one run in an emulated virtual machine, where work takes some ten times the CPU time of a real one: "
             "compare the lines, not the seconds.")
    for number, note in enumerate(notes):
        out.append(f'<text x="{LEFT}" y="{height - 46 + 17 * number}">{escape(note)}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    results = load(sys.argv[1])
    found = tables(results)
    print("\n".join(as_text(*table) for table in found))
    print(f"{LOAD}\n{REST}")
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(f"## What watching costs\n\n{LOAD} {REST}\n\n" + "\n".join(as_markdown(*table) for table in found))
    with open(sys.argv[3], "w", encoding="utf-8") as file:
        file.write(plot(results))


if __name__ == "__main__":
    main()
