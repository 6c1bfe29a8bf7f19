//! Seals: what was sent and not answered is sent again byte for byte after a restart, and what follows comes behind it.

use super::fake_service::FakeService;
use super::harness::{message, start, start_in};

const HASTE: &str = "limits: { stop_deadline: 200ms }";

#[tokio::test]
async fn a_sealed_group_is_the_same_after_a_restart() {
    let service = FakeService::start(|_| (500, "InternalServerError")).await;
    let config = format!("{}\n{HASTE}", service.destination("in_flight: 2"));
    let gateway = start(&config).await;
    gateway.send(&message("t", 1_700_000_000, &[("n", "0")], None)).await;
    service.wait(|puts| !puts.is_empty()).await;
    gateway.send(&message("t", 1_700_000_000, &[("n", "1")], None)).await;
    service.wait(|puts| puts.iter().any(|put| put.values("n") == ["1"])).await;
    let before = service.puts();
    let dir = gateway.stop().await;

    let healthy = FakeService::start(|_| (200, "")).await;
    let config = format!("{}\n{HASTE}", healthy.destination("in_flight: 1"));
    let gateway = start_in(dir, &config).await;
    gateway.send(&message("t", 1_700_000_000, &[("n", "2")], None)).await;
    healthy.wait(|puts| puts.iter().any(|put| put.values("n").contains(&"2".to_owned()))).await;
    let after = healthy.accepted();
    for n in ["0", "1"] {
        let first = before.iter().find(|put| put.values("n") == [n]).unwrap();
        let again = after.iter().find(|put| put.values("n") == [n]).unwrap();
        assert_eq!(first.group, again.group, "record {n}");
    }
    // One series, rising: the new group stands behind the sealed ones.
    let ids: Vec<(String, u64)> = ["0", "1", "2"]
        .map(|n| {
            let put = after.iter().find(|put| put.values("n") == [n]).unwrap();
            let id = put.pack_id();
            let (series, sequence) = id.split_once('-').unwrap();
            (series.to_owned(), u64::from_str_radix(sequence, 16).unwrap())
        })
        .to_vec();
    assert!(ids.iter().all(|(series, _)| *series == ids[0].0), "{ids:?}");
    assert!(ids.is_sorted_by(|a, b| a.1 < b.1), "{ids:?}");
    gateway.stop().await;
}
