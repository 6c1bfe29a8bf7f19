//! What is read when the gateway stops.

use super::*;

#[tokio::test]
async fn the_last_lines_are_read_of_all_files() {
    // Nobody looks before the stop.
    let house = House::with(|_, file, how| {
        how.hints = false;
        how.patience.rest = Duration::from_millis(50);
        file.scan_interval = Duration::from_secs(600);
    });
    let (mut resting, mut followed) = (house.log("a.log"), house.log("b.log"));
    resting.lines(10);
    let input = house.start();
    house.wait(10).await;
    house.until(|| input.report().iter().all(|file| file.state == FileState::Resting)).await;
    resting.lines(5_000);
    followed.lines(5_000);
    house.log("new.log").put("new\nunfinished");
    house.stop().await;
    let records = house.take();
    assert_eq!(records.len(), 10_001);
    let house = house.restart().await;
    house.log("new.log").put(" no more\n");
    house.start();
    assert_eq!(house.texts(1).await, ["unfinished no more"]);
    house.stop().await;
    assert_eq!(house.intake.budget.used(), 0);
}

#[tokio::test]
async fn an_application_that_stops_at_the_same_time_is_waited_for() {
    let house = House::with(|_, file, _| file.stop_delay = Duration::from_millis(500));
    let log = house.log("a.log");
    log.put("one\n");
    house.start();
    house.wait(1).await;
    house.stop.draining.cancel();
    log.put("last words\n");
    house.log("b.log").put("of two\n");
    house.stop().await;
    let mut texts: Vec<_> =
        house.take().into_iter().map(|mut record| record.remove("log").unwrap()).collect();
    texts.sort();
    assert_eq!(texts, ["last words", "of two"]);
}

#[tokio::test]
async fn a_full_buffer_ends_the_last_reading_and_loses_nothing() {
    use crate::config::plan::OnFull;
    let house = House::with(|plan, _, _| {
        for buffer in &mut plan.buffers {
            buffer.max_bytes = 4 << 10;
            buffer.on_full = OnFull::Block;
        }
    });
    let mut log = house.log("a.log");
    log.lines(60_000);
    house.start();
    house.until(|| house.is_known(&log.path)).await;
    house.stop().await;
    let house = house.restart().await;
    house.start();
    assert_lines(&house.texts(60_000).await, 60_000);
    house.stop().await;
}
