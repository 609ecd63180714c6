"""A refusal that says when to come again is repeated by the SDK itself, then, and gets through."""

from openai import OpenAI

client = OpenAI(max_retries=4)
raw = client.chat.completions.with_raw_response.create(
    model="faulty", messages=[{"role": "user", "content": "hello"}]
)
assert raw.parse().choices[0].message.content, raw.text
print(raw.retries_taken)
