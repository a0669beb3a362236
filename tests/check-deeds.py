# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every action that the daemon can name in a job's event has its series in the metrics from the start, and its message
id in the journal.

An alert on a counter that comes into being with its first event does not fire for that event. The names are taken from
the sources: where events are filled in, and where the ladder notes what it decides.
"""

import glob
import re
import sys

WORD = r'"([a-z][a-z ]*)"'
ARGUMENT = r'[^,";]+,\s*'
PLACES = (r"\bnote\(\s*" + 2 * ARGUMENT + WORD,
          r"\btell_passed_over\(\s*" + 2 * ARGUMENT + WORD,
          r"\bhr_ladder_tell\(\s*" + 4 * ARGUMENT + WORD,
          r"\bhr_ladder_mention\(\s*" + 2 * ARGUMENT + WORD,
          r"\bhr_manager_add\(\s*" + 2 * ARGUMENT + WORD,
          r"\.action, sizeof\(\w+\.action\), " + WORD)
NO_JOB = {"daemon", "why"}  # lines of the daemon's own, and of a job's processes: no deed


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def named():
    found = set()
    for path in glob.glob("daemon/**/*.c", recursive=True):
        text = read(path)
        for place in PLACES:
            found |= set(re.findall(place, text))
        for table in re.findall(r"actions\[HR_STAGE_COUNT\] = \{(.*?)\};", text, re.DOTALL):
            found |= set(re.findall(WORD, table))
    return found - NO_JOB


def table(path, name):
    rows = re.search(name + r"\[\] = \{(.*?)\n\};", read(path), re.DOTALL).group(1)
    return set(re.findall(r"\{" + WORD, rows))


def main():
    known = table("daemon/tell/metrics.c", "known_deeds")
    journal = table("daemon/tell/journal.c", "actions")
    actions = named()
    # What this can't miss: else it looks in the wrong places.
    blind = {"watch", "notice", "trim", "checkpoint", "freeze", "thaw", "interrupt", "kill", "retry", "saved", "end"} - actions
    print("actions:", *sorted(actions))
    if blind:
        print("not found in the sources:", *sorted(blind))
    if actions - known:
        print("not in known_deeds of daemon/tell/metrics.c:", *sorted(actions - known))
    if known - actions:
        print("in known_deeds, and never named:", *sorted(known - actions))
    if actions - journal:
        print("not in actions of daemon/tell/journal.c:", *sorted(actions - journal))
    return bool(blind or actions ^ known or actions - journal)


sys.exit(main())
