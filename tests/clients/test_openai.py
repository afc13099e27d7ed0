"""OpenAI's own client on every route of its API that is answered here."""

import asyncio
import json
import math

import openai
import pydantic
import pytest
import pytest_asyncio

QUESTION = [{"role": "user", "content": "What is 3 + 4?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a day",
        "parameters": {
            "type": "object",
            "properties": {"day": {"type": "integer", "minimum": 1, "maximum": 9}},
            "required": ["day"],
            "additionalProperties": False,
        },
    },
}


class Sum(pydantic.BaseModel):
    model_config = {"extra": "forbid"}
    left: int = pydantic.Field(ge=0, le=9)
    right: int = pydantic.Field(ge=0, le=9)


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.url, api_key=server.token, max_retries=0) as client:
        yield client


@pytest_asyncio.fixture
async def later(server):
    async with openai.AsyncOpenAI(base_url=server.url, api_key=server.token, max_retries=0) as client:
        yield client


def test_models_are_listed_and_found_by_name(client, model):
    listed = {row.id: row for row in client.models.list()}
    assert set(listed) == {model, "tools"}
    assert client.models.retrieve(model) == listed[model]
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nobody")
    assert caught.value.code == "model_not_found"


def test_a_chat_is_answered(client, model):
    answer = client.chat.completions.create(model=model, messages=QUESTION, temperature=0)
    choice = answer.choices[0]
    assert "7" in choice.message.content
    assert (choice.index, choice.finish_reason, choice.message.role) == (0, "stop", "assistant")
    usage = answer.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert answer.model == model and answer.id.startswith("chatcmpl-")


def test_a_streamed_chat_says_the_same_and_tells_its_usage(client, model):
    asked = dict(model=model, messages=QUESTION, temperature=0)
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_several_answers_with_a_seed_come_again(client, model):
    asked = dict(
        model=model,
        messages=[{"role": "user", "content": "Tell me a story"}],
        n=3,
        seed=42,
        temperature=3,
        top_p=1,
        max_tokens=24,
    )
    texts = lambda: [choice.message.content for choice in client.chat.completions.create(**asked).choices]
    first = texts()
    assert len(set(first)) > 1, first
    assert texts() == first


def test_a_stop_text_ends_an_answer_and_is_not_in_it(client, model):
    asked = dict(model=model, messages=[{"role": "user", "content": "Count from 1 to 9"}], temperature=0)
    whole = client.chat.completions.create(**asked).choices[0].message.content
    assert "5" in whole
    stopped = client.chat.completions.create(**asked, stop=["5"]).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == (whole.split("5")[0], "stop")


def test_a_limit_of_tokens_holds_under_both_names(client, model):
    for limit in ({"max_tokens": 3}, {"max_completion_tokens": 3}):
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Count from 1 to 20"}], temperature=0, **limit
        )
        assert (answer.usage.completion_tokens, answer.choices[0].finish_reason) == (3, "length")


def test_probabilities_come_with_every_token(client, model):
    asked = dict(model=model, messages=QUESTION, temperature=0, logprobs=True, top_logprobs=4)
    choice = client.chat.completions.create(**asked).choices[0]
    tokens = choice.logprobs.content
    assert b"".join(bytes(token.bytes) for token in tokens).decode().strip() == choice.message.content.strip()
    for token in tokens:
        assert token.logprob <= 0 and len(token.top_logprobs) == 4
        assert token.top_logprobs[0].logprob == max(top.logprob for top in token.top_logprobs)
        # At temperature 0 the likeliest is drawn.
        assert math.isclose(token.logprob, token.top_logprobs[0].logprob, abs_tol=1e-5)


def test_a_bias_forbids_a_token(client, model, server):
    asked = dict(model=model, messages=QUESTION, temperature=0, logprobs=True)
    first = client.chat.completions.create(**asked).choices[0].logprobs.content[0]
    ids = client.post("../tokenize", body={"model": model, "content": first.token}, cast_to=dict)["tokens"]
    without = client.chat.completions.create(**asked, logit_bias={str(id): -100 for id in ids})
    assert without.choices[0].logprobs.content[0].token != first.token


def test_an_answer_keeps_to_a_schema(client, model):
    asked = dict(model=model, messages=QUESTION, temperature=1, seed=7, max_tokens=200)
    parsed = client.chat.completions.parse(**asked, response_format=Sum)
    assert isinstance(parsed.choices[0].message.parsed, Sum)
    plain = client.chat.completions.create(**asked, response_format={"type": "json_object"}).choices[0]
    # A small model may talk on in its object for as long as it is let.
    if plain.finish_reason == "stop":
        assert isinstance(json.loads(plain.message.content), dict)
    else:
        assert plain.message.content.lstrip().startswith("{")


def test_a_tool_is_called_and_its_answer_read(client):
    # A model that was never taught to call would call again and again.
    asked = dict(model="tools", temperature=0, tools=[TOOL], max_tokens=250, parallel_tool_calls=False)
    answer = client.chat.completions.create(messages=QUESTION, tool_choice="required", **asked).choices[0]
    assert answer.finish_reason == "tool_calls"
    call = answer.message.tool_calls[0]
    assert call.function.name == "weather" and 1 <= json.loads(call.function.arguments)["day"] <= 9
    talk = [*QUESTION, answer.message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    after = client.chat.completions.create(messages=talk, tool_choice="none", **asked).choices[0]
    assert not after.message.tool_calls and after.finish_reason in ("stop", "length")


def test_a_tool_is_called_in_a_stream(client):
    named = {"type": "function", "function": {"name": "weather"}}
    with client.chat.completions.stream(
        model="tools",
        messages=QUESTION,
        temperature=0,
        tools=[TOOL],
        tool_choice=named,
        parallel_tool_calls=False,
        max_tokens=250,
    ) as stream:
        answer = stream.get_final_completion().choices[0]
    assert answer.finish_reason == "tool_calls"
    assert 1 <= json.loads(answer.message.tool_calls[0].function.arguments)["day"] <= 9


def test_a_text_is_continued_whole_and_streamed(client, model):
    asked = dict(model=model, prompt="1, 2, 3, 4,", temperature=0, max_tokens=8)
    whole = client.completions.create(**asked)
    assert whole.choices[0].text and whole.usage.completion_tokens == 8
    chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == whole.choices[0].text
    assert chunks[-1].usage.completion_tokens == 8


def test_several_texts_are_continued_in_order(client, model):
    alone = [
        client.completions.create(model=model, prompt=text, temperature=0, max_tokens=6).choices[0].text
        for text in ("1, 2,", "你好")
    ]
    both = client.completions.create(model=model, prompt=["1, 2,", "你好"], temperature=0, max_tokens=6)
    assert [choice.text for choice in both.choices] == alone
    assert [choice.index for choice in both.choices] == [0, 1]


def test_a_prompt_is_echoed_with_the_likelihood_of_its_tokens(client, model):
    prompt = "1, 2, 3, 4, 5, 6, 7,"
    answer = client.completions.create(model=model, prompt=prompt, temperature=0, max_tokens=4, echo=True, logprobs=2)
    text, told = answer.choices[0].text, answer.choices[0].logprobs
    assert text.startswith(prompt) and len(text) > len(prompt)
    assert len(told.tokens) == len(told.token_logprobs) == len(told.text_offset) == len(told.top_logprobs)
    assert told.token_logprobs[0] is None
    assert all(logprob <= 0 for logprob in told.token_logprobs[1:])
    # The offsets are where the tokens stand in the text; the blank that this vocabulary puts before every text is not in it.
    stand = [(token, start) for token, start in zip(told.tokens, told.text_offset) if start > 0]
    assert len(stand) >= len(told.tokens) - 3
    for token, start in stand:
        assert text[start : start + len(token)] == token
    scored = client.completions.create(model=model, prompt=prompt, max_tokens=0, echo=True, logprobs=0)
    assert scored.choices[0].text == prompt and scored.usage.completion_tokens == 0
    count = len(scored.choices[0].logprobs.tokens)
    assert scored.choices[0].logprobs.tokens == told.tokens[:count]


def test_texts_become_vectors(client, model):
    texts = ["hello", "你好", "hello"]
    # The client asks for base64 and unpacks it.
    packed = client.embeddings.create(model=model, input=texts)
    plain = client.embeddings.create(model=model, input=texts, encoding_format="float")
    vectors = [row.embedding for row in plain.data]
    assert [row.index for row in packed.data] == [0, 1, 2]
    for one, other in zip(vectors, [row.embedding for row in packed.data]):
        assert one == pytest.approx(other, abs=1e-6)
        assert math.isclose(sum(value * value for value in one), 1, abs_tol=1e-4)
    assert vectors[0] == vectors[2] != vectors[1]
    assert plain.usage.total_tokens > 0


def test_a_response_is_given_whole_and_streamed(client, model):
    asked = dict(model=model, input="What is 3 + 4?", temperature=0)
    whole = client.responses.create(**asked)
    assert "7" in whole.output_text and whole.status == "completed"
    with client.responses.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == whole.output_text
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert "response.output_text.delta" in kinds


def test_a_response_keeps_to_a_schema_and_calls_tools(client, model):
    parsed = client.responses.parse(model=model, input="3 + 4", text_format=Sum, max_output_tokens=200)
    assert isinstance(parsed.output_parsed, Sum)
    tool = {"type": "function", **TOOL["function"], "strict": True}
    called = client.responses.create(
        model="tools",
        input="3 + 4",
        tools=[tool],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
        max_output_tokens=250,
    )
    call = next(item for item in called.output if item.type == "function_call")
    assert 1 <= json.loads(call.arguments)["day"] <= 9
    talk = [
        {"role": "user", "content": "3 + 4"},
        call,
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    after = client.responses.create(model="tools", input=talk, tools=[tool], tool_choice="none", max_output_tokens=20)
    assert after.output[0].type == "message"


def test_a_response_that_is_cut_says_so(client, model):
    cut = client.responses.create(model=model, input="Count from 1 to 20", temperature=0, max_output_tokens=3)
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_errors_are_the_clients_own(client, server, model):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "long " * 3_000}])
    assert caught.value.code == "context_length_exceeded" and "too long" in caught.value.message
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, messages=QUESTION, temperature=11)
    assert caught.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=model, prompt="a", suffix="b")
    assert caught.value.param == "suffix"
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="nobody", messages=QUESTION)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError) as caught:
        openai.OpenAI(base_url=server.url, api_key="wrong", max_retries=0).models.list()
    assert caught.value.code == "invalid_api_key"


def test_what_nobody_knows_is_named_in_a_header(client, model):
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=QUESTION, max_tokens=1, extra_body={"moonlight": True}
    )
    assert "moonlight" in raw.headers["x-huacaya-warning"]
    assert raw.parse().choices


async def test_answers_side_by_side_are_those_given_alone(client, later, model):
    questions = [f"What is {left} + {right}?" for left, right in ((1, 2), (3, 4), (5, 5), (8, 1))]
    asked = lambda text: dict(model=model, messages=[{"role": "user", "content": text}], temperature=0)
    alone = [client.chat.completions.create(**asked(text)).choices[0].message.content for text in questions]
    together = await asyncio.gather(*(later.chat.completions.create(**asked(text)) for text in questions))
    assert [answer.choices[0].message.content for answer in together] == alone


async def test_every_route_is_asked_asynchronously(later, model):
    assert model in [row.id async for row in later.models.list()]
    stream = await later.chat.completions.create(
        model=model, messages=QUESTION, temperature=0, stream=True, max_tokens=30
    )
    assert "7" in "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    text = await later.completions.create(model=model, prompt="1, 2,", max_tokens=4)
    assert text.choices[0].finish_reason in ("length", "stop")
    vector = await later.embeddings.create(model=model, input="hello")
    assert vector.data[0].embedding
    async with later.responses.stream(model=model, input="What is 3 + 4?", temperature=0) as events:
        async for _ in events:
            pass
        assert "7" in (await events.get_final_response()).output_text


async def test_a_stream_that_is_left_does_not_hold_the_next(later, model):
    for _ in range(12):
        stream = await later.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Tell me a story"}], stream=True
        )
        async for _ in stream:
            break
        await stream.close()
    answer = await later.chat.completions.create(model=model, messages=QUESTION, temperature=0, timeout=20)
    assert "7" in answer.choices[0].message.content
