//! Every row of the service's error table, with what a client has to make of it.

use super::service::{Answer, Service};
use super::{group, now};
use crate::output::deliver::Load;

/// What becomes of a single record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The same bytes again, however often; accepted as soon as the service does.
    Again,
    /// A dead letter after this many requests.
    Letter(usize),
}

use End::{Again, Letter};

const ROWS: &[(u16, &str, &str, End)] = &[
    (400, "RequestTimeExpired", "Request time X has been expired while server time is Y.", Again),
    (400, "RequestTimeTooSkewed", "", Again),
    (400, "InvalidRequestTime", "", Letter(1)),
    (400, "InvalidDateFormat", "", Letter(1)),
    (400, "MissingDate", "", Letter(1)),
    (400, "PostBodyInvalid", "Protobuffer content cannot be parsed.", Letter(1)),
    (400, "PostBodyInvalid", "The post data time is out of range", Letter(1)),
    (400, "InvalidTimestamp", "", Letter(1)),
    (400, "InvalidEncoding", "", Letter(1)),
    (400, "InvalidKey", "", Letter(1)),
    (400, "PostBodyUncompressError", "", Letter(1)),
    (400, "InvalidBodyRawSize", "", Letter(1)),
    (400, "InvalidCompressType", "", Letter(1)),
    (413, "PostBodyTooLarge", "Body size N must little than 10485760.", Letter(1)),
    (400, "PostBodyTooLarge", "Body size N must little than 10485760.", Letter(1)),
    (400, "ParameterInvalid", "", Letter(1)),
    (400, "InvalidParameter", "", Letter(1)),
    (400, "MissingParameter", "Missing http extend header key : authorization", Letter(1)),
    (400, "InvalidHost", "", Letter(1)),
    (400, "InvalidContentType", "", Letter(1)),
    (400, "MissingContentType", "", Letter(1)),
    (400, "MissingBodyRawSize", "", Letter(1)),
    (400, "MissingHost", "", Letter(1)),
    (400, "MissingAPIVersion", "", Letter(1)),
    (400, "InvalidAPIVersion", "", Letter(1)),
    (400, "MissAccessKeyId", "", Letter(1)),
    (400, "MissingSignatureMethod", "", Letter(1)),
    (400, "InvalidSignatureMethod", "", Letter(1)),
    (400, "InvalidSequenceId", "", Letter(1)),
    (400, "ProjectQuotaExceed", "", Again),
    (400, "ExceedQuota", "", Again),
    (400, "LogStoreWithoutShard", "", Again),
    (400, "NotSupported", "", Again),
    (401, "Unauthorized", "", Again),
    (401, "SignatureNotMatch", "", Again),
    (401, "InvalidAccessKeyId", "", Again),
    (403, "WriteQuotaExceed", "Inflow Quota Exceed", Again),
    (403, "WriteQuotaExceed", "Write QPS Exceed", Again),
    (403, "ShardWriteQuotaExceed", "", Again),
    (403, "ReadQuotaExceed", "", Again),
    (403, "MetaOperationQpsLimitExceeded", "", Again),
    (403, "ProjectForbidden", "", Again),
    (403, "SomethingDenied", "", Again),
    (404, "ProjectNotExist", "The Project does not exist : P", Again),
    (404, "LogStoreNotExist", "logstore X does not exist.", Again),
    (404, "ShardNotExist", "", Letter(1)),
    (405, "InvalidMethod", "", Letter(1)),
    (411, "MissingContentLength", "", Letter(1)),
    (415, "InvalidContentType", "", Letter(1)),
    (500, "InternalServerError", "", Again),
    (500, "RequestTimeout", "", Again),
    (500, "PostBodyInvalid", "said by a server in trouble", Again),
    (501, "NotImplemented", "", Letter(1)),
    (502, "Whatever", "", Again),
    (503, "ServerBusy", "", Again),
    (504, "Whatever", "", Again),
    (429, "Whatever", "", Again),
    (400, "NobodyKnowsThis", "", Letter(5)),
    (302, "Whatever", "", Again),
];

#[tokio::test]
async fn every_row_of_the_table_has_its_end() {
    let mut wrong = Vec::new();
    for &(status, code, message, end) in ROWS {
        // A service that has recovered at the seventh request.
        let error = Answer::error(status, code, message);
        let service = Service::start(move |seen| if seen.number < 6 { error } else { Answer::OK }).await;
        let load = Load::Raw(group(1, now(), 0));
        service.delivery().deliver(load, 1, None).await;
        let seen = service.seen();
        let found = match (seen.len(), service.letters().len()) {
            (7, 0) => Again,
            (requests, 1) => Letter(requests),
            other => panic!("{code}: {other:?} requests and letters"),
        };
        if found != end {
            wrong.push(format!("{status} {code} {message}: {found:?}, not {end:?}"));
        }
        assert!(seen.iter().all(|request| request.groups() == seen[0].groups()), "{code}: the same bytes");
        if let Some(letter) = service.letters().first() {
            assert!(letter.head.reason.contains(code) && letter.head.records == 1, "{:?}", letter.head);
            assert_eq!(letter.head.request_id, "0123456789ABCDEF01234567");
            assert_eq!(letter.payload().unwrap(), seen[0].groups()[0], "kept as it was sent");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn whoever_answers_without_a_request_id_is_no_log_service() {
    for status in [200, 400, 404, 413, 500] {
        let proxy = Answer::of_a_proxy(status);
        let service = Service::start(move |seen| if seen.number < 2 { proxy } else { Answer::OK }).await;
        service.delivery().deliver(Load::Raw(group(1, now(), 0)), 1, None).await;
        assert_eq!((service.seen().len(), service.letters().len()), (3, 0), "{status}");
    }
}

#[tokio::test]
async fn what_is_refused_among_others_is_halved_out() {
    for (status, code) in [(413, "PostBodyTooLarge"), (400, "PostBodyInvalid"), (501, "NotImplemented")] {
        let error = Answer::error(status, code, "told to");
        let service = Service::start(move |seen| if seen.number == 0 { error } else { Answer::OK }).await;
        service.delivery().deliver(Load::Raw(group(10, now(), 0)), 10, None).await;
        assert_eq!((service.seen().len(), service.letters().len()), (3, 0), "{code}: whole, then two halves");
    }
}
