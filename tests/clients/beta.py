"""DeepSeek's beta: an answer that is continued from a prefix, and code filled in the middle."""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["OPENAI_BASE_URL"].removesuffix("/v1") + "/beta")
answer = client.chat.completions.create(
    model="deepseek-flash",
    messages=[
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "[upstream deepseek-flash] You", "prefix": True},
    ],
    extra_body={"thinking": {"type": "disabled"}},
)
assert answer.choices[0].message.content.startswith(" said: hello"), answer

filled = client.completions.create(model="deepseek-flash", prompt="def fib(a):", suffix="return a")
assert filled.choices[0].text, filled
streamed = client.completions.create(model="deepseek-flash", prompt="def fib(a):", suffix="return a", stream=True)
assert "".join(chunk.choices[0].text for chunk in streamed) == filled.choices[0].text
