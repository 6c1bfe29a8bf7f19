//! `sluicegate status`: what the running gateway says about itself, and an exit code for an exec probe.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use serde_json::Value;

use super::say;
use crate::config::leaf::Address;

#[derive(Args)]
pub(super) struct Status {
    /// The operations port of the running gateway.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:24290")]
    operations: String,
    /// Show the files of the inputs that read files: those with an error first, then those that are behind the most.
    #[arg(long)]
    files: bool,
    /// Print the whole document as JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn execute(self) -> Result<ExitCode> {
        let status = super::block_on(fetch(&self.operations))?;
        if self.files {
            let files = super::block_on(files(&self.operations))?;
            if self.json {
                say(&serde_json::to_string_pretty(&files)?);
            } else {
                print_files(&files);
            }
        } else if self.json {
            say(&serde_json::to_string_pretty(&status)?);
        } else {
            print(&status);
        }
        Ok(if is_healthy(&status) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The status document of the gateway whose operations port this is.
pub(super) async fn fetch(operations: &str) -> Result<Value> {
    Address::parse(operations).map_err(|what| anyhow!("--operations {operations}: {what}"))?;
    let stranger = || {
        format!(
            "what answers on {operations} is not Sluicegate's operations port; the gateway prints that one when it \
             starts (--operations ADDR)"
        )
    };
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let answer = match client.get(format!("http://{operations}/status")).send().await {
        Ok(answer) => answer,
        Err(error) if error.is_connect() => bail!(
            "no gateway answers on {operations}; is it running? It prints its operations port when it starts \
             (--operations ADDR)"
        ),
        Err(error) if error.is_timeout() => {
            bail!("{operations} took the question and gave no answer in 10 s")
        }
        Err(_) => bail!(stranger()),
    };
    if answer.status() != reqwest::StatusCode::OK {
        bail!("{} (HTTP {})", stranger(), answer.status().as_u16());
    }
    let document = answer.bytes().await.ok().and_then(|body| serde_json::from_slice(&body).ok());
    document.filter(is_ours).with_context(stranger)
}

/// What the gateway knows of its files. Asked of a port that is known to be a gateway's.
async fn files(operations: &str) -> Result<Value> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let answer = client.get(format!("http://{operations}/files")).send().await?;
    let body =
        answer.error_for_status().context("the gateway that runs knows nothing of files; is it older?")?;
    Ok(serde_json::from_slice(&body.bytes().await?)?)
}

fn print_files(document: &Value) {
    let files: Vec<&Value> = document["files"].as_array().into_iter().flatten().collect();
    if files.is_empty() {
        say("no files: no input of type `file` is configured, or its patterns match nothing yet");
        return;
    }
    say(&format!("{:<9} {:>14} {:>14} {:>12}  {}", "state", "size", "position", "lag", "file"));
    for file in files {
        let number = |key: &str| file[key].as_u64().unwrap_or_default();
        let text = |key: &str| file[key].as_str().unwrap_or_default();
        let (size, offset, lag) = (number("size"), number("offset"), number("lag"));
        say(&format!("{:<9} {size:>14} {offset:>14} {lag:>12}  {}", text("state"), text("path")));
        if let Some(error) = file["last_error"].as_str() {
            say(&format!("          {error}"));
        }
    }
}

/// Whether a document has what only ours has together.
fn is_ours(document: &Value) -> bool {
    document["version"].is_string() && document["data_dir"].is_string() && document["healthy"].is_boolean()
}

/// Health is what is said, never what is left out.
fn is_healthy(status: &Value) -> bool {
    status["healthy"] == Value::Bool(true)
}

fn print(status: &Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let health = match status["health"].as_str() {
        None if is_healthy(status) => "healthy".to_owned(),
        why => format!("NOT HEALTHY: {}", why.unwrap_or("it does not say why")),
    };
    say(&format!(
        "sluicegate {}, {}, {health}, up {} s, data in {}",
        text(&status["version"]),
        text(&status["state"]),
        status["uptime_seconds"],
        text(&status["data_dir"]),
    ));
    for input in status["inputs"].as_array().into_iter().flatten() {
        say(&format!("  input        {} on {}", text(&input["name"]), text(&input["listen"])));
    }
    for destination in status["destinations"].as_array().into_iter().flatten() {
        let age = destination["oldest_seconds"]
            .as_f64()
            .map(|age| format!(", oldest {age:.0} s"))
            .unwrap_or_default();
        say(&format!(
            "  buffer       {}: {} bytes in {} entries{age}",
            text(&destination["name"]),
            destination["buffered_bytes"],
            destination["buffered_entries"],
        ));
    }
    say(&format!(
        "  journal      {} bytes in {} segments",
        status["journal"]["disk_bytes"], status["journal"]["segments"]
    ));
    print_collection(&status["collection"]);
    for problem in status["problems"].as_array().into_iter().flatten() {
        say(&format!("  problem      {}", text(problem)));
    }
}

/// Who says what is to be collected, and what became of it.
fn print_collection(collection: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for source in collection["sources"].as_array().into_iter().flatten() {
        let state = match (source["error"].as_str(), source["last_ok_seconds"].as_u64()) {
            (Some(error), _) => format!("cannot be asked: {error}"),
            (None, Some(seconds)) => format!("asked {seconds} s ago"),
            (None, None) => "not asked yet".to_owned(),
        };
        say(&format!("  source       {}: {state}", text(&source["name"])));
    }
    for config in collection["configs"].as_array().into_iter().flatten() {
        say(&format!(
            "  collected    {}: {} ({})",
            text(&config["id"]),
            text(&config["state"]),
            text(&config["source"])
        ));
        for key in ["reasons", "notes"] {
            for line in config[key].as_array().into_iter().flatten() {
                say(&format!("               {}", text(line)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use serde_json::json;

    use super::*;

    /// What `fetch` makes of a port that gives this answer.
    fn fetched(answer: String) -> Result<Value> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let peer = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let _ = connection.read(&mut [0; 1024]).unwrap();
            connection.write_all(answer.as_bytes()).unwrap();
        });
        let status = super::super::block_on(fetch(&address));
        peer.join().unwrap();
        status
    }

    fn http(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    }

    #[test]
    fn only_the_operations_port_is_believed() {
        let good = json!({ "version": "1", "data_dir": "/d", "healthy": true }).to_string();
        assert!(is_healthy(&fetched(http("200 OK", &good)).unwrap()));
        for answer in [
            http("400 Bad Request", r#"{"errorCode":"InvalidParameter","errorMessage":"no project"}"#),
            http("404 Not Found", &good),
            http("200 OK", "{}"),
            http("200 OK", "[]"),
            http("200 OK", "<html>"),
            http("200 OK", r#"{"version":"1","data_dir":"/d"}"#),
            "SSH-2.0-x\r\n".to_owned(),
        ] {
            let error = fetched(answer.clone()).unwrap_err().to_string();
            assert!(error.contains("is not Sluicegate's operations port"), "{answer}: {error}");
        }
    }

    #[test]
    fn addresses_without_a_gateway_say_so() {
        let fetched = |address: &str| super::super::block_on(fetch(address)).unwrap_err().to_string();
        assert!(fetched("localhost").contains("--operations localhost: has no port; write it as host:port"));
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        assert!(fetched(&free).starts_with(&format!("no gateway answers on {free}")));
    }

    #[test]
    fn health_that_is_not_said_is_no_health() {
        assert!(!is_healthy(&json!({ "version": "1" })));
        assert!(!is_healthy(&json!({ "healthy": "true" })));
    }
}
