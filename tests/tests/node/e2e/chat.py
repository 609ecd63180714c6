"""Chats through the gateway with OpenAI's own SDK, as its users do; prints what it got as JSON."""

import json
import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"], max_retries=0, timeout=20)
question = [{"role": "user", "content": "Tell me something about streams."}]

models = [model.id for model in client.models.list()]
whole = client.chat.completions.create(model="deepseek-flash", messages=question)
chunks, streamed, reasoning, usage = 0, "", "", None
for chunk in client.chat.completions.create(
    model="deepseek-flash", messages=question, stream=True, stream_options={"include_usage": True}
):
    chunks += 1
    usage = chunk.usage or usage
    if chunk.choices:
        delta = chunk.choices[0].delta
        streamed += delta.content or ""
        reasoning += getattr(delta, "reasoning_content", None) or ""

print(
    json.dumps(
        {
            "models": models,
            "whole": whole.choices[0].message.content,
            "whole_tokens": whole.usage.total_tokens,
            "chunks": chunks,
            "streamed": streamed,
            "reasoning": reasoning,
            "streamed_tokens": usage.total_tokens,
        }
    )
)
