"""How schemathesis asks: for a model that there is and takes tools, for short answers, and with what has to fit to something
else in the request or to the model made to fit, so that the rest is reached. What was answered goes to a file, for the test
that started it."""

import schemathesis

# Of an answer: how long a model writes is not what is tried.
TOKENS = 4
ANSWERED = "answered.txt"


def number(value):
    return isinstance(value, int) and not isinstance(value, bool)


@schemathesis.hook
def before_call(context, case, kwargs):
    body = case.body
    if not isinstance(body, dict):
        return
    name = body.get("model")
    # Some are asked for that there are not.
    if name is None or isinstance(name, str) and len(name) % 4 != 3:
        body["model"] = "tools"
    if number(body.get("best_of")) and number(body.get("n")):
        body["best_of"] = body["n"]
    elif number(body.get("best_of")):
        body["best_of"] = 1
    if number(body.get("dimensions")):
        body["dimensions"] = None
    if number(body.get("top_logprobs")):
        body["logprobs"] = True
    messages = body.get("messages")
    if isinstance(messages, list):
        messages.append({"role": "user", "content": "3 + 4"})
    limit(case.operation.path, body)


def limit(path, body):
    if path.startswith("/api/"):
        if body.get("options") is None:
            body["options"] = {"num_predict": TOKENS}
        return
    name = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
    if body.get(name) is None and body.get("max_completion_tokens") is None:
        body[name] = TOKENS


@schemathesis.hook
def after_call(context, case, response):
    with open(ANSWERED, "a") as file:
        file.write(f"{case.method} {case.operation.path} {response.status_code}\n")
