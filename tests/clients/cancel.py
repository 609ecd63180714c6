"""An application that loses interest: one stream is closed, another's task is cancelled."""

import asyncio

from openai import AsyncOpenAI

client = AsyncOpenAI()


async def begin():
    return await client.chat.completions.create(
        model="deepseek-flash",
        messages=[{"role": "user", "content": "hello"}],
        stream=True,
        # Three frames, then silence.
        extra_headers={"x-mock-scenario": "stall"},
    )


async def read_for_ever(started: asyncio.Event):
    async for _ in await begin():
        started.set()


async def main():
    stream = await begin()
    async for _ in stream:
        break
    await stream.close()

    started = asyncio.Event()
    task = asyncio.create_task(read_for_ever(started))
    await started.wait()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    # The connections stay open for as long as the client lives: what ended are the two requests.
    print("cancelled", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, input)


asyncio.run(main())
