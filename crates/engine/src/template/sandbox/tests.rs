//! Hostile templates end in an error, soon, whatever they try; honest ones do not notice.

use super::*;

fn render(source: &str) -> Result<String, Failure> {
    let message = Value::from_iter([("role", "user"), ("content", "你好")]);
    let values = BTreeMap::from([("messages", Value::from(vec![message]))]);
    run(source, values, 6)
}

/// Renders and must fail within the time limit and a little.
fn refused(source: &str) -> Failure {
    let start = std::time::Instant::now();
    let failure = render(source).err();
    let taken = start.elapsed();
    let head: String = source.chars().take(90).collect();
    assert!(taken.as_secs() < 20, "{head}: {taken:?}");
    failure.unwrap_or_else(|| panic!("{head}: was rendered"))
}

fn limited(source: &str) {
    let failure = refused(source);
    assert!(matches!(failure, Failure::Limit(_)), "{failure:?}");
}

#[test]
fn text_that_doubles_meets_a_limit() {
    let grow = |step: &str| format!("{{% set ns = namespace(x='ab') %}}{{% for i in range(60) %}}{step}{{% endfor %}}");
    limited(&grow("{% set ns.x = ns.x + ns.x %}"));
    limited(&grow("{% set ns.x = ns.x ~ ns.x %}"));
    limited(&grow("{% set ns.x = ns.x.replace('a', ns.x) %}"));
    limited(&grow("{% set ns.x = ns.x | replace('a', ns.x) %}"));
    limited(&grow("{% set ns.x = [ns.x, ns.x] | join(ns.x) %}"));
    limited(&grow("{% set ns.x = ns.x.join([ns.x, ns.x]) %}"));
    limited(&grow("{% set t %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = t %}"));
    limited(&grow("{% set ns.x = ns.x * 1000 %}"));
    limited(&grow("{% set ns.x = (ns.x ~ '\n') | indent(16) | indent(16) | indent(16) ~ ns.x %}"));
    limited(&grow("{% set ns.x = [ns.x, ns.x] | map('upper') | list | string %}"));
    limited(&grow("{% set ns.x = [ns.x, ns.x] | tojson %}"));
    limited(
        "{% macro m(x, n) %}{{ x }}{{ x }}{% if n %}{{ m(x ~ x, n - 1) }}{% endif %}{% endmacro %}{{ m('abcdefgh', 40) }}",
    );
}

#[test]
fn lists_that_double_nest_or_hold_themselves_meet_a_limit() {
    let grow =
        |step: &str| format!("{{% set ns = namespace(x=[1]) %}}{{% for i in range(5000) %}}{step}{{% endfor %}}");
    limited(&grow("{% set ns.x = [ns.x, ns.x] %}"));
    limited(&grow("{% set ns.x = [ns.x] %}"));
    limited(&grow("{% set ns.x = {'a': ns.x} %}"));
    limited(&grow("{% set ns.x = ns.x + ns.x %}"));
    limited(&grow("{% set ns.x = ns.x * 1000 %}"));
    limited(&grow("{% set ns.y = ns %}"));
    limited(&grow("{% set ns.y = [ns] %}"));
    limited(&grow("{% set ns.y = {'a': ns} %}"));
    limited("{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = b %}{{ a }}");
    limited("{% set a = namespace(x=1) %}{{ a }}");
    limited("{{ dict(a=namespace()) | tojson }}");
    limited("{% set n = 1000000000000 %}{{ ([1] * n) | length }}");
    assert!(
        matches!(render("{% set n = 2 %}{{ ([1] * n) | length }}"), Err(Failure::Limit(_))),
        "a written list is not multiplied"
    );
}

#[test]
fn work_without_end_meets_a_limit() {
    limited(
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
    );
    limited(
        "{% set x = 'a' * 200 %}{% set ns = namespace(x=x) %}{% for i in range(14) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}\
             {% set y = ns.x ~ 'b' %}{% set z = ns.x ~ 'c' %}{% for a in range(9999) %}{% for b in range(9999) %}\
             {% if y == z or y in z %}x{% endif %}{% endfor %}{% endfor %}",
    );
    limited(
        "{% for i in range(9999) %}{% for j in range(9999) %}0123456789012345678901234567890123456789{% endfor %}{% endfor %}",
    );
    assert!(matches!(
        refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
        Failure::Broken(message) if message.contains("recursion")
    ));
}

#[test]
fn sources_that_would_overflow_the_compiler_are_refused() {
    let many = |part: &str, count: usize| part.repeat(count);
    limited(&format!("{{{{ a{} }}}}", many(" + a", 60_000)));
    limited(&format!("{{{{ a{} }}}}", many(".a", 60_000)));
    limited(&format!("{{{{ a{} }}}}", many("|upper", 40_000)));
    limited(&format!("{{% if a %}}{}{{% endif %}}", many("{% elif a %}", 10_000)));
    limited(&many(" ", SOURCE_BYTES_MAX + 1));
    limited("{{ ('a' * 200) * 1000000 * 1000000 }}");
    limited("{{ [1] * 1000000000000 == [2] * 1000000000000 }}");
    refused(&format!("{{{{ {}a{} }}}}", many("(", 1900), many(")", 1)));
    refused(&many("{% if a %}", 5_000));
    refused(&many("{% for a in b %}", 5_000));
    // As deep as is let through.
    assert!(render(&format!("{{{{ 1{} }}}}", many(" + 1", 900))).is_ok());
    assert!(render(&format!("{{{{ a{} }}}}", many("|default('x')", 300))).is_ok());
    assert!(render(&format!("{{% set a = 'x' %}}{{{{ a{} }}}}", many(" ~ a", 900))).is_ok());
}

#[test]
fn nothing_of_the_machine_can_be_reached() {
    for source in [
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% extends 'x' %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.__class__.__init__ }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ lipsum() }}",
        "{{ '%s' | format(1) }}",
        "{{ '{0}'.format(1) }}",
        "{{ debug() }}",
    ] {
        refused(source);
    }
}

#[test]
fn honest_templates_compute_as_before() {
    let same = [
        ("{{ 1 + 2 }} {{ 1.5 + 1 }} {{ 2 * 3.5 }} {{ true + 1 }} {{ 'a' ~ 1 ~ none }}", "3 2.5 7.0 2 a1None"),
        ("{{ 'ab' * 3 }} {{ [1] + [2, 3] }} {{ 'x' + 'y' }}", "ababab [1, 2, 3] xy"),
        ("{% set n = 3 %}{{ n * 2 }} {{ n * n }} {{ (messages | length) * n }}", ""),
        (
            "{{ 'a-b-c'.replace('-', '+') }} {{ 'a-b-c'.replace('-', '+', 1) }} {{ 'aXbX' | replace('X', '') }}",
            "a+b+c a+b-c ab",
        ),
        (
            "{{ [1, 2] | join('-') }} {{ ', '.join(['a', 'b']) }} {{ messages | map(attribute='role') | join(' ') }}",
            "1-2 a, b user",
        ),
        ("{{ 'a\nb' | indent(2) }}|{{ 'a\n\nb' | indent(width=1, first=true) }}", "a\n  b| a\n\n b"),
        (
            "{{ messages[0].items() | list | length }} {{ messages[::-1] | first | length }} {{ ' x ' | trim }}.{{ 'Ab' | upper }}",
            "2 2 x.AB",
        ),
        ("{% macro m(a, b='q') %}{{ a }}{{ b }}{% endmacro %}{{ m('x') }}{{ m('y', b='z') }}", "xqyz"),
        (
            "{% for i in range(5) %}{% if i == 3 %}{% break %}{% elif i == 1 %}{% continue %}{% endif %}{{ i }}{% else %}n{% endfor %}",
            "02",
        ),
        ("{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{{ loop.last }}{% endfor %}", "a1Falseb2True"),
        (
            "{{ 'x' if false else 'y' }} {{ not_there }}|{{ not_there | default('d') }} {{ 'a,b'.split(',')[-1] }}",
            "y |d b",
        ),
        (
            "{% set t %}a{{ 1 }}{% endset %}{{ t | length }} {{ (1, 2)[1] }} {{ 'abc'[1:] }} {{ 'abc'[::-1] }}",
            "2 2 bc cba",
        ),
        (
            "{{ [3, 1, 2] | sort | list }} {{ [1, 1] | unique | list }} {{ 'a' in 'abc' }} {{ 5 // 2 }} {{ 2 ** 5 }}",
            "[1, 2, 3] [1] True 2 32",
        ),
        ("{{ {'a': [1, none]} | tojson(indent=2) }}", "{\n  \"a\": [\n    1,\n    null\n  ]\n}"),
        (
            "{% filter upper %}ab{% endfilter %}{% with x = 1 %}{{ x }}{% endwith %}{% raw %}{{ x }}{% endraw %}",
            "AB1{{ x }}",
        ),
    ];
    for (source, expected) in same {
        match (render(source), expected) {
            (Ok(text), expected) => assert_eq!(text, expected, "{source}"),
            (Err(Failure::Limit(_)), "") => {}
            (Err(failure), _) => panic!("{source}: {failure:?}"),
        }
    }
}

#[test]
fn a_long_conversation_is_rendered_in_a_moment() {
    let message = |role: &str| Value::from_iter([("role", role.to_owned()), ("content", "一段话。".repeat(100))]);
    let messages: Vec<Value> = (0..400).map(|n| message(if n % 2 == 0 { "user" } else { "assistant" })).collect();
    let source = "{% set ns = namespace(text='') %}{% for m in messages %}{% if m.role == 'user' and messages[1:] %}\
                  {% set ns.text = ns.text + '<|im_start|>' + m.content.strip() %}{% endif %}{% endfor %}{{ ns.text }}";
    let start = std::time::Instant::now();
    let text = run(source, BTreeMap::from([("messages", Value::from(messages))]), 480_000).unwrap();
    println!("{:?}", start.elapsed());
    assert_eq!(text.len(), 200 * (12 + 1200));
}
