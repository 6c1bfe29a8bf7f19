//! The command line: one file per command. Without a command the gateway runs; under the name `ilogtaild` it answers
//! probes made for Logtail.

mod check;
mod demo_log;
mod deploy;
mod env;
mod ilogtaild;
mod query;
mod refused;
mod reload;
mod run;
mod send;
mod status;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What the environment says, at the end of `--help`.
const VARIABLES: &str = "\
Environment:
  SLUICEGATE_DATA_DIR     The data directory, unless --data-dir names one
  SLUICEGATE_LOG          What is logged: error, warn, info, debug, or for example warn,sluicegate=debug
  SLUICEGATE__KEY__KEY    A key of the configuration, over the file; SLUICEGATE__OPERATIONS__LISTEN=127.0.0.1:9000";

/// A forwarding gateway for logs: Docker, Fluent Bit and Fluentd in, Alibaba Cloud Log Service (or the embedded one) out.
#[derive(Parser)]
#[command(name = "sluicegate", version, args_conflicts_with_subcommands = true, after_help = VARIABLES)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Run,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway (the default).
    Run(run::Run),
    /// Check a configuration and list everything that is wrong with it.
    Check(check::Check),
    /// Write logs like an application does, for demonstrations and tests.
    DemoLog(demo_log::DemoLog),
    /// Make what a Kubernetes cluster needs in Log Service, and print the manifests of its gateways.
    Deploy(deploy::Deploy),
    /// Print what the vendor's SDKs and CLI need to use the embedded Log Service.
    Env(env::Env),
    /// Search a logstore.
    Query(query::Query),
    /// Dead letters: list them, show them, send them again or drop them.
    Refused(refused::Refused),
    /// Send records to a forward input and wait for their acks.
    Send(send::Send),
    /// Say how the running gateway does; exit 1 when it is not healthy.
    Status(status::Status),
    /// Delete what `deploy` made in Log Service; asks first.
    Undeploy(deploy::Undeploy),
}

pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    if ilogtaild::is_called(words.first().map(OsString::as_os_str)) {
        return ended("ilogtaild", ilogtaild::execute(words.get(1..).unwrap_or_default()));
    }
    let arguments = Arguments::parse_from(words);
    let outcome = match arguments.command {
        None => arguments.run.execute(),
        Some(Command::Run(run)) => run.execute(),
        Some(Command::Check(check)) => check.execute(),
        Some(Command::DemoLog(demo)) => demo.execute(),
        Some(Command::Deploy(deploy)) => deploy.execute(),
        Some(Command::Env(env)) => env.execute(),
        Some(Command::Query(query)) => query.execute(),
        Some(Command::Refused(refused)) => refused.execute(),
        Some(Command::Send(send)) => send.execute(),
        Some(Command::Status(status)) => status.execute(),
        Some(Command::Undeploy(undeploy)) => undeploy.execute(),
    };
    ended("sluicegate", outcome)
}

fn ended(program: &str, outcome: anyhow::Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        complain(&format!("{program}: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Writes a line to standard output. A reader that went away (`| head`) is no error.
#[allow(clippy::print_stdout)]
fn say(line: &str) -> bool {
    use std::io::Write;
    writeln!(std::io::stdout(), "{line}").is_ok()
}

fn complain(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The environment, as far as it is text.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// A runtime for commands that only talk to a gateway.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
