//! The hubs that are asked where the person has set none.

use url::Url;

use crate::network::{Dialect, Endpoint};

/// In order of fall-over: the hub, its mirror in China, and the hub of China.
const KNOWN: [(&str, &str, Dialect); 3] = [
    ("Hugging Face", "https://huggingface.co/", Dialect::HuggingFace),
    ("hf-mirror", "https://hf-mirror.com/", Dialect::HuggingFace),
    ("ModelScope", "https://www.modelscope.cn/", Dialect::ModelScope),
];

/// What `HF_ENDPOINT` names, alone: whoever sets it wants no other host asked. Else the known ones. `get` reads the
/// environment.
pub fn default_endpoints(get: impl Fn(&str) -> Option<String>) -> Vec<Endpoint> {
    match environment_endpoint(get) {
        Some(endpoint) => vec![endpoint],
        None => KNOWN.iter().filter_map(|(name, url, dialect)| endpoint(name, url, *dialect)).collect(),
    }
}

/// The endpoint that the environment names.
pub fn environment_endpoint(get: impl Fn(&str) -> Option<String>) -> Option<Endpoint> {
    let named = get("HF_ENDPOINT").filter(|text| !text.trim().is_empty())?;
    let url = Url::parse(named.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url else {
        tracing::warn!("HF_ENDPOINT is no address of a hub");
        return None;
    };
    let host = url.host_str().unwrap_or_default().to_owned();
    let same = |(_, known, _): &&(&str, &str, Dialect)| Url::parse(known).is_ok_and(|known| known.host() == url.host());
    let known = KNOWN.iter().find(same);
    let dialect = known.map_or(Dialect::HuggingFace, |(_, _, dialect)| *dialect);
    let name = known.map_or(host, |(name, _, _)| (*name).to_owned());
    Some(Endpoint { name, url, dialect })
}

fn endpoint(name: &str, url: &str, dialect: Dialect) -> Option<Endpoint> {
    Some(Endpoint { name: name.to_owned(), url: Url::parse(url).ok()?, dialect })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &str) -> Vec<(String, String, Dialect)> {
        let get = |name: &str| (name == "HF_ENDPOINT" && !value.is_empty()).then(|| value.to_owned());
        let row = |endpoint: Endpoint| (endpoint.name, endpoint.url.to_string(), endpoint.dialect);
        default_endpoints(get).into_iter().map(row).collect()
    }

    #[test]
    fn the_environments_endpoint_is_the_only_one() {
        let only = |name: &str, url: &str, dialect| vec![(name.to_owned(), url.to_owned(), dialect)];
        let hugging_face = Dialect::HuggingFace;
        assert_eq!(with("http://127.0.0.1:81"), only("127.0.0.1", "http://127.0.0.1:81/", hugging_face));
        assert_eq!(with("https://hf-mirror.com"), only("hf-mirror", "https://hf-mirror.com/", hugging_face));
        assert_eq!(with("https://www.modelscope.cn")[0].2, Dialect::ModelScope);
    }

    #[test]
    fn without_one_the_known_hubs_are_asked_in_order() {
        for value in ["", "  ", "hf-mirror.com", "ftp://x/", "not an address"] {
            let names: Vec<String> = with(value).into_iter().map(|(name, ..)| name).collect();
            assert_eq!(names, ["Hugging Face", "hf-mirror", "ModelScope"], "{value}");
        }
    }
}
