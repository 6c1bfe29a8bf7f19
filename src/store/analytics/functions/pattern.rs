//! Writes and reads times by patterns: those of MySQL (`%Y-%m-%d %H:%i:%s`), and those of Joda-Time (`yyyy-MM-dd HH:mm:ss`)
//! by making the former of them.

use super::civil::{Civil, digits};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Writes a moment with a pattern of MySQL.
pub(in super::super) fn format(moment: i64, pattern: &str) -> String {
    let civil = Civil::of(moment);
    let half_day_hour = (civil.hour + 11) % 12 + 1;
    let half = if civil.hour < 12 { "AM" } else { "PM" };
    let month = MONTHS.get(civil.month as usize - 1).copied().unwrap_or("");
    let weekday = DAYS.get(civil.weekday() as usize).copied().unwrap_or("");
    let Civil { year, day, hour, minute, second, millisecond, .. } = civil;
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let Some(letter) = characters.next() else {
            out.push('%');
            break;
        };
        match letter {
            'Y' => out.push_str(&format!("{year:04}")),
            'y' => out.push_str(&format!("{:02}", year % 100)),
            'm' => out.push_str(&format!("{:02}", civil.month)),
            'c' => out.push_str(&civil.month.to_string()),
            'd' => out.push_str(&format!("{day:02}")),
            'e' => out.push_str(&day.to_string()),
            'H' => out.push_str(&format!("{hour:02}")),
            'k' => out.push_str(&hour.to_string()),
            'h' | 'I' => out.push_str(&format!("{half_day_hour:02}")),
            'l' => out.push_str(&half_day_hour.to_string()),
            'i' => out.push_str(&format!("{minute:02}")),
            's' | 'S' => out.push_str(&format!("{second:02}")),
            'f' => out.push_str(&format!("{:06}", millisecond * 1000)),
            '3' => out.push_str(&format!("{millisecond:03}")),
            'p' => out.push_str(half),
            'T' => out.push_str(&format!("{hour:02}:{minute:02}:{second:02}")),
            'r' => out.push_str(&format!("{half_day_hour:02}:{minute:02}:{second:02} {half}")),
            'M' => out.push_str(month),
            'b' => out.push_str(month.get(..3).unwrap_or("")),
            'W' => out.push_str(weekday),
            'a' => out.push_str(weekday.get(..3).unwrap_or("")),
            'j' => out.push_str(&format!("{:03}", civil.day_of_year())),
            'v' => out.push_str(&format!("{:02}", civil.iso_week().1)),
            'x' => out.push_str(&format!("{:04}", civil.iso_week().0)),
            'w' => out.push_str(&((civil.weekday() + 1) % 7).to_string()),
            other => out.push(other),
        }
    }
    out
}

/// Reads a moment with a pattern of MySQL; `None` when the text is not of that form.
pub(in super::super) fn read(text: &str, pattern: &str) -> Option<i64> {
    let mut civil = Civil { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, millisecond: 0 };
    let (mut rest, mut is_afternoon) = (text, None);
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            rest = rest.strip_prefix(character)?;
            continue;
        }
        match characters.next()? {
            'Y' | 'x' => civil.year = digits(&mut rest, 4)?,
            'y' => {
                let year = digits(&mut rest, 2)?;
                civil.year = if year < 70 { year + 2000 } else { year + 1900 };
            }
            'm' | 'c' => civil.month = digits(&mut rest, 2)?,
            'd' | 'e' => civil.day = digits(&mut rest, 2)?,
            'H' | 'k' | 'h' | 'I' | 'l' => civil.hour = digits(&mut rest, 2)?,
            'i' => civil.minute = digits(&mut rest, 2)?,
            's' | 'S' => civil.second = digits(&mut rest, 2)?,
            'f' | '3' => {
                let before = rest;
                let fraction = digits(&mut rest, 9)?;
                let len = before.len() - rest.len();
                let shift = 10i64.pow(len.abs_diff(3) as u32);
                civil.millisecond = if len < 3 { fraction * shift } else { fraction / shift };
            }
            'T' => {
                civil.hour = digits(&mut rest, 2)?;
                rest = rest.strip_prefix(':')?;
                civil.minute = digits(&mut rest, 2)?;
                rest = rest.strip_prefix(':')?;
                civil.second = digits(&mut rest, 2)?;
            }
            'p' => {
                is_afternoon = Some(rest.get(..2)?.eq_ignore_ascii_case("pm"));
                rest = rest.get(2..)?;
            }
            letter @ ('M' | 'b') => {
                let position = MONTHS.iter().position(|name| {
                    let name = if letter == 'b' { name.get(..3).unwrap_or(name) } else { name };
                    rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
                })?;
                let len = if letter == 'b' { 3 } else { MONTHS.get(position)?.len() };
                (civil.month, rest) = (position as i64 + 1, rest.get(len..)?);
            }
            'W' | 'a' => rest = rest.trim_start_matches(|letter: char| letter.is_ascii_alphabetic()),
            other => rest = rest.strip_prefix(other)?,
        }
    }
    if let Some(is_afternoon) = is_afternoon {
        civil.hour = civil.hour % 12 + if is_afternoon { 12 } else { 0 };
    }
    if rest.is_empty() { civil.moment() } else { None }
}

/// A pattern of Joda-Time (`yyyy-MM-dd HH:mm:ss`) as one of MySQL.
pub(super) fn of_joda(pattern: &str) -> String {
    let mut out = String::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\'' {
            let mut text = characters.by_ref().take_while(|character| *character != '\'').peekable();
            if text.peek().is_none() {
                out.push('\'');
            }
            out.extend(text);
            continue;
        }
        let mut count = 1;
        while character.is_ascii_alphabetic() && characters.next_if_eq(&character).is_some() {
            count += 1;
        }
        let pattern = match (character, count) {
            ('y' | 'Y', 2) => "%y",
            ('y' | 'Y', _) => "%Y",
            ('M', 1) => "%c",
            ('M', 2) => "%m",
            ('M', 3) => "%b",
            ('M', _) => "%M",
            ('d', 1) => "%e",
            ('d', _) => "%d",
            ('H', 1) => "%k",
            ('H', _) => "%H",
            ('h', 1) => "%l",
            ('h', _) => "%h",
            ('m', _) => "%i",
            ('s', _) => "%s",
            ('S', _) => "%3",
            ('a', _) => "%p",
            ('E', 1..=3) => "%a",
            ('E', _) => "%W",
            ('%', _) => "%%",
            _ => {
                out.extend(std::iter::repeat_n(character, count));
                ""
            }
        };
        out.push_str(pattern);
    }
    out
}
