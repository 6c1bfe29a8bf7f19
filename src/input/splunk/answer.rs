//! What a request is answered: the statuses, codes and texts of Splunk's HTTP Event Collector.
//!
//! ```text
//! {"text":"Success","code":0}        {"text":"Success","code":0,"ackId":7}
//! {"text":"Invalid data format","code":6,"invalid-event-number":3}
//! ```
//!
//! Clients act on the status, and some on the code; all of both and every text are Splunk's own. Docker's driver takes
//! 200 alone for success and sends again what got anything else, whatever it was.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// Why a request is answered as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Success,
    TokenRequired,
    InvalidAuthorization,
    InvalidToken,
    NoData,
    InvalidData,
    Internal,
    Busy,
    ChannelMissing,
    InvalidChannel,
    EventRequired,
    EventBlank,
    AckDisabled,
    QueryToken,
    Healthy,
    Full,
    Stopping,
    TooLarge,
    /// Not Splunk's: the body did not go on.
    Stalled,
    NotFound,
    Method,
}

impl Code {
    pub const ALL: [Code; 21] = [
        Code::Success,
        Code::TokenRequired,
        Code::InvalidAuthorization,
        Code::InvalidToken,
        Code::NoData,
        Code::InvalidData,
        Code::Internal,
        Code::Busy,
        Code::ChannelMissing,
        Code::InvalidChannel,
        Code::EventRequired,
        Code::EventBlank,
        Code::AckDisabled,
        Code::QueryToken,
        Code::Healthy,
        Code::Full,
        Code::Stopping,
        Code::TooLarge,
        Code::Stalled,
        Code::NotFound,
        Code::Method,
    ];

    /// The code, the status it comes with, and its text.
    pub fn parts(self) -> (u16, StatusCode, &'static str) {
        match self {
            Code::Success => (0, StatusCode::OK, "Success"),
            Code::TokenRequired => (2, StatusCode::UNAUTHORIZED, "Token is required"),
            Code::InvalidAuthorization => (3, StatusCode::UNAUTHORIZED, "Invalid authorization"),
            Code::InvalidToken => (4, StatusCode::FORBIDDEN, "Invalid token"),
            Code::NoData => (5, StatusCode::BAD_REQUEST, "No data"),
            Code::InvalidData => (6, StatusCode::BAD_REQUEST, "Invalid data format"),
            Code::Internal => (8, StatusCode::INTERNAL_SERVER_ERROR, "Internal server error"),
            Code::Busy => (9, StatusCode::SERVICE_UNAVAILABLE, "Server is busy"),
            Code::ChannelMissing => (10, StatusCode::BAD_REQUEST, "Data channel is missing"),
            Code::InvalidChannel => (11, StatusCode::BAD_REQUEST, "Invalid data channel"),
            Code::EventRequired => (12, StatusCode::BAD_REQUEST, "Event field is required"),
            Code::EventBlank => (13, StatusCode::BAD_REQUEST, "Event field cannot be blank"),
            Code::AckDisabled => (14, StatusCode::BAD_REQUEST, "ACK is disabled"),
            Code::QueryToken => (16, StatusCode::BAD_REQUEST, "Query string authorization is not enabled"),
            Code::Healthy => (17, StatusCode::OK, "HEC is healthy"),
            Code::Full => (18, StatusCode::SERVICE_UNAVAILABLE, "HEC is unhealthy, queues are full"),
            Code::Stopping => (23, StatusCode::SERVICE_UNAVAILABLE, "Server is shutting down"),
            Code::TooLarge => (27, StatusCode::PAYLOAD_TOO_LARGE, "Request entity too large"),
            Code::Stalled => (408, StatusCode::REQUEST_TIMEOUT, "The request's body did not go on"),
            Code::NotFound => (404, StatusCode::NOT_FOUND, "The requested URL was not found on this server."),
            Code::Method => {
                (405, StatusCode::METHOD_NOT_ALLOWED, "The requested method is not allowed here.")
            }
        }
    }

    /// Its number, as a label of metrics.
    pub fn number(self) -> u16 {
        self.parts().0
    }
}

/// What goes back to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing but 200: what a probe wants.
    Empty,
    Plain(Code),
    /// With the number of the request on its channel.
    Acknowledged(u64),
    /// With the number of the event that is at fault, from 0; those before it are stored.
    Event(Code, u64),
    /// Which ack ids are stored.
    Acks(Vec<(u64, bool)>),
}

impl Answer {
    pub(super) fn code(&self) -> Code {
        match self {
            Answer::Empty | Answer::Acknowledged(_) | Answer::Acks(_) => Code::Success,
            Answer::Plain(code) | Answer::Event(code, _) => *code,
        }
    }

    fn body(&self) -> String {
        let (code, _, text) = self.code().parts();
        match self {
            Answer::Empty => String::new(),
            Answer::Plain(_) => format!(r#"{{"text":"{text}","code":{code}}}"#),
            Answer::Acknowledged(id) => format!(r#"{{"text":"{text}","code":{code},"ackId":{id}}}"#),
            Answer::Event(_, event) => {
                format!(r#"{{"text":"{text}","code":{code},"invalid-event-number":{event}}}"#)
            }
            Answer::Acks(acks) => {
                let acks: Vec<String> =
                    acks.iter().map(|(id, stored)| format!(r#""{id}":{stored}"#)).collect();
                format!(r#"{{"acks":{{{}}}}}"#, acks.join(","))
            }
        }
    }

    /// `close`: the connection ends with it, since the rest of the request's body is not read.
    pub(super) fn response(&self, close: bool) -> Response<Full<Bytes>> {
        let body = self.body();
        let has_body = !body.is_empty();
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = self.code().parts().1;
        if has_body {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if close {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_splunk_s_to_the_byte() {
        for (answer, body) in [
            (Answer::Empty, ""),
            (Answer::Plain(Code::Success), r#"{"text":"Success","code":0}"#),
            (Answer::Acknowledged(7), r#"{"text":"Success","code":0,"ackId":7}"#),
            (
                Answer::Event(Code::InvalidData, 3),
                r#"{"text":"Invalid data format","code":6,"invalid-event-number":3}"#,
            ),
            (Answer::Acks(vec![(1, true), (9, false)]), r#"{"acks":{"1":true,"9":false}}"#),
            (Answer::Acks(Vec::new()), r#"{"acks":{}}"#),
        ] {
            assert_eq!(answer.body(), body);
            if !body.is_empty() {
                serde_json::from_str::<serde_json::Value>(body).unwrap();
            }
        }
        let mut numbers: Vec<u16> = Code::ALL.iter().map(|code| code.number()).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), Code::ALL.len());
    }
}
