"""The endpoint that speaks as Anthropic's does, called as an Anthropic client calls it."""

import json
import os

import httpx2

base = os.environ["OPENAI_BASE_URL"].removesuffix("/v1") + "/anthropic"
headers = {"x-api-key": os.environ["OPENAI_API_KEY"], "anthropic-version": "2023-06-01"}
question = {
    "model": "deepseek-flash",
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
}

with httpx2.Client(base_url=base, headers=headers, timeout=30, trust_env=False) as client:
    message = client.post("/v1/messages", json=question).raise_for_status().json()
    assert message["type"] == "message" and message["role"] == "assistant", message
    text = "".join(block["text"] for block in message["content"] if block["type"] == "text")
    assert "You said: hello" in text, message

    events = []
    with client.stream("POST", "/v1/messages", json=question | {"stream": True}) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if line.startswith("data:"):
                events.append(json.loads(line.removeprefix("data:")))
    types = [event["type"] for event in events]
    assert types[0] == "message_start" and types[-1] == "message_stop", types
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(delta.get("text", "") for delta in deltas) == text, deltas

    refused = client.post("/v1/messages", json=question, headers={"x-api-key": "sk-nobody-s-key"})
    assert refused.status_code == 401, refused.text
    assert refused.json()["error"]["code"] == "invalid_api_key", refused.text
