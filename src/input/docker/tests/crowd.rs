//! More containers than the byte budget has blocks.

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_that_rest_hold_no_budget() {
    let house = House::new();
    for number in 1..=40 {
        house.container(number, "json-file").lines(5);
    }
    house.start();
    let resting = async {
        house.wait(40 * 5).await;
        house.until(|| house.intake.budget.used() == 0).await;
    };
    timeout(PATIENCE, resting).await.expect("the budget is never given back");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_that_are_behind_do_not_wait_for_each_other() {
    const LINES: usize = 200;
    let house = House::new();
    let line = format!("{}\n", "x".repeat(10_000));
    for number in 1..=20 {
        let container = house.container(number, "json-file");
        for _ in 0..LINES {
            container.piece(&line, "stdout", 1);
        }
    }
    house.start();
    timeout(PATIENCE, house.wait(20 * LINES)).await.expect("all wait for all");
    house.stop().await;
}

/// A buffer that blocks may hold a container for hours: what it read before is stored and counts no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_whose_buffer_is_full_hold_no_budget() {
    let house = House::with(|plan, _| {
        for buffer in &mut plan.buffers {
            buffer.on_full = OnFull::Block;
            buffer.max_bytes = 4 << 10;
        }
    });
    let line = format!("{}\n", "x".repeat(10_000));
    for number in 1..=6 {
        let container = house.container(number, "json-file");
        for _ in 0..100 {
            container.piece(&line, "stdout", 1);
        }
    }
    house.start();
    let blocked = || house.journal.stats().queues.iter().any(|queue| queue.blocked == 6);
    timeout(PATIENCE, house.until(|| blocked() && house.intake.budget.used() == 0)).await.expect("held");
    house.stop().await;
}

#[tokio::test]
async fn attributes_that_change_with_a_piece_are_those_of_the_lines_behind_it() {
    let house = House::new();
    let container = house.container(1, "json-file");
    for (text, value) in [("a\\n", 1), ("p", 2), ("q\\n", 2), ("z\\n", 2)] {
        let line = format!(
            r#"{{"log":"{text}","stream":"stdout","attrs":{{"x":"value {value}"}},"time":"2026-11-22T23:03:08Z"}}"#
        );
        container.put(format!("{line}\n").as_bytes());
    }
    house.start();
    let records = house.wait(3).await;
    let found: Vec<_> = records.iter().map(|record| (&*record["log"], &*record["x"])).collect();
    assert_eq!(found, [("a", "value 1"), ("pq", "value 2"), ("z", "value 2")]);
    house.stop().await;
}
