"""A question and its answer."""

from openai import OpenAI

client = OpenAI()
answer = client.chat.completions.create(
    model="deepseek-flash",
    messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
    temperature=0.5,
    extra_body={"thinking": {"type": "disabled"}},
)
choice = answer.choices[0]
assert choice.message.role == "assistant", choice
assert choice.message.content.startswith("[upstream deepseek-flash] You said: hello"), choice
assert choice.finish_reason == "stop", choice
assert answer.model == "deepseek-flash", answer
assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0, answer.usage
# Fields of DeepSeek's own that the SDK does not know come through all the same.
assert answer.usage.prompt_cache_hit_tokens + answer.usage.prompt_cache_miss_tokens == answer.usage.prompt_tokens
