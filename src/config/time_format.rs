//! Formats of times as they are typed: those of `strptime` whose directives Log Service's agents know.

use super::plan::TimeFormat;

/// By Logtail's documentation of time formats; `s` and `f` are its own, for seconds of the epoch and fractions.
const DIRECTIVES: &str = "aAbBhdeHIkljmMnprRStyYCuUwWVgGDFTzZ%sf";

/// The error says what is wrong and what would be right.
pub(super) fn parse(text: &str) -> Result<TimeFormat, String> {
    let mut characters = text.chars();
    let mut some = false;
    while let Some(character) = characters.next() {
        if character != '%' {
            continue;
        }
        match characters.next() {
            Some(directive) if DIRECTIVES.contains(directive) => some |= directive != '%',
            Some(directive) => {
                return Err(format!("has %{directive}, which is no directive; there are {}", listed()));
            }
            None => return Err("ends in a %; write %% for the character".to_owned()),
        }
    }
    if !some {
        return Err("has no directive; write such as \"%Y-%m-%d %H:%M:%S\"".to_owned());
    }
    Ok(TimeFormat(text.to_owned()))
}

fn listed() -> String {
    DIRECTIVES.chars().map(|directive| format!("%{directive}")).collect::<Vec<_>>().join(" ")
}
