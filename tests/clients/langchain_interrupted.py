"""LangChain's DeepSeek raises for a stream that breaks for good, after what was real, and does not ask again."""

import os

from langchain_deepseek import ChatDeepSeek
from openai import APIError

model = ChatDeepSeek(
    model="faulty",
    api_base=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
    max_retries=3,
    extra_body={"thinking": {"type": "disabled"}},
)
pieces = []
try:
    for chunk in model.stream("hello"):
        pieces.append(chunk.content)
except APIError as error:
    assert error.code == "stream_interrupted", error.body
else:
    raise AssertionError(f"a cut answer passes for a whole one: {pieces}")
assert "".join(pieces).startswith("[faulty "), pieces
