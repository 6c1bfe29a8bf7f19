//! Which container a tag names: the configuration says how Docker's `tag` option was written, and the first form that
//! fits counts.
//!
//! Splitting a tag costs far more than reading a message, and a connection has one tag, a datagram socket some hundreds;
//! so every answer is remembered, up to a bound in bytes, at which the memory starts over.
//!
//! Docker's default format sends no host name, and then the first word of a tag with blanks was taken for one. Names of
//! containers and images have no blanks, so where only host and tag together fit a form, they are the tag.

use std::collections::HashMap;
use std::ops::Range;

use super::header::Part;
use crate::base::limits;
use crate::config::docker_tag::{DockerTag, TagParts};

const REMEMBERED_BYTES: usize = 256 * limits::KIB;
/// What an entry costs beside its key.
const ENTRY_BYTES: usize = 160;
/// Longer texts are no tag of Docker's: it has names of 255 characters at most.
const TAG_BYTES: usize = limits::TAG_BYTES;

/// What a tag says of its container, as places that count from the tag's beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Container {
    /// What was taken for the host name is the tag's beginning.
    pub takes_host: bool,
    pub id: Option<Range<usize>>,
    pub name: Option<Range<usize>>,
    pub image_name: Option<Range<usize>>,
    pub image_id: Option<Range<usize>>,
}

/// The forms, and what became of the tags met.
#[derive(Debug)]
pub(super) struct Containers {
    forms: Vec<DockerTag>,
    /// By host and tag.
    known: HashMap<Box<[u8]>, Known>,
    /// The text looked up last, which is mostly the next one, too.
    last: Vec<u8>,
    last_found: Known,
    remembered: usize,
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// Where the tag begins, behind the host.
    tag_at: usize,
    container: Option<Container>,
}

impl Containers {
    pub(super) fn new(forms: Vec<DockerTag>) -> Containers {
        Containers {
            forms,
            known: HashMap::new(),
            last: Vec::new(),
            last_found: Known::default(),
            remembered: 0,
        }
    }

    /// The container that a message's tag names, together with the host where that stands right before the tag.
    pub(super) fn find(&mut self, text: &[u8], hostname: Part, appname: Part) -> Option<&Container> {
        if self.forms.is_empty() || appname.is_empty() || appname.to - appname.from > TAG_BYTES {
            return None;
        }
        let is_beside = !hostname.is_empty() && appname.from == hostname.to + 1;
        let from = if is_beside { hostname.from } else { appname.from };
        let whole = Part { from, to: appname.to }.of(text);
        let tag_at = appname.from - from;
        if self.last_found.tag_at != tag_at || self.last != whole {
            self.turn_to(whole, tag_at);
        }
        self.last_found.container.as_ref()
    }

    fn turn_to(&mut self, whole: &[u8], tag_at: usize) {
        self.last_found = match self.known.get(whole) {
            Some(known) if known.tag_at == tag_at => known.clone(),
            _ => {
                let known = Known { tag_at, container: self.split(whole, tag_at) };
                if self.remembered > REMEMBERED_BYTES {
                    self.known.clear();
                    self.remembered = 0;
                }
                self.remembered += whole.len() + ENTRY_BYTES;
                self.known.insert(whole.into(), known.clone());
                known
            }
        };
        self.last.clear();
        self.last.extend_from_slice(whole);
    }

    fn split(&self, whole: &[u8], tag_at: usize) -> Option<Container> {
        let fits = |tag: &[u8], takes_host: bool| -> Option<Container> {
            let parts =
                self.forms.iter().find_map(|form| form.split(tag).filter(|parts| is_container(*parts)))?;
            let place = |part: Option<&[u8]>| part.map(|part| place_in(tag, part));
            Some(Container {
                takes_host,
                id: place(parts.id),
                name: place(parts.name.map(|name| name.strip_prefix(b"/").unwrap_or(name))),
                image_name: place(parts.image_name),
                image_id: place(parts.image_id),
            })
        };
        fits(&whole[tag_at..], false).or_else(|| if tag_at > 0 { fits(whole, true) } else { None })
    }
}

/// It says something, and nothing in it has blanks.
fn is_container(parts: TagParts<'_>) -> bool {
    let all = [parts.id, parts.name, parts.image_name, parts.image_id];
    all.iter().any(Option::is_some) && all.iter().flatten().all(|part| !part.contains(&b' '))
}

/// Where a part lies in the text it was cut from.
fn place_in(text: &[u8], part: &[u8]) -> Range<usize> {
    let from = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    from..from + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "d88c56f8195b";

    fn find(containers: &mut Containers, host: &str, tag: &str) -> Option<(bool, String, String)> {
        let text = format!("<30>{host} {tag}[1]: x");
        let hostname = Part { from: 4, to: 4 + host.len() };
        let appname = Part { from: 5 + host.len(), to: 5 + host.len() + tag.len() };
        let found = containers.find(text.as_bytes(), hostname, appname)?.clone();
        let at = if found.takes_host { hostname.from } else { appname.from };
        let part = |place: Option<Range<usize>>| {
            place.map(|place| text[at + place.start..at + place.end].to_owned()).unwrap_or_default()
        };
        Some((found.takes_host, part(found.id), part(found.name)))
    }

    fn containers(forms: &[&str]) -> Containers {
        Containers::new(forms.iter().map(|form| DockerTag::parse(form).unwrap()).collect())
    }

    #[test]
    fn the_first_form_that_fits_counts() {
        let mut forms = containers(&["{{.Name}}/{{.ID}}", "{{.ID}}"]);
        let found = |id: &str, name: &str| Some((false, id.to_owned(), name.to_owned()));
        for _ in 0..2 {
            assert_eq!(find(&mut forms, "vm", ID), found(ID, ""));
            assert_eq!(find(&mut forms, "", ID), found(ID, ""));
            assert_eq!(find(&mut forms, "vm", &format!("/web/{ID}")), found(ID, "web"));
            assert_eq!(find(&mut forms, "vm", "cron"), None);
            assert_eq!(find(&mut forms, "vm", &format!("my web/{ID}")), None, "no name has blanks");
        }
        assert_eq!(find(&mut containers(&[]), "vm", ID), None);
        assert_eq!(find(&mut containers(&["{{.DaemonName}}"]), "vm", "docker"), None, "says nothing");
    }

    #[test]
    fn a_tag_with_blanks_gets_its_first_word_back() {
        let mut forms = containers(&["docker {{.Name}} {{.ID}}"]);
        let tag = format!("web {ID}");
        assert_eq!(find(&mut forms, "docker", &tag), Some((true, ID.to_owned(), "web".to_owned())));
        assert_eq!(find(&mut forms, "vm", &tag), None);
        assert_eq!(
            find(&mut forms, "vm", &format!("docker {tag}")),
            Some((false, ID.to_owned(), "web".to_owned()))
        );
    }

    #[test]
    fn many_tags_are_forgotten_again() {
        let mut forms = containers(&["{{.Name}}"]);
        for at in 0..5_000 {
            assert_eq!(find(&mut forms, "vm", &format!("web{at}")).unwrap().2, format!("web{at}"));
        }
        assert!(forms.known.len() < 2_000);
    }
}
