"""Above a quota the SDK waits as long as it is told to, and gets through by itself."""

from openai import OpenAI

client = OpenAI(max_retries=2)
for _ in range(2):
    answer = client.chat.completions.create(
        model="once-a-second", messages=[{"role": "user", "content": "hello"}]
    )
    assert answer.choices[0].message.content, answer
