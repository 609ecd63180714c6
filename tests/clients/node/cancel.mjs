// An application that loses interest: one stream is left, another is aborted.
import assert from "node:assert/strict";
import { once } from "node:events";
import OpenAI from "openai";

const client = new OpenAI();

function begin(signal) {
  const messages = [{ role: "user", content: "hello" }];
  // Three frames, then silence.
  const options = { headers: { "x-mock-scenario": "stall" }, signal };
  return client.chat.completions.create({ model: "deepseek-flash", messages, stream: true }, options);
}

for await (const chunk of await begin()) {
  assert.ok(chunk.id);
  break;
}
const interest = new AbortController();
const stream = await begin(interest.signal);
for await (const chunk of stream) {
  assert.ok(chunk.id);
  interest.abort();
}
console.log("cancelled");
await once(process.stdin, "data");
process.exit(0);
