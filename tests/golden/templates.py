"""Golden data of chat templates: what transformers' apply_chat_template makes of conversations with templates in the public forms.

The templates are written here, in the manner of the families. Run by `cargo xtask golden templates` after `tokenizer`, whose
byte-level.json it uses. Writes crates/engine/tests/text/templates.json.
"""

import json
from pathlib import Path

from transformers import PreTrainedTokenizerFast

OUT = Path(__file__).resolve().parents[2] / "crates/engine/tests/text"

TEMPLATES = {
    "chatml": """{% for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{% endfor %}
{% if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{% endif %}""",
    "default system": """{%- if messages[0].role != 'system' -%}
    {{- '<|im_start|>system\\nYou are a careful assistant.<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
    {{- '<|im_start|>' ~ message.role ~ '\\n' ~ message.content | trim ~ '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}""",
    "headers": """{{- bos_token }}
{%- set ns = namespace(system='', first=true) %}
{%- for m in messages if m.role == 'system' %}{%- set ns.system = ns.system + m.content.strip() %}{%- endfor %}
{%- if ns.system %}{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' ~ ns.system ~ '<|eot_id|>' }}{%- endif %}
{%- for m in messages %}
    {%- if m.role == 'system' %}{%- continue %}{%- endif %}
    {{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}""",
    "strict turns": """{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] + '\\n\\n' %}{%- set rest = messages[1:] %}
{%- else %}{%- set system = '' %}{%- set rest = messages %}{%- endif %}
{{- bos_token }}
{%- for m in rest %}
    {%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('roles must take turns') }}{%- endif %}
    {%- if m['role'] == 'user' %}{{- '[INST] ' + (system if loop.first else '') + m['content'] + ' [/INST]' }}
    {%- elif m['role'] == 'assistant' %}{{- ' ' + m['content'].strip() + eos_token }}
    {%- else %}{{- raise_exception('unknown role ' ~ m.role) }}{%- endif %}
{%- endfor %}""",
    "no system": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for m in messages %}
{{- '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + m.content | trim + '<end_of_turn>\\n' -}}
{% endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}""",
    "thinking": """{%- macro say(role, text) -%}{{ '<|im_start|>' + role + '\\n' + text + '<|im_end|>\\n' }}{%- endmacro -%}
{%- set ns = namespace(last=-1) -%}
{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}
{%- for m in messages -%}
    {%- if m.role == 'assistant' -%}
        {%- set text = m.content.split('</think>')[-1].lstrip('\\n') if '</think>' in m.content else m.content -%}
        {%- if m.reasoning_content is defined and m.reasoning_content is string and loop.index0 > ns.last -%}
            {{- say(m.role, '<think>\\n' + m.reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + text) -}}
        {%- else -%}{{- say(m.role, text) -}}{%- endif -%}
    {%- else -%}{{- say(m.role, m.content) -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
    {%- if enable_thinking is defined and enable_thinking is false -%}{{- '<think>\\n\\n</think>\\n\\n' -}}{%- endif -%}
{%- endif -%}""",
    "opens thought": """{{- bos_token }}{%- for m in messages %}{{- '<|im_start|>' ~ m.role ~ '\\n' }}
{%- if m.reasoning_content %}{{- '<think>\\n' ~ m.reasoning_content ~ '\\n</think>\\n' }}{%- endif %}{{- m.content ~ '<|im_end|>\\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}""",
    "json and loops": """{%- for m in messages -%}
{{ loop.index }}/{{ loop.length }} {{ m | tojson }} {{ {'键': [1, 2.5, none, true], "q": 'a"b'} | tojson }} {{ m.content | length }} {{ m.role | upper }} {{ m.content.startswith('你') }}
{% if loop.last %}{% break %}{% endif %}{{ ['x', 'y'] | join(', ') }}{{ m.content[:2] }} {{ m.get('none', 'd') }} {{ m.role in ['user', 'tool'] }}
{%- for key, value in m.items() %} {{ key }}={{ value | replace('a', 'b') | capitalize }}{% endfor %}
{%- endfor -%}{{ 7 // 2 }} {{ 7 % 3 }} {{ 2 ** 3 }} {{ 'a' * 3 }} {{ [1] + [2] }} {{ (1, 2) | list | last }} {{ tools is none }} {{ not_there is defined }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }}""",
}

CONVERSATIONS = [
    [("user", "你好")],
    [("system", "You are helpful. 你很乐于助人。 "), ("user", " Hi there \n")],
    [("system", "S"), ("user", "一"), ("assistant", " two\n"), ("user", "three 😀")],
    [("user", "问"), ("assistant", "答", "想一想\n"), ("user", "再问"), ("assistant", "再答", "又想"), ("user", "好")],
]


def main():
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(OUT / "byte-level.json"), bos_token="<|begin_of_text|>", eos_token="<|eot_id|>")
    cases = []
    for name, template in TEMPLATES.items():
        for turns in CONVERSATIONS:
            for thinking in [None, True, False] if "enable_thinking" in template else [None]:
                messages = [{"role": t[0], "content": t[1], **({"reasoning_content": t[2]} if len(t) > 2 else {})} for t in turns]
                options = {} if thinking is None else {"enable_thinking": thinking}
                try:
                    text = tokenizer.apply_chat_template(
                        messages, chat_template=template, tokenize=False, add_generation_prompt=True, **options)
                    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
                    result = {"text": text, "ids": ids}
                except Exception as error:
                    result = {"error": str(error)}
                cases.append({"template": name, "turns": turns, "thinking": thinking, **result})
    (OUT / "templates.json").write_text(
        json.dumps({"templates": TEMPLATES, "cases": cases}, ensure_ascii=False, indent=0) + "\n")
    print(len(cases), "cases,", sum("error" in case for case in cases), "errors")


if __name__ == "__main__":
    main()
