# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Prometheus is told: after real events, in both formats, and through a real node exporter and Prometheus."""

import json
import os
import re
import socket
import subprocess
import time
import urllib.parse
import urllib.request

from jobs_kit import MIB, PYTHON, Skip, check, read_text, same, scenario, wait_until

TOOLS = os.environ.get("HEADROOM_PROMETHEUS", "")  # what tests/prometheus.sh has unpacked
CONF = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../conf/prometheus")


def tool(name):
    path = os.path.join(TOOLS, "usr/bin", name)
    if not TOOLS or not os.access(path, os.X_OK):
        raise Skip(f"no {name}: sh tests/prometheus.sh build/prometheus")
    return path


def samples(text):
    """Each sample's value by its name and labels, as they are spelled."""
    return {line.rpartition(" ")[0]: int(line.rpartition(" ")[2])
            for line in text.splitlines() if line and not line.startswith("#")}


def start(s, interval="1s", more=""):
    path = os.path.join(s.work, "headroom.prom")
    s.daemon(f"[daemon]\nmetrics_file = {path}\nmetrics_interval = {interval}\nmetrics_jobs = 2\n{more}")
    return path


@scenario("cgroup", "process")
def metrics_after_events(s):
    """After a job was warned, held, resumed and has finished, and others were killed by the kernel or run, the
    counters have it, the file has what the client has, and it goes with the daemon."""
    path = start(s)
    before = samples(s.must("metrics"))
    same("nothing yet", (before['headroom_actions_total{action="freeze",outcome="done"}'],
                         before["headroom_oom_kills_total"]), (0, 0))
    run = s.grow("--to", "110", "--rate", "20", limit="100M")
    held = run.wait_held()
    now = samples(s.must("metrics"))
    same("one is held", (now['headroom_jobs{stage="hold"}'], now["headroom_frozen_jobs"]), (1, 1))
    labels = f'{{job="{held["job"]}",user="{held["user"]}"}}'
    same("its limit", now["headroom_job_limit_bytes" + labels], 100 * MIB)
    check("its use", 90 * MIB < now["headroom_job_used_bytes" + labels] <= 102 * MIB, now)
    same("its stage", (now["headroom_job_stage" + labels], now["headroom_job_frozen" + labels]), (4, 1))
    same("the sums", (now["headroom_jobs_limit_bytes"], now['headroom_policy_jobs{policy="default"}']), (100 * MIB, 1))
    memory = int(re.search(r"MemTotal:\s+(\d+)", read_text("/proc/meminfo")).group(1)) << 10
    same("the host's memory", now["headroom_host_memory_bytes"], memory)
    s.must("resume", run.name, "--limit", "160M")
    run.check_unharmed(run.wait())

    # What the events say is what the counters say.
    events = [event for event in s.events() if event["job"]]
    after = samples(s.must("metrics"))
    for stage in ("notice", "hold", "ok"):
        entered = sum(e["stage"] == stage != e["previous_stage"] for e in events)
        same(f"entries of {stage}", after[f'headroom_stage_entries_total{{stage="{stage}",mode="act"}}'], entered)
    for key in {(e["action"], e["outcome"]) for e in events if e["action"] != "why"}:
        same(key, after.get('headroom_actions_total{action="%s",outcome="%s"}' % key),
             sum((e["action"], e["outcome"]) == key for e in events))
    check("held and thawed", after['headroom_actions_total{action="thaw",outcome="done"}'] >= 1, after)
    same("none is left", (after['headroom_jobs{stage="hold"}'], after["headroom_jobs_used_bytes"]), (0, 0))

    # The file: whole at every look, as new as the interval says, for all to read.
    def same_counts():
        text = read_text(path, "")
        return samples(text).get('headroom_actions_total{action="end",outcome="done"}') == 1
    wait_until("the file follows", same_counts, 10, lambda: read_text(path, "none"))
    same("its families", re.findall("# TYPE .*", read_text(path)), re.findall("# TYPE .*", s.must("metrics")))
    same("its mode", os.stat(path).st_mode & 0o777, 0o644)
    check("nothing beside it", not os.path.exists(path + ".new"))
    s.daemons[-1].terminate()
    s.daemons[-1].wait(20)
    check("gone with the daemon", not os.path.exists(path))


@scenario("cgroup")
def metrics_count_oom_kills(s):
    """A job that the kernel's OOM killer strikes is counted, also where headroomd only watches."""
    s.daemon()
    run = s.grow("--to", "150", "--rate", "12", limit="64M", options=("--policy", "observe"))
    run.wait()
    same("lost", run.end_event()["outcome"], "lost")
    after = samples(s.must("metrics"))
    check("counted", after["headroom_oom_kills_total"] >= 1, after)
    same("the end", after['headroom_actions_total{action="end",outcome="lost"}'], 1)
    observed = sum(value for key, value in after.items() if key.startswith("headroom_stage_entries_total") and "observe" in key)
    check("observed", observed >= 1, after)  # at one look a second it may pass over some
    same("nothing was done", after['headroom_stage_entries_total{stage="hold",mode="act"}'], 0)


@scenario("process")
def metrics_to_nowhere(s):
    """A file that can't be written is said once, with what to do; jobs are watched, and metrics are told, all the
    same."""
    s.daemon("[daemon]\nmetrics_file = /nonexistent/headroom.prom\nmetrics_interval = 1s\n")
    wait_until("said", lambda: "metrics can't be written to /nonexistent/headroom.prom (No such file" in s.log(), 10, s.log)
    time.sleep(2.5)
    same("once", s.log().count("can't be written"), 1)
    check("told", "headroom_jobs{" in s.must("metrics"), "")


@scenario("process")
def metrics_are_well_formed(s):
    """promtool finds nothing in the text, nor in the rules; the official parser takes the OpenMetrics form."""
    promtool = tool("promtool")
    start(s, more="\n[policy odd]\nnotice = 60%\n")
    run = s.grow("--to", "90", "--rate", "30", limit="100M", options=("--policy", "odd"))
    run.wait_event("notice")
    for words in (("metrics",), ("metrics", "--openmetrics")):
        text = s.must(*words)
        if "--openmetrics" in words:
            parse = ("import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as t;"
                     "print(sorted({f.type for f in t(sys.stdin.read())}), 'parsed')")
            done = subprocess.run([PYTHON, "-c", parse], input=text, text=True, capture_output=True, check=False,
                                  env={"PYTHONPATH": os.path.join(TOOLS, "usr/lib/python3/dist-packages")})
            same("OpenMetrics", (done.returncode, done.stdout.strip(), done.stderr[-500:]),
                 (0, "['counter', 'gauge', 'info'] parsed", ""))
        else:
            done = subprocess.run([promtool, "check", "metrics"], input=text, text=True, capture_output=True, check=False)
            same("promtool check metrics", (done.returncode, done.stdout + done.stderr), (0, ""))
    done = subprocess.run([promtool, "check", "rules", os.path.join(CONF, "headroom.rules.yml")], text=True,
                          capture_output=True, check=False)
    check("promtool check rules", done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout + done.stderr)


# ---- the real ones ----


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Prometheus:
    """A node exporter that reads the scene's file, and a Prometheus that scrapes it each second."""

    def __init__(self, s):
        exporter, here = tool("prometheus-node-exporter"), s.directory
        ports = [free_port(), free_port()]
        self.url = f"http://127.0.0.1:{ports[1]}/api/v1/"
        rules = read_text(os.path.join(CONF, "headroom.rules.yml"))
        with open(here + "/headroom.rules.yml", "w", encoding="utf-8") as out:
            out.write(re.sub(r"\n        for: .*", "", rules))  # no test waits ten minutes
        with open(here + "/prometheus.yml", "w", encoding="utf-8") as out:
            out.write("global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
                      f"rule_files: [{here}/headroom.rules.yml]\n"
                      "scrape_configs:\n  - job_name: node\n"
                      f"    static_configs: [{{targets: ['127.0.0.1:{ports[0]}']}}]\n")
        with open(here + "/prometheus.log", "wb") as log:
            options = {"user": 0 if os.getuid() == 0 else None, "stdout": log, "stderr": log}
            s.popen([exporter, f"--web.listen-address=127.0.0.1:{ports[0]}", "--collector.disable-defaults",
                     "--collector.textfile", f"--collector.textfile.directory={s.work}"], **options)
            s.popen([tool("prometheus"), f"--config.file={here}/prometheus.yml", f"--storage.tsdb.path={here}/tsdb",
                     f"--web.listen-address=127.0.0.1:{ports[1]}", "--log.level=warn"], **options)
        self.log = here + "/prometheus.log"

    def ask(self, path, **words):
        try:
            with urllib.request.urlopen(self.url + path + "?" + urllib.parse.urlencode(words), timeout=5) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None  # it is not there yet

    def value(self, query):
        data = self.ask("query", query=query)
        if not data:
            return None
        found = data["result"]
        return float(found[0]["value"][1]) if found else None

    def wait_value(self, query, wanted):
        wait_until(query, lambda: self.value(query) == wanted, 40,
                   lambda: (self.value(query), read_text(self.log)[-2000:]))

    def firing(self):
        data = wait_until("Prometheus answers", lambda: self.ask("alerts"))
        return {alert["labels"]["alertname"] for alert in data["alerts"] if alert["state"] == "firing"}


@scenario("cgroup", alone=True)
def metrics_in_prometheus(s):
    """A real Prometheus scrapes a real node exporter that reads the file: it has a held job, the alert on it fires
    and goes with the answer, a kill by the kernel fires its own, and every query of the dashboard is understood."""
    start(s)
    p = Prometheus(s)
    p.wait_value("headroom_build_info", 1)
    p.wait_value("node_textfile_scrape_error", 0)
    run = s.grow("--to", "110", "--rate", "20", limit="100M")
    run.wait_held()
    p.wait_value('headroom_jobs{stage="hold"}', 1)
    p.wait_value("sum(headroom_job_limit_bytes)", 100 * MIB)
    wait_until("HeadroomJobHeld fires", lambda: "HeadroomJobHeld" in p.firing(), 20, p.firing)
    s.must("resume", run.name, "--limit", "160M")
    run.check_unharmed(run.wait())
    wait_until("HeadroomJobHeld goes", lambda: "HeadroomJobHeld" not in p.firing(), 20, p.firing)
    check("no other alert", not p.firing(), p.firing())
    lost = s.grow("--to", "150", "--rate", "200", limit="64M", options=("--policy", "observe"))
    lost.wait()
    wait_until("HeadroomOOMKill fires", lambda: "HeadroomOOMKill" in p.firing(), 30,
               lambda: (p.firing(), p.value("headroom_oom_kills_total")))
    types = {row["type"] for rows in p.ask("metadata").values() for row in rows}
    check("counters are counters", {"counter", "gauge"} <= types, types)

    dashboard = json.loads(read_text(os.path.join(CONF, "headroom-dashboard.json")))
    queries = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    check("there are queries", len(queries) > 15, queries)
    for query in queries:
        query = query.replace("$instance", ".*").replace("$__range", "5m")
        answer = p.ask("query", query=query)
        check(query, answer is not None, read_text(p.log)[-1000:])
        names = re.findall(r"headroom_\w+", query)
        for name in names:
            check(f"{name} is told of", p.ask("query", query=f"present_over_time({name}[5m])")["result"], query)
