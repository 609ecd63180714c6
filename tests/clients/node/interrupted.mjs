// A stream that breaks for good is an exception after what was real, and is not asked for again.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 3 });
let text = "";
async function read() {
  const messages = [{ role: "user", content: "hello" }];
  const request = { model: "faulty", messages, stream: true, thinking: { type: "disabled" } };
  for await (const chunk of await client.chat.completions.create(request)) {
    text += chunk.choices[0]?.delta.content ?? "";
  }
}
await assert.rejects(read(), (error) => {
  assert.ok(error instanceof OpenAI.APIError, error);
  assert.equal(error.code, "stream_interrupted");
  return true;
});
assert.match(text, /^\[faulty /);
