"""Two turns in each dialect through the demo gateway, as anybody might try it first; standard library only."""

import json
import urllib.request
import uuid

DATA, ADMIN = "http://127.0.0.1:8080", "http://127.0.0.1:9090"
# No proxy of the developer's between us and loopback.
OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def post(path: str, body: dict, **headers):
    request = urllib.request.Request(
        DATA + path, json.dumps(body).encode(), {"content-type": "application/json", **headers}
    )
    with OPEN(request, timeout=30) as answer:
        return answer.headers, json.load(answer)


def stays_put(path: str, model: str) -> None:
    session = {"x-session-id": f"demo-{uuid.uuid4().hex}"}
    messages = [{"role": "user", "content": "Where am I? [sim:output_tokens=10]"}]
    seen = []
    for _ in range(2):
        headers, _ = post(path, {"model": model, "max_tokens": 64, "messages": messages}, **session)
        seen.append((headers["x-warmkey-endpoint"], headers["x-warmkey-affinity"].split(";")[0].strip()))
        messages += [{"role": "assistant", "content": "Here."}, {"role": "user", "content": "Still? [sim:output_tokens=10]"}]
    (first, new), (second, hit) = seen
    assert first == second and (new, hit) == ("new", "hit"), seen
    print(f"ok: {path}: {first}: {new}, {hit}")


stays_put("/v1/messages", "claude-sonnet-4-6")
stays_put("/v1/chat/completions", "gpt-5.6")

with OPEN(urllib.request.Request(DATA + "/", method="HEAD"), timeout=10) as answer:
    assert answer.status == 200, answer.status
with OPEN(ADMIN + "/metrics", timeout=10) as answer:
    metrics = answer.read().decode()
for family in ("requests_total", "attempts_total", "tokens_total", "cost_usd_total", "affinity_total"):
    assert f"\nwarmkey_{family}{{" in metrics, f"no warmkey_{family}"
print("ok: HEAD /, /metrics")
with OPEN(ADMIN + "/status", timeout=10) as answer:
    endpoints = json.load(answer)["endpoints"]
assert len(endpoints) >= 8, "the demo has eight accounts"
print(f"ok: /status: {len(endpoints)} endpoints")
