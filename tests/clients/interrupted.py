"""A stream that breaks for good is an exception after what was real, and is not asked for again."""

from openai import APIError, OpenAI

client = OpenAI(max_retries=3)
pieces = []
try:
    for chunk in client.chat.completions.create(
        model="faulty",
        messages=[{"role": "user", "content": "hello"}],
        stream=True,
        extra_body={"thinking": {"type": "disabled"}},
    ):
        pieces += [choice.delta.content for choice in chunk.choices if choice.delta.content]
except APIError as error:
    assert error.code == "stream_interrupted" and error.message, error.body
else:
    raise AssertionError(f"a cut answer passes for a whole one: {pieces}")
assert "".join(pieces).startswith("[faulty "), pieces
