"""Anthropic's own client on /v1/messages and its counting."""

import anthropic
import pytest
import pytest_asyncio

# The client has no field for it any more.
STILL = {"extra_body": {"temperature": 0}}
QUESTION = [{"role": "user", "content": "What is 3 + 4?"}]
TOOL = {
    "name": "weather",
    "description": "The weather of a day",
    "input_schema": {
        "type": "object",
        "properties": {"day": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["day"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module")
def client(server):
    with anthropic.Anthropic(base_url=server.root, api_key=server.token, max_retries=0) as client:
        yield client


@pytest_asyncio.fixture
async def later(server):
    async with anthropic.AsyncAnthropic(base_url=server.root, auth_token=server.token, max_retries=0) as client:
        yield client


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message_is_answered_and_streamed_the_same(client, model):
    asked = dict(model=model, max_tokens=40, messages=QUESTION, **STILL)
    whole = client.messages.create(**asked)
    assert "7" in text_of(whole)
    assert (whole.role, whole.stop_reason, whole.model) == ("assistant", "end_turn", model)
    assert whole.usage.output_tokens > 0
    with client.messages.stream(**asked) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == text_of(final) == text_of(whole)
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_the_events_come_in_their_order(client, model):
    events = list(client.messages.create(model=model, max_tokens=5, messages=QUESTION, stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}


def test_tokens_are_counted_as_they_are_read(client, model):
    counted = client.messages.count_tokens(model=model, messages=QUESTION, system="Be brief.")
    used = client.messages.create(model=model, messages=QUESTION, system="Be brief.", max_tokens=1).usage
    assert counted.input_tokens == used.input_tokens + used.cache_read_input_tokens


def test_stops_and_limits_are_told(client, model):
    talk = [{"role": "user", "content": "Count from 1 to 9"}]
    stopped = client.messages.create(model=model, max_tokens=60, messages=talk, stop_sequences=["5"], **STILL)
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "5")
    assert "4" in text_of(stopped) and "5" not in text_of(stopped)
    cut = client.messages.create(model=model, max_tokens=3, messages=talk, **STILL)
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 3)


def test_a_tool_is_called_whole_and_streamed(client):
    asked = dict(
        model="tools",
        max_tokens=250,
        messages=QUESTION,
        tools=[TOOL],
        # A model that was never taught to call would call again and again.
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        **STILL,
    )
    whole = client.messages.create(**asked)
    assert whole.stop_reason == "tool_use"
    call = next(block for block in whole.content if block.type == "tool_use")
    assert call.name == "weather" and 1 <= call.input["day"] <= 9
    with client.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    assert [block.input for block in final.content if block.type == "tool_use"] == [call.input]
    answered = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    talk = [*QUESTION, {"role": "assistant", "content": whole.content}, {"role": "user", "content": [answered]}]
    after = client.messages.create(
        model="tools", max_tokens=10, messages=talk, tools=[TOOL], tool_choice={"type": "none"}
    )
    assert after.stop_reason in ("end_turn", "max_tokens")


def test_errors_are_the_clients_own(client, server, model):
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="nobody", max_tokens=5, messages=QUESTION)
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model=model, max_tokens=5, messages=[{"role": "user", "content": "long " * 3_000}])
    assert caught.value.body["error"]["type"] == "invalid_request_error"
    with pytest.raises(anthropic.AuthenticationError):
        anthropic.Anthropic(base_url=server.root, api_key="wrong", max_retries=0).messages.create(
            model=model, max_tokens=5, messages=QUESTION
        )


async def test_everything_is_asked_asynchronously(later, model):
    answer = await later.messages.create(model=model, max_tokens=40, messages=QUESTION, **STILL)
    assert "7" in text_of(answer)
    async with later.messages.stream(model=model, max_tokens=40, messages=QUESTION, **STILL) as stream:
        assert "".join([text async for text in stream.text_stream]) == text_of(answer)
    assert (await later.messages.count_tokens(model=model, messages=QUESTION)).input_tokens > 0
