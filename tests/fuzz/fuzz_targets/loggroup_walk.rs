//! Any bytes are a LogGroup that can be walked, or an error; halves of it hold its logs, in order, and merge into it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::wire::loggroup::{Log, merge, split, walk};

type Contents = Vec<(u32, Option<u32>, Vec<(Vec<u8>, Vec<u8>)>)>;

fn contents<'a>(logs: impl Iterator<Item = Log<'a>>) -> Contents {
    let pairs = |log: &Log<'_>| log.contents().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    logs.map(|log| (log.time, log.time_ns, pairs(&log))).collect()
}

fuzz_target!(|input: &[u8]| {
    let Ok(group) = walk(input) else {
        assert!(split(input).is_err());
        return;
    };
    let all = contents(group.logs());
    assert_eq!(all.len(), group.log_count());
    let tags: Vec<_> = group.tags().collect();
    let Ok(Some((first, second))) = split(input) else {
        assert!(all.len() < 2);
        return;
    };
    let (one, two) = (walk(&first).unwrap(), walk(&second).unwrap());
    for half in [&one, &two] {
        assert_eq!((half.topic, half.source), (group.topic, group.source));
        assert_eq!(half.tags().collect::<Vec<_>>(), tags);
    }
    let mut halves = contents(one.logs());
    assert_eq!(halves.len(), all.len() / 2);
    halves.extend(contents(two.logs()));
    assert_eq!(halves, all);
    let merged = merge(&[first.clone(), second.clone()]).unwrap();
    assert_eq!(contents(walk(&merged).unwrap().logs()), all);
});
