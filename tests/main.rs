//! The gateway as a whole, in one process: real sockets, a real journal, the embedded Log Service or a fake one that
//! makes the faults a real one will not produce on demand.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod gateway {
    pub mod drivers;
    pub mod fake_service;
    pub mod harness;
    pub mod http;
    pub mod peers;
    pub mod watch;

    mod buffers;
    mod collected;
    mod connections;
    mod docker_files;
    mod docker_plugin;
    mod duplicates;
    mod fairness;
    pub mod files;
    mod forward;
    mod full;
    mod gelf;
    mod handover;
    mod join;
    mod json;
    mod keys;
    mod letters;
    mod lists;
    mod neighbours;
    mod one_shape;
    mod options;
    mod resend;
    mod restarts;
    mod routes;
    mod running;
    mod seals;
    mod secured;
    mod signals;
    mod splunk;
    mod syslog;
    mod take_over;
    mod verdicts;
}
