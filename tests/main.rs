//! The gateway as a whole, in one process: real sockets, a real journal, the embedded Log Service or a fake one that
//! makes the faults a real one will not produce on demand.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod gateway {
    pub mod fake_service;
    pub mod harness;
    pub mod peers;
    pub mod watch;

    mod buffers;
    mod connections;
    mod duplicates;
    mod fairness;
    mod forward;
    mod full;
    mod handover;
    mod join;
    mod json;
    mod letters;
    mod options;
    mod routes;
    mod running;
    mod seals;
    mod secured;
    mod signals;
    mod verdicts;
}
