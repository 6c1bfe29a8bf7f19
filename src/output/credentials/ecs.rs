//! The metadata service of an ECS instance (also of a node of Kubernetes), and the credentials URI, which answers alike.
//!
//! ```text
//! PUT /latest/api/token                                 X-aliyun-ecs-metadata-token-ttl-seconds: 21600   -> a session token
//! GET /latest/meta-data/ram/security-credentials/       X-aliyun-ecs-metadata-token: TOKEN               -> the role's name
//! GET /latest/meta-data/ram/security-credentials/ROLE                                                    -> a key
//! ```
//!
//! Where no session token is to be had, the older way without one is taken, unless that is switched off.

use reqwest::Method;

use super::answer;
use super::http::{Http, NoReply, Reply};
use super::source::Fetched;
use crate::config::plan::EcsRolePlan;

const ROLES: &str = "/latest/meta-data/ram/security-credentials/";
/// A session token, or a role's name.
const SHORT_BYTES: usize = 1_024;

pub(super) async fn role(plan: &EcsRolePlan, http: &Http) -> Result<Fetched, String> {
    let token = token(plan, http).await?;
    let header = token.as_deref().map(|token| ("X-aliyun-ecs-metadata-token", token));
    let get = async |url: String| {
        let reply = http.near(Method::GET, &url, header).await.map_err(|error| absent(plan, &error))?;
        match reply.status {
            200 => Ok(reply),
            404 => Err("this instance has no RAM role, or not this one".to_owned()),
            status => Err(format!("{} answers HTTP {status}", plan.address)),
        }
    };
    let role = match &plan.role {
        Some(role) => role.clone(),
        None => {
            let reply = get(format!("{}{ROLES}", plan.address)).await?;
            short(&reply).ok_or("the metadata service names no role")?
        }
    };
    let reply = get(format!("{}{ROLES}{role}", plan.address)).await?;
    parse(&reply, &format!("the role {role} of this instance"))
}

pub(super) async fn uri(uri: &str, http: &Http) -> Result<Fetched, String> {
    let reply = http.near(Method::GET, uri, None).await.map_err(|error| error.why)?;
    match reply.status {
        200 => parse(&reply, "the credentials URI"),
        status => Err(format!("it answers HTTP {status}")),
    }
}

async fn token(plan: &EcsRolePlan, http: &Http) -> Result<Option<String>, String> {
    let url = format!("{}/latest/api/token", plan.address);
    let lifetime = ("X-aliyun-ecs-metadata-token-ttl-seconds", "21600");
    let why = match http.near(Method::PUT, &url, Some(lifetime)).await {
        Ok(reply) if reply.status == 200 => match short(&reply) {
            Some(token) => return Ok(Some(token)),
            None => "gives an empty session token".to_owned(),
        },
        Ok(reply) => format!("answers HTTP {} to the request for a session token", reply.status),
        // The other way leads to the same door.
        Err(error) if error.is_absent => return Err(absent(plan, &error)),
        Err(error) => error.why,
    };
    if plan.allow_v1 { Ok(None) } else { Err(format!("{} {why}", plan.address)) }
}

fn absent(plan: &EcsRolePlan, error: &NoReply) -> String {
    format!("{} cannot be reached ({}), so this is no ECS instance", plan.address, error.why)
}

/// The first line of an answer that is one short word.
fn short(reply: &Reply) -> Option<String> {
    let text = std::str::from_utf8(&reply.body).ok()?.lines().next()?.trim();
    let legal =
        !text.is_empty() && text.len() <= SHORT_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    legal.then(|| text.to_owned())
}

fn parse(reply: &Reply, from: &str) -> Result<Fetched, String> {
    let value = serde_json::from_slice(&reply.body).map_err(|_| "its answer is no JSON".to_owned())?;
    answer::key(&value, reply.now, from)
}
