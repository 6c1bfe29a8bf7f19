use super::*;
use LogServer::{Apache, Nginx};

/// `<key>` for a variable, with a letter for what is known of it.
fn shown(server: LogServer, text: &str) -> Result<String, String> {
    let format = parse(server, text)?;
    assert_eq!((format.server, format.text.as_str()), (server, text));
    let shown = format.parts.iter().map(|part| match part {
        LogPart::Literal(text) => text.clone(),
        LogPart::Variable(LogVariable { key, shape }) => match shape {
            ValueShape::Plain => format!("<{key}>"),
            ValueShape::Blanks(count) => format!("<{key}:{count}>"),
            ValueShape::List => format!("<{key}:list>"),
            ValueShape::Request => format!("<{key}:request>"),
            ValueShape::Size => format!("<{key}:size>"),
        },
    });
    Ok(shown.collect())
}

fn escape(text: &str) -> Escape {
    parse(Nginx, text).unwrap().escape
}

#[test]
fn nginx_as_it_is_typed() {
    let wanted = "<a> - [<b>] \"<request:request>\"";
    for text in [
        r#"$a - [$b] "$request""#,
        r#"  ${a} - [${b}] "$request"  "#,
        r#"log_format main '$a - [$b] ' '"$request"';"#,
        "log_format main escape=default\n  '$a - [$b] '  # the first part\n\t\"\\\"$request\\\"\" ;\n",
        r#"'$a - [$b] "$request"'"#,
        r#""$a - [$b] \"$request\"";"#,
        r#""$a - [$b] " '"$request"';"#,
        r#"escape=none '$a - [$b] "$request"';"#,
    ] {
        assert_eq!(shown(Nginx, text).as_deref(), Ok(wanted), "{text}");
    }
    assert_eq!(shown(Nginx, r#""$a" "$b""#).as_deref(), Ok(r#""<a>" "<b>""#));
    assert_eq!(shown(Nginx, "log_format m $a;").as_deref(), Ok("<a>"));
    assert_eq!(shown(Nginx, r#"log_format m '$a\t$b\\\w';"#).as_deref(), Ok("<a>\t<b>\\\\w"));
    assert_eq!(shown(Nginx, "$a|$b;").as_deref(), Ok("<a>|<b>;"));
    assert_eq!(shown(Nginx, "$a $a $a_2").as_deref(), Ok("<a> <a_2> <a_2_2>"));
    assert_eq!(escape("$a"), Escape::Hex);
    assert_eq!(escape("log_format m escape=json '{\"a\":\"$a\"}';"), Escape::Json);
    assert_eq!(escape("escape=none '$a'"), Escape::None);
    assert_eq!(escape("log_format m escape=default $a;"), Escape::Hex);
}

#[test]
fn nginx_by_name() {
    let combined = "<remote_addr> - <remote_user> [<time_local:1>] \"<request:request>\" <status> <body_bytes_sent> \
                    \"<http_referer>\" \"<http_user_agent>\"";
    assert_eq!(shown(Nginx, "combined").as_deref(), Ok(combined));
    assert_eq!(shown(Nginx, "main"), Ok(format!("{combined} \"<http_x_forwarded_for:list>\"")));
    let ingress = shown(Nginx, "ingress").unwrap();
    let end = " <request_length> <request_time> [<proxy_upstream_name>] [<proxy_alternative_upstream_name>] \
               <upstream_addr:list> <upstream_response_length:list> <upstream_response_time:list> \
               <upstream_status:list> <req_id>";
    assert_eq!(ingress, [combined, end].concat());
}

#[test]
fn apache_as_it_is_typed() {
    let common = "<remote_addr> <remote_ident> <remote_user> [<time_local:1>] \"<request:request>\" <status> \
                  <response_size_bytes:size>";
    for text in [
        "common",
        r#"%h %l %u %t "%r" %>s %b"#,
        r#"%h %l %u %t \"%r\" %>s %b"#,
        r#"LogFormat "%h %l %u %t \"%r\" %>s %b" common"#,
        r#""%h %l %u %t \"%r\" %>s %b" common"#,
        r#""%h %l %u %t \"%r\" %>s %b""#,
    ] {
        assert_eq!(shown(Apache, text).as_deref(), Ok(common), "{text}");
    }
    let agent = "\"<http_referer>\" \"<http_user_agent>\"";
    assert_eq!(shown(Apache, "combined"), Ok(format!("{common} {agent}")));
    assert_eq!(shown(Apache, "vhost_common"), Ok(format!("<server_name>:<remote_port> {common}")));
    assert!(shown(Apache, "vhost_combined").unwrap().contains(" <bytes_sent> "));
    let more = "%!200,304{X-Forwarded-For}i 100%% %{%Y-%m-%d %T}t %<s %s %D\\t%{session}C %{sent}^to";
    let wanted = "<http_x_forwarded_for:list> 100% <time_local:1> <status> <status_2> <request_time_msec>\t\
                  <cookie_session> <trailer_sent>";
    assert_eq!(shown(Apache, more).as_deref(), Ok(wanted));
    assert_eq!(shown(Apache, r#""%h" %s"#).as_deref(), Ok("\"<remote_addr>\" <status>"));
}

#[test]
fn what_is_no_format_is_refused_with_what_would_be_right() {
    for (server, text, wrong) in [
        (Nginx, "", "is not a log format; write a line with variables"),
        (
            Nginx,
            "combind",
            "is not a log format; write a line with variables, as $status, or one of combined",
        ),
        (Nginx, "$a$b", "has nothing between a and b"),
        (Nginx, "'$a' '$b'", "has nothing between a and b"),
        (Nginx, "$a $", "has a `$` that begins no variable"),
        (Nginx, "${a", "has a `$` that begins no variable"),
        (Nginx, "log_format m '$a", "has a string without its closing '"),
        (Nginx, "log_format m '$a'; log_format n '$b';", "goes on behind a semicolon"),
        (Nginx, "log_format m escape=no '$a';", "has `escape=no`; Nginx knows"),
        (Nginx, &"$a ".repeat(257), "has more than 256 variables"),
        (Apache, "nothing", "is not a log format; write a line with directives, as %>s, or one of common"),
        (Apache, "%h%u", "has nothing between remote_addr and remote_user"),
        (Apache, "%h %", "ends inside a directive"),
        (Apache, "%h %y", "has `%y`, which is no directive"),
        (Apache, "LogFormat \"%h", "has a string without its closing \""),
    ] {
        let found = shown(server, text).unwrap_err();
        assert!(found.starts_with(wrong), "{text}: {found}");
    }
}
