"""Embeddings from a backend that has them; the SDK asks for base64 and decodes it."""

from openai import OpenAI

client = OpenAI()
answer = client.embeddings.create(model="embedder", input=["one", "two"], dimensions=8)
assert [item.index for item in answer.data] == [0, 1], answer
assert all(len(item.embedding) == 8 for item in answer.data), answer
assert answer.data[0].embedding != answer.data[1].embedding, answer
floats = client.embeddings.create(model="embedder", input="one", dimensions=8, encoding_format="float")
pairs = zip(floats.data[0].embedding, answer.data[0].embedding)
assert all(abs(a - b) < 1e-6 for a, b in pairs), (floats, answer)
