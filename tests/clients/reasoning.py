"""What a thinking model thinks arrives beside what it says, streamed and whole."""

from openai import OpenAI

client = OpenAI()
question = {
    "model": "deepseek-v4-pro",
    "messages": [{"role": "user", "content": "hello"}],
    "reasoning_effort": "high",
    "extra_body": {"thinking": {"type": "enabled"}},
}
message = client.chat.completions.create(**question).choices[0].message
assert message.reasoning_content, message
assert message.content.startswith("[upstream deepseek-v4-pro]"), message

thought, said = "", ""
for chunk in client.chat.completions.create(stream=True, **question):
    delta = chunk.choices[0].delta
    new_thought, new_words = getattr(delta, "reasoning_content", None) or "", delta.content or ""
    assert not (new_thought and said), "thinking comes first"
    thought, said = thought + new_thought, said + new_words
assert (thought, said) == (message.reasoning_content, message.content), (thought, said)
