use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> PathPattern {
    PathPattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn what_each_sign_takes() {
    let table: &[(&str, &[&str], &[&str])] = &[
        (
            "/a/x.log",
            &["/a/x.log", "/a//x.log"],
            &["/a/x.lo", "/a/b/x.log", "/x.log", "a/x.log", "/a/x.log.1"],
        ),
        (
            "/a/*.log",
            &["/a/x.log", "/a/a.b.log", "/a/\u{e9}.log"],
            &["/a/.log", "/a/.x.log", "/a/b/x.log", "/a/x.log2"],
        ),
        ("/a/.*", &["/a/.x"], &["/a/x"]),
        ("/a/x?", &["/a/xy", "/a/x\u{20ac}"], &["/a/x", "/a/xyz"]),
        ("/a/?x", &["/a/xx"], &["/a/.x"]),
        ("/a/[a-c]", &["/a/a", "/a/c"], &["/a/d", "/a/ab", "/a/"]),
        ("/a/[!a-c]", &["/a/d"], &["/a/a", "/a/.", "/a/"]),
        ("/a/x[^0-9]", &["/a/xa"], &["/a/x0"]),
        ("/a/x[]-]", &["/a/x]", "/a/x-"], &["/a/x["]),
        ("/a/x[\\]a]", &["/a/x]", "/a/xa"], &["/a/x\\"]),
        ("/a/x[{,}]", &["/a/x{", "/a/x,"], &["/a/xa"]),
        ("/a/**/x", &["/a/x", "/a/b/x", "/a/b/c/x"], &["/x", "/a/b/y", "/a/.b/x", "/a/x/y"]),
        ("/a/**", &["/a/x", "/a/b/x"], &["/a", "/a/.x", "/b/x"]),
        ("/**/log/**/*.log", &["/log/x.log", "/a/log/b/c/x.log"], &["/a/x.log"]),
        ("/a/**/**/b/x", &["/a/b/x", "/a/b/b/b/x"], &["/a/x"]),
        ("/{a,b/c}/x.{log,txt}", &["/a/x.log", "/b/c/x.txt"], &["/b/x.log", "/a/x.{log,txt}"]),
        ("/a/{x,{y,z}}{1,}", &["/a/x1", "/a/z", "/a/y1"], &["/a/x2"]),
        ("/a/\\*\\{\\\\", &["/a/*{\\"], &["/a/x{\\"]),
        ("/a/*a*b*c", &["/a/abc", "/a/aabbcc", "/a/xaybzcc"], &["/a/acb"]),
    ];
    for (text, taken, refused) in table {
        let pattern = pattern(text);
        for path in *taken {
            assert!(pattern.matches(Path::new(path)), "{text} takes {path}");
        }
        for path in *refused {
            assert!(!pattern.matches(Path::new(path)), "{text} does not take {path}");
        }
    }
    assert!(pattern("/a/?").matches(Path::new(OsStr::from_bytes(b"/a/\xff"))));
    assert!(pattern("/a/*.log").matches(Path::new(OsStr::from_bytes(b"/a/\xff\xe2.log"))));
}

#[test]
fn what_cannot_be_meant_is_refused_with_advice() {
    for (text, says) in [
        ("", "empty"),
        ("var/log/*.log", "absolute"),
        ("{/a,b}/x", "absolute"),
        ("/a/../x", ".."),
        ("/a/{..,b}/x", ".."),
        ("/a/b**", "** inside"),
        ("/a/**.log", "** inside"),
        ("/a/[a", "no ] closes"),
        ("/a/[a/b]", "no ] closes"),
        ("/a/[z-a]", "a-z"),
        ("/a/{x", "no } closes"),
        ("/a/x}", "no { opens"),
        ("/a/x\\", "ends in a \\"),
        ("/a/", "names a directory"),
        ("/", "names a directory"),
        ("/{1,2,3,4}{1,2,3,4}{1,2,3,4}{1,2}", "more than 64"),
        ("/a\0", "NUL"),
    ] {
        let error = PathPattern::parse(text).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
    assert!(PathPattern::parse(&format!("/{}", "a".repeat(2_000))).is_err());
}

#[test]
fn directories_that_can_hold_something() {
    let root = |text| pattern(text).root().to_str().unwrap().to_owned();
    assert_eq!(root("/var/log/app.log"), "/var/log");
    assert_eq!(root("/var/log/*/app.log"), "/var/log");
    assert_eq!(root("/var/{log,lib}/app.log"), "/var");
    assert_eq!(root("/**/app.log"), "/");
    let nested = pattern("/a/*/c/**/x");
    for dir in ["/", "/a", "/a/b", "/a/b/c", "/a/b/c/d/e"] {
        assert!(nested.may_enter(Path::new(dir)), "{dir}");
    }
    for dir in ["/b", "/a/b/d", "/a/.b", "/a/b/c/.d", "a"] {
        assert!(!nested.may_enter(Path::new(dir)), "{dir}");
    }
    assert!(!pattern("/a/x").may_enter(Path::new("/a/x")));
}

#[test]
fn depth_counts_what_two_stars_take() {
    let deep = pattern("/a/**/b/*/x");
    let at = |path: &str, depth| {
        let mut places = Some(deep.start());
        for name in path.split('/').skip(1) {
            places = places.and_then(|places| deep.enter(&places, OsStr::new(name), depth));
        }
        places.is_some_and(|places| deep.takes(&places, OsStr::new("x")))
    };
    assert!(at("/a/b/c", 0) && !at("/a/1/b/c", 0));
    assert!(at("/a/1/2/b/c", 2) && !at("/a/1/2/3/b/c", 2));
    // The b that counts is the second one.
    assert!(at("/a/b/b/c", 1) && !at("/a/b/b/c", 0));
}

#[test]
fn names_that_are_all_known_need_no_listing() {
    let names = |text: &str, dir: &str| {
        let pattern = pattern(text);
        let mut names = Vec::new();
        let known = pattern.names(&pattern.places(Path::new(dir)).unwrap(), &mut names);
        known.then(|| names.iter().map(|name| name.to_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(names("/{a,b}/*.log", "/").unwrap(), ["a", "b"]);
    assert_eq!(names("/a/*.log", "/a"), None);
    assert_eq!(names("/a/**/x", "/a"), None);
}

#[test]
fn an_ending_is_said_by_the_pattern_alone() {
    let says = |text: &str| {
        let pattern = pattern(text);
        pattern.says_ending(&pattern.places(Path::new("/a")).unwrap(), OsStr::new("x.gz"), ".gz")
    };
    assert!(says("/a/*.gz") && says("/a/x.gz") && says("/a/*.{log,gz}"));
    assert!(!says("/a/*") && !says("/a/x*") && !says("/a/{x*,*.gz2}"));
}

/// The plain way: every choice is tried.
fn slow(tokens: &[Token], name: &[char]) -> bool {
    match (tokens.split_first(), name.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((Token::Any, behind)), rest) => {
            slow(behind, name) || rest.is_some_and(|(_, rest)| slow(tokens, rest))
        }
        (Some((token, behind)), Some((char, rest))) => {
            token.takes(char.to_string().as_bytes()).is_some() && slow(behind, rest)
        }
        (Some(_), None) => false,
    }
}

proptest! {
    #[test]
    fn names_match_as_the_plain_way_says(text in "[ab*?\u{e9}]{1,8}", name in "[ab\u{e9}]{0,10}") {
        prop_assume!(!text.contains("**"));
        let tokens: Vec<Token> = text.chars().map(|char| match char {
            '*' => Token::Any,
            '?' => Token::One,
            char => Token::Char(char),
        }).collect();
        let chars: Vec<char> = name.chars().collect();
        prop_assert_eq!(take(&tokens, name.as_bytes()), slow(&tokens, &chars));
    }

    #[test]
    fn nothing_breaks_and_what_matches_can_be_entered(
        text in "/[ab*?.{},\\[\\]!\\\\/-]{0,20}",
        path in "(/[ab.-]{1,3}){1,5}",
    ) {
        if let Ok(pattern) = PathPattern::parse(&text) {
            let path = Path::new(&path);
            if pattern.matches(path) {
                prop_assert!(path.starts_with(pattern.root()));
                prop_assert!(path.ancestors().skip(1).all(|dir| pattern.may_enter(dir)));
            }
        }
    }
}
