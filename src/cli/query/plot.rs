//! A histogram as a plot for a terminal, or as lines of time and count.
//!
//! ```text
//! 1,234 |      ▂█▅
//!       |   ▁▃▇███▂
//!       +-----------------
//!        10:00:00  10:15:00
//! ```

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::service::Piece;
use super::time::show;

/// Lines of the bars.
const HEIGHT: u64 = 8;
/// Parts of a cell that a bar can end at.
const BLOCKS: [char; 9] =
    [' ', '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}'];
/// Columns of a bar.
const WIDEST: usize = 3;
const DAY: i64 = 86_400;

/// Lines for a terminal of this width.
pub(super) fn plot(pieces: &[Piece], columns: usize, colour: bool) -> Vec<String> {
    let most = grouped(number(total(pieces)));
    let room = columns.saturating_sub(most.len() + 3).max(10);
    let pieces = merged(pieces, room);
    let highest = pieces.iter().map(|piece| piece.count).max().unwrap_or(0);
    let wide = (room / pieces.len().max(1)).clamp(1, WIDEST);
    let label = grouped(number(highest));
    let left = label.len();
    let mut lines = Vec::new();
    for row in (0..HEIGHT).rev() {
        let text = if row + 1 == HEIGHT { label.as_str() } else { "" };
        let bars: String = pieces
            .iter()
            .flat_map(|piece| {
                let cell = eighths(piece.count, highest).saturating_sub(row * 8).min(8);
                std::iter::repeat_n(BLOCKS.get(cell as usize).copied().unwrap_or(' '), wide)
            })
            .collect();
        let bars = bars.trim_end();
        let bars =
            if colour && !bars.is_empty() { format!("\x1b[36m{bars}\x1b[0m") } else { bars.to_owned() };
        lines.push(format!("{text:>left$} |{bars}"));
    }
    lines.push(format!("{:>left$} +{}", "0", "-".repeat(pieces.len() * wide)));
    lines.push(format!("{:left$}  {}", "", axis(&pieces, wide)));
    lines
}

/// A line for each piece, for who reads them with a program or keeps them in a file.
pub(super) fn lines(pieces: &[Piece]) -> Vec<String> {
    let highest = pieces.iter().map(|piece| piece.count).max().unwrap_or(0);
    let counts: Vec<String> = pieces.iter().map(|piece| piece.count.to_string()).collect();
    let wide = counts.iter().map(String::len).max().unwrap_or(0);
    let line = |(piece, count): (&Piece, &String)| {
        let bar = "#".repeat(eighths(piece.count, highest) as usize / 2);
        format!("{}  {count:>wide$}  {bar}", show(piece.from)).trim_end().to_owned()
    };
    pieces.iter().zip(&counts).map(line).collect()
}

pub(super) fn total(pieces: &[Piece]) -> u64 {
    pieces.iter().map(|piece| piece.count).sum()
}

/// `1,234,567`
pub(super) fn grouped(digits: String) -> String {
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub(super) fn number(count: u64) -> String {
    count.to_string()
}

/// How high a bar is; one that stands for anything is seen.
fn eighths(count: u64, highest: u64) -> u64 {
    if count == 0 {
        return 0;
    }
    let height = u128::from(count) * u128::from(HEIGHT * 8) / u128::from(highest.max(1));
    (height as u64).clamp(1, HEIGHT * 8)
}

/// Neighbours joined until there is room for all.
fn merged(pieces: &[Piece], room: usize) -> Vec<Piece> {
    let at_once = pieces.len().div_ceil(room.max(1)).max(1);
    let join = |chunk: &[Piece]| {
        let (first, last) = (chunk.first()?, chunk.last()?);
        Some(Piece { to: last.to, count: total(chunk), ..first.clone() })
    };
    pieces.chunks(at_once).filter_map(join).collect()
}

/// Times below the bars that begin with them, as many as have room.
fn axis(pieces: &[Piece], wide: usize) -> String {
    let span = pieces.last().map_or(0, |last| last.to) - pieces.first().map_or(0, |first| first.from);
    let form = if span > DAY { "%m-%d %H:%M" } else { "%H:%M:%S" };
    let mut out = String::new();
    for (at, piece) in pieces.iter().enumerate() {
        let column = at * wide;
        if at > 0 && column < out.len() + 2 {
            continue;
        }
        out.push_str(&" ".repeat(column - out.len()));
        let time = Timestamp::from_second(piece.from).unwrap_or_default().to_zoned(TimeZone::system());
        out.push_str(&time.strftime(form).to_string());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(counts: &[u64]) -> Vec<Piece> {
        let at = |n: usize| 1_700_000_000 + 60 * n as i64;
        counts.iter().enumerate().map(|(n, count)| Piece::new(at(n), at(n + 1), *count)).collect()
    }

    #[test]
    fn bars_are_as_high_as_their_counts() {
        let plot = plot(&pieces(&[0, 1, 1_000, 2_000]), 40, false);
        assert_eq!(plot.len(), HEIGHT as usize + 2);
        assert_eq!(plot[0], "2,000 |         \u{2588}\u{2588}\u{2588}");
        assert_eq!(plot[4], "      |      \u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}");
        assert_eq!(
            plot[7].trim_end(),
            "      |   \u{2581}\u{2581}\u{2581}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}"
        );
        assert_eq!(plot[8], "    0 +------------");
        assert!(plot[9].contains(':'), "{}", plot[9]);
    }

    #[test]
    fn many_pieces_and_none_have_room() {
        for columns in [0, 20, 80] {
            let plot = plot(&pieces(&[7; 500]), columns, true);
            assert_eq!(plot.len(), HEIGHT as usize + 2);
            assert!(plot[8].chars().count() <= columns.max(30));
        }
        assert_eq!(plot(&[], 80, false).len(), HEIGHT as usize + 2);
        assert_eq!(total(&merged(&pieces(&[1; 100]), 30)), 100);
    }

    #[test]
    fn without_a_terminal_there_is_a_line_for_each() {
        let lines = lines(&pieces(&[5, 0, 10]));
        let ends: Vec<&str> = lines.iter().filter_map(|line| line.get(19..)).collect();
        assert_eq!(ends[0], format!("   5  {}", "#".repeat(16)));
        assert_eq!(ends[1], "   0");
        assert_eq!(ends[2], format!("  10  {}", "#".repeat(32)));
        assert_eq!(grouped(number(1_234_567)), "1,234,567");
        assert_eq!(grouped(number(123)), "123");
    }
}
