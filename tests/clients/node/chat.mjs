// A question and its answer; what is thought; tools: each whole and in pieces.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI();

async function collect(stream) {
  const all = { content: "", reasoning: "", tools: [], reasons: [], usage: [] };
  for await (const chunk of stream) {
    if (chunk.usage) all.usage.push(chunk.usage);
    for (const { delta, finish_reason: reason } of chunk.choices) {
      all.content += delta.content ?? "";
      all.reasoning += delta.reasoning_content ?? "";
      for (const part of delta.tool_calls ?? []) {
        all.tools[part.index] = (all.tools[part.index] ?? "") + (part.function?.arguments ?? "");
      }
      if (reason) all.reasons.push(reason);
    }
  }
  return all;
}

const question = { model: "deepseek-v4-pro", messages: [{ role: "user", content: "hello" }] };
const whole = await client.chat.completions.create(question);
const { message, finish_reason } = whole.choices[0];
assert.equal(finish_reason, "stop");
assert.match(message.content, /^\[upstream deepseek-v4-pro\] You said: hello/);
assert.ok(message.reasoning_content);
assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);

const options = { stream: true, stream_options: { include_usage: true } };
const pieces = await collect(await client.chat.completions.create({ ...question, ...options }));
assert.deepEqual([pieces.content, pieces.reasoning], [message.content, message.reasoning_content]);
assert.deepEqual(pieces.reasons, ["stop"]);
assert.equal(pieces.usage.length, 1);
// The helper that puts an answer together checks more than the stream does.
const final = await client.chat.completions.stream(question).finalChatCompletion();
assert.equal(final.choices[0].message.content, message.content);

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "get_weather", parameters } }];
const messages = [{ role: "user", content: "What is the weather in Hangzhou?" }];
const asked = { model: "deepseek-v4-pro", messages, tools };
const scenario = { headers: { "x-mock-scenario": "tools" } };
const turn = (await client.chat.completions.create(asked, scenario)).choices[0];
assert.equal(turn.finish_reason, "tool_calls");
assert.equal(turn.message.tool_calls.length, 2);
const calls = await collect(await client.chat.completions.create({ ...asked, stream: true }, scenario));
const parsed = turn.message.tool_calls.map((call) => JSON.parse(call.function.arguments));
assert.deepEqual(calls.tools.map((it) => JSON.parse(it)), parsed);
messages.push(turn.message);
for (const call of turn.message.tool_calls) {
  messages.push({ role: "tool", tool_call_id: call.id, content: "24 degrees" });
}
const answer = (await client.chat.completions.create(asked)).choices[0];
assert.ok(answer.finish_reason === "stop" && answer.message.content);
