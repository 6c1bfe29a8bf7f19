use super::*;

#[test]
fn dates_of_both_versions() {
    assert_eq!(http_date(1_700_000_000), "Tue, 14 Nov 2023 22:13:20 GMT");
    assert_eq!(basic_date(1_700_000_000), "20231114T221320Z");
}
