//! `chat`: a conversation on the terminal. It is kept as the window's are, and whoever looks there sees it live.

mod answer;
mod line;
mod order;

use std::{
    io::{Write, stdout},
    path::{Path, PathBuf},
};

use clap::Args;
use huacaya_app::{
    Change, Changes, Error, Purpose, parameters,
    rows::{Chat, ChatId, Message, MessageId, MessageState, Model, ModelId, ModelKind, Parameters, Role, Snapshot},
};
use serde_json::{Map, Value, json};

use self::{
    answer::{Awaited, Shown, as_json, follow, tell},
    line::{Line, Lines},
    order::{HELP, Order},
};
use crate::{failure::Failure, library::Library, model::ComputeOptions, screen};

/// What was typed is kept here, in the data folder.
const HISTORY: &str = "chat_history";
/// Chats that are listed; `chats list` has all.
const CHATS_SHOWN: usize = 20;

#[derive(Args)]
pub struct Options {
    /// A model of the library, or a file that becomes one; the library's usual model where none is given
    #[arg(value_name = "MODEL")]
    model: Option<String>,
    /// The system prompt, instead of the usual one
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Go on with a chat, by its number in `chats list`
    #[arg(long, value_name = "NUMBER")]
    chat: Option<String>,
    #[command(flatten)]
    compute: ComputeOptions,
    /// Print each answer as one JSON object in a line
    #[arg(long)]
    json: bool,
    /// Say nothing but the answers
    #[arg(long)]
    quiet: bool,
}

/// What a chat that does not exist yet will answer with.
#[derive(Default)]
struct Wanted {
    model: Option<ModelId>,
    system: Option<String>,
    parameters: Parameters,
}

/// The conversation.
struct Talk<'a> {
    library: &'a Library,
    chat: Option<ChatId>,
    wanted: Wanted,
    json: bool,
    by_hand: bool,
    /// What the next line begins as.
    prefill: String,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    Library::with(options.quiet, async |library| {
        library.app.compute_here(options.compute.here());
        let mut lines = Lines::open(&library.app.places().home().join(HISTORY))?;
        let mut talk = Talk {
            library,
            chat: None,
            wanted: Wanted { system: options.system.clone(), ..Wanted::default() },
            json: options.json,
            by_hand: lines.by_hand(),
            prefill: String::new(),
        };
        if let Some(number) = &options.chat {
            talk.load(number).await?;
        }
        if let Some(name) = &options.model {
            talk.set_model(name).await?;
        }
        if let Some(system) = options.system.as_ref().filter(|_| options.chat.is_some()) {
            talk.set_system(system).await?;
        }
        if talk.by_hand && !options.quiet {
            eprintln!("{}. /help says what can be done here.", talk.model().await?.name);
        }
        talk.go_on(&mut lines).await
    })
}

impl Talk<'_> {
    /// Line by line to the end. A person is told what failed and goes on; so does a script, which fails at the end.
    async fn go_on(&mut self, lines: &mut Lines) -> Result<(), Failure> {
        let (mut leaving, mut failed) = (false, None);
        loop {
            let begun = std::mem::take(&mut self.prefill);
            let line = match self.library.stop.idle(|| lines.next(&begun))? {
                Line::End => break,
                Line::Interrupted if leaving => break,
                Line::Interrupted => {
                    leaving = true;
                    eprintln!("Ctrl-C again, or Ctrl-D, ends.");
                    continue;
                }
                Line::Text(line) => line,
            };
            leaving = false;
            match self.obey(Order::read(&line)).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(Failure::Unread) => return Err(Failure::Unread),
                Err(Failure::Interrupted) if self.by_hand => self.library.stop.done(),
                Err(Failure::Interrupted) => return Err(Failure::Interrupted),
                Err(failure) => {
                    eprintln!("{failure}");
                    failed = Some(failure);
                }
            }
        }
        match failed.filter(|_| !self.by_hand) {
            // What went wrong has been said.
            Some(_) => Err(Failure::Said("not every line was answered".to_string())),
            None => Ok(()),
        }
    }

    /// Does what was typed; whether to go on.
    async fn obey(&mut self, order: Order<'_>) -> Result<bool, Failure> {
        match order {
            Order::Nothing => {}
            Order::Say(text) => self.say(&text).await?,
            Order::Help => self.tell(HELP)?,
            Order::System("") => self.tell(&self.system().await?)?,
            Order::System(text) => self.set_system(text).await?,
            Order::Regenerate => self.regenerate().await?,
            Order::Edit(text) => self.edit(text).await?,
            Order::Continue => self.resume().await?,
            Order::Model("") => self.list_models().await?,
            Order::Model(name) => self.set_model(name).await?,
            Order::Parameters("", _) => self.list_parameters().await?,
            Order::Parameters(name, value) => self.set_parameter(name, value).await?,
            Order::Chats => self.list_chats().await?,
            Order::Load(number) => self.load(number).await?,
            Order::Save(file) => self.save(file).await?,
            Order::Clear => {
                // What was chosen for this one holds for the next.
                if let Some(Chat { model, system, parameters, .. }) = self.row().await? {
                    self.wanted = Wanted { model, system, parameters };
                }
                self.chat = None;
            }
            Order::Exit => return Ok(false),
            Order::Unknown(name) => {
                return Err(Failure::Usage(format!("/{name} is not known\nhelp: /help lists what is")));
            }
        }
        Ok(true)
    }

    /// Words of the program's own, which no answer is.
    fn tell(&self, text: &str) -> Result<(), Failure> {
        if self.json {
            eprintln!("{text}");
            return Ok(());
        }
        Ok(writeln!(stdout(), "{}", screen::clean(text))?)
    }

    async fn say(&mut self, text: &str) -> Result<(), Failure> {
        let mut changes = self.changes().await?;
        let chat = self.begin().await?;
        let sent: Value =
            self.call("send_message", json!({"chat": chat, "text": text, "attachments": [], "begin": ""})).await?;
        let answer = id(&sent["answer"]);
        self.show(&mut changes, chat, Awaited::Answer(answer), "").await
    }

    /// The chat, made with its first message.
    async fn begin(&mut self) -> Result<ChatId, Failure> {
        if let Some(chat) = self.chat {
            return Ok(chat);
        }
        let model = self.wanted.model;
        let made: Value = self.call("new_chat", json!({"kind": "chat", "model": model})).await?;
        let chat = ChatId(made["id"].as_i64().unwrap_or_default());
        self.chat = Some(chat);
        let Wanted { model, system, parameters } = std::mem::take(&mut self.wanted);
        self.change(|row| (row.model, row.system, row.parameters) = (model, system, parameters)).await?;
        Ok(chat)
    }

    async fn regenerate(&self) -> Result<(), Failure> {
        let last = self.last(Role::Assistant).await?;
        let mut changes = self.changes().await?;
        let answer: i64 = self.call("regenerate", json!({"message": last.id, "begin": ""})).await?;
        self.show(&mut changes, last.chat, Awaited::Answer(MessageId(answer)), "").await
    }

    /// The last message once more: as given, or where a person types, to be changed in the next line.
    async fn edit(&mut self, text: &str) -> Result<(), Failure> {
        let last = self.last(Role::User).await?;
        if text.is_empty() {
            if !self.by_hand {
                return Err(Failure::Usage("/edit needs the text of the message".to_string()));
            }
            let before = last.body.unwrap_or_default().text;
            self.prefill = format!("/edit {}", before.replace('\n', "\\\n"));
            return Ok(());
        }
        let mut changes = self.changes().await?;
        let asked = json!({"message": last.id, "text": text, "attachments": [], "answer": true});
        let question: i64 = self.call("edit_message", asked).await?;
        self.show(&mut changes, last.chat, Awaited::To(MessageId(question)), "").await
    }

    async fn resume(&self) -> Result<(), Failure> {
        let last = self.last(Role::Assistant).await?;
        let mut changes = self.changes().await?;
        self.call::<Value>("continue_message", json!({"message": last.id})).await?;
        let before = last.body.unwrap_or_default().text;
        self.show(&mut changes, last.chat, Awaited::Answer(last.id), &before).await
    }

    /// An answer, to its end.
    async fn show(&self, changes: &mut Changes, chat: ChatId, awaited: Awaited, before: &str) -> Result<(), Failure> {
        let mut shown = Shown::new(!self.json, self.by_hand).after(before);
        let ended = follow(self.library, changes, chat, awaited, &mut shown).await?;
        if self.json {
            writeln!(stdout(), "{}", as_json(&ended)?)?;
        }
        tell(&ended, self.library.quiet || !self.by_hand)?;
        let stopped = ended.state == MessageState::Stopped && !self.by_hand;
        if stopped { Err(Failure::Interrupted) } else { Ok(()) }
    }

    async fn call<T: serde::de::DeserializeOwned>(&self, name: &str, arguments: Value) -> Result<T, Failure> {
        self.library.call(name, arguments).await
    }

    /// Every change from now on.
    async fn changes(&self) -> Result<Changes, Failure> {
        let mut changes = self.library.app.subscribe();
        // The stream begins with its first batch, a snapshot.
        changes.next().await.ok_or_else(Error::closing)?;
        Ok(changes)
    }

    async fn row(&self) -> Result<Option<Chat>, Failure> {
        let Some(chat) = self.chat else { return Ok(None) };
        Ok(self.library.rows().await?.chats.into_iter().find(|row| row.id == chat))
    }

    /// The messages that are shown of this chat, the first first.
    async fn path(&self) -> Result<Vec<Message>, Failure> {
        let Some(chat) = self.chat else { return Ok(Vec::new()) };
        let mut changes = self.library.app.subscribe();
        let mut asked = false;
        loop {
            let Some(batch) = self.library.glance(&mut changes).await? else { continue };
            if !std::mem::replace(&mut asked, true) {
                self.call::<Value>("open_chat", json!({"chat": chat})).await?;
            }
            for change in batch {
                if let Change::Opened { messages, chat: opened } = change
                    && opened == chat
                {
                    self.call::<Value>("close_chat", json!({"chat": chat})).await?;
                    return Ok(path_to(messages, self.row().await?.and_then(|row| row.leaf)));
                }
            }
        }
    }

    async fn last(&self, role: Role) -> Result<Message, Failure> {
        let last = self.path().await?.into_iter().rfind(|message| message.role == role);
        last.ok_or_else(|| Failure::Usage("nothing has been said yet".to_string()))
    }

    /// Changes what is answered with: of the chat, or of the one to come.
    async fn change(&mut self, work: impl FnOnce(&mut Wanted)) -> Result<(), Failure> {
        let Some(row) = self.row().await? else {
            work(&mut self.wanted);
            return Ok(());
        };
        let Chat { id, persona, model, system, parameters, .. } = row;
        let mut values = Wanted { model, system, parameters };
        work(&mut values);
        let Wanted { model, system, parameters } = values;
        let asked = json!({"chat": id, "persona": persona, "model": model, "system": system, "parameters": parameters});
        self.call::<Value>("set_chat", asked).await?;
        Ok(())
    }

    async fn set_system(&mut self, text: &str) -> Result<(), Failure> {
        let system = (text != "default").then(|| text.to_string());
        self.change(|values| values.system = system).await
    }

    async fn system(&self) -> Result<String, Failure> {
        let rows = self.library.rows().await?;
        let row = self.chat.and_then(|chat| rows.chats.iter().find(|row| row.id == chat));
        let own = row.map_or(&self.wanted.system, |row| &row.system).clone();
        let persona = rows.personas.iter().find(|persona| row.is_some_and(|row| row.persona == Some(persona.id)));
        let of_persona = persona.map(|persona| persona.system.clone()).filter(|system| !system.is_empty());
        let of_person = setting::<String>(&rows, "system_prompt");
        Ok(own.or(of_persona).or(of_person).unwrap_or_else(|| parameters::SYSTEM_PROMPT.to_string()))
    }

    /// Takes a file into the library where it is not there yet.
    async fn set_model(&mut self, name: &str) -> Result<(), Failure> {
        let model = match self.library.model(name).await {
            Ok(model) => model,
            Err(failure) => {
                if !Path::new(name).exists() {
                    return Err(failure);
                }
                self.library.take_in(Path::new(name), false).await?
            }
        };
        if model.kind == ModelKind::Adapter {
            return Err(Failure::Unusable(format!("{} is a LoRA adapter: merge it into its base first", model.name)));
        }
        self.change(|values| values.model = Some(model.id)).await
    }

    /// What answers.
    async fn model(&self) -> Result<Model, Failure> {
        let own = self.row().await?.map_or(self.wanted.model, |row| row.model);
        let id = match own {
            Some(id) => id,
            None => self.library.app.default_model().await?,
        };
        let found = self.library.rows().await?.models.into_iter().find(|model| model.id == id);
        found.ok_or_else(|| {
            Failure::NotThere("the chat's model is no longer in the list\nhelp: /model NAME".to_string())
        })
    }

    async fn list_models(&self) -> Result<(), Failure> {
        let now = self.model().await.map(|model| model.id).ok();
        let models = self.library.rows().await?.models;
        let line = |model: &Model| {
            let mark = if Some(model.id) == now { "*" } else { " " };
            format!("{mark} {}  {}", model.name, model.quantization)
        };
        let chats = models.iter().filter(|model| model.kind != ModelKind::Adapter);
        self.tell(&chats.map(line).collect::<Vec<_>>().join("\n"))
    }

    async fn set_parameter(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let set = self.row().await?.map_or_else(|| self.wanted.parameters.clone(), |row| row.parameters);
        let mut fields = as_fields(&set)?;
        if !fields.contains_key(name) {
            let known: Vec<&str> = fields.keys().map(String::as_str).collect();
            return Err(Failure::Usage(format!("there is no parameter {name}\nhelp: there are {}", known.join(", "))));
        }
        let value = match value {
            "default" => Value::Null,
            // What is no JSON is a text.
            value => serde_json::from_str(value).unwrap_or_else(|_| Value::from(value)),
        };
        fields.insert(name.to_string(), value);
        let wrong = |error| Failure::Usage(format!("{name}: {error}"));
        let changed: Parameters = serde_json::from_value(Value::Object(fields)).map_err(wrong)?;
        parameters::check(&changed)?;
        self.change(|values| values.parameters = changed).await
    }

    async fn list_parameters(&self) -> Result<(), Failure> {
        let rows = self.library.rows().await?;
        let row = self.chat.and_then(|chat| rows.chats.iter().find(|row| row.id == chat));
        let persona = rows.personas.iter().find(|persona| row.is_some_and(|row| row.persona == Some(persona.id)));
        let person = setting::<Parameters>(&rows, "parameters").unwrap_or_default();
        let of_model = self.model().await?.parameters;
        let own = row.map_or(&self.wanted.parameters, |row| &row.parameters);
        let layers = [Some(&of_model), Some(&person), persona.map(|persona| &persona.parameters), Some(own)];
        let settled = layers.into_iter().flatten().fold(parameters::program(), parameters::merge);
        let line = |(name, value): (String, Value)| {
            if value.is_null() { format!("{name:<20} -") } else { format!("{name:<20} {value}") }
        };
        self.tell(&as_fields(&settled)?.into_iter().map(line).collect::<Vec<_>>().join("\n"))
    }

    async fn list_chats(&self) -> Result<(), Failure> {
        let mut chats = self.library.rows().await?.chats;
        chats.sort_by_key(|chat| std::cmp::Reverse(chat.changed_ms));
        let line = |chat: &Chat| format!("{}  {}", chat.id.0, chat.shown_title());
        self.tell(&chats.iter().take(CHATS_SHOWN).map(line).collect::<Vec<_>>().join("\n"))
    }

    async fn load(&mut self, number: &str) -> Result<(), Failure> {
        let chats = self.library.rows().await?.chats;
        let chat = chats.into_iter().find(|chat| chat.id.0.to_string() == number).ok_or_else(|| {
            Failure::NotThere(format!("there is no chat {number:?}\nhelp: `huacaya-cli chats list` shows the numbers"))
        })?;
        if chat.kind != huacaya_app::rows::ChatKind::Chat {
            return Err(Failure::Usage(format!("{number} is a page of text, not a chat")));
        }
        self.chat = Some(chat.id);
        if self.library.quiet || self.json {
            return Ok(());
        }
        for Message { role, body, .. } in self.path().await? {
            let mark = if role == Role::User { "> " } else { "" };
            self.tell(&format!("{mark}{}", body.unwrap_or_default().text))?;
        }
        Ok(())
    }

    async fn save(&self, file: &str) -> Result<(), Failure> {
        let Some(chat) = self.chat else { return Err(Failure::Usage("nothing has been said yet".to_string())) };
        if file.is_empty() {
            return Err(Failure::Usage("/save needs a file's name; the chat itself is saved already".to_string()));
        }
        let path = PathBuf::from(file);
        crate::convert::is_free(&path)?;
        let format = if path.extension().is_some_and(|ending| ending == "json") { "json" } else { "markdown" };
        let chosen = self.library.app.offer(&path, Purpose::Write)?.id;
        self.call("export_chats", json!({"chats": [chat], "format": format, "chosen": chosen})).await
    }
}

fn id(value: &Value) -> MessageId {
    MessageId(value.as_i64().unwrap_or_default())
}

fn as_fields(parameters: &Parameters) -> Result<Map<String, Value>, Failure> {
    match serde_json::to_value(parameters).map_err(Error::internal)? {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}

fn setting<T: serde::de::DeserializeOwned>(rows: &Snapshot, key: &str) -> Option<T> {
    let row = rows.settings.iter().find(|setting| setting.key == key)?;
    serde_json::from_value(row.value.clone()).ok()
}

/// From the root to this leaf.
fn path_to(messages: Vec<Message>, leaf: Option<MessageId>) -> Vec<Message> {
    let mut path = Vec::new();
    let mut next = leaf;
    while let Some(message) = messages.iter().find(|message| Some(message.id) == next) {
        next = message.parent;
        path.push(message.clone());
    }
    path.reverse();
    path
}
