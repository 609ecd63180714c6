"""A streamed answer says the same as a whole one, piece by piece."""

from openai import OpenAI

client = OpenAI()
question = {
    "model": "deepseek-flash",
    "messages": [{"role": "user", "content": "hello"}],
    "extra_body": {"thinking": {"type": "disabled"}},
}
whole = client.chat.completions.create(**question).choices[0].message.content

pieces, reasons = [], []
with client.chat.completions.create(stream=True, **question) as stream:
    for chunk in stream:
        for choice in chunk.choices:
            pieces.append(choice.delta.content or "")
            reasons.append(choice.finish_reason)
assert "".join(pieces) == whole, pieces
assert len([piece for piece in pieces if piece]) > 3, pieces
assert [reason for reason in reasons if reason] == ["stop"], reasons
