#!/usr/bin/env python3
"""The whole warmkey process beside plain nginx on the same box: `make bench`.

Each proxy in turn has core 0 to itself; clients and provider (`examples/load`) share core 1. What is compared
is CPU time a request and an event, memory a stream, and the time a proxy adds to the first byte; those hold
still where throughput on a busy machine does not. Rounds alternate between the proxies and the median is
taken. Bounded: about five minutes, loopback only, and everything it started is stopped.

Prints Markdown, and leaves it with the raw figures in `target/bench/`.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
OUT = ROOT / "target" / "bench"
LOAD = ROOT / "target" / "release" / "examples" / "load"
WARMKEY = ROOT / "target" / "release" / "warmkey"

HOST = "127.0.0.1"
UPSTREAM, PROXY, ADMIN = 18081, 18080, 18090
SIZES = {"1 KB": (1_000, 32), "40 KB": (40_000, 32), "400 KB": (400_000, 8)}  # bytes, connections
EVENT_MS = 50  # 1,000 streams x 20 a second = 20,000 events a second

# design targets: absolute, or relative to nginx
TARGETS = {
    "cpu 1 KB": "<= 55 us",
    "cpu 40 KB": "<= 80 us",
    "cpu 400 KB": "<= 250 us",
    "cpu event": "<= 1.1x nginx",
    "rss": "<= 70 KB",
    "ttft p50": "<= 0.5 ms",
    "ttft p99": "<= 2 ms",
}


# ---------------------------------------------------------------------------------------------- bodies


def body(size: int, stream: bool) -> bytes:
    """A Messages request as an agent sends it: system, tools, and turns of tool calls and results.

    Small ones are a question; large ones are mostly tool results: code with quotes and line breaks, so that
    a JSON scanner meets escapes at a realistic rate.
    """
    tool = {
        "name": "read_file",
        "description": "Reads a file of the workspace. Give a path; optionally the lines to read.",
        "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    }
    code = 'fn widen(input: &str) -> String {\n    format!("\\"{}\\"", input.trim())  // keeps \ttabs\n}\n'
    opener = "Conversation @CONVERSATION@: why does the parser drop the last line?"
    messages = [{"role": "user", "content": opener}]
    request = {
        "model": "claude-sonnet-4-6",
        "stream": stream,
        "max_tokens": 1024,
        "system": [{"type": "text", "text": "You are a careful engineer.", "cache_control": {"type": "ephemeral"}}],
        "tools": [tool] * (1 if size < 10_000 else 20),
        "messages": messages,
    }

    def encoded() -> bytes:
        return json.dumps(request, separators=(",", ":")).encode()

    turn = 0
    while True:
        room = size - len(encoded())
        if room < 600:
            break
        use = f"toolu_01bench{turn:08d}"
        result = (code * (min(room - 400, 8_000) // len(json.dumps(code)) + 1))[: max(room * 3 // 4 - 300, 60)][:6_500]
        messages.append(
            {"role": "assistant", "content": [{"type": "tool_use", "id": use, "name": "read_file", "input": {"path": f"src/part{turn}.rs"}}]}
        )
        messages.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": use, "content": result}]})
        turn += 1
    # The system prompt takes up what is left over: plain text, a byte each.
    request["system"][0]["text"] += " Be brief." + "." * max(0, size - len(encoded()) - len(" Be brief."))
    return encoded()


def write_bodies() -> None:
    for name, (size, _) in SIZES.items():
        for stream in (False, True):
            body_path(name, stream).write_bytes(body(size, stream))


def body_path(name: str, stream: bool) -> pathlib.Path:
    return OUT / f"{'stream' if stream else 'plain'}-{name.replace(' ', '')}.json"


# ---------------------------------------------------------------------------------------------- processes


def pinned(core: int):
    def before_exec() -> None:
        os.sched_setaffinity(0, {core})

    return before_exec


class Cores:
    """Core 0 for what is measured and core 1 for the rest; on a single core both share it, and the table says so."""

    available = sorted(os.sched_getaffinity(0))
    proxy = available[0]
    ends = available[min(1, len(available) - 1)]


@contextlib.contextmanager
def process(command: list, core: int, log: str, port: int, **options):
    """Runs a server until the block ends; `port` says when it is up."""
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            sys.exit(f"bench: port {port} is taken; stop what listens there")
    with open(OUT / log, "wb") as output:
        child = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            preexec_fn=pinned(core), **options,
        )
    try:
        for _ in range(200):
            if child.poll() is not None:
                sys.exit(f"bench: {command[0]} ended at once; see {OUT / log}")
            with socket.socket() as probe:
                if probe.connect_ex((HOST, port)) == 0:
                    break
            time.sleep(0.05)
        else:
            sys.exit(f"bench: {command[0]} did not listen on {port}; see {OUT / log}")
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def upstream(events: int, interval_ms: int):
    command = [LOAD, "upstream", "--listen", f"{HOST}:{UPSTREAM}", "--events", events, "--interval-ms", interval_ms]
    return process(command, Cores.ends, "upstream.log", UPSTREAM)


def nginx_binary() -> str:
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") or sys.exit("bench: no nginx")


@contextlib.contextmanager
def nginx():
    conf = OUT / "nginx.conf"
    text = (HERE / "nginx.conf").read_text()
    conf.write_text(text.replace("@OUT@", str(OUT)).replace("@PROXY@", str(PROXY)).replace("@UPSTREAM@", str(UPSTREAM)))
    with process([nginx_binary(), "-p", OUT, "-c", conf], Cores.proxy, "nginx.log", PROXY) as master:
        children = pathlib.Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()
        # Only the worker works; the master's memory is counted with it, being part of running nginx.
        yield [master.pid, *map(int, children)]


@contextlib.contextmanager
def warmkey():
    conf = OUT / "warmkey.toml"
    text = (HERE / "warmkey.toml").read_text()
    for name, port in {"@PROXY@": PROXY, "@UPSTREAM@": UPSTREAM, "@ADMIN@": ADMIN}.items():
        text = text.replace(name, str(port))
    conf.write_text(text)
    with process([WARMKEY, "serve", "--config", conf], Cores.proxy, "warmkey.log", PROXY) as child:
        wait_ready()
        yield [child.pid]


def wait_ready() -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://{HOST}:{ADMIN}/readyz", timeout=1) as answer:
                if answer.status == 200:
                    return
        time.sleep(0.05)
    sys.exit(f"bench: warmkey did not become ready; see {OUT / 'warmkey.log'}")


PROXIES = {"nginx": nginx, "warmkey": warmkey}


def load(mode: str, pids: list, port: int = PROXY, **options) -> dict:
    command = [LOAD, mode, "--target", f"{HOST}:{port}"]
    if pids:
        command += ["--pids", ",".join(map(str, pids))]
    for name, value in options.items():
        command += [f"--{name}", value]
    done = subprocess.run(
        [str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        preexec_fn=pinned(Cores.ends), timeout=180,
    )
    if done.returncode != 0:
        sys.exit(f"bench: {mode} failed: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    asked = result.get("completed", 1) + result.get("failed", 0)
    if result.get("failed", 0) > asked / 1000:
        sys.exit(f"bench: {result['failed']} of {asked} requests failed; a figure from that would mean nothing")
    return result


# ---------------------------------------------------------------------------------------------- measurements


def cpu_per_request(rounds: int, seconds: float) -> dict:
    found: dict = {}
    with upstream(events=0, interval_ms=0):
        for _ in range(rounds):
            for proxy, start in PROXIES.items():
                with start() as pids:
                    for size, (_, connections) in SIZES.items():
                        shape = {"body": body_path(size, False), "connections": connections}
                        load("post", pids, seconds=min(1, seconds), **shape)  # fills pools and learns the session
                        run = load("post", pids, seconds=seconds, **shape)
                        note(f"{proxy}: {size}: {run['completed'] / run['seconds']:,.0f} requests/s")
                        found.setdefault((proxy, size), []).append(run["cpu_us"] / run["completed"])
    return {key: statistics.median(values) for key, values in found.items()}


def streams(count: int, seconds: float) -> dict:
    found = {}
    # Long enough to outlast opening and measuring; the clients end them.
    events = int((seconds + 90) * 1000 / EVENT_MS)
    with upstream(events=events, interval_ms=EVENT_MS):
        for size in ("1 KB", "400 KB"):
            for proxy, start in PROXIES.items():
                with start() as pids:
                    # Steady state, not first use: code paged in, pools filled.
                    load("streams", pids, body=body_path("1 KB", True), streams=20, seconds=0.5)
                    run = load("streams", pids, body=body_path(size, True), streams=count, seconds=seconds)
                    note(f"{proxy}: {count} streams, {size}: {run['events'] / run['seconds']:,.0f} events/s")
                    found[proxy, size] = {
                        "event_us": run["cpu_us"] / run["events"],
                        "rss_kb": (run["resident_kib"] - run["idle_kib"]) * 1.024 / count,
                        "events_per_second": run["events"] / run["seconds"],
                    }
    return found


def added_ttft(rounds: int, seconds: float) -> dict:
    """Time to the first byte at half of each proxy's own capacity, less that of the provider asked directly.

    Both ends share a core, so single runs scatter by more than what is looked for: medians over rounds.
    """
    shape = {"body": body_path("40 KB", True), "connections": 64}
    found: dict = {}
    with upstream(events=20, interval_ms=0):
        for proxy, start in PROXIES.items():
            with start() as pids:
                full = load("post", pids, seconds=2, **shape)
                rate = full["completed"] / full["seconds"] / 2
                runs, direct = [], []
                for _ in range(rounds):
                    runs.append(load("post", pids, seconds=seconds, rate=f"{rate:.0f}", **shape))
                    direct.append(load("post", [], port=UPSTREAM, seconds=seconds, rate=f"{rate:.0f}", **shape))
            late = sum(run["late"] for run in runs)
            note(f"{proxy}: {rate:,.0f} requests/s, {late} of {sum(run['completed'] for run in runs)} sent late")
            found[proxy] = {"rate": rate}
            for point in ("p50", "p99"):
                through, past = (
                    statistics.median(run[f"ttft_{point}_us"] for run in some) / 1000 for some in (runs, direct)
                )
                found[proxy] |= {f"{point}_ms": through - past, f"{point}_direct_ms": past}
    return found


def note(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


# ---------------------------------------------------------------------------------------------- the table


def machine() -> str:
    cpu = next(
        (line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    version = subprocess.run([nginx_binary(), "-v"], capture_output=True, text=True).stderr.strip().split("/")[-1]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    busy = os.getloadavg()[0]
    shared = "" if Cores.proxy != Cores.ends else " One core only: both ends share it with the proxy."
    return (
        f"{cpu}, {len(Cores.available)} cores, Linux {platform.release()}, nginx {version}, warmkey {commit or 'unknown'}."
        f" Load average before the run {busy:.1f}.{shared}"
    )


def table(facts: str, cpu: dict, open_streams: dict, ttft: dict, count: int) -> str:
    lines = [
        facts,
        "",
        "| what | nginx | warmkey | warmkey / nginx | target |",
        "|---|---:|---:|---:|---|",
    ]

    def row(what: str, nginx_value: float, ours: float, unit: str, target: str) -> None:
        # Below a clock tick's noise a ratio says nothing.
        ratio = f"{ours / nginx_value:.2f}x" if nginx_value > 0.005 else "-"
        digits = 2 if unit == "ms" else 1
        lines.append(f"| {what} | {nginx_value:,.{digits}f} {unit} | {ours:,.{digits}f} {unit} | {ratio} | {target} |")

    for size in SIZES:
        row(f"CPU a request, {size} body", cpu["nginx", size], cpu["warmkey", size], "us", TARGETS[f"cpu {size}"])
    one, large = "1 KB", "400 KB"
    row(
        f"CPU an SSE event, {count:,} streams",
        open_streams["nginx", one]["event_us"], open_streams["warmkey", one]["event_us"], "us", TARGETS["cpu event"],
    )
    for size in (one, large):
        row(
            f"memory a stream, {count:,} opened with {size}",
            open_streams["nginx", size]["rss_kb"], open_streams["warmkey", size]["rss_kb"], "KB", TARGETS["rss"],
        )
    for point in ("p50", "p99"):
        row(
            f"added time to first byte, {point}, half load",
            ttft["nginx"][f"{point}_ms"], ttft["warmkey"][f"{point}_ms"], "ms", TARGETS[f"ttft {point}"],
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("--rounds", type=int, default=3, help="rounds of the CPU measurement; the median counts")
    options.add_argument("--seconds", type=float, default=5.0, help="seconds of each measurement")
    options.add_argument("--streams", type=int, default=1000)
    options.add_argument("--only", choices=PROXIES, help="measure one of them and print no table")
    asked = options.parse_args()

    OUT.mkdir(parents=True, exist_ok=True)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * asked.streams + 1000  # the proxy has two sockets a stream
    if hard != resource.RLIM_INFINITY and hard < wanted:
        sys.exit(f"bench: {asked.streams} streams need {wanted} open files, and the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if asked.only:
        for other in [name for name in PROXIES if name != asked.only]:
            del PROXIES[other]

    facts = machine()
    write_bodies()
    cpu = cpu_per_request(asked.rounds, asked.seconds)
    open_streams = streams(asked.streams, asked.seconds)
    ttft = added_ttft(asked.rounds, asked.seconds)

    raw = {
        "machine": facts,
        "cpu_us_per_request": {" ".join(key): value for key, value in cpu.items()},
        "streams": {" ".join(key): value for key, value in open_streams.items()},
        "added_ttft": ttft,
    }
    (OUT / "process.json").write_text(json.dumps(raw, indent=2) + "\n")
    if asked.only:
        print(json.dumps(raw, indent=2))
        return
    markdown = table(facts, cpu, open_streams, ttft, asked.streams)
    (OUT / "process.md").write_text(markdown)
    print(markdown)


if __name__ == "__main__":
    # A stopped run stops what it started: SIGTERM ends in the `finally` blocks as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
