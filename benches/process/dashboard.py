#!/usr/bin/env python3
"""What watching costs: the gateway's CPU with 5,000 live streams, the dashboard closed and open in turn.

    python3 benches/process/dashboard.py [--streams N] [--dashboards N] [--pairs N]

Every open dashboard does what the page does on its busiest view: it holds one event stream of all topics, and asks for
a page of sessions every two seconds. Windows alternate, so that a machine that slows down slows both; the median of
the pairs' differences counts. Also times /metrics with 1,000 endpoints. Loopback only; about three minutes.
"""

import argparse
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

import run
from run import ADMIN, HOST, LOAD, OUT, PROXY, Cores

TOPICS = "/dashboard/events?topics=now,accounts,requests,sessions"
PAGE = "/dashboard/api/sessions?sort=heat&order=desc&offset=0&limit=100"


def get(path: str) -> bytes:
    with urllib.request.urlopen(f"http://{HOST}:{ADMIN}{path}", timeout=10) as answer:
        return answer.read()


def figure(name: str) -> float:
    lines = get("/metrics").decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Dashboard:
    """One browser's worth of questions, until it is closed."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.bytes = 0
        self.frames = 0
        self.socket = socket.create_connection((HOST, ADMIN))
        self.socket.sendall(f"GET {TOPICS} HTTP/1.1\r\nhost: {HOST}:{ADMIN}\r\n\r\n".encode())
        self.threads = [threading.Thread(target=self.listen), threading.Thread(target=self.ask)]
        for thread in self.threads:
            thread.start()

    def listen(self) -> None:
        while chunk := self.socket.recv(1 << 16):
            self.bytes += len(chunk)
            self.frames += chunk.count(b"event: ")

    def ask(self) -> None:
        while not self.over.wait(2):
            self.bytes += len(get(PAGE))

    def close(self) -> None:
        self.over.set()
        self.socket.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        self.socket.close()
        if self.frames == 0:
            sys.exit("bench: an open dashboard was told nothing, so its cost means nothing")


def window(pid: int, seconds: float, dashboards: int) -> float:
    """Share of a core that the gateway used."""
    watching = [Dashboard() for _ in range(dashboards)]
    time.sleep(1)
    before, begun = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    used = (cpu_seconds(pid) - before) / (time.monotonic() - begun)
    for dashboard in watching:
        dashboard.close()
    return used


def watching(streams: int, dashboards: int, pairs: int, seconds: float) -> None:
    # An event every half second each: 10,000 a second over 5,000 streams.
    lasting = pairs * 2 * (seconds + 2) + 120
    body = OUT / "watched.json"
    body.write_bytes(run.body(1_000, True))
    with run.upstream(events=int(lasting * 2), interval_ms=500), run.warmkey() as (pid,):
        command = [LOAD, "streams", "--target", f"{HOST}:{PROXY}", "--body", body, "--streams", streams]
        command += ["--seconds", lasting - 60]
        fleet = subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.DEVNULL, preexec_fn=run.pinned(Cores.ends)
        )
        try:
            while figure("warmkey_requests_in_flight") < streams:
                if fleet.poll() is not None:
                    sys.exit("bench: the streams could not be opened")
                time.sleep(0.2)
            time.sleep(3)
            closed, opened = [], []
            for _ in range(pairs):
                closed.append(window(pid, seconds, 0))
                opened.append(window(pid, seconds, dashboards))
                run.note(f"closed {closed[-1]:.2%} of a core, open {opened[-1]:.2%}")
            if figure("warmkey_requests_in_flight") < streams:
                sys.exit("bench: streams ended while they were measured")
        finally:
            fleet.send_signal(signal.SIGTERM)
            fleet.wait()
    added = statistics.median(b - a for a, b in zip(closed, opened))
    print(f"{streams:,} streams, {dashboards} dashboard(s): {statistics.median(closed):.1%} of a core without, "
          f"{added:+.2%} with")


def scraping(endpoints: int, rounds: int) -> None:
    text = (run.HERE / "warmkey.toml").read_text().split("[[endpoint]]")[0]
    for name, port in {"@PROXY@": PROXY, "@UPSTREAM@": run.UPSTREAM, "@ADMIN@": ADMIN}.items():
        text = text.replace(name, str(port))
    for n in range(endpoints):
        text += f'[[endpoint]]\nname = "e-{n}"\nprovider = "bench"\nkey = "bench-{n}"\nrate_domain = "d-{n // 4}"\n\n'
    text += '[[model]]\nname = "claude-*"\nprovider = ["bench"]\n'
    conf = OUT / "endpoints.toml"
    conf.write_text(text)
    with run.upstream(events=0, interval_ms=0):
        with run.process([run.WARMKEY, "serve", "--config", conf], Cores.proxy, "warmkey.log", PROXY):
            run.wait_ready()
            body = OUT / "plain-1KB.json"
            body.write_bytes(run.body(1_000, False))
            run.load("post", [], seconds=5, body=body, connections=256)
            times, size = [], 0
            for _ in range(rounds):
                begun = time.perf_counter()
                size = len(get("/metrics"))
                times.append((time.perf_counter() - begun) * 1000)
    times.sort()
    print(f"/metrics with {endpoints:,} endpoints: {statistics.median(times):.1f} ms, "
          f"p90 {times[len(times) * 9 // 10]:.1f} ms, {size / 1024:,.0f} KB")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("--streams", type=int, default=5_000)
    options.add_argument("--dashboards", type=int, default=1)
    options.add_argument("--pairs", type=int, default=8)
    options.add_argument("--seconds", type=float, default=5.0, help="seconds of each window")
    asked = options.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(run.machine())
    watching(asked.streams, asked.dashboards, asked.pairs, asked.seconds)
    scraping(1_000, 50)


if __name__ == "__main__":
    # A stopped run stops what it started, as run.py's does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
