//! The tag of events, and what Docker's own tag tells of a container.
//!
//! Where the configuration gives no tag it is `splunk.` and the event's source, or its source type, or `hec`, with what
//! is no part of a tag replaced, as Fluentd does it with paths:
//!
//! ```text
//! /var/log/app 1.log   splunk.var.log.app_1.log
//! ```
//!
//! Docker says nothing of a container but its tag; the configured forms take it apart. That is a regular expression, and
//! the tag is the same on every line of a container, so the last one is remembered.

use std::ops::Range;

use crate::config::docker_tag::DockerTag;

/// Of what a sender calls itself, so much goes into the tag.
const NAME_BYTES: usize = 256;
const PREFIX: &[u8] = b"splunk.";
const NAMELESS: &[u8] = b"hec";

/// Writes the tag of events of this source into `out`.
pub(super) fn write(name: Option<&[u8]>, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(PREFIX);
    for &byte in name.unwrap_or_default() {
        if out.len() >= NAME_BYTES && byte & 0xc0 != 0x80 {
            break;
        }
        match byte {
            b'.' | b'/' | b'\\' => {
                if !out.ends_with(b".") {
                    out.push(b'.');
                }
            }
            // What patterns are made of, and what nobody sees.
            0..=b' ' | 0x7f | b'*' | b',' | b'{' | b'}' | b'"' => out.push(b'_'),
            _ => out.push(byte),
        }
        // A character has at most three bytes behind its first; broken text may have any number.
        if out.len() > NAME_BYTES + 3 {
            break;
        }
    }
    while out.len() > PREFIX.len() && out.ends_with(b".") {
        out.pop();
    }
    if out.len() == PREFIX.len() {
        out.extend_from_slice(NAMELESS);
    }
}

/// Where a container's names stand in its tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TagRanges {
    pub(super) id: Option<Range<usize>>,
    pub(super) name: Option<Range<usize>>,
    pub(super) image_name: Option<Range<usize>>,
    pub(super) image_id: Option<Range<usize>>,
}

/// Splits tags by the first form that fits.
#[derive(Debug, Default)]
pub(super) struct TagSplitter {
    last: Vec<u8>,
    ranges: Option<TagRanges>,
}

impl TagSplitter {
    /// What the tag tells; `None` when no form fits.
    pub(super) fn split(&mut self, forms: &[DockerTag], tag: &[u8]) -> Option<&TagRanges> {
        if self.last != tag {
            self.ranges = forms.iter().find_map(|form| split(form, tag));
            self.last.clear();
            self.last.extend_from_slice(tag);
        }
        self.ranges.as_ref()
    }
}

fn split(form: &DockerTag, tag: &[u8]) -> Option<TagRanges> {
    let parts = form.split(tag)?;
    let range = |part: Option<&[u8]>| {
        let part = part?;
        let from = (part.as_ptr() as usize).checked_sub(tag.as_ptr() as usize)?;
        Some(from..from + part.len())
    };
    Some(TagRanges {
        id: range(parts.id),
        name: range(parts.name),
        image_name: range(parts.image_name),
        image_id: range(parts.image_id),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_tags() {
        for (name, tag) in [
            (None, "splunk.hec"),
            (Some(""), "splunk.hec"),
            (Some("src"), "splunk.src"),
            (Some("/var/log/app 1.log"), "splunk.var.log.app_1.log"),
            (Some("http:my token"), "splunk.http:my_token"),
            (Some("C:\\logs\\"), "splunk.C:.logs"),
            (Some("..//"), "splunk.hec"),
            (Some("a*{b,c}\n"), "splunk.a__b_c__"),
            (Some("日志"), "splunk.日志"),
        ] {
            let mut out = b"left over".to_vec();
            write(name.map(str::as_bytes), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), tag);
        }
        let mut out = Vec::new();
        write(Some("日".repeat(500).as_bytes()), &mut out);
        assert!(out.len() <= NAME_BYTES + 3 && std::str::from_utf8(&out).is_ok());
        write(Some(&[0x80; 1000]), &mut out);
        assert!(out.len() <= NAME_BYTES + 4);
    }

    #[test]
    fn tags_tell_of_containers_and_the_first_form_counts() {
        let forms = ["{{.Name}}/{{.ID}}", "{{.ID}}"].map(|form| DockerTag::parse(form).unwrap());
        let mut splitter = TagSplitter::default();
        for _ in 0..2 {
            let found = splitter.split(&forms, b"web/d88c56f8195b").unwrap();
            assert_eq!((found.name.clone(), found.id.clone()), (Some(0..3), Some(4..16)));
        }
        assert_eq!(splitter.split(&forms, b"d88c56f8195b").unwrap().id, Some(0..12));
        assert_eq!(splitter.split(&forms, b"cron"), None);
    }
}
