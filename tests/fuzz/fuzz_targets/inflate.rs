//! Any bytes inflate within their cap or fail, and steps of any size give the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluicegate::wire::compress::chunk::{Inflate, InflateError, Label, Progress, sniff};

const CAP: usize = 100_000;

fn inflate(chunk: &Bytes, at_most: usize) -> Option<Result<Vec<u8>, InflateError>> {
    let packing = sniff(Label::Plain, chunk).ok()??;
    let mut inflate = match Inflate::new(packing, chunk.clone(), CAP) {
        Ok(inflate) => inflate,
        Err(error) => return Some(Err(error)),
    };
    let mut out = Vec::new();
    loop {
        match inflate.step(&mut out, at_most) {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => break,
            Err(error) => return Some(Err(error)),
        }
    }
    assert!(out.len() <= CAP);
    Some(Ok(out))
}

fuzz_target!(|input: &[u8]| {
    let chunk = Bytes::copy_from_slice(input);
    let once = inflate(&chunk, usize::MAX);
    let steps = inflate(&chunk, 77);
    assert_eq!(
        once.as_ref().map(|result| result.as_ref().ok()),
        steps.as_ref().map(|result| result.as_ref().ok())
    );
});
