"""The server under test: `huacaya-cli serve` on a data folder of its own, with the built-in model twice, once as it is and
once under a chat template that takes tools."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
DEMO = ROOT / "assets/demo/huacaya-demo.gguf"
TOKEN = "hk-clients-0123456789"
# In the shape of Hermes and Qwen: what the server recognises as a template for tools.
TEMPLATE = (
    "{% for tool in tools or [] %}{{ tool.function.name }} <tool_call>\n{% endfor %}"
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{% for call in m.tool_calls %}<tool_call>"
    "{{ call.function | tojson }}</tool_call>{% endfor %}{{ m.name }}\n{% endfor %}assistant: "
)


def pytest_addoption(parser):
    parser.addoption("--cli", required=True, help="the path of huacaya-cli")


class Server:
    def __init__(self, port):
        self.root = f"http://127.0.0.1:{port}"
        self.url = f"{self.root}/v1"
        self.token = TOKEN


def port_of(said):
    """Where it answers: the first thing that it says."""
    for line in said:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)/v1", line):
            return found[1]
    raise AssertionError("the server did not say where it answers")


@pytest.fixture(scope="session")
def server(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("huacaya")
    cli = request.config.getoption("--cli")
    environment = {**os.environ, "HUACAYA_HOME": str(folder / "home")}
    tools = folder / "tools.gguf"
    script = pathlib.Path(sys.executable).with_name("gguf-new-metadata")
    subprocess.run(
        [script, "--general-name", "tools", "--chat-template", TEMPLATE, DEMO, tools],
        check=True,
        capture_output=True,
    )
    subprocess.run([cli, "models", "import", "--quiet", tools], check=True, env=environment)
    token = folder / "token"
    token.write_text(TOKEN)
    process = subprocess.Popen(
        [cli, "serve", "--port", "0", "--token-file", token],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Server(port_of(process.stderr))
        assert process.poll() is None, "the server ended by itself"
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="session")
def models(server):
    import openai

    with openai.OpenAI(base_url=server.url, api_key=server.token) as client:
        return [model.id for model in client.models.list()]


@pytest.fixture(scope="session")
def model(models):
    """The built-in model."""
    return next(name for name in models if name != "tools")
