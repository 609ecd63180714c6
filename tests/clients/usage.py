"""`include_usage` brings the usage at the end of a stream."""

from openai import OpenAI

client = OpenAI()
question = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "hello"}]}
expected = client.chat.completions.create(**question).usage

chunks = list(client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **question))
usages = [chunk.usage for chunk in chunks if chunk.usage]
assert usages == [expected], usages
assert chunks[-1].usage == expected, chunks[-1]
