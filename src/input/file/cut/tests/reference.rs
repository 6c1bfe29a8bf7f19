//! The rules of cutting, written plainly over a whole file in UTF-8.

use super::*;

/// A line as places in the file: its first byte, and the end of its text.
#[derive(Clone, Copy)]
struct Line {
    start: usize,
    text: usize,
    is_behind_hole: bool,
}

fn lines(file: &[u8]) -> Vec<Line> {
    let (mut lines, mut at) = (Vec::new(), 0);
    while at < file.len() {
        let start = at + file[at..].iter().take_while(|byte| **byte == 0).count();
        if start == file.len() {
            break;
        }
        let feed = file[start..].iter().position(|byte| *byte == b'\n').map(|len| start + len);
        let mut text = feed.unwrap_or(file.len());
        if text > start && file[text - 1] == b'\r' {
            text -= 1;
        }
        lines.push(Line { start, text, is_behind_hole: start > at });
        at = feed.map_or(file.len(), |feed| feed + 1);
    }
    lines
}

/// The end of the first piece of a text that is too long.
fn border(file: &[u8], start: usize, most: usize) -> usize {
    let text = std::str::from_utf8(&file[start..]).unwrap();
    start + text.char_indices().map(|(at, _)| at).take_while(|at| *at <= most).last().unwrap()
}

pub(super) fn cuts(file: &[u8], plan: Option<&MultilinePlan>, most: usize) -> Cuts {
    let all = lines(file);
    let is = |pattern: &Option<LinearRegex>, line: &Line| {
        let end = if line.text - line.start > most { border(file, line.start, most) } else { line.text };
        let found = pattern.as_ref().unwrap().find(&file[line.start..end]);
        found.is_some_and(|found| found.start() == 0)
    };
    let (mut cuts, mut at) = (Cuts::default(), 0);
    while at < all.len() {
        // Where the record that begins here ends; nothing goes on over a hole.
        let bound = (at + 1..all.len()).find(|line| all[*line].is_behind_hole).unwrap_or(all.len());
        let until = |is_end: &dyn Fn(&Line) -> bool, from: usize| {
            (from..bound).find(|line| is_end(&all[*line])).unwrap_or(bound)
        };
        let mut outside = at;
        let end = match plan {
            None => at + 1,
            Some(plan) => match (&plan.start, &plan.continues, &plan.end) {
                (None, None, end) => (until(&|line| is(end, line), at) + 1).min(bound),
                (None, continues, end) => {
                    let last = until(&|line| !is(continues, line), at);
                    if last == bound {
                        bound
                    } else if is(end, &all[last]) {
                        last + 1
                    } else if pieces(file, &all[at..last], most).len() > 1 {
                        last
                    } else {
                        outside = last + 1;
                        at
                    }
                }
                (start, _, _) if !is(start, &all[at]) => {
                    outside = at + 1;
                    at
                }
                (start, None, None) => until(&|line| is(start, line), at + 1),
                (_, continues, None) => until(&|line| !is(continues, line), at + 1),
                (_, _, end) => (until(&|line| is(end, line), at) + 1).min(bound),
            },
        };
        cuts.records.extend(pieces(file, &all[at..end], most));
        at = end;
        for line in &all[at..outside.max(at)] {
            if plan.is_some_and(|plan| plan.keep_unmatched) {
                cuts.records.extend(pieces(file, &[*line], most));
            } else {
                cuts.dropped += 1;
            }
            at += 1;
        }
    }
    cuts
}

/// The pieces of one record.
fn pieces(file: &[u8], lines: &[Line], most: usize) -> Vec<(String, bool)> {
    let (mut pieces, mut open) = (Vec::new(), None);
    let text = |start: usize, end: usize| String::from_utf8(file[start..end].to_vec()).unwrap();
    for line in lines {
        if let Some((start, end)) = open
            && line.text - start > most
        {
            pieces.push((text(start, end), true));
            open = None;
        }
        let (mut start, _) = open.unwrap_or((line.start, 0));
        while line.text - start > most {
            let end = border(file, start, most);
            pieces.push((text(start, end), true));
            start = end;
        }
        open = Some((start, line.text));
    }
    pieces.extend(open.map(|(start, end)| (text(start, end), false)));
    pieces
}
