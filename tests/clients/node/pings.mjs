// A model that lets one wait: comments before the first token and between events, blank lines before a whole answer.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });

function ask(model, scenario, stream) {
  const messages = [{ role: "user", content: "hello" }];
  const request = { model, messages, stream, thinking: { type: "disabled" } };
  return client.chat.completions.create(request, { headers: { "x-mock-scenario": scenario } });
}

async function said(stream) {
  let text = "";
  const reasons = [];
  for await (const chunk of await stream) {
    for (const { delta, finish_reason } of chunk.choices) {
      text += delta.content ?? "";
      if (finish_reason) reasons.push(finish_reason);
    }
  }
  assert.deepEqual(reasons, ["stop"]);
  return text;
}

const expected = (await ask("pinged", "plain", false)).choices[0].message.content;
for (const scenario of ["first_token_delay_ms=2500", "pause_after=3&pause_ms=2500", "no-done"]) {
  assert.equal(await said(ask("pinged", scenario, true)), expected, scenario);
}
const padded = await ask("padded", "header_delay_ms=2500", false);
assert.equal(padded.choices[0].message.content, expected);
