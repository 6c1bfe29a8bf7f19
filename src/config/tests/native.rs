//! The inputs of Docker's other drivers: defaults, where they listen, what is refused.

use std::path::PathBuf;
use std::time::Duration;

use super::*;

/// One input of this name, as it is and as it is when it was printed.
pub(super) fn input(name: &str, keys: &str) -> InputKind {
    let text = format!("inputs: {{ {name}: {{ {keys} }} }}");
    let plan = from_text(&text, &[HOME]).unwrap_or_else(|errors| panic!("{text}\n{errors}"));
    let printed = plan.effective();
    let again =
        from_text(&printed.replace("***", "t"), &[]).unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
    assert_eq!(again.effective(), printed);
    if !printed.contains("***") {
        assert_eq!(again.inputs, plan.inputs, "{printed}");
    }
    plan.inputs[0].kind.clone()
}

fn listen(name: &str, sockets: &str) -> String {
    let one = |listen: &Listen| match listen {
        Listen::Tcp(address) => format!("tcp {address}"),
        Listen::Udp(address) => format!("udp {address}"),
        Listen::Unix(path) => format!("unix {}", path.display()),
        Listen::Unixgram(path) => format!("unixgram {}", path.display()),
    };
    let kind = input(name, &format!("listen: {sockets}"));
    kind.listen().iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Whole inputs with the one fault they must give.
pub(super) fn refused(cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (inputs, expected) in cases {
        let found = lines(from_text(&format!("inputs: {{ {inputs} }}"), &[HOME])).join("\n");
        if !found.starts_with(&format!("configuration: inputs.{expected}")) || found.contains('\n') {
            wrong.push(format!("{inputs}\n  {expected}\n  is not\n  {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn defaults() {
    let InputKind::Syslog(syslog) = input("syslog", "") else { panic!() };
    let places: Vec<String> = syslog.listen.iter().map(ToString::to_string).collect();
    assert_eq!(places, ["udp:127.0.0.1:5140", "127.0.0.1:5140"]);
    assert_eq!((syslog.max_message, syslog.datagrams.receive_buffer), (64 << 10, 8 << 20));
    assert_eq!((syslog.time, syslog.time_zone.as_str()), (SyslogTime::Auto, LOCAL_ZONE));
    assert_eq!((syslog.tag, syslog.source_address_key), (None, None));
    assert_eq!(syslog.join.timeout, Duration::from_secs(2));
    assert_eq!(syslog.connections.unix.mode, 0o660);

    let InputKind::Gelf(gelf) = input("gelf", "") else { panic!() };
    let places: Vec<String> = gelf.listen.iter().map(ToString::to_string).collect();
    assert_eq!(places, ["udp:127.0.0.1:12201", "127.0.0.1:12201"]);
    assert_eq!((gelf.max_message, gelf.chunk_timeout), (2 << 20, Duration::from_secs(5)));
    assert_eq!((gelf.max_incomplete, gelf.max_incomplete_bytes, gelf.keep_command), (1_024, 16 << 20, false));

    let InputKind::Splunk(splunk) = input("splunk", "") else { panic!() };
    assert_eq!(splunk.listen[0].to_string(), "127.0.0.1:8088");
    assert_eq!((splunk.max_body, splunk.max_event, splunk.acknowledgement), (64 << 20, 1 << 20, true));
    assert_eq!((splunk.tokens.len(), &splunk.container_tags), (0, &syslog.container_tags));

    let InputKind::DockerPlugin(plugin) = input("docker_plugin", "") else { panic!() };
    assert_eq!(plugin.socket, Path::new("/run/docker/plugins/sluicegate.sock"));
    assert_eq!(plugin.unix, UnixPlan { mode: 0o600, user: None, group: None });
    assert_eq!((plugin.tag.to_string().as_str(), plugin.read_logs_bytes), ("docker.{{.Name}}", 20 << 20));
    assert_eq!((plugin.join.partial, plugin.join.timeout), (true, Duration::from_secs(5)));

    let InputKind::Docker(docker) = input("docker", "") else { panic!() };
    assert_eq!((docker.data_root.as_path(), docker.start), (Path::new("/var/lib/docker"), Start::Beginning));
    assert_eq!((docker.scan_interval, docker.tag), (Duration::from_secs(1), plugin.tag));
    assert!(docker.labels.is_empty() && docker.env.is_empty());
}

#[test]
fn what_is_switched_on_in_the_full_file_is_the_default() {
    let text: String = shipped("sluicegate.yaml")
        .lines()
        .filter(|line| {
            !["tls", "certificate", "key"].iter().any(|key| line.trim().starts_with(&format!("#{key}:")))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    // Examples that are not defaults.
    let examples = ["unix_owner", "source_address_key", "max_connections_per_peer", "tokens"];
    for name in ["syslog", "gelf", "splunk", "docker_plugin", "docker"] {
        let (_, section) = text.split_once(&format!("  #{name}:\n")).unwrap();
        let section: Vec<&str> = section.lines().take_while(|line| !line.is_empty()).collect();
        let typed = section
            .iter()
            .filter_map(|line| line.trim().strip_prefix('#'))
            .filter(|line| !line.starts_with(' '));
        let kept = typed.filter(|line| {
            let example = examples.iter().any(|key| line.starts_with(&format!("{key}:")));
            !example && !(line.starts_with("tag: from."))
        });
        let keys: String = kept.map(|line| format!("    {line}\n")).collect();
        let text = format!("inputs:\n  {name}:\n{keys}");
        let plan = from_text(&text, &[HOME]).unwrap_or_else(|errors| panic!("{text}\n{errors}"));
        assert_eq!(plan.inputs[0].kind, input(name, ""), "{text}");
    }
}

#[test]
fn names_that_are_types_need_no_type() {
    assert!(matches!(input("gelf", "type: gelf"), InputKind::Gelf(_)));
    assert!(matches!(input("mine", "type: docker"), InputKind::Docker(_)));
    assert!(matches!(input("syslog", "type: splunk"), InputKind::Splunk(_)));
    let all = "forward, syslog, gelf, splunk, docker_plugin, docker, file";
    refused(&[
        ("mine: {}", &format!("mine.type: is missing; write one of {all}")),
        ("mine: { type: sylog, lisen: x }", &format!("mine.type: `sylog` is not one of {all}")),
        ("gelf: { type: }", &format!("gelf.type: must be one of {all}")),
        ("syslog: { max_body: 1MiB }", "syslog.max_body: is not a key; there are type, listen, unix_mode"),
        ("gelf: { max_mesage: 1MiB }", "gelf.max_mesage: is not a key; did you mean max_message?"),
        ("docker_plugin: { listen: 'unix:/s' }", "docker_plugin.listen: is not a key"),
        ("docker: { window: 1MiB }", "docker.window: is not a key"),
    ]);
}

#[test]
fn host_and_port_are_udp_and_tcp_where_both_are_spoken() {
    assert_eq!(listen("syslog", "'h:1'"), "udp h:1, tcp h:1");
    assert_eq!(listen("gelf", "'udp:[::1]:1'"), "udp [::1]:1");
    assert_eq!(listen("gelf", "[ 'tcp:h:1', 'unix:/a b' ]"), "tcp h:1, unix /a b");
    assert_eq!(listen("syslog", "'unixgram:/a, unix:/b'"), "unixgram /a, unix /b");
    assert_eq!(listen("splunk", "'tcp:h:1, h:2'"), "tcp h:1, tcp h:2");
    assert_eq!(listen("forward", "'tcp:h:1'"), "tcp h:1");
    refused(&[
        (
            "forward: { listen: 'udp:h:1' }",
            "forward.listen: `udp:h:1` is UDP, which this input does not speak; write host:port",
        ),
        (
            "forward: { listen: 'unixgram:/s' }",
            "forward.listen: `unixgram:/s` is a datagram socket, which this input does not",
        ),
        ("splunk: { listen: [ 'udp:h:1' ] }", "splunk.listen[0]: `udp:h:1` is UDP"),
        ("gelf: { listen: 'unixgram:/s' }", "gelf.listen: `unixgram:/s` is a datagram socket"),
        (
            "syslog: { listen: 'udp://h:1' }",
            "syslog.listen: `udp://h:1` has slashes that do not belong here; write udp:h:1",
        ),
        ("syslog: { listen: 'udp:514' }", "syslog.listen: `udp:514` names no host; write it as host:port"),
        (
            "syslog: { listen: 'unixgram:s' }",
            "syslog.listen: `unixgram:s` is no path of a socket; write unixgram:/run/",
        ),
        ("syslog: { listen: [] }", "syslog.listen: is an empty list"),
    ]);
}

#[test]
fn sockets_do_not_sit_on_one_another() {
    let tls = "tls: { certificate: /c, key: /k }";
    refused(&[
        (
            "forward: {}, syslog: { listen: '127.0.0.1:24224' }",
            "syslog.listen: `127.0.0.1:24224` is taken by inputs.forward.listen (127.0.0.1:24224); give each its own port",
        ),
        (
            "forward: {}, syslog: { listen: 'udp:0.0.0.0:24224' }",
            "syslog.listen: `udp:0.0.0.0:24224` is taken by inputs.forward.udp_heartbeat (udp:127.0.0.1:24224); give each",
        ),
        (
            "forward: {}, a: { type: gelf, listen: 'udp:127.0.0.1:24224' }",
            "forward.udp_heartbeat: `udp:127.0.0.1:24224` is taken by inputs.a.listen (udp:127.0.0.1:24224)",
        ),
        (
            "gelf: { listen: [ 'h:1', 'udp:h:1' ] }",
            "gelf.listen: `udp:h:1` is taken by inputs.gelf.listen (udp:h:1)",
        ),
        (
            "gelf: { listen: 'h:1' }, syslog: { listen: 'h:1' }",
            "syslog.listen: `h:1` is taken by inputs.gelf.listen",
        ),
        (
            "gelf: { listen: 'unix:/s' }, syslog: { listen: 'unixgram:/s' }",
            "syslog.listen: `unixgram:/s` is taken by inputs.gelf.listen; give each its own path",
        ),
        (
            "docker_plugin: {}, two: { type: docker_plugin }",
            "two.socket: `/run/docker/plugins/sluicegate.sock` is taken by inputs.docker_plugin.socket; give each its own path",
        ),
        (
            "docker_plugin: { socket: /s }, splunk: { listen: 'unix:/s' }",
            "splunk.listen: `unix:/s` is taken by inputs.docker_plugin.socket",
        ),
        (
            "docker: {}, two: { type: docker, data_root: /var/lib//docker/ }",
            "two.data_root: `/var/lib//docker/` is read by inputs.docker already, so each line would come twice",
        ),
        (
            &format!("syslog: {{ listen: [ 'udp:h:1', 'unixgram:/s' ], {tls} }}"),
            "syslog.tls: protects nothing, since listen names no TCP address; take it out, or write host:port",
        ),
        (&format!("forward: {{ listen: 'unix:/s', {tls} }}"), "forward.tls: protects nothing"),
    ]);
    for fine in [
        "forward: { udp_heartbeat: false }, syslog: { listen: 'udp:127.0.0.1:24224' }",
        "gelf: { listen: [ 'udp:h:1', 'tcp:h:1' ] }",
        "syslog: { listen: 'udp:127.0.0.1:24290' }",
        "syslog: { listen: '127.0.0.1:0' }, gelf: { listen: '127.0.0.1:0' }",
        "docker: {}, two: { type: docker, data_root: /mnt/docker }",
        &format!("syslog: {{ {tls} }}"),
    ] {
        let loaded = from_text(&format!("inputs: {{ {fine} }}"), &[HOME]);
        assert!(loaded.is_ok(), "{fine}: {}", loaded.unwrap_err());
    }
}

#[test]
fn tags_tell_of_containers_in_an_order_in_which_each_has_a_say() {
    let InputKind::Syslog(syslog) = input("syslog", "") else { panic!() };
    let fits = |tag: &str| {
        let found = syslog.container_tags.iter().find_map(|form| form.split(tag.as_bytes()))?;
        let text = |part: Option<&[u8]>| {
            part.map_or("-".to_owned(), |part| String::from_utf8_lossy(part).into_owned())
        };
        Some(format!("{} {} {}", text(found.image_name), text(found.name), text(found.id)))
    };
    let id = "d88c56f8195b";
    let full = "0123456789abcdef".repeat(4);
    for (tag, parts) in [
        (format!("reg:5000/a/b:1/web.1/{id}"), format!("reg:5000/a/b:1 web.1 {id}")),
        (format!("web.1/{id}"), format!("- web.1 {id}")),
        (id.to_owned(), format!("- - {id}")),
        (full.clone(), format!("- - {full}")),
        (format!("docker.web.1.{id}"), format!("- web.1 {id}")),
        ("docker.web.1".to_owned(), "- web.1 -".to_owned()),
    ] {
        assert_eq!(fits(&tag), Some(parts), "{tag}");
    }
    for other in ["sshd", "postfix/smtpd", "docker", "d88c56f8195", ""] {
        assert_eq!(fits(other), None, "{other}");
    }
    let printed: Vec<String> = syslog.container_tags.iter().map(ToString::to_string).collect();
    let typed = format!("container_tags: {}", serde_json::to_string(&printed).unwrap());
    assert_eq!(input("syslog", &typed), InputKind::Syslog(syslog));
    let InputKind::Splunk(splunk) = input("splunk", "container_tags: []") else { panic!() };
    assert!(splunk.container_tags.is_empty());
    let long = "x".repeat(1_025);
    refused(&[
        (
            "syslog: { container_tags: '' , tag: '' }",
            "syslog.tag: `` is empty; leave the key out or write a tag",
        ),
        (
            "syslog: { container_tags: [ '' ] }",
            "syslog.container_tags[0]: `` is empty; write docker.{{.Name}}",
        ),
        (
            "syslog: { container_tags: '{{.Nam}}' }",
            "syslog.container_tags: `{{.Nam}}` has {{.Nam}}, which is none of {{.ID}}",
        ),
        (
            "splunk: { container_tags: web }",
            "splunk.container_tags: `web` tells nothing of a container; write {{.Name}}/",
        ),
        (
            "splunk: { container_tags: '{{.DaemonName}}' }",
            "splunk.container_tags: `{{.DaemonName}}` tells nothing",
        ),
        (
            "syslog: { container_tags: [ '{{.Name}}/{{.ID}}', '{{.ImageName}}/{{.Name}}/{{.ID}}' ] }",
            "syslog.container_tags: `{{.ImageName}}/{{.Name}}/{{.ID}}` has no say behind `{{.Name}}/{{.ID}}`, which takes all",
        ),
        ("docker: { tag: '' }", "docker.tag: `` is empty; write docker.{{.Name}}"),
        ("docker_plugin: { tag: '{{.Name' }", "docker_plugin.tag: `{{.Name` has {{ without }}"),
        (&format!("docker: {{ tag: {long} }}"), &format!("docker.tag: `{long}` is longer than 1024 bytes")),
    ]);
}

#[test]
fn bounds() {
    let many = "b".repeat(129);
    refused(&[
        ("syslog: { max_message: 2MiB }", "syslog.max_message: is 2MiB; it must lie between 1KiB and 1MiB"),
        ("syslog: { max_line: 2MiB }", "syslog.max_line: is 2MiB; it must lie between 1KiB and 1MiB"),
        ("gelf: { max_line: 2MiB }", "gelf.max_line: is 2MiB"),
        ("splunk: { max_line: 2MiB }", "splunk.max_line: is 2MiB"),
        ("docker_plugin: { max_line: 2MiB }", "docker_plugin.max_line: is 2MiB"),
        ("docker: { max_line: 2MiB }", "docker.max_line: is 2MiB"),
        (
            "syslog: { receive_buffer: 1KiB }",
            "syslog.receive_buffer: is 1KiB; it must lie between 4KiB and 1GiB",
        ),
        ("syslog: { time: now }", "syslog.time: `now` is not one of auto, header, received"),
        (
            "syslog: { time_zone: Mars/Olympus }",
            "syslog.time_zone: `Mars/Olympus` is no time zone that this machine knows",
        ),
        ("syslog: { time_zone: '' }", "syslog.time_zone: `` is no time zone"),
        ("gelf: { max_message: 65MiB }", "gelf.max_message: is 65MiB; it must lie between 1KiB and 64MiB"),
        ("gelf: { max_incomplete: 0 }", "gelf.max_incomplete: is 0; it must lie between 1 and 65536"),
        (
            "gelf: { max_incomplete_bytes: 1KiB }",
            "gelf.max_incomplete_bytes: is 1KiB; it must lie between 256KiB and 1GiB",
        ),
        ("gelf: { chunk_timeout: 0s }", "gelf.chunk_timeout: is 0ms; it must lie between 1ms and 1h"),
        ("splunk: { max_body: 1GiB }", "splunk.max_body: is 1GiB; it must lie between 1KiB and 512MiB"),
        (
            "splunk: { max_body: 1MiB, max_event: 2MiB }",
            "splunk.max_event: is more than max_body (1MiB), above which nothing is read",
        ),
        (
            "docker_plugin: { socket: s.sock }",
            "docker_plugin.socket: `s.sock` is no path of a socket; write /run/docker/plugins/",
        ),
        ("docker_plugin: { unix_mode: '8' }", "docker_plugin.unix_mode: `8` is no mode"),
        ("docker_plugin: { read_logs_bytes: 2048GiB }", "docker_plugin.read_logs_bytes: is 2048GiB"),
        (
            "docker: { data_root: docker }",
            "docker.data_root: `docker` is not an absolute path; write /var/lib/docker",
        ),
        ("docker: { start: now }", "docker.start: `now` is not one of beginning, end"),
        ("docker: { scan_interval: 1ms }", "docker.scan_interval: is 1ms; it must lie between 10ms and 1h"),
        (
            "docker: { labels: [ a, log ] }",
            "docker.labels[1]: `log` is a field that every record has, so it cannot be one",
        ),
        ("docker: { env: container_name }", "docker.env: `container_name` is a field that every record has"),
        (&format!("docker: {{ env: {many} }}"), &format!("docker.env: `{many}` is no name for a field")),
    ]);
    let InputKind::Splunk(splunk) = input("splunk", "max_body: 100KiB") else { panic!() };
    assert_eq!(splunk.max_event, 100 << 10, "no more than is read");
    let InputKind::Docker(docker) = input("docker", "labels: 'a, b.c', env: [ X ], data_root: /d") else {
        panic!()
    };
    assert_eq!((docker.labels.len(), docker.env.len(), docker.data_root), (2, 1, PathBuf::from("/d")));
    for zone in ["local", "UTC"] {
        let InputKind::Syslog(syslog) = input("syslog", &format!("time_zone: {zone}")) else { panic!() };
        assert!(time_zone(&syslog.time_zone).is_some(), "{zone}");
    }
}

#[test]
fn tokens_are_secrets_and_none_is_forgotten() {
    let text = "inputs: { splunk: { tokens: '${env:T}' } }";
    let with = |token: &str| from_text(text, &[HOME, ("T", token)]);
    let tokens = |plan: Plan| {
        let InputKind::Splunk(splunk) = plan.inputs[0].kind.clone() else { panic!() };
        splunk.tokens.iter().map(|token| token.expose().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(tokens(with("one").unwrap()), ["one"]);
    assert_eq!(tokens(with("one, two").unwrap()), ["one", "two"]);
    assert!(tokens(from_text("inputs: { splunk: { tokens: [] } }", &[HOME]).unwrap()).is_empty());
    let plan = from_text("inputs: { splunk: { tokens: [ 'a,b', c ] } }", &[HOME]).unwrap();
    assert_eq!(plan.effective().matches("***").count(), 2);
    assert_eq!(tokens(plan), ["a,b", "c"]);
    for (token, what) in
        [("", "is empty"), ("a,", "is empty"), ("a b", "has characters"), ("hé", "has characters")]
    {
        let found = lines(with(token)).join("\n");
        assert!(
            found.starts_with(&format!("configuration: inputs.splunk.tokens: {what}")),
            "{token}: {found}"
        );
        assert!(token.is_empty() || !found.contains(token), "{found}");
    }
    let found = lines(from_text("inputs: { splunk: { tokens: [ '', a, 'b c', 7 ] } }", &[HOME]));
    assert_eq!(found.len(), 3, "{found:?}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokens");
    std::fs::write(&file, "one,two\n").unwrap();
    let text = format!("inputs: {{ splunk: {{ tokens: '${{file:{}}}' }} }}", file.display());
    let plan = from_text(&text, &[HOME]).unwrap();
    assert_eq!(plan.secret_files, [file]);
    assert_eq!(tokens(plan), ["one", "two"]);
}
