"""Many calls at once over one client: each answer belongs to its question."""

import asyncio

from openai import AsyncOpenAI

client = AsyncOpenAI()


async def ask(number: int):
    stream = await client.chat.completions.create(
        model="deepseek-flash", messages=[{"role": "user", "content": f"number {number}"}], stream=True
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert f"You said: number {number} " in text, text


async def main():
    await asyncio.gather(*[ask(number) for number in range(50)])


asyncio.run(main())
