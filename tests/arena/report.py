# SPDX-License-Identifier: LGPL-2.1-or-later
"""
usage: report.py RESULTS [TABLE.md [LINES]]

Makes the table from the results (JSON lines): a row for each workload, a column for each contender, under each binding
and swap setting; then Headroom's figures, and what it lost or touched. Prints it, and writes it as Markdown, and to LINES
a line for each of Headroom's cells. Exits 1 if Headroom lost what could be kept, or touched what fits.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "guest"))
sys.dont_write_bytecode = True

import cells

COLUMNS = (*cells.CONTENDERS, "headroom-v1", "headroom-tree")
BINDS = {cells.OWN: "its own limit", cells.PARENT: "the limit of the slice above", cells.HOST: "the whole host"}


def load(path):
    results = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            results.append(json.loads(line))
    return results


def cell_text(results):
    """Of all runs of a cell: `saved`, or `19/20 saved`."""
    if not results:
        return ""
    skipped = [result["skip"] for result in results if "skip" in result]
    if skipped:
        return "skip"
    words = [result.get("broken") and "broken" or cells.verdict(result) for result in results]
    common = max(sorted(set(words)), key=words.count)
    if len(words) == 1:
        return common
    return " ".join(f"{words.count(word)}/{len(words)} {word}" for word in sorted(set(words), key=words.count, reverse=True))


def is_fault(result):
    """What Headroom should have kept, or left alone."""
    if not result.get("contender", "").startswith("headroom") or result.get("skip"):
        return False
    if "broken" in result:
        return True
    return (result["physics"] == "" and result["kept_count"] < result["jobs_count"]) or bool(result["fits"] and result["touched"])


def average(values):
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None


def figures(results):
    """(name, text) of Headroom's measures over all cells."""
    mine = [result for result in results if result.get("contender") == "headroom" and "broken" not in result]
    grown = [result for result in mine if not result["fits"]]
    able = [result for result in grown if not result["physics"]]
    fits = [result for result in mine if result["fits"]]
    yield "cells kept, of those that can be", f"{sum(r['kept_count'] == r['jobs_count'] for r in able)} of {len(able)}"
    yield "cells lost to physics", f"{sum(r['kept_count'] < r['jobs_count'] for r in grown if r['physics'])}"
    yield "kernel OOM kills", f"{sum(r['kernel_kills_count'] for r in mine)}"
    yield "jobs that fit, touched", f"{sum(bool(r['touched']) for r in fits)} of {len(fits)}"
    leads = sorted(r["lead_seconds"] for r in grown if r.get("lead_seconds") is not None)
    if leads:
        yield "lead of the first warning, seconds", f"least {leads[0]:.1f}, median {leads[len(leads) // 2]:.1f}"
    for stage in cells.STAGES:
        over = [r["overshoot_bytes"][stage] / r["limit_bytes"] * 100 for r in grown if stage in r.get("overshoot_bytes", {})]
        if over:
            yield f"overshoot beyond {stage}, % of the limit", f"median {sorted(over)[len(over) // 2]:.2f}, most {max(over):.2f}"
    frozen = [fact["after_seconds"] for r in mine for fact in r.get("frozen", [])]
    if frozen:
        yield "decision to frozen, ms (emulated, seen by a poll of 10 ms)", \
            f"median {sorted(frozen)[len(frozen) // 2] * 1000:.0f}, most {max(frozen) * 1000:.0f}"


def slow_downs(results):
    """Per row that fits: the job's time under each contender, relative to the kernel alone in the same boot, in %."""
    times = {}
    for result in results:
        if result.get("fits") and result.get("job_seconds"):
            key = (result["binding"], result["swap_mib"], result["row"])
            times.setdefault(key, {}).setdefault(result["contender"], []).append(result["job_seconds"])
    for (binding, swap, row), by in sorted(times.items()):
        if "kernel" in by and len(by) > 1:
            base = average(by["kernel"])
            yield f"{row}, {binding}{', swap' if swap else ''}", {
                name: f"{100 * (average(values) / base - 1):+.0f} %" for name, values in by.items() if name != "kernel"}


def table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"


def summary(results):
    """A row for each contender: under each binding, how many growing cells it kept, and how many that fit it touched."""
    played = [r for r in results if "skip" not in r and "broken" not in r]
    for name in (name for name in COLUMNS if any(r["contender"] == name for r in played)):
        row = [name]
        for binding in cells.BINDINGS:
            mine = [r for r in played if r["contender"] == name and r["binding"] == binding]
            grow, fit = [r for r in mine if not r["fits"]], [r for r in mine if r["fits"]]
            kept = sum(r["kept_count"] == r["jobs_count"] for r in grow)
            touched = sum(bool(r["touched"]) for r in fit)
            row.append(f"{kept} of {len(grow)} kept, {touched} of {len(fit)} touched" if mine else "")
        yield row


def lines(results):
    yield "# Arena"
    yield ""
    yield "Cells whose jobs grow out of their room: kept; cells whose jobs fit: touched all the same."
    yield ""
    yield from table(("contender", *BINDS.values()), summary(results))
    yield ""
    yield "finished: it got room and went on to its end; saved: it ended early, with a state from which it can go on;"
    yield "LOST (by whom): neither; in peace, touched: of jobs that fit. ¹: physics forbids it, see below."
    for binding, text in BINDS.items():
        for swap in sorted({r["swap_mib"] for r in results if r.get("binding") == binding}):
            chosen = [r for r in results if r.get("binding") == binding and r["swap_mib"] == swap]
            columns = [name for name in COLUMNS if any(r["contender"] == name for r in chosen)]
            names = [row for row in cells.ROWS if any(r["row"] == row.name for r in chosen)]
            yield ""
            yield f"## What binds is {text}, {f'swap {swap} MiB' if swap else 'no swap'}"
            yield ""
            yield from table(("job", *columns), [
                (row.name + (" ¹" if binding in row.physics else ""), *(
                    cell_text([r for r in chosen if r["row"] == row.name and r["contender"] == name]) for name in columns))
                for row in names])
    yield ""
    yield "## Headroom's figures"
    yield ""
    yield from table(("measure", "value"), figures(results))
    slow = list(slow_downs(results))
    if slow:
        names = [name for name in COLUMNS if any(name in by for _, by in slow)]
        yield ""
        yield "## Time of a job that fits, relative to the kernel alone in the same boot (one run each: noise is some percent)"
        yield ""
        yield from table(("job", *names), [(key, *(by.get(name, "") for name in names)) for key, by in slow])
    bound = [row for row in cells.ROWS if row.physics]
    yield ""
    for row in bound:
        yield f"¹ {row.name} under {' and '.join(row.physics)}: {row.why}"
    skips = sorted({f"{r['contender']}: {r['skip']}" for r in results if "skip" in r})
    for skip in skips:
        yield f"SKIP {skip}"
    faults = [r for r in results if is_fault(r)]
    if faults:
        yield ""
        yield "## Headroom's faults"
        yield ""
        for r in faults:
            yield f"- {r['cell']}: {r.get('broken') or cells.verdict(r)} {', '.join(r.get('touched', []))}"
    short = [r for r in results if r.get("base_short_bytes")]
    for r in short:
        yield f"- {r['cell']}: began with {r['base_short_bytes'] >> 20} MiB less than the base"


def result_lines(results):
    """One for each of Headroom's cells, as the other rings write them."""
    for r in results:
        if r.get("contender", "").startswith("headroom"):
            if "skip" in r:
                yield f"skip - arena: {r['cell']}: {r['skip']}"
            elif is_fault(r):
                yield f"not ok - arena: {r['cell']}: {r.get('broken') or cells.verdict(r)}"
            else:
                yield f"ok - arena: {r['cell']}: {cells.verdict(r)}"


def main():
    results = load(sys.argv[1])
    text = "\n".join(lines(results)) + "\n"
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w", encoding="utf-8") as out:
            out.write(text)
    if len(sys.argv) > 3:
        with open(sys.argv[3], "w", encoding="utf-8") as out:
            out.writelines(line + "\n" for line in result_lines(results))
    print(text, end="")
    return 1 if any(is_fault(r) for r in results) or not results else 0


if __name__ == "__main__":
    sys.exit(main())
