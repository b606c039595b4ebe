"""Posts with the CloudEvents project's own SDK in all three modes, and parses with it what GET gives back."""

import json
import sys
import urllib.request
from datetime import datetime, timezone

from cloudevents.core.bindings.http import (
    HTTPMessage,
    from_http_event,
    to_binary_event,
    to_structured_event,
)
from cloudevents.core.v1.event import CloudEvent

URL = sys.argv[1]
TIME = datetime(2024, 5, 29, 16, 0, 13, 541000, tzinfo=timezone.utc)


def made(name, subject=None):
    attributes = {
        "id": f"id-{name}",
        "source": "https://shop.example/orders",
        "type": "order.paid",
        "subject": subject or f"o-{name}",
        "time": TIME,
        "datacontenttype": "application/json",
        "partitionkey": "p 1 \"æ\" %25",
    }
    return CloudEvent(attributes, {"customer": "alice", "amount": "49.50", "express": True})


def ask(path, headers, body=None):
    with urllib.request.urlopen(urllib.request.Request(URL + path, body, headers)) as response:
        return response.status, dict(response.headers.items()), response.read()


def post(message):
    status, _, body = ask("/v1/events", message.headers, message.body)
    assert status == 201, (status, body)
    return json.loads(body)


def compare(got, sent, entry_id):
    expected = dict(sent.get_attributes())
    expected["entryid"] = entry_id
    assert got.get_attributes() == expected, (got.get_attributes(), expected)
    data = {"order_id": sent.get_subject(), "customer": "alice", "amount": "49.50", "express": "true"}
    assert got.get_data() == data, got.get_data()


structured = made("structured")
binary = made("binary", "o-binary æ€ %20")
batch = [made("batch-0"), made("batch-1")]

stored = [
    (structured, post(to_structured_event(structured))["id"]),
    (binary, post(to_binary_event(binary))["id"]),
]
# The SDK has no batches: an array of what it writes is one.
envelopes = b",".join(to_structured_event(event).body for event in batch)
message = HTTPMessage({"content-type": "application/cloudevents-batch+json"}, b"[" + envelopes + b"]")
stored += zip(batch, post(message)["ids"])

for sent, entry_id in stored:
    status, headers, body = ask(f"/v1/events/{entry_id}", {"accept": "application/cloudevents+json"})
    assert headers["content-type"] == "application/cloudevents+json", headers
    compare(from_http_event(HTTPMessage(headers, body)), sent, entry_id)

status, headers, body = ask("/v1/events?count=10", {"accept": "application/cloudevents-batch+json"})
events = json.loads(body)
assert len(events) == len(stored), events
for event, (sent, entry_id) in zip(events, stored):
    message = HTTPMessage({"content-type": "application/cloudevents+json"}, json.dumps(event).encode())
    compare(from_http_event(message), sent, entry_id)
