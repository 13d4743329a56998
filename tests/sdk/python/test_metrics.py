"""`/metrics` as the official client of Prometheus reads it, in both of its forms."""

import urllib.request

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as open_parser

from conftest import ADMIN

OPEN = "application/openmetrics-text;version=1.0.0"


def scrape(accept: str) -> tuple[str, str]:
    request = urllib.request.Request(f"{ADMIN}/metrics", headers={"accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["content-type"], answer.read().decode()


@pytest.mark.parametrize(
    "accept, kind, read",
    [
        ("text/plain", "text/plain", parser.text_string_to_metric_families),
        (OPEN, "application/openmetrics-text", open_parser.text_string_to_metric_families),
    ],
)
def test_both_forms_are_read(claude, accept, kind, read):
    message = [{"role": "user", "content": "hello"}]
    claude().messages.create(model="claude-sonnet-4-6", max_tokens=20, messages=message)
    content_type, text = scrape(accept)
    assert content_type.startswith(kind)
    families = {family.name: family for family in read(text)}
    assert families["warmkey_requests"].type == "counter"
    assert families["warmkey_request_seconds"].type == "histogram"
    states = {sample.labels["state"] for sample in families["warmkey_endpoint_state"].samples}
    assert "ready" in states
