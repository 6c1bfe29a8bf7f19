//! Formats of times, in the language of `strptime`, as Logtail understands it.
//!
//! ```text
//! %d/%b/%Y:%H:%M:%S %z      22/Nov/2026:23:03:07 +0800
//! %Y-%m-%d %H:%M:%S,%f      2026-11-22 23:03:07,723      %f: any number of digits of a fraction
//! %s                        1795388587, or with 13, 16 or 19 digits: milli-, micro-, nanoseconds
//! ```
//!
//! A format is taken apart here, once; times are read with it by `record::strptime`. One that could not tell a time, or not
//! for certain, is refused.

/// Characters of a format.
const LONGEST: usize = 256;
const KNOWN: &str = "%a %A %b %B %C %d %D %e %f %F %g %G %h %H %I %j %k %l %m %M %n %p %r %R %s %S %t %T %u %U %V %w %W \
                     %y %Y %z %Z %%";

/// One part of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// Any blanks, none as well.
    Blanks,
    /// This byte.
    Literal(u8),
    Number(Number),
    /// A month's name, short or long.
    MonthName,
    /// A weekday's name, short or long.
    DayName,
    /// AM or PM.
    Half,
    /// Digits of a second's fraction.
    Fraction,
    /// Seconds since 1970, or finer by its digits.
    Epoch,
    /// `+0800`, `+08:00`, `+08`, `Z`.
    Offset,
    /// A zone's name. Only UTC, GMT and Z mean the same to everybody; others are read and mean nothing.
    ZoneName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    Century,
    Year,
    YearOfCentury,
    WeekYear,
    WeekYearOfCentury,
    Month,
    Day,
    DayOfYear,
    Hour,
    /// Of a clock with twelve.
    HalfDayHour,
    Minute,
    Second,
    /// 1 to 7, from Monday.
    IsoWeekday,
    /// 0 to 6, from Sunday.
    Weekday,
    /// Of a year whose first week begins at its first Sunday.
    SundayWeek,
    /// Of a year whose first week begins at its first Monday.
    MondayWeek,
    /// Of ISO 8601.
    IsoWeek,
}

/// What a format says; the error says what is wrong with it and what would be right.
pub fn parse(format: &str) -> Result<Vec<Item>, String> {
    if format.len() > LONGEST {
        return Err(format!("has more than {LONGEST} bytes"));
    }
    let mut items = Vec::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter == '%' {
            let Some(directive) = letters.next() else {
                return Err("ends in %; a percent sign is written %%".to_owned());
            };
            if !push(directive, &mut items) {
                return Err(format!("has %{directive}, which is none of {KNOWN}"));
            }
        } else if letter.is_ascii_whitespace() {
            items.push(Item::Blanks);
        } else {
            let mut bytes = [0; 4];
            items.extend(letter.encode_utf8(&mut bytes).bytes().map(Item::Literal));
        }
    }
    check(&items)?;
    Ok(items)
}

/// What a directive stands for; false for an unknown one.
fn push(directive: char, items: &mut Vec<Item>) -> bool {
    let item = match directive {
        'a' | 'A' => Item::DayName,
        'b' | 'B' | 'h' => Item::MonthName,
        'C' => Item::Number(Number::Century),
        'd' | 'e' => Item::Number(Number::Day),
        'f' => Item::Fraction,
        'g' => Item::Number(Number::WeekYearOfCentury),
        'G' => Item::Number(Number::WeekYear),
        'H' | 'k' => Item::Number(Number::Hour),
        'I' | 'l' => Item::Number(Number::HalfDayHour),
        'j' => Item::Number(Number::DayOfYear),
        'm' => Item::Number(Number::Month),
        'M' => Item::Number(Number::Minute),
        'n' | 't' => Item::Blanks,
        'p' => Item::Half,
        's' => Item::Epoch,
        'S' => Item::Number(Number::Second),
        'u' => Item::Number(Number::IsoWeekday),
        'U' => Item::Number(Number::SundayWeek),
        'V' => Item::Number(Number::IsoWeek),
        'w' => Item::Number(Number::Weekday),
        'W' => Item::Number(Number::MondayWeek),
        'y' => Item::Number(Number::YearOfCentury),
        'Y' => Item::Number(Number::Year),
        'z' => Item::Offset,
        'Z' => Item::ZoneName,
        '%' => Item::Literal(b'%'),
        'D' => return push_all("m/d/y", items),
        'F' => return push_all("Y-m-d", items),
        'r' => return push_all("I:M:S p", items),
        'R' => return push_all("H:M", items),
        'T' => return push_all("H:M:S", items),
        _ => return false,
    };
    items.push(item);
    true
}

/// Directives in short, with what stands between them.
fn push_all(short: &str, items: &mut Vec<Item>) -> bool {
    short.chars().all(|letter| match letter {
        '-' | '/' | ':' => {
            items.push(Item::Literal(letter as u8));
            true
        }
        ' ' => {
            items.push(Item::Blanks);
            true
        }
        directive => push(directive, items),
    })
}

fn check(items: &[Item]) -> Result<(), String> {
    let has = |item: Item| items.contains(&item);
    let number = |number: Number| has(Item::Number(number));
    let month = has(Item::MonthName) || number(Number::Month);
    if number(Number::Day) && !month {
        return Err("names a day of a month (%d) and no month (%m or %b)".to_owned());
    }
    let weekday = has(Item::DayName) || number(Number::IsoWeekday) || number(Number::Weekday);
    let week = number(Number::SundayWeek) || number(Number::MondayWeek) || number(Number::IsoWeek);
    let hour = number(Number::Hour) || number(Number::HalfDayHour);
    if !(has(Item::Epoch) || month || number(Number::DayOfYear) || (week && weekday) || hour) {
        return Err(
            "tells no time: it needs a day (%Y-%m-%d), an hour (%H) or seconds since 1970 (%s)".to_owned()
        );
    }
    // The digits of a fraction have to be told from those of another number.
    let second = Item::Number(Number::Second);
    let before = items
        .windows(2)
        .find(|pair| pair[1] == Item::Fraction && !matches!(pair[0], Item::Literal(_)) && pair[0] != second);
    if before.is_some() || items.first() == Some(&Item::Fraction) {
        return Err("has %f behind something else than %S or a character such as `.`".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_what_they_stand_for() {
        assert_eq!(parse("%F"), parse("%Y-%m-%d"));
        assert_eq!(parse("%D %T"), parse("%m/%d/%y %H:%M:%S"));
        assert_eq!(parse("%r"), parse("%I:%M:%S %p"));
        assert_eq!(parse("%k:%M"), parse("%R"));
        assert_eq!(parse("%h%n%e"), parse("%b %d"));
    }

    #[test]
    fn what_tells_no_time_is_refused() {
        for (format, part) in [
            ("%Y-%m-%dT%H:%M:%S%", "ends in %"),
            ("%Y-%q", "has %q, which is none of %a"),
            ("", "tells no time"),
            ("2026", "tells no time"),
            ("%Y %M", "tells no time"),
            ("%Y %U", "tells no time"),
            ("%d %H:%M", "no month"),
            ("%s%f", "%f behind"),
            ("%f %H", "%f behind"),
            ("%H:%M:%S%z%f", "%f behind"),
        ] {
            let error = parse(format).unwrap_err();
            assert!(error.contains(part), "{format}: {error}");
        }
        assert!(parse(&"%H".repeat(200)).unwrap_err().contains("bytes"));
        for fine in ["%s", "%H:%M", "%Y%j", "%G-W%V-%u", "%b %d %T", "%S%f %H", "%Y年%m月%d日"] {
            assert!(parse(fine).is_ok(), "{fine}");
        }
    }
}
