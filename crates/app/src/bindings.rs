//! The typed TypeScript client: every wire type, the commands and the codes of errors, as the text of one file.

use std::{
    any::TypeId,
    collections::{BTreeMap, HashSet},
    fmt::Write,
};

use huacaya_store::{Change, Problem};
use ts_rs::{Config, TS, TypeVisitor};

use crate::{
    chosen::{Chosen, Shown},
    commands,
    computing::Tuned,
    error::Code,
    jobs::{Outcome, Task},
    serving::ServerState,
};

/// One line of the table of commands.
pub struct Declared {
    pub doc: String,
    pub name: &'static str,
    pub arguments: Vec<Argument>,
    /// As TypeScript writes it.
    pub result: String,
}

/// One argument of a command.
pub struct Argument {
    pub name: &'static str,
    pub optional: bool,
    /// As TypeScript writes it.
    pub kind: String,
}

/// The declarations of types and of all that they name, by name.
pub struct Types {
    config: Config,
    declarations: BTreeMap<String, String>,
    seen: HashSet<TypeId>,
}

impl Types {
    /// Adds a type, unless it is a built-in one, and what it names.
    pub fn add<T: TS + 'static + ?Sized>(&mut self) {
        if !self.seen.insert(TypeId::of::<T>()) {
            return;
        }
        if T::output_path().is_some() {
            let name = T::ident(&self.config);
            let docs = T::docs().unwrap_or_default();
            self.declarations.insert(name, format!("{docs}export {}\n", T::decl(&self.config)));
        }
        T::visit_dependencies(self);
        T::visit_generics(self);
    }
}

impl TypeVisitor for Types {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        self.add::<T>();
    }
}

/// The whole of `ui/src/api/bindings.ts`. A test compares it with the file; `cargo xtask types` writes it.
pub fn typescript() -> String {
    let config = Config::new().with_large_int("number");
    let mut types =
        Types { config: Config::new().with_large_int("number"), declarations: BTreeMap::new(), seen: HashSet::new() };
    types.add::<Change>();
    types.add::<Problem>();
    types.add::<Task>();
    types.add::<Outcome>();
    types.add::<Tuned>();
    types.add::<ServerState>();
    types.add::<Chosen>();
    types.add::<Shown>();
    let declared = commands::declared(&config, &mut types);

    let mut out = String::from(
        "//! The wire types and the commands, as crates/app declares them. Written by `cargo xtask types`; do not edit.\n\n",
    );
    for declaration in types.declarations.values() {
        out.push_str(declaration);
        out.push('\n');
    }
    out.push_str("/** Sends a command to the program. Rejects with a `Problem`. */\n");
    out.push_str("export type Call = (name: string, args: object) => Promise<unknown>;\n\n");
    out.push_str("/** The commands as functions over `call`. */\nexport const commands = (call: Call) => ({\n");
    for command in &declared {
        write_command(&mut out, command);
    }
    out.push_str("});\n\nexport type Commands = ReturnType<typeof commands>;\n\n");
    write_codes(&mut out);
    out
}

fn write_command(out: &mut String, command: &Declared) {
    let fields: Vec<String> = (command.arguments.iter())
        .map(|argument| format!("{}{}: {}", argument.name, if argument.optional { "?" } else { "" }, argument.kind))
        .collect();
    let (taken, sent) =
        if fields.is_empty() { (String::new(), "{}") } else { (format!("args: {{ {} }}", fields.join("; ")), "args") };
    let Declared { doc, name, result, .. } = command;
    let _ = writeln!(out, "  /** {doc} */");
    let _ = writeln!(out, "  {}: ({taken}) => call(\"{name}\", {sent}) as Promise<{result}>,", camel_case(name));
}

fn write_codes(out: &mut String) {
    out.push_str("/** Every code that a `Problem` can have, with the values that its sentence may use. */\n");
    out.push_str("export const CODE_VALUES = {\n");
    for code in Code::ALL {
        let values: Vec<String> = code.values().iter().map(|value| format!("\"{value}\"")).collect();
        let _ = writeln!(out, "  /** {} */\n  {code}: [{}],", code.meaning().trim(), values.join(", "));
    }
    out.push_str("} as const;\n\nexport type Code = keyof typeof CODE_VALUES;\n\n");
    out.push_str("export const CODES = Object.keys(CODE_VALUES) as Code[];\n");
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_string();
    words.fold(first, |mut out, word| {
        let mut letters = word.chars();
        out.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        out.extend(letters);
        out
    })
}
