// A refusal that says when to come again is repeated by the SDK itself, then, and gets through.
import assert from "node:assert/strict";
import OpenAI from "openai";

let calls = 0;
const counting = (...call) => {
  calls += 1;
  return fetch(...call);
};
const client = new OpenAI({ maxRetries: 4, fetch: counting });
const messages = [{ role: "user", content: "hello" }];
const answer = await client.chat.completions.create({ model: "faulty", messages });
assert.ok(answer.choices[0].message.content);
console.log(calls - 1);
