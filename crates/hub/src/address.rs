//! What a person pastes to name a model: `owner/name`, an address of a hub, or the address of a `.gguf` itself.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::{
    error::{Error, Result, host_of},
    names::{FileName, RepositoryId},
    network::{Dialect, Endpoint, is_loopback},
};

/// Longer than any address that a hub gives.
const ADDRESS_BYTES_MAX: usize = 4096;
/// Hosts that are known without being set up. Short names lead to the first of their dialect.
const KNOWN_HOSTS: [(&str, Dialect); 7] = [
    ("huggingface.co", Dialect::HuggingFace),
    ("www.huggingface.co", Dialect::HuggingFace),
    ("hf.co", Dialect::HuggingFace),
    ("hf-mirror.com", Dialect::HuggingFace),
    ("modelscope.cn", Dialect::ModelScope),
    ("www.modelscope.cn", Dialect::ModelScope),
    ("modelscope.com.cn", Dialect::ModelScope),
];
/// First words of a path on Hugging Face that name no owner.
const NO_OWNERS: [&str; 9] = ["datasets", "spaces", "collections", "papers", "docs", "blog", "posts", "api", "models"];

/// What an address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Repository(Place),
    /// A file outside any hub that is known, by its own address.
    File(Url),
}

/// A repository, and what of it was pointed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub id: RepositoryId,
    /// A branch, a tag or a commit.
    pub revision: Option<String>,
    pub file: Option<FileName>,
    /// `hf.co/owner/name:Q4_K_M` names a file by its quantization.
    pub quantization: Option<String>,
    /// `host` or `host:port` of the address; absent for a bare `owner/name`.
    pub host: Option<String>,
}

impl Place {
    fn new(id: RepositoryId) -> Place {
        Place { id, revision: None, file: None, quantization: None, host: None }
    }
}

impl Address {
    /// Reads what was typed or pasted. `endpoints` are the hubs that are set up, beside the known ones.
    pub fn parse(text: &str, endpoints: &[Endpoint]) -> Result<Address> {
        let text = pasted(text);
        let wrong = |reason: &str| Error::Address { text: text.chars().take(200).collect(), reason: reason.to_owned() };
        if text.is_empty() {
            return Err(wrong("nothing was given; a repository is named `owner/name`"));
        }
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        if text.contains(|letter: char| letter.is_control() || letter.is_whitespace()) {
            return Err(wrong("it holds a space"));
        }
        if !text.contains("://") {
            if let Some(place) = bare(text) {
                return Ok(Address::Repository(place));
            }
            let first = text.split('/').next().unwrap_or_default();
            let is_host = first.contains('.') || first.contains(':');
            if !text.contains('/') || !is_host {
                return Err(wrong("a repository is named `owner/name`"));
            }
        }
        let written_out = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(&written_out).map_err(|error| wrong(&error.to_string()))?;
        of_url(&url, endpoints).map_err(|reason| wrong(&reason))
    }
}

/// Without what stands around an address in a terminal or a chat.
fn pasted(text: &str) -> &str {
    let mut text = text.trim().trim_matches(['<', '>', '`', '"', '\'', '“', '”']).trim();
    for command in ["ollama run ", "ollama pull "] {
        text = text.strip_prefix(command).unwrap_or(text).trim();
    }
    text
}

/// `owner/name` or `owner/name:Q4_K_M`.
fn bare(text: &str) -> Option<Place> {
    let (id, quantization) = text.split_once(':').map_or((text, None), |(id, tag)| (id, Some(tag)));
    let id = RepositoryId::parse(id)?;
    // `example.com/model.gguf` names a host, `owner/name.gguf` hardly a repository.
    if is_known_host(id.owner()) || id.name().to_ascii_lowercase().ends_with(".gguf") {
        return None;
    }
    Some(Place { quantization: tag(quantization)?, ..Place::new(id) })
}

/// `latest` is what Ollama writes where nothing was chosen. `Some(None)`: no tag.
fn tag(text: Option<&str>) -> Option<Option<String>> {
    let plain = |tag: &str| {
        !tag.is_empty()
            && tag.len() <= 32
            && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    match text {
        None | Some("latest") => Some(None),
        Some(tag) => plain(tag).then(|| Some(tag.to_owned())),
    }
}

fn is_known_host(host: &str) -> bool {
    KNOWN_HOSTS.iter().any(|(known, _)| known.eq_ignore_ascii_case(host))
}

fn of_url(url: &Url, endpoints: &[Endpoint]) -> Result<Address, String> {
    if !matches!(url.scheme(), "https" | "http") {
        return Err(format!("`{}` addresses are not fetched; give one that begins with https", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a name or a password; set a token instead".to_owned());
    }
    let host = host_of(url);
    let set_up = endpoints.iter().find(|endpoint| is_under(&endpoint.url, url));
    let dialect = match set_up {
        Some(endpoint) => Some(endpoint.dialect),
        None => KNOWN_HOSTS.iter().find(|(known, _)| *known == host).map(|(_, dialect)| *dialect),
    };
    let Some(dialect) = dialect else { return direct(url) };
    let before = set_up.map_or(0, |endpoint| segments(&endpoint.url).len());
    let words: Vec<String> = segments(url).into_iter().skip(before).collect();
    let mut place = match dialect {
        Dialect::HuggingFace => on_hugging_face(&words)?,
        Dialect::ModelScope => on_modelscope(&words, url)?,
    };
    // What these hosts hold is what the first endpoint of Hugging Face holds, but no place to ask at.
    place.host = (!matches!(&*host, "hf.co" | "www.huggingface.co")).then_some(host);
    Ok(Address::Repository(place))
}

/// Whether `url` lies on this endpoint: the same origin, and under its path.
fn is_under(endpoint: &Url, url: &Url) -> bool {
    host_of(endpoint) == host_of(url) && segments(url).starts_with(&segments(endpoint))
}

fn segments(url: &Url) -> Vec<String> {
    let words = url.path().split('/').filter(|word| !word.is_empty());
    words.map(|word| percent_decode_str(word).decode_utf8_lossy().into_owned()).collect()
}

/// `owner/name`, then nothing, `tree/revision/…`, `blob/revision/file`, `resolve/revision/file`, or a tab of the page.
fn on_hugging_face(words: &[String]) -> Result<Place, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let words = match words.as_slice() {
        ["api", "models", rest @ ..] | ["models", rest @ ..] if rest.len() > 1 => rest,
        ["datasets" | "spaces", ..] => return Err("it names a data set or a space, not a model".to_owned()),
        all => all,
    };
    let [owner, name, rest @ ..] = words else {
        return Err("it names no repository: `owner/name` is missing".to_owned());
    };
    if NO_OWNERS.contains(owner) {
        return Err("it names no repository".to_owned());
    }
    let (name, quantization) = name.split_once(':').map_or((*name, None), |(name, tag)| (name, Some(tag)));
    let id = RepositoryId::parse(&format!("{owner}/{name}")).ok_or("it names no repository")?;
    let quantization = tag(quantization).ok_or("what follows the `:` is no quantization")?;
    let (revision, file) = match rest {
        ["tree" | "commit" | "commits", revision, ..] => (Some(*revision), None),
        ["blob" | "resolve" | "raw" | "blame", revision, file @ ..] if !file.is_empty() => {
            (Some(*revision), Some(file.join("/")))
        }
        _ => (None, None),
    };
    place(id, revision, file, quantization)
}

/// `models/owner/name`, then nothing, `summary`, `files`, `resolve/revision/file`, `file/view/revision/file`, or the
/// listing's own `api/v1/models/owner/name/repo?Revision=…&FilePath=…`.
fn on_modelscope(words: &[String], url: &Url) -> Result<Place, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let words = match words.as_slice() {
        ["api", "v1", "models", rest @ ..] | ["models", rest @ ..] => rest,
        ["datasets" | "studios", ..] => return Err("it names a data set or a studio, not a model".to_owned()),
        all => all,
    };
    let [owner, name, rest @ ..] = words else {
        return Err("it names no repository: `owner/name` is missing".to_owned());
    };
    let id = RepositoryId::parse(&format!("{owner}/{name}")).ok_or("it names no repository")?;
    let asked = |key: &str| url.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value.into_owned());
    let (revision, file) = match rest {
        ["resolve", revision, file @ ..] | ["file", "view", revision, file @ ..] if !file.is_empty() => {
            (Some((*revision).to_owned()), Some(file.join("/")))
        }
        ["repo"] => (asked("Revision"), asked("FilePath")),
        _ => (None, None),
    };
    place(id, revision.as_deref(), file, None)
}

fn place(
    id: RepositoryId,
    revision: Option<&str>,
    file: Option<String>,
    quantization: Option<String>,
) -> Result<Place, String> {
    let file = file.map(|file| FileName::parse(&file)).transpose().map_err(|error| error.to_string())?;
    let revision = revision.map(|revision| revision_of(revision).ok_or("its revision is no name")).transpose()?;
    Ok(Place { id, revision, file, quantization, host: None })
}

/// A branch, tag or commit that may stand in an address.
pub(crate) fn revision_of(text: &str) -> Option<String> {
    let sound = FileName::parse(text).is_ok() && !text.starts_with('-') && text.len() <= 128;
    sound.then(|| text.to_owned())
}

/// The address of a file on a host that is no hub.
fn direct(url: &Url) -> Result<Address, String> {
    if !url.path().to_ascii_lowercase().ends_with(".gguf") {
        return Err("it is on no hub that is set up, and no .gguf file".to_owned());
    }
    if url.scheme() == "http" && !is_loopback(url) {
        return Err("http is not safe; give an address that begins with https".to_owned());
    }
    Ok(Address::File(url.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str, dialect: Dialect) -> Endpoint {
        Endpoint { name: "office".into(), url: Url::parse(url).expect("an address"), dialect }
    }

    fn endpoints() -> Vec<Endpoint> {
        vec![
            endpoint("http://127.0.0.1:8080", Dialect::HuggingFace),
            endpoint("https://nexus.example/hf/", Dialect::HuggingFace),
            endpoint("https://scope.example", Dialect::ModelScope),
        ]
    }

    fn repository(text: &str) -> Place {
        match Address::parse(text, &endpoints()) {
            Ok(Address::Repository(place)) => place,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// id, revision, file, quantization, host
    type Told<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a str>);

    #[test]
    fn every_usual_way_to_name_a_repository_is_read() {
        let hf = Some("huggingface.co");
        let cases: &[(&str, Told)] = &[
            ("Qwen/Qwen3-8B-GGUF", ("Qwen/Qwen3-8B-GGUF", None, None, None, None)),
            ("  hfl/chinese-alpaca-2-1.3b \n", ("hfl/chinese-alpaca-2-1.3b", None, None, None, None)),
            ("Qwen/Qwen3-8B-GGUF:Q4_K_M", ("Qwen/Qwen3-8B-GGUF", None, None, Some("Q4_K_M"), None)),
            ("hf.co/bartowski/X-GGUF:Q4_K_M", ("bartowski/X-GGUF", None, None, Some("Q4_K_M"), None)),
            ("ollama run hf.co/bartowski/X-GGUF:latest", ("bartowski/X-GGUF", None, None, None, None)),
            ("https://huggingface.co/a/b", ("a/b", None, None, None, hf)),
            ("huggingface.co/a/b/", ("a/b", None, None, None, hf)),
            ("https://huggingface.co/a/b/tree/main/sub", ("a/b", Some("main"), None, None, hf)),
            ("https://huggingface.co/a/b/blob/v1.0/x/y.gguf", ("a/b", Some("v1.0"), Some("x/y.gguf"), None, hf)),
            (
                "https://huggingface.co/a/b/resolve/main/y%20z.gguf?download=true",
                ("a/b", Some("main"), Some("y z.gguf"), None, hf),
            ),
            ("https://huggingface.co/a/b/discussions/3#x", ("a/b", None, None, None, hf)),
            ("https://huggingface.co/api/models/a/b", ("a/b", None, None, None, hf)),
            ("https://hf-mirror.com/a/b", ("a/b", None, None, None, Some("hf-mirror.com"))),
            ("https://www.modelscope.cn/models/a/b/summary", ("a/b", None, None, None, Some("www.modelscope.cn"))),
            (
                "https://modelscope.cn/models/a/b/resolve/master/x.gguf",
                ("a/b", Some("master"), Some("x.gguf"), None, Some("modelscope.cn")),
            ),
            (
                "https://modelscope.cn/models/a/b/file/view/master/x.gguf?status=2",
                ("a/b", Some("master"), Some("x.gguf"), None, Some("modelscope.cn")),
            ),
            (
                "https://modelscope.cn/api/v1/models/a/b/repo?Revision=v2&FilePath=c%2Fx.gguf",
                ("a/b", Some("v2"), Some("c/x.gguf"), None, Some("modelscope.cn")),
            ),
            (
                "http://127.0.0.1:8080/a/b/resolve/main/x.gguf",
                ("a/b", Some("main"), Some("x.gguf"), None, Some("127.0.0.1:8080")),
            ),
            ("https://nexus.example/hf/a/b", ("a/b", None, None, None, Some("nexus.example"))),
            ("https://scope.example/models/a/b", ("a/b", None, None, None, Some("scope.example"))),
        ];
        for (text, told) in cases {
            let place = repository(text);
            let file = place.file.as_ref().map(FileName::as_str);
            let id = place.id.to_string();
            let found = (&*id, place.revision.as_deref(), file, place.quantization.as_deref(), place.host.as_deref());
            assert_eq!(found, *told, "{text}");
        }
    }

    #[test]
    fn a_gguf_elsewhere_is_a_file_by_its_own_address() {
        for text in [
            "https://example.com/files/Model.GGUF?x=1",
            "http://127.0.0.1:9/m.gguf",
            "http://[::1]:9/m.gguf",
            "example.com/m.gguf",
        ] {
            assert!(matches!(Address::parse(text, &[]), Ok(Address::File(_))), "{text}");
        }
    }

    #[test]
    fn what_names_no_model_is_refused_with_its_reason() {
        let refused = |text: &str| match Address::parse(text, &endpoints()) {
            Err(Error::Address { reason, .. }) => reason,
            other => panic!("{text}: {other:?}"),
        };
        for (text, part) in [
            ("", "owner/name"),
            ("qwen", "owner/name"),
            ("a b/c", "space"),
            ("a/b/c", "owner/name"),
            ("ftp://example.com/m.gguf", "ftp"),
            ("file:///etc/m.gguf", "file"),
            ("http://example.com/m.gguf", "https"),
            ("https://example.com/m.zip", "no hub"),
            ("https://me:secret@example.com/m.gguf", "token"),
            ("https://huggingface.co/datasets/a/b", "data set"),
            ("https://huggingface.co/a", "owner/name"),
            ("https://huggingface.co/", "owner/name"),
            ("https://huggingface.co/a/b/resolve/main/..%2F..%2Fx.gguf", "no safe file name"),
            ("https://huggingface.co/a/b/resolve/main/C:x.gguf", "no safe file name"),
            ("https://huggingface.co/a/b/resolve/..%5Cx/x.gguf", "revision"),
            ("hf.co/a/b:<script>", "quantization"),
            ("https://", ""),
        ] {
            let reason = refused(text);
            assert!(reason.contains(part), "{text}: {reason}");
        }
        assert!(refused(&format!("https://example.com/{}.gguf", "x".repeat(5000))).contains("long"));
    }
}
