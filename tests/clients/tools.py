"""A turn with tools: the model asks for calls, gets their results, and answers. Thinking goes back with the calls."""

import json

from openai import OpenAI

client = OpenAI()
tools = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
messages = [{"role": "user", "content": "What is the weather in Hangzhou?"}]


def ask(**more):
    # The fake calls tools when it is told to.
    scenario = {"x-mock-scenario": "tools"} if messages[-1]["role"] == "user" else {}
    return client.chat.completions.create(
        model="deepseek-v4-pro", messages=messages, tools=tools, extra_headers=scenario, **more
    )


choice = ask().choices[0]
assert choice.finish_reason == "tool_calls", choice
calls = choice.message.tool_calls
assert len(calls) == 2 and calls[0].function.name == "get_weather", calls
arguments = [json.loads(call.function.arguments) for call in calls]

# The same by stream: arguments arrive in fragments that belong together by index.
fragments = {}
for chunk in ask(stream=True):
    for part in chunk.choices[0].delta.tool_calls or []:
        fragments[part.index] = fragments.get(part.index, "") + (part.function.arguments or "")
assert [json.loads(fragments[index]) for index in sorted(fragments)] == arguments, fragments

messages.append(choice.message.model_dump(exclude_none=True))
messages += [{"role": "tool", "tool_call_id": call.id, "content": "24 degrees"} for call in calls]
final = ask().choices[0]
assert final.finish_reason == "stop" and final.message.content, final
