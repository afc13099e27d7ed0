//! The operators, filters and methods of a template that can make much out of little, metered.

use std::sync::Arc;

use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, filters};

use super::instructions::{ADD, CHARGE, CHARGE_DEEP, CONCATENATE, KEEP, MULTIPLY, TICK};
use super::meter::Meter;
use crate::template::json;

/// For JSON that people read; templates use 4 at most.
const INDENT_MAX: usize = 16;

/// Filters and functions that no chat template uses and that have no bound of their own.
const REMOVED: [&str; 9] = ["format", "pprint", "batch", "slice", "sum", "chain", "zip", "groupby", "urlencode"];

/// Puts the metered forms in the place of the plain ones.
pub(super) fn register(environment: &mut Environment<'static>, meter: &Arc<Meter>) {
    REMOVED.iter().for_each(|name| environment.remove_filter(name));
    environment.remove_global("debug");
    let m = Arc::clone(meter);
    environment.add_filter(ADD, move |left: Value, right: Value| add(&m, &left, &right));
    let m = Arc::clone(meter);
    environment.add_filter(MULTIPLY, move |left: Value, right: Value| multiply(&m, &left, &right));
    let m = Arc::clone(meter);
    environment.add_filter(CONCATENATE, move |left: Value, right: Value| -> Result<Value, Error> {
        let mut text = m.show(&left)?;
        let right = m.show(&right)?;
        m.text(text.len() + right.len())?;
        text.push_str(&right);
        Ok(Value::from(text))
    });
    let m = Arc::clone(meter);
    environment.add_filter(CHARGE, move |value: Value| m.charge(value));
    let m = Arc::clone(meter);
    environment.add_filter(CHARGE_DEEP, move |value: Value| m.charge_deep(value));
    let m = Arc::clone(meter);
    environment.add_filter(KEEP, move |value: Value| m.keep(value));
    let m = Arc::clone(meter);
    environment.add_filter(TICK, move |_: Value| m.tick());
    let m = Arc::clone(meter);
    environment.set_formatter(move |out, _, value| Ok(out.write_str(&m.show(value)?)?));
    register_filters(environment, meter);
    let m = Arc::clone(meter);
    environment.set_unknown_method_callback(move |state, value, method, arguments| {
        method_call(&m, state, value, method, arguments)
    });
}

fn register_filters(environment: &mut Environment<'static>, meter: &Arc<Meter>) {
    let m = Arc::clone(meter);
    environment.add_filter("string", move |value: Value| m.show(&value));
    let m = Arc::clone(meter);
    environment.add_filter("tojson", move |value: Value, indent: Option<usize>, options: Kwargs| {
        to_json(&m, &value, indent, &options)
    });
    let m = Arc::clone(meter);
    environment.add_filter("replace", move |text: Value, from: Value, to: Value| {
        let (text, from, to) = (m.show(&text)?, m.show(&from)?, m.show(&to)?);
        replace(&m, &text, &from, &to, usize::MAX)
    });
    let m = Arc::clone(meter);
    environment.add_filter(
        "join",
        move |list: Value, between: Option<Value>, options: Kwargs| -> Result<Value, Error> {
            let named: Option<Value> = options.get("d")?;
            let between = between.or(named).map_or(Ok(String::new()), |between| m.show(&between))?;
            let attribute: Option<String> = options.get("attribute")?;
            options.assert_all_used()?;
            join(&m, &list, &between, attribute.as_deref())
        },
    );
    let m = Arc::clone(meter);
    environment.add_filter(
        "indent",
        move |text: Value, width: Option<usize>, options: Kwargs| -> Result<Value, Error> {
            let named: Option<usize> = options.get("width")?;
            let flag = |name| options.get::<Option<bool>>(name).map(|flag| flag.unwrap_or(false));
            indent(&m, &m.show(&text)?, width.or(named).unwrap_or(4), flag("first")?, flag("blank")?)
        },
    );
    // Filters that make a text as long as the one they get, three times at most: within `map` nobody else counts.
    let same = ["lower", "upper", "title", "capitalize", "trim", "escape", "e", "reverse", "split", "lines", "list"];
    for name in same {
        let plain = format!("plain {name}");
        add_plain(environment, name, plain.clone());
        let m = Arc::clone(meter);
        environment.add_filter(name, move |state: &State, value: Value, more: Rest<Value>| -> Result<Value, Error> {
            m.text(value.as_str().map_or(0, |text| 3 * text.len()))?;
            m.elements(value.len().unwrap_or(0))?;
            let arguments: Vec<Value> = std::iter::once(value).chain(more.0).collect();
            state.apply_filter(&plain, &arguments)
        });
    }
}

fn add_plain(environment: &mut Environment<'static>, name: &str, plain: String) {
    match name {
        "lower" => environment.add_filter(plain, filters::lower),
        "upper" => environment.add_filter(plain, filters::upper),
        "title" => environment.add_filter(plain, filters::title),
        "capitalize" => environment.add_filter(plain, filters::capitalize),
        "trim" => environment.add_filter(plain, filters::trim),
        "reverse" => environment.add_filter(plain, filters::reverse),
        "split" => environment.add_filter(plain, filters::split),
        "lines" => environment.add_filter(plain, filters::lines),
        "list" => environment.add_filter(plain, filters::list),
        // Escaping is for web pages.
        _ => environment.add_filter(plain, |value: Value| value),
    }
}

fn impossible(what: &str, left: &Value, right: &Value) -> Error {
    let (left, right) = (left.kind(), right.kind());
    Error::new(ErrorKind::InvalidOperation, format!("cannot {what} values of the types {left} and {right}"))
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

fn add(meter: &Meter, left: &Value, right: &Value) -> Result<Value, Error> {
    if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
        meter.text(a.len() + b.len())?;
        return Ok(Value::from([a, b].concat()));
    }
    if is_list(left) && is_list(right) {
        let mut list = Vec::new();
        for item in left.try_iter()?.chain(right.try_iter()?) {
            meter.elements(1)?;
            list.push(item);
        }
        return meter.charge_deep(Value::from(list));
    }
    arithmetic("add", left, right, i64::checked_add, |a, b| a + b)
}

fn multiply(meter: &Meter, left: &Value, right: &Value) -> Result<Value, Error> {
    let (many, count) = if right.as_str().is_some() || is_list(right) { (right, left) } else { (left, right) };
    if many.as_str().is_none() && !is_list(many) {
        return arithmetic("multiply", left, right, i64::checked_mul, |a, b| a * b);
    }
    // As in Python, a negative number makes nothing.
    let count = i64::try_from(count.clone()).map_err(|_| impossible("multiply", left, right))?;
    let count = usize::try_from(count).unwrap_or(0);
    if let Some(text) = many.as_str() {
        meter.text(text.len().saturating_mul(count))?;
        return Ok(Value::from(text.repeat(count)));
    }
    let once = meter.list(many)?;
    meter.elements(once.len().unwrap_or(0).saturating_mul(count))?;
    let items: Vec<Value> = once.try_iter()?.collect();
    let all: Vec<Value> = (0..count).flat_map(|_| items.iter().cloned()).collect();
    meter.charge_deep(Value::from(all))
}

fn arithmetic(
    what: &str,
    left: &Value,
    right: &Value,
    whole: fn(i64, i64) -> Option<i64>,
    real: fn(f64, f64) -> f64,
) -> Result<Value, Error> {
    let is_number = |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
    if !is_number(left) || !is_number(right) {
        return Err(impossible(what, left, right));
    }
    if let (Ok(a), Ok(b)) = (i64::try_from(left.clone()), i64::try_from(right.clone()))
        && left.is_integer() | (left.kind() == ValueKind::Bool)
        && right.is_integer() | (right.kind() == ValueKind::Bool)
    {
        return whole(a, b).map(Value::from).ok_or_else(|| impossible(what, left, right));
    }
    match (f64::try_from(left.clone()), f64::try_from(right.clone())) {
        (Ok(a), Ok(b)) => Ok(Value::from(real(a, b))),
        _ => Err(impossible(what, left, right)),
    }
}

fn replace(meter: &Meter, text: &str, from: &str, to: &str, count: usize) -> Result<Value, Error> {
    let places = text.matches(from).count().min(count);
    meter.text(text.len().saturating_add(places.saturating_mul(to.len())))?;
    Ok(Value::from(text.replacen(from, to, places)))
}

fn indent(meter: &Meter, text: &str, blanks: usize, first: bool, empty: bool) -> Result<Value, Error> {
    if blanks > INDENT_MAX {
        return Err(Error::new(ErrorKind::InvalidOperation, format!("indent: more than {INDENT_MAX} blanks")));
    }
    meter.text(text.len() + blanks * (text.matches('\n').count() + 1))?;
    let lines = text.split('\n').enumerate().map(|(number, line)| {
        let indented = (number > 0 || first) && (empty || !line.is_empty());
        format!("{}{line}", " ".repeat(if indented { blanks } else { 0 }))
    });
    Ok(Value::from(lines.collect::<Vec<_>>().join("\n")))
}

fn join(meter: &Meter, list: &Value, between: &str, attribute: Option<&str>) -> Result<Value, Error> {
    let mut text = String::new();
    for (number, item) in list.try_iter()?.enumerate() {
        let item = attribute.map_or(Ok(item.clone()), |attribute| item.get_attr(attribute))?;
        let item = meter.show(&item)?;
        meter.text(between.len() + item.len())?;
        if number > 0 {
            text.push_str(between);
        }
        text.push_str(&item);
    }
    meter.text(text.len())?;
    Ok(Value::from(text))
}

fn to_json(meter: &Meter, value: &Value, indent: Option<usize>, options: &Kwargs) -> Result<Value, Error> {
    let named: Option<usize> = options.get("indent")?;
    let indent = indent.or(named);
    if indent.is_some_and(|indent| indent > INDENT_MAX) {
        return Err(Error::new(ErrorKind::InvalidOperation, format!("tojson: more than {INDENT_MAX} blanks")));
    }
    let mut out = Metered { meter, bytes: Vec::new() };
    json::write(value, indent, &mut out).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(Value::from(String::from_utf8_lossy(&out.bytes).into_owned()))
}

struct Metered<'m> {
    meter: &'m Meter,
    bytes: Vec<u8>,
}

impl std::io::Write for Metered<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.meter.text(bytes.len()).map_err(std::io::Error::other)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Python's methods, the two that can make much metered, and `format`, which can make anything, left out.
fn method_call(meter: &Meter, state: &State, value: &Value, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    meter.tick()?;
    match (value.as_str(), method, arguments) {
        (Some(_), "format", _) => Err(Error::new(ErrorKind::UnknownMethod, "texts have no method `format` here")),
        (Some(text), "replace", [from, to, rest @ ..]) => {
            let count = rest.first().and_then(|count| usize::try_from(count.clone()).ok()).unwrap_or(usize::MAX);
            replace(meter, text, &meter.show(from)?, &meter.show(to)?, count)
        }
        (Some(text), "join", [list]) => join(meter, list, text, None),
        (Some(text), _, _) => {
            meter.text(text.len())?;
            minijinja_contrib::pycompat::unknown_method_callback(state, value, method, arguments)
        }
        _ => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, arguments),
    }
}
