#!/usr/bin/env python3
"""What deploy/ says to Prometheus and Grafana holds: rules and their cases, and every expression of the dashboard.

    scripts/check-monitoring.py [WARMKEY-ADMIN-URL]

The real promtool reads alerts, their cases, the scrape configuration and every expression of the dashboard; every
`warmkey_` name in them is one that the gateway has. With the URL of an admin listener promtool also reads what it serves.
"""

import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
DASHBOARD = DEPLOY / "grafana" / "warmkey.json"

# How `telemetry` registers a family: its kind, then its name.
FAMILY = re.compile(r"\br\s*\.(counters?|money|histograms?|gauges|level|ratio)\(\s*\"([a-z0-9_]+)\"")
# Histograms with exemplars are asked for by name, so their names are constants.
NAMED = re.compile(r"^const [A-Z_]+: &str = \"([a-z0-9_]+_seconds)\";", re.MULTILINE)
# Gauges that are written at each scrape and kept nowhere.
READING = re.compile(r"\breadings(?:\.family\(|, )\"([a-z0-9_]+)\"")
SERIES = {"histogram": ("_bucket", "_sum", "_count")}


def promtool(*args, text=None):
    done = subprocess.run(["promtool", *args], input=text, text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"promtool {' '.join(args[:2])}:\n{done.stdout}{done.stderr}")


def families():
    """Every series that the gateway may serve."""
    names = set()
    readings = (ROOT / "src" / "admin" / "gauges.rs").read_text()
    names.update("warmkey_" + name for name in READING.findall(readings))
    for file in (ROOT / "src" / "telemetry").rglob("*.rs"):
        text = file.read_text()
        for kind, name in FAMILY.findall(text) + [("histogram", name) for name in NAMED.findall(text)]:
            names.update("warmkey_" + name + suffix for suffix in SERIES.get(kind, ("",)))
    if len(names) < 30:
        sys.exit(f"only {len(names)} metrics were found in the source: how they are registered has changed")
    return names


def expressions():
    """Every expression of the dashboard, with the title of its panel."""
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def check_names(known):
    bad = []
    for title, text in [*expressions(), ("deploy/alerts.yaml", (DEPLOY / "alerts.yaml").read_text())]:
        for name in sorted(set(re.findall(r"\bwarmkey_[a-z0-9_]+", text)) - known):
            bad.append(f"{title}: the gateway has no metric `{name}`")
    if bad:
        sys.exit("\n".join(bad))


def check_dashboard():
    """As rules, because that is what promtool reads without a server."""
    rules = [
        {"record": f"dashboard:{n}", "expr": expr.replace("$__rate_interval", "5m").replace("$job", ".*")}
        for n, (_, expr) in enumerate(expressions())
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        # JSON is YAML.
        json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
        file.flush()
        promtool("check", "rules", file.name)
    return len(rules)


def main():
    promtool("check", "rules", str(DEPLOY / "alerts.yaml"))
    promtool("test", "rules", str(DEPLOY / "alerts_test.yaml"))
    promtool("check", "config", str(DEPLOY / "prometheus.yml"))
    known = families()
    check_names(known)
    count = check_dashboard()
    print(f"alerts, their cases and {count} expressions of the dashboard hold; {len(known)} series are known")
    for url in sys.argv[1:]:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        served = direct.open(f"{url}/metrics", timeout=10).read().decode()
        ours = "".join(line + "\n" for line in served.splitlines() if "warmkey_" in line)
        promtool("check", "metrics", text=ours)
        served = {re.match(r"[a-z0-9_]+", line).group() for line in ours.splitlines() if line[0] != "#"}
        if unknown := served - known:
            sys.exit(f"served, but not found in the source: {sorted(unknown)}")
        print(f"{len(served)} series of {url}/metrics hold")


main()
