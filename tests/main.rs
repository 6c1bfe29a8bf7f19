//! The gateway as a whole, in one process: real sockets, a real journal, the embedded Log Service or a fake one that
//! makes the faults a real one will not produce on demand.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod gateway {
    pub mod fake_service;
    pub mod harness;

    mod buffers;
    mod forward;
    mod join;
    mod routes;
    mod running;
    mod seals;
    mod signals;
    mod verdicts;
}
