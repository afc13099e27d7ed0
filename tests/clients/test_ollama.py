"""Ollama's own client on /api."""

import json

import httpx
import ollama
import pytest

QUESTION = [{"role": "user", "content": "What is 3 + 4?"}]
SCHEMA = {
    "type": "object",
    "properties": {"sum": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["sum"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": SCHEMA}}
STILL = {"temperature": 0}


@pytest.fixture(scope="module")
def client(server):
    return ollama.Client(host=server.root, headers={"Authorization": f"Bearer {server.token}"})


@pytest.fixture
def later(server):
    return ollama.AsyncClient(host=server.root, headers={"Authorization": f"Bearer {server.token}"})


def test_models_are_listed_shown_and_loaded(client, model):
    assert {row.model for row in client.list().models} == {model, "tools"}
    shown = client.show(model)
    assert "completion" in shown.capabilities and shown.details.family == "llama"
    assert "tools" in client.show("tools").capabilities
    client.generate(model, "1, 2,", options={"num_predict": 1})
    assert model in [row.model for row in client.ps().models]


def test_a_chat_is_answered_and_streamed_the_same(client, model):
    whole = client.chat(model, QUESTION, options=STILL)
    assert "7" in whole.message.content and whole.done and whole.done_reason == "stop"
    assert whole.eval_count > 0 and whole.prompt_eval_count > 0 and whole.total_duration > 0
    lines = list(client.chat(model, QUESTION, options=STILL, stream=True))
    assert "".join(line.message.content for line in lines) == whole.message.content
    assert lines[-1].done and not any(line.done for line in lines[:-1])


def test_a_text_is_answered_and_continued(client, model):
    whole = client.generate(model, "What is 3 + 4?", options=STILL)
    assert "7" in whole.response
    lines = list(client.generate(model, "What is 3 + 4?", options=STILL, stream=True))
    assert "".join(line.response for line in lines) == whole.response
    raw = client.generate(model, "1, 2, 3,", raw=True, options={**STILL, "num_predict": 6})
    assert (raw.eval_count, raw.done_reason) == (6, "length")


def test_an_answer_keeps_to_a_schema(client, model):
    answer = client.chat(model, QUESTION, format=SCHEMA, options={"temperature": 1, "seed": 3, "num_predict": 100})
    assert 0 <= json.loads(answer.message.content)["sum"] <= 99


def test_a_tool_that_the_model_may_call_does_not_hinder_it(client):
    answer = client.chat("tools", QUESTION, tools=[TOOL], options={**STILL, "num_predict": 20})
    assert answer.done


def test_texts_become_vectors(client, model):
    both = client.embed(model, ["hello", "你好"])
    assert len(both.embeddings) == 2
    old = client.embeddings(model, "hello")
    assert list(old.embedding) == pytest.approx(both.embeddings[0], abs=1e-6)


def test_errors_are_the_clients_own(client, server, model):
    with pytest.raises(ollama.ResponseError) as caught:
        client.chat("nobody", QUESTION)
    assert caught.value.status_code == 404 and "nobody" in caught.value.error
    with pytest.raises(ollama.ResponseError) as caught:
        client.generate(model, "a", suffix="b")
    assert caught.value.status_code == 400
    with pytest.raises(ollama.ResponseError) as caught:
        ollama.Client(host=server.root).list()
    assert caught.value.status_code == 401


async def test_everything_is_asked_asynchronously(later, model):
    answer = await later.chat(model, QUESTION, options=STILL)
    stream = await later.chat(model, QUESTION, options=STILL, stream=True)
    assert "".join([line.message.content async for line in stream]) == answer.message.content
    text = await later.generate(model, "What is 3 + 4?", options=STILL)
    assert "7" in text.response
    assert len((await later.embed(model, "hello")).embeddings) == 1


def test_the_program_answers_its_version(server):
    heard = httpx.get(f"{server.root}/api/version", headers={"Authorization": f"Bearer {server.token}"})
    assert heard.json()["version"]
