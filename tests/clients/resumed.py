"""A stream that breaks upstream and is continued by another backend is one answer, and the SDK asks once."""

from openai import OpenAI

client = OpenAI()
question = {
    "messages": [{"role": "user", "content": "hello to everybody who reads this line"}],
    "extra_body": {"thinking": {"type": "disabled"}},
    "stream_options": {"include_usage": True},
}
whole = client.chat.completions.create(
    model="deepseek-flash", messages=question["messages"], extra_body=question["extra_body"]
)
chunks = list(client.chat.completions.create(model="resumed", stream=True, **question))
choices = [choice for chunk in chunks for choice in chunk.choices]
text = "".join(choice.delta.content or "" for choice in choices)
assert text == whole.choices[0].message.content.replace("[upstream ", "[faulty "), text
assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"], choices
assert len({chunk.id for chunk in chunks}) == 1, chunks
assert [chunk.usage.total_tokens > 0 for chunk in chunks if chunk.usage] == [True], chunks
