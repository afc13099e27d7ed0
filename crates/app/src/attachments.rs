//! Text files beside a message: read, counted, placed whole in the prompt or refused with the number by which they do not fit.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use huacaya_store::{Attachment, Body, ChatId, Parameters};

use crate::{
    App, blocking,
    chosen::Purpose,
    error::{Code, Error, Result},
    exchange,
    prompt::{Settled, with_attachments},
    transfer,
};

/// A text file of this size fills the largest contexts several times over.
const FILE_BYTES_MAX: usize = 16 << 20;
/// More chips than a composer can show.
const ATTACHMENTS_MAX: usize = 32;
/// Marks of the template around a lone message; a few tokens more than any template has.
const TEMPLATE_TOKENS: usize = 48;

/// Refuses what no face of ours would send.
pub(crate) fn check(attachments: &[Attachment]) -> Result<()> {
    if attachments.len() > ATTACHMENTS_MAX {
        let detail = format!("{} files are attached, {ATTACHMENTS_MAX} at most are taken", attachments.len());
        return Err(Error::new(Code::TextTooLong, detail)
            .with("length", attachments.len())
            .with("most", ATTACHMENTS_MAX));
    }
    attachments.iter().try_for_each(|file| within(&file.name, file.text.len()))
}

fn within(name: &str, bytes: usize) -> Result<()> {
    if bytes > FILE_BYTES_MAX {
        let detail = format!("{name} has {bytes} bytes, {FILE_BYTES_MAX} at most are taken");
        let error = Error::new(Code::AttachmentTooLarge, detail).with("name", name);
        return Err(error.with("bytes", bytes).with("most", FILE_BYTES_MAX));
    }
    Ok(())
}

/// The bytes of a plain file, if they are not too many: what is dropped may be a folder, a device or a disk image.
fn read_bounded(path: &Path, name: &str) -> Result<Vec<u8>> {
    let unreadable = |error: io::Error| Error::unreadable(path, &error);
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "not a file")));
    }
    within(name, usize::try_from(metadata.len()).unwrap_or(usize::MAX))?;
    let mut bytes = Vec::new();
    fs::File::open(path)
        .map_err(unreadable)?
        .take(FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    within(name, bytes.len())?;
    Ok(bytes)
}

/// What a text has in tokens where no tokenizer is at hand: about one for a Chinese character, one for four others.
pub(crate) fn guess_tokens(text: &str) -> usize {
    // CJK radicals begin there; what comes after is mostly wide.
    let wide = text.chars().filter(|letter| *letter >= '\u{2E80}').count();
    let narrow = text.chars().count() - wide;
    wide + narrow.div_ceil(4)
}

impl App {
    pub(crate) async fn read_attachment(
        &self,
        chat: Option<ChatId>,
        name: String,
        base64: String,
    ) -> Result<Attachment> {
        within(&name, base64.len() / 4 * 3)?;
        self.attach(chat, name, move |name| transfer::decode(name, &base64)).await
    }

    /// A file that was dropped on the window: the page knows its id only.
    pub(crate) async fn read_dropped(&self, chat: Option<ChatId>, chosen: u32) -> Result<Attachment> {
        let path = self.chosen(chosen, Purpose::Read)?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        self.attach(chat, name, move |name| read_bounded(&path, name)).await
    }

    async fn attach(
        &self,
        chat: Option<ChatId>,
        name: String,
        read: impl FnOnce(&str) -> Result<Vec<u8>> + Send + 'static,
    ) -> Result<Attachment> {
        let chat = match chat {
            Some(chat) => Some(self.inner.store.chat(chat).await?),
            None => None,
        };
        let settled = self.settle(chat.as_ref(), None, &Parameters::default()).await?;
        let app = self.clone();
        blocking(move || {
            let bytes = read(&name)?;
            let (text, encoding) = exchange::read_text(&name, &bytes)?;
            let mut file = Attachment { name, encoding: encoding.to_string(), text, tokens: 0 };
            file.tokens = app.count(&settled, &file.text).0 as u32;
            let body = Body { attachments: vec![file], ..Body::default() };
            app.refuse(&settled, &body)?;
            body.attachments.into_iter().next().ok_or_else(|| Error::internal("an attachment was lost"))
        })
        .await
    }

    /// A text's tokens; exact where the chat's model is in memory.
    pub(crate) fn count(&self, settled: &Settled, text: &str) -> (usize, bool) {
        match self.inner.place.of(settled.model) {
            Some(loaded) => (loaded.model.tokenize(text).len(), true),
            None => (guess_tokens(text), false),
        }
    }

    /// A message that does not fit even alone is refused before anything is written down, where the model is in memory
    /// to count; else the answer will say so. Gives the message back.
    pub(crate) async fn fitting(&self, settled: &Settled, body: Body) -> Result<Body> {
        let (app, settled) = (self.clone(), settled.clone());
        blocking(move || app.refuse(&settled, &body).map(|()| body)).await
    }

    fn refuse(&self, settled: &Settled, body: &Body) -> Result<()> {
        let Some(loaded) = self.inner.place.of(settled.model) else { return Ok(()) };
        let context = loaded.model.context();
        let taken = loaded.model.tokenize(&with_attachments(body)).len()
            + loaded.model.tokenize(&settled.system).len()
            + TEMPLATE_TOKENS;
        let over = taken.saturating_sub(context - settled.reserve(context));
        if over == 0 {
            return Ok(());
        }
        let detail = format!("the message is {over} tokens too long for the context of {context}");
        let error = match body.attachments.iter().max_by_key(|file| file.tokens) {
            Some(largest) => Error::new(Code::AttachmentOver, detail).with("name", &largest.name),
            None => Error::new(Code::PromptTooLong, detail),
        };
        Err(error.with("over", over).with("context", context))
    }
}
