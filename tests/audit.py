#!/usr/bin/env python3
"""The ledger against what the provider billed, request by request, recomputed in decimal arithmetic.

    tests/audit.py WARMKEY [--requests 5000] [--clients 16] [--seed 1]

Starts a gateway with its simulated provider, sends requests in every dialect, streamed and not, with prompts
that are cached, failures of the provider, requests that are refused, and clients that leave in the middle. Each
request has a session id of its own, which the provider logs, so each receipt is held against the very tries that
the provider saw. Prices are read from conf/prices.toml here, by another language and another arithmetic.

It must hold:
- every request has exactly one receipt, and every receipt a request;
- a receipt whose figures the provider gave costs what the provider billed for its tries, to the nano-dollar;
- receipts that are our own estimate (streams that broke off or whose client left) are within ESTIMATE of the bill,
  together, and few enough that this says something;
- a key's balances are the sum of what its receipts were billed.
"""

import argparse
import http.client
import json
import os
import pathlib
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from decimal import ROUND_HALF_UP, Decimal

ROOT = pathlib.Path(__file__).resolve().parent.parent
NANO = Decimal(10) ** 9
# How far the sum of estimated receipts may be off what the provider billed for them. Output is counted as it comes,
# without what was on its way when somebody left; OpenAI says only at the end what the input came to.
ESTIMATE = Decimal("0.35")
ACCOUNTS = 6
# Requests between two looks at the provider's log, which keeps twenty thousand.
CHUNK = 2_000
KINDS = ("input", "cached_read", "write_5m", "write_1h", "output")
CALLERS = {"ann": "wk-audit-ann-0123456789abcdef", "bob": "wk-audit-bob-0123456789abcdef"}
MODELS = {"anthropic": ["claude-sonnet-4-6", "claude-haiku-4-5"], "openai": ["gpt-5.6", "gpt-5.4-mini"]}
# Long enough to be cached by every model.
SHARED = ["Read before you write, and say what you do not know. " * 420 + f"Book {n}." for n in range(4)]
FAULTS = [
    {"fault": "server_error", "times": 12},
    {"fault": "overloaded", "times": 6},
    {"fault": "rate_limited", "hint": {"retry_after": 1}, "times": 2},
    {"fault": "close_before_header", "times": 4},
    {"fault": "close_after", "events": 9, "times": 25},
]


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def configuration(data, admin, sim):
    parts = [f"""
[server]
listen = "127.0.0.1:{data}"
admin = "127.0.0.1:{admin}"
drain = "5s"
watch = false

[sim]
listen = "127.0.0.1:{sim}"
time_to_first_token = "1ms"
tokens_per_second = 300

[ledger]
file = "ledger.db"
"""]
    for name in CALLERS:
        markup = "markup = 1.25\n" if name == "bob" else ""
        parts.append(f"""
[[caller]]
name = "{name}"
tenant = "{name}"
token = {{ env = "TOKEN_{name.upper()}" }}
{markup}budgets = [{{ usd = 100_000, per = "total" }}, {{ tokens = 1_000_000_000_000, per = "total" }}]
""")
    for provider, models in MODELS.items():
        parts.append(f"""
[[provider]]
name = "{provider}"
dialect = "{provider}"
base_url = "sim"
cooling = {{ stay_delay = "20ms", stay_max = "100ms", base = "100ms", max = "300ms" }}
""")
        for n in range(ACCOUNTS):
            key = f"sk-sim-{provider}-{n}"
            parts.append(f"""
[[sim.account]]
key = "{key}"
organization = "{provider}-{n}"
workspace = "{provider}-{n}"
limits = {{ rpm = 0, itpm = 0, otpm = 0 }}
[[endpoint]]
name = "{provider}-{n}"
provider = "{provider}"
key = "{key}"
region = "{provider}-{n}"
""")
        for model in models:
            parts.append(f'[[model]]\nname = "{model}"\nprovider = "{provider}"\n')
    return "\n".join(parts)


def call(port, method, path, body=None, timeout=60):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Prices:
    """What tokens cost, in exact decimals."""

    def __init__(self):
        with open(ROOT / "conf/prices.toml", "rb") as file:
            rows = tomllib.load(file, parse_float=Decimal)["price"]
        self.rows = {row["model"]: row for row in rows}

    def of(self, model, usage):
        row = self.rows[model]
        total = sum(usage[kind] for kind in KINDS if kind != "output")
        tiers = [tier for tier in row.get("above", []) if total > tier["input_tokens"]]
        rates = max(tiers, key=lambda tier: tier["input_tokens"]) if tiers else row
        # Dollars a million tokens are thousands of nano-dollars a token.
        exact = sum(Decimal(usage[kind]) * Decimal(rates[kind]) * 1000 for kind in KINDS)
        return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


class Audit:
    def __init__(self, ports, seed):
        self.data, self.admin, self.sim = ports
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.sent = {}  # session -> (caller, kind, receipt id or None, status)
        self.seen = {}  # number -> row of the provider's log

    def plan(self, n):
        r = self.random
        dialect = r.choice(["messages", "chat", "responses"])
        provider = "anthropic" if dialect == "messages" else "openai"
        kind = r.choices(["plain", "stream", "leave", "unknown", "count"], [40, 45, 8, 4, 3])[0]
        if kind == "count" and dialect != "messages":
            kind = "plain"
        model = r.choice(MODELS[provider])
        tokens = r.randint(80, 160) if kind == "leave" else r.randint(1, 60)
        text = f"Question {n}. [sim:output_tokens={tokens}]"
        if r.random() < 0.1:
            text += "[sim:thinking_tokens=20]"
        shared = r.choice(SHARED) if r.random() < 0.4 else "Be brief."
        stream = kind in ("stream", "leave")
        if kind == "unknown":
            model = "nobody-knows-this"
        if dialect == "messages":
            system = [{"type": "text", "text": shared}]
            if len(shared) > 100:
                marker = {"type": "ephemeral"} | ({"ttl": "1h"} if r.random() < 0.3 else {})
                system[0]["cache_control"] = marker
            body = {"model": model, "max_tokens": 1024, "system": system, "messages": [{"role": "user", "content": text}]}
            path = "/v1/messages/count_tokens" if kind == "count" else "/v1/messages"
            if kind == "count":
                del body["max_tokens"]
        elif dialect == "chat":
            body = {"model": model, "messages": [{"role": "system", "content": shared}, {"role": "user", "content": text}]}
            path = "/v1/chat/completions"
        else:
            body = {"model": model, "instructions": shared, "input": text}
            path = "/v1/responses"
        if stream:
            body["stream"] = True
        return r.choice(list(CALLERS)), kind, path, body

    def send(self, n, plan):
        caller, kind, path, body = plan
        session = f"audit-{n:07}"
        headers = {"content-type": "application/json", "authorization": f"Bearer {CALLERS[caller]}", "x-session-id": session}
        connection = http.client.HTTPConnection("127.0.0.1", self.data, timeout=60)
        receipt, status = None, 0
        try:
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            receipt, status = answer.getheader("x-warmkey-request-id"), answer.status
            if kind == "leave" and status == 200:
                answer.read(200)
            else:
                answer.read()
        except (http.client.HTTPException, ConnectionError):
            pass  # An answer in one piece that broke off.
        finally:
            connection.close()
        with self.lock:
            self.sent[session] = (caller, kind, receipt, status)

    def run(self, first, count, clients):
        for fault in FAULTS:
            status, said = call(self.sim, "POST", "/_sim/faults", fault | {"from_nth": self.random.randint(1, 40)})
            assert status == 200, said
        plans = [(n, self.plan(n)) for n in range(first, first + count)]
        threads = [
            threading.Thread(target=lambda part=plans[k::clients]: [self.send(n, plan) for n, plan in part])
            for k in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.rest()

    def rest(self):
        """Waits until both sides are done, and takes the provider's log."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            status = json.loads(call(self.admin, "GET", "/status")[1])
            rows = json.loads(call(self.sim, "GET", "/_sim/log")[1])
            for row in rows:
                if row["method"] == "POST":
                    self.seen[row["number"]] = row
            if status["requests_in_flight"] == 0 and all(row["done"] for row in rows):
                return
            time.sleep(0.1)
        raise AssertionError("neither side comes to rest")


def within_time(what, check, seconds=30):
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError(what)
        time.sleep(0.05)


def compare(audit, ledger):
    prices, faults = Prices(), []
    rows = ledger.execute("SELECT id, caller, outcome, estimated, ambiguous, charge, billed, charged FROM receipts").fetchall()
    receipts = {row[0]: row for row in rows}
    billed_by_session = {}
    for row in audit.seen.values():
        cost = prices.of(row["model"], row["usage"]) if any(row["usage"].values()) else 0
        if cost != row["nano_usd"]:
            faults.append(f"the provider billed {row['nano_usd']} for {row['usage']} of {row['model']}, which costs {cost}")
        billed_by_session[row["session"]] = billed_by_session.get(row["session"], 0) + cost
    exact = exact_sum = estimated = 0
    estimate_sum = estimate_bill = ambiguous = 0
    claimed = set()
    for session, (caller, kind, receipt, status) in audit.sent.items():
        if receipt is None:
            continue
        claimed.add(receipt)
        if receipt not in receipts:
            faults.append(f"{session} ({kind}, {status}) has no receipt {receipt}")
            continue
        _, by, outcome, is_estimate, unsure, charge, billed, _ = receipts[receipt]
        bill = billed_by_session.get(session, 0)
        if by != caller:
            faults.append(f"{session} of {caller} is booked to {by}")
        if charge is None:
            faults.append(f"{session} ({kind}) has no charge")
            continue
        if billed != (charge * 5 // 4 if caller == "bob" else charge):
            faults.append(f"{session}: {charge} is billed as {billed} to {caller}")
        if is_estimate:
            estimated, estimate_sum, estimate_bill = estimated + 1, estimate_sum + charge, estimate_bill + bill
        elif unsure:
            # A try that failed after it was sent: what it cost is known to nobody here but the provider.
            ambiguous += 1
            if charge > bill:
                faults.append(f"{session} ({outcome}): {charge} charged, {bill} billed")
        else:
            exact, exact_sum = exact + 1, exact_sum + charge
            if charge != bill:
                faults.append(f"{session} ({kind}, {outcome}): {charge} charged, {bill} billed")
    unheard = sum(1 for sent in audit.sent.values() if sent[2] is None)
    if len(receipts) != len(audit.sent):
        faults.append(f"{len(audit.sent)} requests, {len(receipts)} receipts")
    if len(set(receipts) - claimed) != unheard:
        faults.append(f"{len(set(receipts) - claimed)} receipts are nobody's, {unheard} answers were not heard")
    if estimate_bill:
        off = abs(Decimal(estimate_sum) - Decimal(estimate_bill)) / Decimal(estimate_bill)
        if off > ESTIMATE:
            faults.append(f"estimates are off by {off:.1%}: {estimate_sum} charged, {estimate_bill} billed")
    for caller in CALLERS:
        (spent,) = ledger.execute("SELECT sum(billed) FROM receipts WHERE caller = ?", (caller,)).fetchone()
        balance = ledger.execute("SELECT sum(amount) FROM balances WHERE counter LIKE ?", (f"b/key:{caller}/usd/%",)).fetchone()[0]
        if spent != balance:
            faults.append(f"{caller}: receipts say {spent}, the balance {balance}")
    (still,) = ledger.execute("SELECT count(*) FROM open_requests").fetchone()
    if still:
        faults.append(f"{still} requests are still open")
    if exact < len(audit.sent) // 2 or not estimated:
        faults.append(f"it tests too little: {exact} exact, {estimated} estimated")
    summary = (
        f"{len(audit.sent)} requests, {len(audit.seen)} tries: {exact} receipts exact (${Decimal(exact_sum) / NANO:.6f}), "
        f"{estimated} estimated (${Decimal(estimate_sum) / NANO:.6f} for ${Decimal(estimate_bill) / NANO:.6f}), {ambiguous} with an ambiguous try"
    )
    return summary, faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("warmkey")
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ports = free_ports(3)
        config = pathlib.Path(folder) / "warmkey.toml"
        config.write_text(configuration(*ports))
        env = os.environ | {f"TOKEN_{name.upper()}": token for name, token in CALLERS.items()}
        log = open(pathlib.Path(folder) / "log", "wb")
        gateway = subprocess.Popen([options.warmkey, "serve", "--config", config], stdout=log, stderr=log, env=env)
        try:
            def ready():
                try:
                    return call(ports[1], "GET", "/readyz")[0] == 200
                except OSError:
                    if gateway.poll() is not None:
                        raise AssertionError(f"the gateway ended:\n{pathlib.Path(log.name).read_text()[-4000:]}") from None
                    return False

            within_time("the gateway is not ready", ready)
            audit = Audit(ports, options.seed)
            for first in range(0, options.requests, CHUNK):
                audit.run(first, min(CHUNK, options.requests - first), options.clients)
            gateway.send_signal(signal.SIGTERM)
            ended = gateway.wait(timeout=30)
            assert ended == 0, f"the gateway ended with {ended}"
            ledger = sqlite3.connect(pathlib.Path(folder) / "ledger.db")
            summary, faults = compare(audit, ledger)
            print(summary)
            for fault in faults[:20]:
                print(f"  {fault}", file=sys.stderr)
            if faults:
                print(f"{len(faults)} faults", file=sys.stderr)
                return 1
            if re.search(rb"panicked", pathlib.Path(log.name).read_bytes()):
                print("the gateway panicked", file=sys.stderr)
                return 1
            return 0
        finally:
            if gateway.poll() is None:
                gateway.kill()
                gateway.wait()


if __name__ == "__main__":
    sys.exit(main())
