//! Answers: 200 with a body, or an error of the table in [`crate::wire::errors`] as
//! `{"errorCode":"...","errorMessage":"..."}`. Both carry a request id and the server's clock.

use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::base::log_limit::LogLimit;
use crate::store::{Refused, StoreError};
use crate::wire::compress::{Kind, compress};
use crate::wire::config_server::CONTENT_TYPE;
use crate::wire::errors;

/// A store in trouble fails every request in the same way.
static FAILED: LogLimit = LogLimit::new(Duration::from_secs(30));

/// A successful answer: status 200.
#[derive(Debug, Default)]
pub(super) struct Answer {
    status: Option<u16>,
    pub(super) body: Vec<u8>,
    pub(super) headers: Vec<(HeaderName, String)>,
}

/// A refusal: a code of the table, and what to tell the client.
#[derive(Debug)]
pub(super) struct Refusal {
    code: &'static str,
    message: String,
}

impl Answer {
    pub(super) fn empty() -> Answer {
        Answer::default()
    }

    pub(super) fn json(value: &serde_json::Value) -> Answer {
        Answer::bytes(value.to_string().into_bytes())
    }

    /// A body as one of the compressions the client accepts, with the headers that say so; of several the one that
    /// costs least.
    pub(super) fn packed(body: Vec<u8>, head: &Parts) -> Result<Answer, Refusal> {
        let accepted: Vec<&str> = head
            .headers
            .get_all(header::ACCEPT_ENCODING)
            .into_iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|name| name.split(';').next().unwrap_or("").trim())
            .collect();
        let name = ["lz4", "zstd", "deflate", "gzip"]
            .into_iter()
            .find(|name| accepted.iter().any(|accepted| accepted.eq_ignore_ascii_case(name)));
        let size = body.len();
        let Some((name, kind)) = name.and_then(|name| Some((name, Kind::from_header(name)?))) else {
            return Ok(Answer::bytes(body).with("x-log-bodyrawsize", size));
        };
        let mut packed = Vec::new();
        compress(kind, &body, &mut packed)
            .map_err(|error| Refusal::new("InternalServerError", error.to_string()))?;
        Ok(Answer::bytes(packed).with("x-log-compresstype", name).with("x-log-bodyrawsize", size))
    }

    /// A message of the ConfigServer protocol.
    pub(super) fn message(body: Vec<u8>) -> Answer {
        Answer { status: None, body, headers: vec![(header::CONTENT_TYPE, CONTENT_TYPE.into())] }
    }

    /// A body that is JSON already.
    pub(super) fn bytes(body: Vec<u8>) -> Answer {
        Answer { status: None, body, headers: vec![(header::CONTENT_TYPE, "application/json".into())] }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Answer {
        self.headers.push((HeaderName::from_static(name), value.to_string()));
        self
    }

    pub(super) fn into_response(self, now: i64) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status.unwrap_or(200)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            // What no header can carry (a query with control characters) is left out.
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                headers.insert(name, value);
            }
        }
        headers.insert(header::SERVER, HeaderValue::from_static("sluicegate"));
        headers.insert("access-control-allow-origin", HeaderValue::from_static("*"));
        headers.insert("x-log-time", HeaderValue::from(now));
        if let Ok(id) = HeaderValue::from_str(&request_id()) {
            headers.insert("x-log-requestid", id);
        }
        response
    }
}

impl Refusal {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Refusal {
        debug_assert!(errors::find(code).is_some(), "{code} is not in the table");
        Refusal { code, message: message.into() }
    }

    pub(super) fn missing_parameter(name: &str) -> Refusal {
        Refusal::new("MissingParameter", format!("Missing query key : {name}"))
    }

    pub(super) fn missing_header(name: &str) -> Refusal {
        Refusal::new("MissingParameter", format!("Missing http extend header key : {name}"))
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    pub(super) fn into_answer(self) -> Answer {
        let status = errors::find(self.code).map_or(500, |known| known.status);
        tracing::debug!(
            code = self.code,
            message = self.message,
            "the embedded Log Service refused a request"
        );
        let body = serde_json::json!({ "errorCode": self.code, "errorMessage": self.message });
        Answer { status: Some(status), ..Answer::json(&body) }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Refusal {
        let code = match &refused {
            Refused::NoProject(_) => "ProjectNotExist",
            Refused::NoLogstore(_) => "LogStoreNotExist",
            Refused::ProjectExists(_) => "ProjectAlreadyExist",
            Refused::LogstoreExists(_) => "LogStoreAlreadyExist",
            Refused::ProjectName(_) => "ParameterInvalid",
            Refused::LogstoreName(_) | Refused::Setting(_) => "LogStoreInfoInvalid",
            Refused::Index(_) => "ParameterInvalid",
            Refused::IndexExists(_) => "IndexAlreadyExist",
            Refused::NoIndex => "IndexConfigNotExist",
            Refused::TooManyProjects(_) => "ProjectQuotaExceed",
            Refused::TooManyLogstores(_) | Refused::TooManyConsumerGroups(_) | Refused::TooManyShards(_) => {
                "ExceedQuota"
            }
            Refused::Parameter(_) | Refused::ConsumerGroupName(_) => "ParameterInvalid",
            Refused::Cursor(_) => "InvalidCursor",
            Refused::NoShard(_) => "ShardNotExist",
            Refused::NoConsumerGroup(_) => "ConsumerGroupNotExist",
            Refused::ConsumerGroupExists(_) => "ConsumerGroupAlreadyExist",
            // The spelling is the service's: consumer libraries compare it.
            Refused::NoConsumer(_) => "ConsumerNotExsit",
            Refused::NotHeld(_) => "ConsumerNotMatch",
            // Clients that make a group where there is none compare this spelling.
            Refused::NoMachineGroup(_) => "MachineGroupNotExist",
            Refused::MachineGroupExists(_) => "MachineGroupAlreadyExist",
            Refused::NoConfig(_) => "ConfigNotExist",
            Refused::ConfigExists(_) => "ConfigAlreadyExist",
            Refused::MachineGroupName(_) | Refused::ConfigName(_) => "ParameterInvalid",
            Refused::TooManyMachineGroups(_) | Refused::TooManyConfigs(_) => "ExceedQuota",
        };
        Refusal::new(code, refused.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        match error {
            StoreError::Refused(refused) => refused.into(),
            StoreError::Stopped => Refusal::new("ServerBusy", "the server is stopping"),
            StoreError::Full { .. } | StoreError::Crowded { .. } | StoreError::AtLimit { .. } => {
                Refusal::new("ServerBusy", error.to_string())
            }
            other => {
                if let Some(suppressed) = FAILED.allow() {
                    tracing::error!(error = %other, suppressed, "the embedded Log Service failed");
                }
                Refusal::new("InternalServerError", other.to_string())
            }
        }
    }
}

/// 24 hex digits, upper-case.
fn request_id() -> String {
    use std::fmt::Write;
    let mut random = [0u8; 12];
    // Without entropy the id is all zeroes, and still an id.
    let _ = getrandom::fill(&mut random);
    let mut text = String::with_capacity(24);
    for byte in random {
        let _ = write!(text, "{byte:02X}");
    }
    text
}
