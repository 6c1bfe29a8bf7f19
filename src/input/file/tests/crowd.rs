//! Many files, large files, and bounds on them.

use super::*;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_files_are_read_with_few_open() {
    let house = House::with(|_, file, how| {
        how.open_files = 64;
        file.scan_interval = Duration::from_millis(500);
    });
    for number in 0..2_000 {
        if number % 100 == 0 {
            fs::create_dir(house.path(&format!("{}", number / 100))).unwrap();
        }
        house.log(&format!("{}/{number}.log", number / 100)).lines(3);
    }
    let input = house.start();
    timeout(PATIENCE, house.wait(6_000)).await.expect("some wait for others");
    let rest =
        house.until(|| input.report().iter().all(|file| file.state == FileState::Resting || file.lag == 0));
    timeout(PATIENCE, rest).await.expect("they are read to their end");
    for number in (0..2_000).step_by(50) {
        house.log(&format!("{}/{number}.log", number / 100)).put("4 of many\n");
    }
    timeout(PATIENCE, house.wait(40)).await.expect("what is new is found");
    house.stop().await;
    assert_eq!(house.intake.budget.used(), 0);
    // At the next start nothing is read again.
    let house = house.restart().await;
    house.start();
    house.log("0/0.log").put("5 of many\n");
    assert_eq!(timeout(PATIENCE, house.texts(1)).await.expect("it goes on"), ["5 of many"]);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_file_does_not_wait_for_a_large_one() {
    let house = House::new();
    let large = house.log("large.log");
    let block = format!("{}\n", "x".repeat(999)).repeat(1_000);
    for _ in 0..64 {
        large.put(&block);
    }
    let input = house.start();
    house.until(|| house.is_known(&large.path)).await;
    house.log("small.log").put("small\n");
    let mut met = false;
    while !met {
        met = house.take().iter().any(|record| record["log"] == "small");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let lag = input.report().iter().find(|file| file.path == large.path).unwrap().lag;
    assert!(lag > 0, "the large one is through");
    house.stop().await;
}

#[tokio::test]
async fn a_rate_bounds_what_is_read() {
    const RATE: u64 = 400_000;
    let house = House::with(|_, file, _| file.rate_limit = Some(RATE));
    let logs = [house.log("a.log"), house.log("b.log")];
    let block = format!("{}\n", "x".repeat(99)).repeat(20_000);
    logs.iter().for_each(|log| log.put(&block));
    let begin = Instant::now();
    let input = house.start();
    let read = || input.report().iter().map(|file| file.offset).sum::<u64>();
    while read() < 1_500_000 {
        let bytes = read();
        // A second's bytes were there at the beginning, and each file may have read a block more, which is owed.
        let most = RATE as f64 * (begin.elapsed().as_secs_f64() + 1.0) + 2.0 * reader::BLOCK as f64;
        assert!((bytes as f64) <= most, "{bytes} of {most}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The last reading does not wait.
    house.stop().await;
    assert_eq!(house.take().len(), 40_000);
}
