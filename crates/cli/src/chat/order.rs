//! What begins with a slash: orders to the program, not words to the model.

/// Every order, for completion.
pub const NAMES: &[&str] = &[
    "/help",
    "/system",
    "/regenerate",
    "/edit",
    "/continue",
    "/model",
    "/parameters",
    "/chats",
    "/load",
    "/save",
    "/clear",
    "/exit",
];

pub const HELP: &str = "\
/system [TEXT]             the system prompt, or another one; `default` goes back
/regenerate                another answer to the last message
/edit [TEXT]               the last message once more, changed
/continue                  goes on with an answer that was stopped
/model [NAME]              the models, or another one from here on
/parameters [NAME VALUE]   how answers are drawn, or another value; `default` goes back
/chats                     the chats that were saved, the newest first
/load NUMBER               goes on with one of them
/save FILE                 writes this chat as Markdown, or as JSON where FILE ends in .json
/clear                     begins a new chat; this one stays saved
/exit                      ends

A line that ends in \\ goes on in the next one; so does Alt-Enter. //text sends /text.
Ctrl-C stops an answer. Ctrl-D, or Ctrl-C twice, ends.";

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Order<'a> {
    /// Words for the model.
    Say(String),
    Nothing,
    Help,
    System(&'a str),
    Regenerate,
    Edit(&'a str),
    Continue,
    Model(&'a str),
    /// Name and value; both empty: to be shown.
    Parameters(&'a str, &'a str),
    Chats,
    Load(&'a str),
    Save(&'a str),
    Clear,
    Exit,
    Unknown(&'a str),
}

impl Order<'_> {
    pub fn read(line: &str) -> Order<'_> {
        let text = line.trim();
        if text.is_empty() {
            return Order::Nothing;
        }
        let Some(order) = text.strip_prefix('/') else { return Order::Say(line.to_string()) };
        if order.starts_with('/') {
            return Order::Say(order.to_string());
        }
        let (name, rest) = order.split_once(char::is_whitespace).unwrap_or((order, ""));
        let rest = rest.trim();
        match name {
            "help" | "?" => Order::Help,
            "system" => Order::System(rest),
            "regenerate" | "retry" => Order::Regenerate,
            "edit" => Order::Edit(rest),
            "continue" => Order::Continue,
            "model" | "models" => Order::Model(rest),
            "parameters" | "set" => {
                let (name, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                Order::Parameters(name, value.trim())
            }
            "chats" => Order::Chats,
            "load" => Order::Load(rest),
            "save" => Order::Save(rest),
            "clear" | "new" => Order::Clear,
            "exit" | "quit" | "bye" => Order::Exit,
            _ => Order::Unknown(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_makes_an_order_and_two_make_words() {
        assert_eq!(Order::read("  你好 "), Order::Say("  你好 ".to_string()));
        assert_eq!(Order::read("//etc/hosts?"), Order::Say("/etc/hosts?".to_string()));
        assert_eq!(Order::read("/system You are\n a pirate "), Order::System("You are\n a pirate"));
        assert_eq!(Order::read("/parameters top_k  5"), Order::Parameters("top_k", "5"));
        assert_eq!(Order::read("/bye"), Order::Exit);
        assert_eq!(Order::read("/dance"), Order::Unknown("dance"));
        assert_eq!(Order::read(" \t"), Order::Nothing);
    }

    #[test]
    fn every_order_that_is_completed_and_explained_is_known() {
        for name in NAMES {
            assert!(!matches!(Order::read(name), Order::Unknown(_) | Order::Say(_)), "{name}");
        }
        for line in HELP.lines().filter(|line| line.starts_with('/')) {
            let name = line.split(' ').next().unwrap();
            assert!(NAMES.contains(&name), "{name}");
        }
    }
}
