//! Settings: which there are and what each may hold.

use huacaya_store::{ModelId, Parameters};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    App, computing, devices,
    error::{Code, Error, Result},
    network, parameters,
    queue::DOWNLOADS_MAX,
    serving,
    sharing::{self, Sharing},
};

/// A system prompt is the longest.
const VALUE_BYTES_MAX: usize = 1 << 20;
/// What the person must be told once, as a `Problem`; a face sets it to null when it was read.
pub(crate) const NOTICE: &str = "notice";

impl App {
    pub(crate) async fn set_setting(&self, key: String, value: Value) -> Result<()> {
        if !value.is_null() {
            check(&key, &value)?;
        }
        self.inner.store.set_setting(&key, value.clone()).await?;
        if network::KEYS.contains(&key.as_str()) {
            self.renew_network().await?;
        }
        if key == sharing::QUIET {
            self.set_quiet(self.sharing().await? == Sharing::On);
        }
        if key == "downloads_at_once" {
            self.fill_queue().await?;
        }
        Ok(())
    }

    /// A setting's value; absent too where what is stored is not of this type.
    pub(crate) async fn setting<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        Ok(self.inner.store.setting(key).await?.and_then(|value| serde_json::from_value(value).ok()))
    }
}

fn check(key: &str, value: &Value) -> Result<()> {
    let one_of = |names: &[&str]| value.as_str().is_some_and(|name| names.contains(&name));
    let fits = match key {
        "language" => one_of(&["zh", "en"]),
        "theme" => one_of(&["light", "dark"]),
        "send_key" => one_of(&["enter", "ctrl_enter"]),
        "parameters" => {
            let layer: Option<Parameters> = serde_json::from_value(value.clone()).ok();
            layer.as_ref().map(parameters::check).transpose()?.is_some()
        }
        "system_prompt" => value.is_string(),
        // A face's own: what stands in its wizard.
        "workshop" => value.is_object(),
        "model" => serde_json::from_value::<ModelId>(value.clone()).is_ok(),
        "device" => value.as_str().is_some_and(devices::is_device),
        "offline" | "welcomed" | "sidebar" | "panel" | "copy_thoughts" => value.is_boolean(),
        "zoom" => value.as_f64().is_some_and(|zoom| (0.25..=5.0).contains(&zoom)),
        "proxy" => value.as_str().is_some_and(network::is_proxy),
        "download_limit" => value.as_u64().is_some_and(|bytes_per_second| bytes_per_second > 0),
        "downloads_at_once" => value.as_u64().is_some_and(|count| (1..=DOWNLOADS_MAX).contains(&count)),
        NOTICE => false,
        _ => match computing::fits(key, value).or_else(|| serving::fits(key, value)) {
            Some(fits) => fits,
            None => return Err(wrong(format!("there is no setting `{key}`"))),
        },
    };
    if !fits || value.to_string().len() > VALUE_BYTES_MAX {
        return Err(wrong(format!("the setting `{key}` cannot hold this value")));
    }
    Ok(())
}

fn wrong(reason: String) -> Error {
    Error::new(Code::WrongArguments, reason.clone()).with("command", "set_setting").with("reason", reason)
}
