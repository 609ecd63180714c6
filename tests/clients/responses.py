"""The responses API, whole and as events."""

from openai import OpenAI

client = OpenAI()
response = client.responses.create(model="deepseek-flash", input="hello")
assert response.status == "completed" and "You said: hello" in response.output_text, response

with client.responses.stream(model="deepseek-flash", input="hello") as stream:
    events = [event.type for event in stream]
    final = stream.get_final_response()
assert events[0] == "response.created" and events[-1] == "response.completed", events
assert final.output_text == response.output_text, final
