"""The list of models has what this caller may use, and nothing else."""

import os

from openai import NotFoundError, OpenAI

client = OpenAI()
mine = [model.id for model in client.models.list()]
theirs = [model.id for model in OpenAI(api_key=os.environ["OTHER_API_KEY"]).models.list()]
assert "deepseek-flash" in mine and "for-team-b" not in mine, mine
assert "for-team-b" in theirs, theirs
try:
    client.chat.completions.create(model="for-team-b", messages=[{"role": "user", "content": "hello"}])
    raise AssertionError("somebody else's model answered")
except NotFoundError as error:
    assert error.code == "model_not_found", error
