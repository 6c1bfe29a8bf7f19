//! The processor `parse`: its keys, how it is printed, what is refused.

use super::*;

#[test]
fn parse_has_keys_beside_its_own() {
    let steps = |steps: &str| from_text(&format!("routes: [ {{ processors: [ {steps} ] }} ]"), &[HOME]);
    let plan = steps("{ parse: json }, { parse: json, key: '$${m', keep: true, prefix: 'a.' }").unwrap();
    let json = ParsePlan {
        format: ParseFormat::Json { depth: 1 },
        key: "log".to_owned(),
        keep: false,
        prefix: String::new(),
        on_failure: OnFailure::Keep,
    };
    let other = ParsePlan { key: "${m".to_owned(), keep: true, prefix: "a.".to_owned(), ..json.clone() };
    assert_eq!(plan.routes[0].processors, [Step::Parse(json), Step::Parse(other)]);
    let again = from_text(&plan.effective(), &[]).unwrap();
    assert_eq!(again.routes[0].processors, plan.routes[0].processors);
    let long = "p".repeat(128);
    for (typed, expected) in [
        ("{ parse: xml }", "parse: `xml` is not one of json"),
        ("{ parse: json, kep: true }", "kep: is not a key; did you mean keep?"),
        ("{ parse: json, remove: [ a ] }", "remove: is not a key; there are parse, key, keep, prefix"),
        ("{ parse: json, key: '' }", "key: `` is no name for a field"),
        (
            &format!("{{ parse: json, prefix: {long} }}"),
            &format!("prefix: `{long}` leaves no room for a key"),
        ),
        ("{ key: a }", "key: is not a processor; write one of add, remove, rename, parse"),
    ] {
        let found = lines(steps(typed)).join("\n");
        let expected = format!("configuration: routes[0].processors[0].{expected}");
        assert!(
            found.starts_with(&expected) && !found.contains('\n'),
            "{typed}\n{expected}\nis not\n{found}"
        );
    }
}
