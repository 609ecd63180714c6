// A stream that breaks upstream and is continued by another backend is one answer, and the SDK asks once.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI();
const question = "hello to everybody who reads this line";
const request = { messages: [{ role: "user", content: question }], thinking: { type: "disabled" } };
const whole = await client.chat.completions.create({ model: "deepseek-flash", ...request });
const final = await client.chat.completions.stream({ model: "resumed", ...request }).finalChatCompletion();
const expected = whole.choices[0].message.content.replace("[upstream ", "[faulty ");
assert.equal(final.choices[0].message.content, expected);
assert.equal(final.choices[0].finish_reason, "stop");
