//! Everything a face can ask for: the one table of commands.
//!
//! A line gives a command's meaning, name, arguments with their types, result and one line of work. From it come the
//! dispatch by name ([`App::call`]) and the typed TypeScript client (`bindings`). On the wire names and fields are
//! snake_case; arguments are an object; an optional argument may be left out; an unknown one is an error.

use std::pin::Pin;

use huacaya_store::{
    AnswerFormat, Attachment, Chat, ChatId, ChatKind, Connection, Example, Folder, FolderId, Found, JobId, MessageId,
    ModelId, Parameters, Persona, PersonaId, ReportId, Strength,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use ts_rs::{Config, TS};

use crate::{
    App,
    bindings::{Argument, Declared, Types},
    browse::Listing,
    catalogue::CataloguePage,
    chats::{ChatEdit, NewChat},
    chosen::Chosen,
    computing::{ComputeChoices, Tuned},
    context::ContextUse,
    deletion::Deletion,
    devices::Device,
    diagnostics::Diagnostics,
    elsewhere::Elsewhere,
    error::{Code, Error, Result},
    exchange::{Format, Imported},
    finding::{HubHit, RepositoryPage},
    inspector::Inspection,
    metadata::ModelInside,
    models::{Fit, Scan},
    network::{Dialect, NetworkState, NewEndpoint, Reach, TokenPlace},
    pages::NextToken,
    parameters::Defaults,
    personas::PersonaFields,
    storage::DiskUse,
    talking::{Sending, Sent},
    workshop::{ImportanceFrom, MeasureRequest, Output, ReportFormat, Target, planning::MakingPlan, request::Making},
};

/// A command at work, its own type forgotten: a face only has to know that it may move between threads.
type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

macro_rules! commands {
    ($($(#[doc = $doc:literal])+ $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty = |$app:ident| $work:expr;)+) => {
        /// The names of all commands.
        pub const NAMES: &[&str] = &[$(stringify!($name)),+];

        impl App {
            /// Runs the command of this name.
            pub async fn call(&self, name: &str, arguments: Value) -> Result<Value> {
                match name {
                    $(stringify!($name) => {
                        #[derive(serde::Deserialize)]
                        #[serde(deny_unknown_fields)]
                        struct Arguments { $($argument: $type),* }
                        let Arguments { $($argument),* } = read(name, arguments)?;
                        let $app = self;
                        let work: Work<'_, $result> = Box::pin(async move { $work.await });
                        let result = work.await?;
                        write(name, &result)
                    })+
                    _ => Err(Error::new(Code::UnknownCommand, format!("there is no command `{name}`")).with("command", name)),
                }
            }
        }

        /// The table as data, and every type that it names.
        pub fn declared(config: &Config, types: &mut Types) -> Vec<Declared> {
            vec![$({
                $(types.add::<$type>();)*
                types.add::<$result>();
                Declared {
                    doc: [$($doc),+].map(str::trim).join(" "),
                    name: stringify!($name),
                    arguments: vec![$(Argument {
                        name: stringify!($argument),
                        optional: <$type as TS>::IS_OPTION,
                        kind: <$type as TS>::name(config),
                    }),*],
                    result: <$result as TS>::name(config),
                }
            }),+]
        }
    };
}

commands! {
    // Chats

    /// A new, empty chat or page.
    new_chat(kind: ChatKind, folder: Option<FolderId>, persona: Option<PersonaId>, model: Option<ModelId>) -> Chat
        = |app| app.new_chat(NewChat { kind, folder, persona, model });
    /// Renames a chat. An empty title goes back to the first message's words.
    rename_chat(chat: ChatId, title: String) -> () = |app| app.rename_chat(chat, title);
    /// Pins a chat to the top of the list, or lets it go.
    pin_chat(chat: ChatId, pinned: bool) -> () = |app| app.pin_chat(chat, pinned);
    /// Puts a chat into a folder, or out of any.
    move_chat(chat: ChatId, folder: Option<FolderId>) -> () = |app| app.move_chat(chat, folder);
    /// Deletes a chat; its answers stop. `restore_chat` undoes it.
    delete_chat(chat: ChatId) -> () = |app| app.delete_chat(chat);
    /// Undoes `delete_chat`.
    restore_chat(chat: ChatId) -> () = |app| app.restore_chat(chat);
    /// What a chat answers with; these are the whole new values, an absent one goes back to the layer below.
    set_chat(chat: ChatId, persona: Option<PersonaId>, model: Option<ModelId>, system: Option<String>, parameters: Parameters) -> ()
        = |app| app.set_chat(chat, ChatEdit { persona, model, system, parameters });
    /// The adapters that a chat's answers are made with, in their order.
    set_adapters(chat: ChatId, adapters: Vec<Strength>) -> () = |app| app.set_adapters(chat, adapters);
    /// A new chat that holds a copy of the path up to this message.
    branch_chat(message: MessageId) -> Chat = |app| app.branch_chat(message);
    /// Asks for a chat's messages: they come as the change `opened`, and its changes from then on.
    open_chat(chat: ChatId) -> () = |app| app.open_chat(chat);
    /// The face no longer shows this chat.
    close_chat(chat: ChatId) -> () = |app| app.close_chat(chat);
    /// Asks for the bodies of messages off the visible path: they come as changes `message`.
    read_messages(messages: Vec<MessageId>) -> () = |app| app.read_messages(messages);
    /// A new folder.
    new_folder(name: String) -> Folder = |app| app.new_folder(name);
    /// Renames, opens or folds a folder.
    set_folder(folder: FolderId, name: String, open: bool) -> () = |app| app.set_folder(folder, name, open);
    /// Deletes a folder; its chats move out of it.
    delete_folder(folder: FolderId) -> () = |app| app.delete_folder(folder);

    // Talking

    /// Sends a message below `parent` (absent: below the chat's leaf) and has it answered. Without a chat it makes one.
    /// The answer begins with the words of `begin`.
    send_message(chat: Option<ChatId>, parent: Option<MessageId>, text: String, attachments: Vec<Attachment>, begin: String) -> Sent
        = |app| app.send_message(Sending { chat, parent, text, attachments, begin });
    /// Another answer to the same message, as a sibling; with another model or other parameters, if given.
    regenerate(message: MessageId, model: Option<ModelId>, parameters: Option<Parameters>, begin: String) -> MessageId
        = |app| app.regenerate(message, model, parameters, begin);
    /// The same answer again, as a sibling: with the model, template, values and seed that made it.
    run_again(message: MessageId) -> MessageId = |app| app.run_again(message);
    /// Goes on with an answer that was stopped, interrupted or cut at its length.
    continue_message(message: MessageId) -> () = |app| app.continue_message(message);
    /// Stops an answer that is being written; what is there is kept.
    stop_message(message: MessageId) -> () = |app| app.stop_message(message);
    /// A changed copy of a message, as a sibling. `answer`: have it answered (a person's message).
    edit_message(message: MessageId, text: String, attachments: Vec<Attachment>, answer: bool) -> MessageId
        = |app| app.edit_message(message, text, attachments, answer);
    /// Shows the path through this message, down to the leaf that was chosen last below it.
    choose_leaf(chat: ChatId, message: MessageId) -> () = |app| app.choose_leaf(chat, message);
    /// Deletes a message with everything below it. `restore_message` undoes it.
    delete_message(message: MessageId) -> () = |app| app.delete_message(message);
    /// Undoes `delete_message`.
    restore_message(message: MessageId) -> () = |app| app.restore_message(message);
    /// Keeps what was typed and not sent.
    save_draft(chat: Option<ChatId>, text: String, attachments: Vec<Attachment>) -> ()
        = |app| app.save_draft(chat, text, attachments);

    // Pages

    /// Has the text of a page continued. A text other than the page's path starts a new root.
    continue_page(chat: ChatId, text: String) -> MessageId = |app| app.continue_page(chat, text);
    /// The likeliest next tokens after this text, with their probabilities.
    next_tokens(chat: ChatId, text: String, count: u32) -> Vec<NextToken> = |app| app.next_tokens(chat, text, count);

    // Reading

    /// Reads a text file: its encoding is found, its tokens counted with the chat's model.
    read_attachment(chat: Option<ChatId>, name: String, base64: String) -> Attachment
        = |app| app.read_attachment(chat, name, base64);
    /// Reads a text file that was dropped on the window, as `read_attachment` does.
    read_dropped(chat: Option<ChatId>, chosen: u32) -> Attachment = |app| app.read_dropped(chat, chosen);
    /// How the context would be used if this were sent now.
    context(chat: Option<ChatId>, text: String, attachments: Vec<Attachment>) -> ContextUse
        = |app| app.context(chat, text, attachments);
    /// The prompt as the model would see it, token by token.
    inspect_prompt(chat: Option<ChatId>, text: String) -> Inspection = |app| app.inspect_prompt(chat, text);
    /// Finds chats and messages by their words.
    search(text: String, limit: u32) -> Vec<Found> = |app| app.search(&text, limit);

    // Choosing files where there is no system dialog

    /// The folders to choose in, as they are shown; a folder's place in this list is its number.
    listed_folders() -> Vec<String> = |app| app.listed_folders();
    /// What stands in the folder that `path`, a list of names, leads to from the listed folder of this number.
    list_folder(root: u32, path: Vec<String>) -> Listing = |app| app.list_folder(root, path);
    /// Chooses a file or folder to read.
    choose_listed(root: u32, path: Vec<String>) -> Chosen = |app| app.choose_listed(root, path);
    /// Chooses a file of this name to write, in the folder that `path` leads to. `replace`: although there is one.
    choose_new(root: u32, path: Vec<String>, name: String, replace: bool) -> Chosen
        = |app| app.choose_new(root, path, name, replace);

    // Personas

    /// Makes a persona, or gives one new values.
    save_persona(persona: Option<PersonaId>, name: String, system: String, parameters: Parameters, greeting: String, examples: Vec<Example>) -> Persona
        = |app| app.save_persona(persona, PersonaFields { name, system, parameters, greeting, examples });
    /// Deletes a persona. `restore_persona` undoes it.
    delete_persona(persona: PersonaId) -> () = |app| app.delete_persona(persona);
    /// Undoes `delete_persona`.
    restore_persona(persona: PersonaId) -> () = |app| app.restore_persona(persona);
    /// Makes a persona of a character card (JSON, or PNG with the card inside).
    import_character(name: String, base64: String) -> Persona = |app| app.import_character(name, base64);

    // Finding

    /// The models that the program offers, with what each needs on this machine, and one to begin with.
    catalogue() -> CataloguePage = |app| app.catalogue();

    // Models

    /// Takes a model into the list (a GGUF file, one of several parts, a folder, a LoRA adapter): in its place, or copied
    /// into the storage folder.
    import_model(chosen: u32, copy: bool) -> JobId = |app| app.import_model(chosen, copy);
    /// Looks for models that other programs keep on this machine.
    find_elsewhere() -> Vec<Elsewhere> = |app| app.find_elsewhere();
    /// Finds out which model a file is, whatever its name, and whether it is whole.
    recognise(chosen: u32) -> JobId = |app| app.recognise(chosen);
    /// Looks through the storage folder for files that are not in the list.
    scan_models() -> Scan = |app| app.scan_models();
    /// Brings a model into memory. `anyway`: although it may not fit.
    load_model(model: ModelId, context: Option<u32>, kv: Option<String>, anyway: bool) -> JobId
        = |app| app.load_model(model, context, kv, anyway);
    /// Loads a model and measures again which way of computing is the fastest for models like it on this machine.
    tune_model(model: ModelId) -> JobId = |app| app.tune_model(model);
    /// What was measured for models of this one's shape on this machine, if anything was.
    tuning(model: ModelId) -> Option<Tuned> = |app| app.tuning(model);
    /// Takes a model out of memory; answers that it writes stop.
    unload_model(model: ModelId) -> () = |app| app.unload_model(model);
    /// What a model would need in memory, compared with what is free.
    estimate(model: ModelId, context: Option<u32>) -> Fit = |app| app.estimate(model, context);
    /// Gives a model another name; the file keeps its own.
    rename_model(model: ModelId, name: String) -> () = |app| app.rename_model(model, name);
    /// Sets a model's template (absent: the one found), its own parameters and the persona of new chats with it, and
    /// the smaller model of the same vocabulary that guesses ahead for it.
    set_model(
        model: ModelId, template: Option<String>, parameters: Parameters, persona: Option<PersonaId>, draft: Option<ModelId>
    ) -> () = |app| app.set_model(model, template, parameters, persona, draft);
    /// The names of the templates that a model can be set to.
    templates(model: ModelId) -> Vec<String> = |app| app.templates(model);
    /// Takes a model out of the list; the file stays. `restore_model` undoes it.
    remove_model(model: ModelId) -> () = |app| app.remove_model(model);
    /// What deleting a model would do.
    deletion(model: ModelId) -> Deletion = |app| app.deletion(model);
    /// Deletes a model with its files (one outside the storage folder is only taken off the list). `restore_model` undoes
    /// it until the next start.
    delete_model(model: ModelId) -> () = |app| app.delete_model(model);
    /// Removes for good what was deleted.
    purge_deleted() -> () = |app| app.purge_deleted();
    /// Undoes `remove_model` and `delete_model`.
    restore_model(model: ModelId) -> () = |app| app.restore_model(model);
    /// Says where the file of a model is now.
    locate_model(model: ModelId, chosen: u32) -> () = |app| app.locate_model(model, chosen);

    /// What a model's files say: every key, every tensor.
    read_metadata(model: ModelId) -> ModelInside = |app| app.read_metadata(model);
    /// Computes a model's hash again and compares it with the one that is known.
    verify_model(model: ModelId) -> JobId = |app| app.verify_model(model);
    /// What the models take of the disk.
    disk_use() -> DiskUse = |app| app.disk_use();
    /// Moves the storage folder into the chosen, empty one.
    move_storage(chosen: u32) -> JobId = |app| app.move_storage(chosen);

    // Finding

    /// Finds repositories on the hub by their names.
    search_hub(text: String) -> Vec<HubHit> = |app| app.search_hub(text);
    /// Reads a repository (`owner/name`, or an address of the hub) or a direct address of a model file: what there is to
    /// download, and how it would run here.
    read_repository(address: String) -> RepositoryPage = |app| app.read_repository(address);
    /// Downloads a choice of a repository's page, or a file of a catalogue's entry. One under way already: its id.
    download(address: String, choice: String) -> JobId = |app| app.download(address, choice);
    /// Downloads a LoRA of the catalogue and its base, and merges them.
    download_merged(entry: String) -> JobId = |app| app.download_merged(entry);
    /// Merges an adapter into a base, as a new model.
    merge(base: ModelId, adapter: ModelId, strength: f32, name: String) -> JobId
        = |app| app.merge(base, adapter, strength, name);

    // Workshop

    /// What could be made of a model (merged with these adapters): sizes, memory, speed, and what is recommended here.
    plan_making(source: ModelId, adapters: Vec<Strength>, context: Option<u32>) -> MakingPlan
        = |app| app.plan_making(source, adapters, context);
    /// Makes models of a model: merged with adapters, quantized, measured where wanted.
    make(name: String, source: ModelId, adapters: Vec<Strength>, targets: Vec<Target>, importance: Option<ImportanceFrom>, measure: Option<MeasureRequest>, output: Output) -> JobId
        = |app| app.make(Making { name, source, adapters, targets, importance, measure, output });
    /// Measures models side by side, as a report; `against`: what divergence is from (absent: the first).
    measure(models: Vec<ModelId>, against: Option<ModelId>, options: MeasureRequest) -> JobId
        = |app| app.measure_side_by_side(models, against, options);
    /// Gives a report another title.
    rename_report(report: ReportId, title: String) -> () = |app| app.rename_report(report, title);
    /// Deletes a report, not its models. `restore_report` undoes it.
    delete_report(report: ReportId) -> () = |app| app.delete_report(report);
    /// Undoes `delete_report`.
    restore_report(report: ReportId) -> () = |app| app.restore_report(report);
    /// Writes a report into the chosen file.
    export_report(report: ReportId, format: ReportFormat, chosen: u32) -> ()
        = |app| app.export_report(report, format, chosen);
    /// Keeps one of the models that were made for a report and deletes the others. `restore_model` undoes each.
    keep_made(report: ReportId, model: ModelId) -> () = |app| app.keep_made(report, model);

    // Network

    /// The endpoints, the proxy and the offline switch, as they are in force.
    network() -> NetworkState = |app| app.network();
    /// Sets the endpoints, in the order in which they are asked; none: the program's own.
    set_endpoints(endpoints: Vec<NewEndpoint>) -> () = |app| app.set_endpoints(endpoints);
    /// Tries whether an endpoint is reached, and how fast it is.
    test_endpoint(url: String, dialect: Dialect) -> Reach = |app| app.test_endpoint(url, dialect);
    /// Keeps a token for an endpoint's host, or forgets it (absent); says where it is kept.
    set_token(url: String, token: Option<String>) -> TokenPlace = |app| app.set_token(url, token);
    /// The token that programs must bring to the local server; made where there is none yet.
    server_token() -> String = |app| app.server_token();
    /// A new token; the one before is worth nothing from now on.
    renew_server_token() -> String = |app| app.renew_server_token();
    /// Empties the list of requests.
    forget_requests() -> () = |app| app.forget_requests();
    /// The connections made last, the newest first.
    connections(limit: u32) -> Vec<Connection> = |app| app.connections(limit);
    /// Empties the list of connections.
    forget_connections() -> () = |app| app.forget_connections();

    // Jobs

    /// Stops a job for good; what a download left is removed.
    stop_job(job: JobId) -> () = |app| app.stop_job(job);
    /// Lets a download wait; what is there is kept.
    pause_job(job: JobId) -> () = |app| app.pause_job(job);
    /// Goes on with a download that was paused.
    resume_job(job: JobId) -> () = |app| app.resume_job(job);
    /// Puts a job before another one in the queue (absent: at its end).
    move_job(job: JobId, before: Option<JobId>) -> () = |app| app.move_job(job, before);
    /// Runs a job again that failed, was stopped or was interrupted.
    retry_job(job: JobId) -> JobId = |app| app.retry_job(job);
    /// Takes a finished job out of the list.
    dismiss_job(job: JobId) -> () = |app| app.dismiss_job(job);

    // Settings

    /// Sets a setting; null goes back to the default.
    set_setting(key: String, value: Value) -> () = |app| app.set_setting(key, value);
    /// The program's own defaults, every value filled where there is one.
    defaults() -> Defaults = |app| app.defaults();
    /// Whether answers can be held to this form: an error names the place of its fault.
    check_format(format: AnswerFormat) -> () = |app| app.check_format(format);
    /// What to copy into a report: version, hardware, places, the end of the log.
    diagnostics() -> Diagnostics = |app| app.diagnostics();
    /// Where models can run, and why not elsewhere.
    devices() -> Vec<Device> = |app| app.devices();
    /// Forgets what was found out about graphics drivers: each is tried again when it is needed next.
    try_graphics_again() -> () = |app| app.try_graphics_again();
    /// What there is to choose from about computing on this machine's processor.
    compute_choices() -> ComputeChoices = |app| app.compute_choices();

    // Exchange

    /// Writes chats (absent: all) into the chosen file.
    export_chats(chats: Option<Vec<ChatId>>, format: Format, chosen: u32) -> () = |app| app.export_chats(chats, format, chosen);
    /// One chat as text, to copy.
    export_text(chat: ChatId, format: Format) -> String = |app| app.export_text(chat, format);
    /// Takes chats in: this program's JSON, or ChatGPT's `conversations.json`.
    import_chats(name: String, base64: String) -> Imported = |app| app.import_chats(name, base64);
}

fn read<T: DeserializeOwned>(command: &str, arguments: Value) -> Result<T> {
    let arguments = if arguments.is_null() { Value::Object(Default::default()) } else { arguments };
    serde_json::from_value(arguments).map_err(|error| {
        Error::new(Code::WrongArguments, format!("arguments of `{command}`: {error}"))
            .with("command", command)
            .with("reason", error)
    })
}

fn write<T: Serialize>(command: &str, result: &T) -> Result<Value> {
    serde_json::to_value(result).map_err(|error| {
        Error::new(Code::Internal, format!("the result of `{command}` has no JSON form: {error}")).with("reason", error)
    })
}
