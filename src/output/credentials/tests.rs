//! Sources over small servers and files, and keys over time.

mod remote;
mod time;

use super::*;
use crate::config::plan::{EcsRolePlan, OidcPlan, SessionPlan};
use crate::output::testing::{Said, Server};

fn credentials(plan: CredentialsPlan) -> Credentials {
    Credentials::of("test", &plan, &TransportPlan::default())
}

fn file(path: &std::path::Path) -> CredentialsPlan {
    CredentialsPlan::File { path: path.to_owned(), profile: None }
}

/// An answer with a key that lives for so many seconds.
fn key(id: &str, seconds: i64) -> Said {
    Said::new(200, key_text(id, seconds))
}

fn key_text(id: &str, seconds: i64) -> String {
    let end = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + seconds).unwrap();
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{id}","AccessKeySecret":"hunter2","SecurityToken":"t","Expiration":"{end}"}}"#
    )
}

/// What was tried and why it failed.
async fn why(credentials: &Credentials) -> String {
    credentials.current().await.unwrap_err().to_string()
}
