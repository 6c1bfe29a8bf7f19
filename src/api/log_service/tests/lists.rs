//! Package lists: all of their LogGroups or none.

use serde_json::json;

use super::harness::{Call, Service, group};
use crate::wire::compress::{Kind, compress};
use crate::wire::loggroup::list::{Package, put};

fn list(groups: &[Vec<u8>], kind: Kind) -> Vec<u8> {
    let (mut list, mut data) = (Vec::new(), Vec::new());
    for group in groups {
        compress(kind, group, &mut data).unwrap();
        put(&mut list, &Package { data: &data, raw_size: group.len(), kind });
    }
    list
}

fn call(body: Vec<u8>) -> Call<'static> {
    let size = body.len().to_string();
    Call::new("POST", "/logstores/app-log/shards/lb")
        .body("application/x-protobuf", body)
        .set("x-log-mode", "batch_group")
        .set("x-log-bodyrawsize", &size)
        .set("x-log-compresstype", "lz4")
}

async fn count(service: &Service) -> u64 {
    let range = json!({ "from": 1_700_000_000, "to": 1_700_000_060, "query": "*", "line": 100 });
    service.get_logs(range).await.json()["meta"]["count"].as_u64().unwrap()
}

#[tokio::test]
async fn each_group_of_a_list_is_kept_by_itself() {
    let service = Service::start().await;
    let mut stored = 0;
    for kind in [Kind::Lz4, Kind::Zstd, Kind::Deflate, Kind::None] {
        let groups: Vec<_> =
            (0..5).map(|n| group(&[1_700_000_000 + n, 1_700_000_010], &format!("{kind:?}-{n:X}"))).collect();
        assert_eq!(service.outcome(call(list(&groups, kind))).await, "200", "{kind:?}");
        stored += 10;
        assert_eq!(count(&service).await, stored);
    }
    assert_eq!(service.outcome(call(list(&[], Kind::Lz4))).await, "200", "none at all");
    service.stop().await;
}

#[tokio::test]
async fn one_bad_group_refuses_all_of_them() {
    let service = Service::start().await;
    let good = group(&[1_700_000_000], "AB-0");
    let with = |bad: &Package<'_>| {
        let mut body = list(std::slice::from_ref(&good), Kind::Lz4);
        put(&mut body, bad);
        body
    };
    let half_a_log = Package { data: b"\x0a\x05\x08", raw_size: 3, kind: Kind::None };
    let damaged = Package { data: b"\xf0\xff\xff", raw_size: 900, kind: Kind::Lz4 };
    let boasting = Package { data: b"\x10\x00", raw_size: 11 << 20, kind: Kind::Lz4 };
    for (bad, expected) in [
        (half_a_log, "400 PostBodyInvalid"),
        (damaged, "400 PostBodyUncompressError"),
        (boasting, "413 PostBodyTooLarge"),
    ] {
        assert_eq!(service.outcome(call(with(&bad))).await, expected);
    }
    assert_eq!(service.outcome(call(good.clone())).await, "400 PostBodyInvalid", "a LogGroup is no list");
    let crowd = list(&vec![Vec::new(); 4_097], Kind::None);
    assert_eq!(service.outcome(call(crowd)).await, "400 ParameterInvalid");
    let large = list(&vec![vec![0; 6 << 20]; 2], Kind::Zstd);
    assert!(
        ["400 PostBodyInvalid", "413 PostBodyTooLarge"]
            .contains(&service.outcome(call(large)).await.as_str())
    );
    let unknown = call(list(std::slice::from_ref(&good), Kind::Lz4)).set("x-log-mode", "else");
    assert_eq!(service.outcome(unknown).await, "501 NotImplemented");
    assert_eq!(count(&service).await, 0);
    service.stop().await;
}
