// Each refusal is the exception that an application catches for it, with a code and the field at fault.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });

async function refused(expected, status, code, change, by = client) {
  for (const stream of [false, true]) {
    const request = { model: "deepseek-flash", messages: [{ role: "user", content: "hello" }], stream, ...change };
    await assert.rejects(by.chat.completions.create(request), (error) => {
      assert.ok(error instanceof expected, error);
      assert.equal(error.status, status);
      if (code) assert.equal(error.code, code);
      return true;
    });
  }
}

const stranger = new OpenAI({ apiKey: "sk-nobody-s-key", maxRetries: 0 });
await refused(OpenAI.AuthenticationError, 401, "invalid_api_key", {}, stranger);
await refused(OpenAI.NotFoundError, 404, "model_not_found", { model: "gpt-9" });
await refused(OpenAI.BadRequestError, 400, "invalid_value", { temperature: 3 });
await refused(OpenAI.BadRequestError, 400, null, { thinking: { type: "sometimes" } });
await refused(OpenAI.InternalServerError, 502, "upstream_unreachable", { model: "unreachable" });
await client.chat.completions.create({ model: "once-a-minute", messages: [{ role: "user", content: "hello" }] });
await refused(OpenAI.RateLimitError, 429, "rate_limit_exceeded", { model: "once-a-minute" });
