use proptest::prelude::*;

use super::*;
use crate::config::log_format;
use crate::config::plan::LogPart;

fn parser(server: LogServer, format: &str) -> Parse {
    Parse::new(&of(ParseFormat::LogFormat(log_format::parse(server, format).unwrap())), Nil::Empty)
}

/// `key=value` of each field, one a line.
fn shown(server: LogServer, format: &str, text: &str) -> Option<Vec<String>> {
    let parts = parts(&parser(server, format), text.as_bytes())?;
    Some(parts.iter().map(|(key, value)| format!("{key}={}", String::from_utf8_lossy(value))).collect())
}

fn nginx(format: &str, text: &str) -> Option<Vec<String>> {
    shown(LogServer::Nginx, format, text)
}

const LINE: &str = r#"172.17.0.1 - - [23/Nov/2026:10:24:51 +0000] "GET /a?b=%20c HTTP/1.1" 200 615 "-" "Mozilla/5.0 (X11; \x22x\x22)""#;

#[test]
fn a_line_of_nginx() {
    let wanted = [
        "remote_addr=172.17.0.1",
        "remote_user=-",
        "time_local=23/Nov/2026:10:24:51 +0000",
        "request_method=GET",
        "request_uri=/a?b=%20c",
        "request_protocol=HTTP/1.1",
        "status=200",
        "body_bytes_sent=615",
        "http_referer=-",
        "http_user_agent=Mozilla/5.0 (X11; \"x\")",
    ];
    assert_eq!(nginx("combined", LINE).unwrap(), wanted);
    // What is received stays where it is, but for what has to be made.
    let parse = parser(LogServer::Nginx, "combined");
    let mut batch = Batch { frame: bytes::Bytes::from_static(LINE.as_bytes()), ..Batch::default() };
    batch.begin(crate::record::Timestamp::default());
    let key = batch.keep(b"log");
    batch.push(key, crate::record::Span::frame(0, LINE.len()));
    parse.apply(&mut batch, 0, &mut Scratch::default());
    let made: usize = wanted.iter().map(|field| field.find('=').unwrap()).sum();
    assert_eq!(batch.arena.len(), 3 + made + "request".len() + "Mozilla/5.0 (X11; \"x\")".len());
}

#[test]
fn a_line_of_apache() {
    let line = r#"10.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a b HTTP/1.0" 304 - "http://x/\"y\"" "a\\\tb""#;
    let wanted = [
        "remote_addr=10.0.0.1",
        "remote_ident=-",
        "remote_user=frank",
        "time_local=10/Oct/2000:13:55:36 -0700",
        "request_method=GET",
        "request_uri=/a b",
        "request_protocol=HTTP/1.0",
        "status=304",
        "response_size_bytes=",
        "http_referer=http://x/\"y\"",
        "http_user_agent=a\\\tb",
    ];
    assert_eq!(shown(LogServer::Apache, "combined", line).unwrap(), wanted);
    let found = shown(LogServer::Apache, "vhost_common", "www.x:80 ::1 - a b [x y] \"-\" 408 12").unwrap();
    assert_eq!(
        found.join(" "),
        "server_name=www.x remote_port=80 remote_addr=::1 remote_ident=- remote_user=a b time_local=x y request=- status=408 response_size_bytes=12"
    );
    let own = shown(LogServer::Apache, "%{%F %T}t %{%s}t %h", "2026-11-23 10:00:00 5 x").unwrap();
    assert_eq!(own, ["time_local=2026-11-23 10:00:00", "time_local_2=5", "remote_addr=x"]);
}

#[test]
fn a_line_of_ingress_nginx_with_several_upstreams() {
    let line = concat!(
        r#"192.0.2.1 - - [23/Nov/2026:10:24:51 +0000] "POST /a HTTP/2.0" 200 5 "-" "curl/8" 12 0.010 [ns-svc-80] [] "#,
        "10.0.0.1:80, 10.0.0.2:80 : 10.0.0.3:80 0, 5 : 7 0.001, 0.002 : 0.003 502, 200 : 200 4f0c"
    );
    let found = nginx("ingress", line).unwrap();
    let wanted = [
        "request_length=12",
        "request_time=0.010",
        "proxy_upstream_name=ns-svc-80",
        "proxy_alternative_upstream_name=",
        "upstream_addr=10.0.0.1:80, 10.0.0.2:80 : 10.0.0.3:80",
        "upstream_response_length=0, 5 : 7",
        "upstream_response_time=0.001, 0.002 : 0.003",
        "upstream_status=502, 200 : 200",
        "req_id=4f0c",
    ];
    assert_eq!(found[10..], wanted);
}

#[test]
fn requests_that_are_none_stay_whole() {
    let request = |text: &str| nginx("\"$request\" $status", &format!("\"{text}\" 400")).unwrap().join(" ");
    assert_eq!(request("GET /"), "request_method=GET request_uri=/ request_protocol= status=400");
    assert_eq!(
        request("GET /a HTTP/1.1 b"),
        "request_method=GET request_uri=/a HTTP/1.1 b request_protocol= status=400"
    );
    assert_eq!(
        request("PROPFIND  /a  HTTP/1.1"),
        "request_method=PROPFIND request_uri= /a  request_protocol=HTTP/1.1 status=400"
    );
    assert_eq!(request("GET "), "request=GET  status=400");
    assert_eq!(request("GET  HTTP/1.1"), "request=GET  HTTP/1.1 status=400");
    for text in ["-", "", " ", "GET", "(a) /", " / HTTP/1.1"] {
        assert_eq!(request(text), format!("request={text} status=400"));
    }
    assert_eq!(request(r"\x16\x03\x01"), "request=\x16\x03\x01 status=400");
    let bare = |text: &str| nginx("$request $status $time_local $host", text).map(|found| found.join(" "));
    assert_eq!(
        bare("GET /a b HTTP/1.1 200 23/Nov/2026:10:24:51 +0000 x").as_deref(),
        Some(
            "request_method=GET request_uri=/a b request_protocol=HTTP/1.1 status=200 time_local=23/Nov/2026:10:24:51 +0000 host=x"
        )
    );
    assert_eq!(
        bare("- 400 d z x HTTP/1").as_deref(),
        Some("request=- status=400 time_local=d z host=x HTTP/1")
    );
}

#[test]
fn a_line_of_another_format_is_refused() {
    for text in [
        "",
        "172.17.0.1",
        &LINE[1..LINE.len() - 1],
        &format!("{LINE} \"10.0.0.1\""),
        &format!("{LINE}x"),
        "\\\"",
    ] {
        assert_eq!(nginx("combined", text), None, "{text}");
    }
    assert_eq!(nginx("main", LINE), None);
    assert_eq!(nginx("<$a>", "<>").unwrap(), ["a="]);
    assert_eq!(nginx("<$a>", "<"), None);
    assert_eq!(nginx("[$time_local] $a", "[d] x").unwrap(), ["time_local=d", "a=x"]);
    assert_eq!(nginx("$time_local $a", "d x"), None);
}

#[test]
fn the_last_value_holds_what_ends_it_where_nothing_is_escaped() {
    let text = r#""a" b" "c" d\x22""#;
    assert_eq!(nginx(r#"escape=none '"$a" "$b"'"#, text).unwrap(), ["a=a\" b", "b=c\" d\\x22"]);
    assert_eq!(nginx(r#"'"$a" "$b"'"#, text), None);
    let json = nginx(r#"escape=json '{"a":"$a","b":$b}'"#, r#"{"a":"x\"\\\u0009,","b":5}"#).unwrap();
    assert_eq!(json, ["a=x\"\\\t,", "b=5"]);
}

#[test]
fn variables_have_a_prefix_and_a_field_that_is_there_wins() {
    let format = log_format::parse(LogServer::Nginx, "$request|$host").unwrap();
    let plan = ParsePlan { prefix: "p_".to_owned(), ..of(ParseFormat::LogFormat(format)) };
    let before = [("p_host", "h"), ("log", "GET / HTTP/1.1|x")];
    let wanted = [
        ("p_host", "h"),
        ("p_request_method", "GET"),
        ("p_request_uri", "/"),
        ("p_request_protocol", "HTTP/1.1"),
        ("log.p_host", "x"),
    ];
    assert_eq!(parsed(&plan, &before), owned(&wanted));
}

/// What the scanner does, as a regular expression.
fn as_regex(format: &crate::config::plan::LogFormat) -> ::regex::bytes::Regex {
    let mut regex = String::from("(?s-u)^");
    for (at, part) in format.parts.iter().enumerate() {
        let is_quoted =
            matches!(format.parts.get(at + 1), Some(LogPart::Literal(text)) if text.starts_with('"'));
        regex += &match part {
            LogPart::Literal(text) => ::regex::escape(text),
            LogPart::Variable(_) if is_quoted && format.escape != crate::config::plan::Escape::None => {
                r#"((?:[^"\\]|\\.)*)"#.to_owned()
            }
            LogPart::Variable(_) => "(.*?)".to_owned(),
        };
    }
    ::regex::bytes::Regex::new(&(regex + "$")).unwrap()
}

/// Matches a text with a quote that no backslash escapes.
fn bare_quotes() -> ::regex::bytes::Regex {
    ::regex::bytes::Regex::new(r#"(?s-u)^(?:[^"\\]|\\.)*""#).unwrap()
}

proptest! {
    #[test]
    fn values_are_those_of_a_lazy_regex(
        literals in proptest::collection::vec(prop_oneof!["[ab]{1,2}", "\"[ab\"]{0,2}", "[ab]{5,6}"], 2..5),
        text in "[ab\"\\\\]{0,24}",
        lines in proptest::collection::vec("[ab\"\\\\]{0,4}", 4),
        escaped: bool,
    ) {
        let variables: String = literals[1..].iter().enumerate().map(|(at, text)| format!("${{v{at}}}{text}")).collect();
        let escape = if escaped { "default" } else { "none" };
        let format = format!("escape={escape} '{}{variables}$last'", literals[0]);
        let format = log_format::parse(LogServer::Nginx, &format).unwrap();
        let regex = as_regex(&format);
        let parse = Parse::new(&of(ParseFormat::LogFormat(format.clone())), Nil::Empty);
        // Any text, and one that is often of the format.
        let likely: String = literals.iter().zip(&lines).flat_map(|(literal, value)| [literal.as_str(), value]).collect();
        for text in [text, likely] {
            let captures = regex.captures(text.as_bytes());
            // A server that escapes writes no bare quote into a value, so the scanner takes none for a part of one.
            let has_bare = |group: ::regex::bytes::Match<'_>| bare_quotes().is_match(group.as_bytes());
            if escaped && captures.as_ref().is_some_and(|found| found.iter().skip(1).flatten().any(has_bare)) {
                continue;
            }
            let wanted = captures.map(|found| {
                found.iter().skip(1).flatten().map(|group| undone(group.as_bytes(), format.escape)).collect::<Vec<_>>()
            });
            let found = parts(&parse, text.as_bytes());
            let found = found.map(|parts| parts.into_iter().map(|(_, value)| value).collect::<Vec<_>>());
            prop_assert_eq!(found, wanted, "{:?} {}", format.parts, text);
        }
    }

    #[test]
    fn what_nginx_wrote_comes_back(
        user in "[a-z]{1,8}", uri in "[a-z/ ?\\[\\]]{1,12}", status in 100..600_u16, agent: String, referer in "\\PC{0,9}",
    ) {
        let nginx = |text: &str| -> String {
            let one = |byte: u8| match byte {
                b'"' | b'\\' | 0..0x20 | 0x7f.. => format!("\\x{byte:02X}"),
                byte => char::from(byte).to_string(),
            };
            text.bytes().map(one).collect()
        };
        let line = format!(
            "::1 - {user} [23/Nov/2026:10:24:51 +0000] \"GET {uri} HTTP/1.1\" {status} 0 \"{}\" \"{}\"",
            nginx(&referer), nginx(&agent)
        );
        let found = parts(&parser(LogServer::Nginx, "combined"), line.as_bytes()).unwrap();
        let status = status.to_string();
        let wanted = ["::1", &user, "23/Nov/2026:10:24:51 +0000", "GET", &uri, "HTTP/1.1", &status, "0", &referer, &agent];
        let values: Vec<&[u8]> = found.iter().map(|(_, value)| value.as_slice()).collect();
        prop_assert_eq!(values, wanted.map(str::as_bytes));
    }
}

fn undone(text: &[u8], escape: crate::config::plan::Escape) -> Vec<u8> {
    let mut batch = Batch::default();
    let value = batch.keep(text);
    let value = escapes::undone(&mut batch, value, escape);
    batch.bytes(value).to_vec()
}
