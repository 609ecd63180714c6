"""LangChain's DeepSeek: whole and streamed, with what was thought and what it cost; tools."""

import os

from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_deepseek import ChatDeepSeek


def model(name: str = "deepseek-v4-pro", scenario: str = "plain", **more) -> ChatDeepSeek:
    return ChatDeepSeek(
        model=name,
        api_base=os.environ["OPENAI_BASE_URL"],
        api_key=os.environ["OPENAI_API_KEY"],
        default_headers={"x-mock-scenario": scenario},
        stream_usage=True,
        **more,
    )


def streamed(of: ChatDeepSeek, question="hello") -> AIMessageChunk:
    total = None
    for chunk in of.stream(question):
        total = chunk if total is None else total + chunk
    return total


whole, pieces = model().invoke("hello"), streamed(model())
assert whole.content.startswith("[upstream deepseek-v4-pro]"), whole
assert whole.additional_kwargs["reasoning_content"], whole
assert pieces.content == whole.content, pieces
assert pieces.additional_kwargs["reasoning_content"] == whole.additional_kwargs["reasoning_content"], pieces
for message in [whole, pieces]:
    usage = message.usage_metadata
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0, message
    assert message.response_metadata["finish_reason"] == "stop", message

# Comments while the model thinks and amid its answer, and blank lines before a whole one.
assert streamed(model("pinged", "first_token_delay_ms=2500")).content
assert streamed(model("pinged", "pause_after=3&pause_ms=2500")).content
assert model("padded", "header_delay_ms=2500").invoke("hello").content


@tool
def get_weather(location: str, unit: str) -> str:
    """The weather in a place."""
    return f"24 degrees {unit} in {location}"


off = {"extra_body": {"thinking": {"type": "disabled"}}}
question = HumanMessage("What is the weather in Hangzhou?")
calling = model(scenario="tools", **off).bind_tools([get_weather])
asked = calling.invoke([question])
assert [call["name"] for call in asked.tool_calls] == ["get_weather"] * 2, asked
assert not asked.invalid_tool_calls, asked
in_pieces = streamed(calling, [question])
assert [call["args"] for call in in_pieces.tool_calls] == [call["args"] for call in asked.tool_calls], in_pieces
results = [ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]) for call in asked.tool_calls]
answer = model(**off).bind_tools([get_weather]).invoke([question, asked, *results])
assert answer.content and not answer.tool_calls, answer
