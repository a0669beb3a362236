# Goal: Debian's Prometheus and node exporter, as their packages install them, have Headroom's metrics from the
# installed service: the file is written under the service's hardening, read by the exporter's own user, and
# scraped; the shipped rules load; the alert on a held job fires, and goes with the answer.
# Time limit: 600 s
need_headroom

# ask QUERY: the value that Prometheus has; nothing where it has none. alerts: the names of those that fire.
prometheus() {
	python3 - "$@" <<'END' 2>/dev/null || true
import json, sys, urllib.parse, urllib.request
path, *query = sys.argv[1:]
words = "?" + urllib.parse.urlencode({"query": query[0]}) if query else ""
with urllib.request.urlopen("http://127.0.0.1:9090/api/v1/" + path + words, timeout=20) as answer:
    data = json.load(answer)["data"]
if path == "query":
    print(*(row["value"][1] for row in data["result"][:1]))
elif path == "alerts":
    print(*sorted({alert["labels"]["alertname"] for alert in data["alerts"] if alert["state"] == "firing"}))
else:
    print(*sorted({rule["name"] for group in data["groups"] for rule in group["rules"] if rule["health"] == "ok"}))
END
}
has() { [ "$(prometheus query "$1")" = "$2" ]; }
asks() { wait_for 90 has "$1" "$2" || true; is "$1" "$(prometheus query "$1")" "$2"; }
fires() { [[ " $(prometheus alerts) " == *" $1 "* ]]; }
fires_not() { ! fires "$1"; }
none_fires() { [ -z "$(prometheus alerts)" ]; }

install -d /etc/headroom/headroom.conf.d
cat >/etc/headroom/headroom.conf.d/vm-metrics.conf <<'END'
[daemon]
metrics_file = /var/lib/prometheus/node-exporter/headroom.prom
metrics_interval = 1s
END
systemctl restart headroomd
wait_for 60 service_answers
is "doctor knows the file" "$(headroom doctor | grep '^metrics ')" '*ok*/var/lib/prometheus/node-exporter/headroom.prom*'
check "it is there" wait_for 30 test -s /var/lib/prometheus/node-exporter/headroom.prom
check "promtool finds nothing wrong with the metrics" sh -c 'headroom metrics | promtool check metrics'
rules=/usr/share/headroom/prometheus/headroom.rules.yml
check "promtool finds nothing wrong with the rules" promtool check rules $rules

# No test waits for ten minutes: the time that an alert has to last is left out.
sed '/^ *for: /d' $rules >/etc/prometheus/headroom.rules.yml
cat >/etc/prometheus/prometheus.yml <<'END'
global: {scrape_interval: 3s, evaluation_interval: 3s}
rule_files: [/etc/prometheus/headroom.rules.yml]
scrape_configs:
  - job_name: node
    static_configs: [{targets: ['localhost:9100']}]
END
systemctl start prometheus-node-exporter prometheus
asks headroom_build_info 1
asks node_textfile_scrape_error 0
is "the rules are loaded and evaluated" "$(prometheus rules)" "$(sed -n 's/.*- alert: //p' $rules | sort | tr '\n' ' ' | sed 's/ $//')"
asks 'sum(headroom_jobs)' 0

start_job grow 400M grow.py --rate 40 --to 500 --state "$work/grow"
wait_for 90 held grow
asks 'headroom_jobs{stage="hold"}' 1
asks headroom_jobs_limit_bytes $((400 << 20))
asks 'headroom_actions_total{action="freeze",outcome="done"}' 1
check "HeadroomJobHeld fires" wait_for 60 fires HeadroomJobHeld
headroom resume grow --limit 800M
is "it finishes" "$(end_of grow) $(cat "$work/grow")" '0 finished 500 MiB'
check "HeadroomJobHeld goes" wait_for 60 fires_not HeadroomJobHeld
wait_for 30 none_fires || true # one that a slow scrape has set off goes with the next
is "no other alert fires" "$(prometheus alerts)" ''

in_background lost as_login ana headroom run --limit 100M --policy observe -- python3 -c 'x = bytearray(b"x") * (200 << 20)'
is "the kernel kills a job that is only observed" "$(end_of lost)" 137
check "HeadroomOOMKill fires" wait_for 60 fires HeadroomOOMKill
systemctl stop headroomd
check "the file goes with the service" test ! -e /var/lib/prometheus/node-exporter/headroom.prom
systemctl stop prometheus prometheus-node-exporter
