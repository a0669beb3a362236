# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Headroom says of the jobs of a cell, and the owner who answers it. Shared by the guest and this machine."""

import datetime
import json

KEYS = ("at", "job", "name", "stage", "action", "outcome", "used_bytes", "limit_bytes", "reason")
ANSWERS_MAX = 3  # then the owner gives up, and interrupts


def seconds_of(time):
    return datetime.datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()


def brief(event):
    return {key: event[key] for key in KEYS if key != "at"} | {"at": seconds_of(event["time"])}


class Owner:
    """Gives a held job more room; where that is refused, or none is left to give, has it end."""

    def __init__(self, client, room_mib):
        self.client, self.room_mib = client, room_mib  # client(words...) -> (status, stdout, stderr)
        self.answers, self.refused = {}, ""

    def jobs(self):
        status, out, _ = self.client("status", "--json")
        return json.loads(out) if status == 0 else []

    def answer(self):
        for job in self.jobs():
            if job["stage"] != "hold" or not job["frozen"]:
                continue
            count = self.answers[job["job"]] = self.answers.get(job["job"], 0) + 1
            if count <= ANSWERS_MAX and not self.refused:
                status, _, err = self.client("resume", job["job"], "--limit", f"{self.room_mib * (1 + count) // 2}M")
                if status in (0, 4):  # 4: it has ended meanwhile
                    continue
                self.refused = err.strip()
            self.client("interrupt", job["job"])

    def events(self):
        status, out, _ = self.client("events", "--json")
        return [brief(event) for event in json.loads(out)] if status == 0 else []
