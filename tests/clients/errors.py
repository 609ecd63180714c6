"""Each refusal is the exception that an application catches for it, with a code and the field at fault."""

from openai import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    OpenAI,
    RateLimitError,
)

client = OpenAI(max_retries=0)


def refused(expected: type[APIStatusError], with_client=client, **change) -> APIStatusError:
    request = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "hello"}]} | change
    for stream in [False, True]:
        try:
            answer = with_client.chat.completions.create(stream=stream, **request)
        except APIStatusError as error:
            assert type(error) is expected, repr(error)
            assert error.message and error.type, error.body
            refusal = error
            continue
        raise AssertionError(f"answered: {answer}")
    return refusal


error = refused(AuthenticationError, OpenAI(api_key="sk-nobody-s-key", max_retries=0))
assert error.code == "invalid_api_key", error.body
assert "sk-nobody-s-key" not in str(error), "the message repeats the key"

error = refused(NotFoundError, model="gpt-9")
assert error.code == "model_not_found", error.body

error = refused(BadRequestError, temperature=3)
assert (error.code, error.param) == ("invalid_value", "temperature"), error.body

# What only the provider checks is passed on as the provider says it.
refused(BadRequestError, extra_body={"thinking": {"type": "sometimes"}})

error = refused(InternalServerError, model="unreachable")
assert (error.status_code, error.code) == (502, "upstream_unreachable"), error.body

client.chat.completions.create(model="once-a-minute", messages=[{"role": "user", "content": "hello"}])
error = refused(RateLimitError, model="once-a-minute")
assert error.code == "rate_limit_exceeded", error.body
assert 0 < int(error.response.headers["retry-after"]) <= 60, error.response.headers
assert error.response.headers["x-ratelimit-limit-requests"] == "1", error.response.headers
assert error.response.headers["x-ratelimit-remaining-requests"] == "0", error.response.headers
