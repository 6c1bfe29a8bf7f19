//! Whom a sidecar asks for what its machine groups are to collect.

use config::ValueKind;

use super::collect::{DEFAULT_PROJECT, Keys, complete};
use super::{Env, ID_FILE, Layer, SYS_CONF_DIR, Settings, USER_DEFINED_ID};

/// Beside keys of their own, what leads to some (see `credentials: chain`).
const LEADS: [&str; 6] = [
    "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
    "ALIBABA_CLOUD_ECS_METADATA",
    "ALIBABA_CLOUD_CREDENTIALS_URI",
    "ALIBABA_CLOUD_CREDENTIALS_FILE",
    "ALIBABA_CLOUD_CONFIG_FILE",
    "ALIBABA_CLOUD_PROFILE",
];

/// What of a destination says where it is and who asks there.
const PLACE: [&str; 11] = [
    "endpoint",
    "region",
    "network",
    "connect",
    "signature",
    "proxy",
    "tls",
    "access_key_id",
    "access_key_secret",
    "security_token",
    "credentials",
];
/// Whether there is something that leads to a key.
pub(super) fn has_lead(env: &Env) -> bool {
    LEADS.iter().any(|name| env.get(*name).is_some_and(|value| !value.is_empty()))
}

/// Whom to ask for what the machine groups are to collect: where the records of the configuration go, or where the variables
/// say.
pub(super) fn lay(
    layer: &mut Layer<'_>,
    clouds: &[String],
    embedded: bool,
    settings: &Settings,
    keys: Option<&Keys>,
) {
    let is_placed = settings.endpoint.is_some() || layer.has(&["collection", "destination"]);
    if !embedded && !is_placed && clouds.len() != 1 {
        // What does not say where is a fault that was told.
        return;
    }
    if let Some((variable, directory)) = layer.first(&[SYS_CONF_DIR]) {
        let file = format!("{}/{ID_FILE}", directory.trim_end_matches('/'));
        layer.put_text(&["collection", "user_defined_id_file"], &file, variable);
    }
    layer.put_text(&["collection", "machine_groups"], "auto", USER_DEFINED_ID);
    if embedded {
        return;
    }
    let path = ["collection", "destination"];
    let is_typed = layer.has(&path);
    if !is_typed && let [only] = clouds {
        let own =
            layer.table("destinations").and_then(|table| table.get(only)).map(|value| value.kind.clone());
        if let Some(ValueKind::Table(mut own)) = own {
            // What remains is where it is and how it is reached.
            own.retain(|key, _| PLACE.contains(&key.as_str()));
            layer.put(&path, ValueKind::Table(own), USER_DEFINED_ID);
        }
    }
    if let Some((variable, project)) = layer.first(&[DEFAULT_PROJECT])
        && !is_typed
    {
        let project = project.to_owned();
        layer.put_text(&["collection", "destination", "project"], &project, variable);
    }
    complete(layer, &path, settings, keys);
}
