"""A model that lets one wait: comments before the first token and between events, blank lines before a whole answer."""

from openai import OpenAI

client = OpenAI(max_retries=0)


def ask(model: str, scenario: str, **more):
    return client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "hello"}],
        extra_body={"thinking": {"type": "disabled"}},
        extra_headers={"x-mock-scenario": scenario},
        **more,
    )


def said(chunks) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"], choices
    return "".join(choice.delta.content or "" for choice in choices)


expected = ask("pinged", "plain").choices[0].message.content
assert said(ask("pinged", "first_token_delay_ms=2500", stream=True)) == expected
assert said(ask("pinged", "pause_after=3&pause_ms=2500", stream=True)) == expected
# What ends without its mark gets one: the SDK comes to an end.
assert said(ask("pinged", "no-done", stream=True)) == expected
# The raw text shows that there was something to be read over.
raw = client.chat.completions.with_raw_response.create(
    model="padded",
    messages=[{"role": "user", "content": "hello"}],
    extra_body={"thinking": {"type": "disabled"}},
    extra_headers={"x-mock-scenario": "header_delay_ms=2500"},
)
assert raw.text.startswith("\n"), raw.text
assert raw.parse().choices[0].message.content == expected, raw.text
