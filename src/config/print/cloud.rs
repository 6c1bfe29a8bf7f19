//! A place in the cloud and where its keys come from, as they are printed.

use super::{Page, address, quoted, typed};
use crate::base::secret::Secret;
use crate::config::leaf::duration_text;
use crate::config::plan::*;

impl Page {
    pub(super) fn place(&mut self, cloud: &CloudPlan) {
        self.line(2, "endpoint", quoted(&cloud.endpoint.to_string()));
        if let Some(region) = &cloud.region {
            self.line(2, "region", quoted(region));
        }
        if let Some(connect) = &cloud.connect {
            self.line(2, "connect", address(connect));
        }
        self.line(
            2,
            "signature",
            match cloud.signature {
                SignatureChoice::Auto => "auto",
                SignatureChoice::V1 => "v1",
                SignatureChoice::V4 => "v4",
            },
        );
        self.line(
            2,
            "proxy",
            match &cloud.transport.proxy {
                ProxyPlan::Url(_) => typed(&cloud.transport.proxy.shown()),
                plain => plain.shown(),
            },
        );
        if let Some(ca_file) = &cloud.transport.ca_file {
            self.heading(2, "tls");
            self.line(3, "ca_file", typed(&ca_file.to_string_lossy()));
        }
    }

    pub(super) fn keys(&mut self, credentials: &CredentialsPlan) {
        let CredentialsPlan::Fixed(key) = credentials else {
            return self.line(2, "credentials", source(credentials));
        };
        for (name, value) in key_lines(key) {
            self.line(2, name, value);
        }
    }
}

fn key_lines(key: &KeyPlan) -> Vec<(&'static str, String)> {
    let token = key.security_token.as_ref().map(|token| ("security_token", quoted(&token.to_string())));
    let lines = [("access_key_id", typed(&key.id)), ("access_key_secret", quoted(&key.secret.to_string()))];
    lines.into_iter().chain(token).collect()
}

/// A source on one line.
fn source(plan: &CredentialsPlan) -> String {
    match plan {
        CredentialsPlan::Fixed(key) => map(key_lines(key)),
        CredentialsPlan::File { path, profile } => {
            let profile = profile.as_ref().map(|name| ("profile", typed(name)));
            map([("file", typed(&path.to_string_lossy()))].into_iter().chain(profile))
        }
        CredentialsPlan::EcsRole(plan) => {
            let role = plan.role.as_ref().map(|role| ("role", typed(role)));
            let rest = [("address", typed(&plan.address)), ("allow_v1", plan.allow_v1.to_string())];
            map([("ecs_ram_role", map(role.into_iter().chain(rest)))])
        }
        CredentialsPlan::Oidc(plan) => {
            let own = [
                ("role_arn", typed(&plan.role_arn)),
                ("provider_arn", typed(&plan.provider_arn)),
                ("token_file", typed(&plan.token_file.to_string_lossy())),
            ];
            map([("oidc", map(own.into_iter().chain(session(&plan.session))))])
        }
        CredentialsPlan::AssumeRole(plan) => {
            let external = plan.external_id.as_ref().map(|id| ("external_id", typed(id)));
            let own = [("role_arn", typed(&plan.role_arn))].into_iter().chain(external);
            let with = [("credentials", source(&plan.with))];
            map([("assume_role", map(own.chain(session(&plan.session)).chain(with)))])
        }
        CredentialsPlan::Uri(uri) => map([("uri", typed(&place_of(uri)))]),
        CredentialsPlan::FirstOf(sources) => {
            let sources: Vec<String> = sources.iter().map(source).collect();
            format!("[{}]", sources.join(", "))
        }
        // Only ever inside a chain, whose name says it.
        CredentialsPlan::Missing { .. } | CredentialsPlan::Chain(_) => "chain".to_owned(),
    }
}

/// Whom a URL asks, without what may be all that guards the key.
fn place_of(uri: &Secret) -> String {
    let (scheme, rest) = uri.expose().split_once("://").unwrap_or(("http", ""));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}/{}", Secret::new(String::new()))
}

fn session(plan: &SessionPlan) -> [(&'static str, String); 3] {
    [
        ("session_name", typed(&plan.name)),
        ("duration", duration_text(plan.duration)),
        ("sts_endpoint", typed(&plan.sts)),
    ]
}

fn map(entries: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let entries: Vec<String> = entries.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
    format!("{{ {} }}", entries.join(", "))
}
