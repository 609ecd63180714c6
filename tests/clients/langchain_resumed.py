"""LangChain's DeepSeek reads a stream that another backend continued as one answer."""

import os

from langchain_deepseek import ChatDeepSeek

model = ChatDeepSeek(
    model="resumed",
    api_base=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
    extra_body={"thinking": {"type": "disabled"}},
)
question = "hello to everybody who reads this line"
chunks = list(model.stream(question))
text = "".join(chunk.content for chunk in chunks)
assert question in text and text.startswith("[faulty ") and text.endswith("the same each time."), text
reasons = [chunk.response_metadata.get("finish_reason") for chunk in chunks]
assert [reason for reason in reasons if reason] == ["stop"], chunks
