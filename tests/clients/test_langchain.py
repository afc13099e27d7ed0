"""LangChain's wrapper of OpenAI's API."""

import pydantic
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

QUESTION = "What is 3 + 4?"


class Sum(pydantic.BaseModel):
    """A sum."""

    model_config = {"extra": "forbid"}
    left: int = pydantic.Field(ge=0, le=9)
    right: int = pydantic.Field(ge=0, le=9)


@tool
def weather(day: int) -> str:
    """The weather of a day."""
    return "rain"


@pytest.fixture(scope="module")
def chat(server, model):
    return ChatOpenAI(base_url=server.url, api_key=server.token, model=model, temperature=0, max_retries=0)


def test_invoke_stream_and_batch_say_the_same(chat):
    answer = chat.invoke([SystemMessage("You are a helpful assistant."), HumanMessage(QUESTION)])
    assert "7" in answer.content and answer.usage_metadata["output_tokens"] > 0
    alone = chat.invoke(QUESTION).content
    assert "".join(chunk.content for chunk in chat.stream(QUESTION)) == alone
    assert [answer.content for answer in chat.batch([QUESTION, QUESTION])] == [alone, alone]


def test_answers_keep_to_a_schema(chat):
    assert isinstance(chat.with_structured_output(Sum, method="json_schema").invoke(QUESTION), Sum)


def test_a_tool_is_called_and_answered(server):
    chat = ChatOpenAI(
        base_url=server.url, api_key=server.token, model="tools", temperature=0, max_tokens=250, max_retries=0
    )
    asked = HumanMessage(QUESTION)
    bound = chat.bind_tools([weather], tool_choice="weather", parallel_tool_calls=False)
    called = bound.invoke([asked])
    (call,) = called.tool_calls
    assert call["name"] == "weather" and isinstance(call["args"]["day"], int)
    streamed = None
    for chunk in bound.stream([asked]):
        streamed = chunk if streamed is None else streamed + chunk
    assert streamed.tool_calls[0]["args"] == call["args"]
    after = chat.invoke([asked, called, ToolMessage("rain", tool_call_id=call["id"])])
    assert isinstance(after, AIMessage) and not after.tool_calls


def test_texts_are_continued_and_embedded(server, model):
    text = OpenAI(base_url=server.url, api_key=server.token, model=model, temperature=0, max_tokens=6, max_retries=0)
    alone = text.invoke("1, 2, 3,")
    assert "".join(text.stream("1, 2, 3,")) == alone
    # Without the switch it would send tokens of OpenAI's own vocabulary.
    vectors = OpenAIEmbeddings(
        base_url=server.url, api_key=server.token, model=model, check_embedding_ctx_length=False
    )
    assert vectors.embed_query("hello") == pytest.approx(vectors.embed_documents(["hello", "你好"])[0], abs=1e-6)


def test_the_newer_api_is_spoken_as_well(server, model):
    chat = ChatOpenAI(
        base_url=server.url, api_key=server.token, model=model, temperature=0, use_responses_api=True, max_retries=0
    )
    answer = chat.invoke(QUESTION)
    assert "7" in answer.text
    assert "".join(chunk.text for chunk in chat.stream(QUESTION)) == answer.text


async def test_everything_is_asked_asynchronously(chat):
    alone = chat.invoke(QUESTION).content
    assert (await chat.ainvoke(QUESTION)).content == alone
    assert "".join([chunk.content async for chunk in chat.astream(QUESTION)]) == alone
    assert [answer.content for answer in await chat.abatch([QUESTION] * 3)] == [alone] * 3
