//! A model: peers that behave as Docker's driver and Fluent Bit do, connections that break, acks that are lost, a gateway
//! that is killed and started again. Whatever the order, every message is stored exactly as often as it was meant.

use proptest::prelude::*;

use super::house::{Driver, House, Said};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Docker sends a new line, and then sends it again over so many new connections.
    Nonce {
        again: u8,
    },
    /// Fluent Bit sends one of a few chunks. Its ack is lost and it comes again so many times; then it is read.
    Hash {
        chunk: u8,
        lost: u8,
        close: bool,
    },
    Kill,
    Restart,
    Wait(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u8..4).prop_map(|again| Step::Nonce { again }),
        6 => (0u8..3, 0u8..3, any::<bool>()).prop_map(|(chunk, lost, close)| Step::Hash { chunk, lost, close }),
        1 => Just(Step::Kill),
        1 => Just(Step::Restart),
        1 => (0u8..20).prop_map(Step::Wait),
    ]
}

/// Says it and waits for the ack, as a peer does; tells whether it was new.
async fn say(driver: &mut Driver, chunk: &[u8], text: &str) -> bool {
    match driver.say(chunk, text).await {
        Said::New => {
            driver.flush().stored().await.unwrap();
            true
        }
        Said::Again(mut receipt) => {
            receipt.stored().await.unwrap();
            false
        }
    }
}

async fn run(steps: Vec<Step>) {
    let mut house = House::new();
    let mut meant = 0;
    let mut bit: Option<Driver> = None;
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Nonce { again } => {
                meant += 1;
                let line = number.to_string();
                for time in 0..=again {
                    let new = say(&mut house.driver("docker"), super::NONCE, &line).await;
                    assert_eq!(new, time == 0, "{number}: {time}");
                }
            }
            Step::Hash { chunk, lost, close } => {
                meant += 1;
                let text = format!("chunk {chunk}");
                // Bytes behind a written ack prove that it was read.
                let mut connection = bit.take().unwrap_or_else(|| house.driver("bit"));
                connection.conversation.acks_were_read();
                for time in 0..=lost {
                    let new = say(&mut connection, super::HASH, &text).await;
                    assert_eq!(new, time == 0, "{number}: {time}");
                    if time < lost {
                        connection = house.driver("bit");
                    }
                }
                if close {
                    connection.conversation.acks_were_read();
                } else {
                    bit = Some(connection);
                }
            }
            Step::Kill | Step::Restart => {
                // What was read and is not yet written down would be taken for unread.
                if let Some(mut connection) = bit.take() {
                    connection.conversation.acks_were_read();
                }
                house.duplicates().tend();
                house.journal.last_receipt().stored().await.unwrap();
                if matches!(step, Step::Kill) { house.kill() } else { house.restart().await }
            }
            Step::Wait(seconds) => {
                house.advance(seconds.into());
                house.duplicates().tend();
            }
        }
    }
    house.journal.last_receipt().stored().await.unwrap();
    assert_eq!(house.records(), meant);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn every_message_is_stored_as_often_as_it_was_meant(steps in proptest::collection::vec(step(), 1..40)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(steps));
    }
}
