//! Any body of the HTTP Event Collector becomes records or is refused; each record has its fields within the body or
//! what was made of it, and Docker's driver is refused nothing that others get in.
#![no_main]

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use sluicegate::config::{self, Flags};
use sluicegate::input::Intake;
use sluicegate::input::batcher::Batcher;
use sluicegate::input::budget::Budget;
use sluicegate::input::splunk::events::{Context, Events, Settings, Step, Tally};
use sluicegate::journal::{Journal, Options};
use sluicegate::pipeline::Pipeline;
use sluicegate::pipeline::destinations::Destinations;
use sluicegate::pipeline::route::Router;
use sluicegate::pipeline::stream::{Identity, Origin};
use sluicegate::pipeline::tidy::Tidy;

/// Nothing is stored in it: one tag, and fewer records than a batch holds.
static INTAKE: LazyLock<Arc<Intake>> = LazyLock::new(|| {
    let env = [("HOME".to_owned(), "/tmp".to_owned())];
    let plan = config::load(None, env.into_iter(), &Flags::default()).unwrap();
    let dir: PathBuf = std::env::temp_dir().join(format!("hec-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let journal = Journal::open(Options::new(&dir)).unwrap();
    let (destinations, _) = Destinations::new(&plan, journal.clone());
    let identity = Identity { instance: "1".repeat(32), host: "host".to_owned(), source: None };
    let (router, tidy) = (Router::new(&plan), Tidy::new(plan.time.out_of_range));
    let pipeline = Pipeline::new(router, destinations, None, identity, tidy, journal);
    Arc::new(Intake::new(Arc::new(pipeline), Budget::new(1 << 20)))
});

fn decode(body: &[u8], docker: bool) -> (Step, Tally) {
    let settings = Arc::new(Settings::plain("all", 64));
    let origin = Origin::new("splunk", "unix");
    let mut batcher = Batcher::new(INTAKE.clone(), origin, None);
    let mut events = Events::new(settings);
    let body = bytes::Bytes::copy_from_slice(body);
    events.first_tag(&body);
    events.open(body, &mut batcher);
    let context = Context { docker, ..Context::default() };
    let mut tally = Tally::default();
    let end = loop {
        match events.step(&context, &mut batcher, &mut tally) {
            Step::More => {}
            end => break end,
        }
    };
    let batch = &batcher.batch;
    assert_eq!(batch.records.len() as u64, tally.records);
    for record in &batch.records {
        for field in batch.fields_of(record) {
            let _ = (batch.bytes(field.key), batch.bytes(field.value));
        }
    }
    (end, tally)
}

fuzz_target!(|body: &[u8]| {
    if body.len() > 8_192 {
        return;
    }
    let (end, tally) = decode(body, false);
    let (docker_end, docker_tally) = decode(body, true);
    assert!(docker_tally.records >= tally.records);
    if end == Step::Done {
        assert_eq!((docker_end, docker_tally), (end, tally));
    }
});
