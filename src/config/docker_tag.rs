//! Docker's `tag` option: a template such as `{{.Name}}/{{.ID}}`, in the engine's own words.
//!
//! It is used both ways. Where we name a container ourselves it is rendered; where a driver sends nothing of the
//! container but its tag (syslog, splunk), the same text written into our configuration says how to split it.

use std::fmt;

use regex::bytes::Regex;

#[derive(Clone, Debug)]
pub struct DockerTag {
    text: String,
    parts: Vec<Part>,
    regex: Regex,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(TagField),
}

/// What a tag can say of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagField {
    /// The first 12 digits of the container's id.
    Id,
    FullId,
    /// Without the slash before it.
    Name,
    /// The first 12 digits of the image's id.
    ImageId,
    ImageFullId,
    ImageName,
    /// Always `docker`.
    DaemonName,
}

impl TagField {
    const ALL: [(&'static str, TagField); 8] = [
        ("ID", TagField::Id),
        ("FullID", TagField::FullId),
        ("Name", TagField::Name),
        ("ContainerName", TagField::Name),
        ("ImageID", TagField::ImageId),
        ("ImageFullID", TagField::ImageFullId),
        ("ImageName", TagField::ImageName),
        ("DaemonName", TagField::DaemonName),
    ];
}

/// What a tag told of a container. An absent one was not in the tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TagParts<'t> {
    /// 12 or 64 digits.
    pub id: Option<&'t [u8]>,
    pub name: Option<&'t [u8]>,
    pub image_id: Option<&'t [u8]>,
    pub image_name: Option<&'t [u8]>,
}

impl DockerTag {
    /// Text with `{{.Field}}` in it; of the engine's functions none.
    pub fn parse(text: &str) -> Result<DockerTag, String> {
        let known = || TagField::ALL.map(|(name, _)| format!("{{{{.{name}}}}}")).join(", ");
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, from)) = rest.split_once("{{") {
            let (inside, behind) =
                from.split_once("}}").ok_or("has {{ without }}; write {{.Name}} or {{.ID}}")?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let name = inside.trim();
            let field = name
                .strip_prefix('.')
                .and_then(|name| TagField::ALL.into_iter().find(|(known, _)| *known == name));
            let Some((_, field)) = field else {
                return Err(format!("has {{{{{inside}}}}}, which is none of {}", known()));
            };
            parts.push(Part::Field(field));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if parts.is_empty() {
            return Err("is empty; write docker.{{.Name}}".to_owned());
        }
        Ok(DockerTag { text: text.to_owned(), regex: regex(&parts)?, parts })
    }

    /// Whether what it makes names a container or its image.
    pub fn tells_of_container(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Field(field) if *field != TagField::DaemonName))
    }

    /// Whether every tag that `other` makes is taken for one of this template too, so that `other` has no say behind it.
    pub(super) fn shadows(&self, other: &DockerTag) -> bool {
        // Of the shortest values, so that only the templates' own text decides.
        let value = |field| match field {
            TagField::Id => &b"0123456789ab"[..],
            TagField::FullId => &b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"[..],
            TagField::DaemonName => &b"docker"[..],
            _ => &b"x"[..],
        };
        let mut tag = Vec::new();
        other.render(value, &mut tag);
        self.regex.is_match(&tag)
    }

    /// Appends the tag of a container; `value` knows its fields.
    pub fn render<'v>(&self, value: impl Fn(TagField) -> &'v [u8], out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Field(field) => out.extend_from_slice(value(*field)),
            }
        }
    }

    /// Takes a tag apart that this template made; nothing when it did not. Takes linear time and allocates: tags are those
    /// of a connection or of some hundred containers, so who has many remembers.
    pub fn split<'t>(&self, tag: &'t [u8]) -> Option<TagParts<'t>> {
        let captures = self.regex.captures(tag)?;
        let mut found = TagParts::default();
        let fields = self.parts.iter().filter_map(|part| match part {
            Part::Field(field) if *field != TagField::DaemonName => Some(*field),
            _ => None,
        });
        for (at, field) in fields.enumerate() {
            let value = captures.get(at + 1).map(|value| value.as_bytes());
            match field {
                TagField::Id | TagField::FullId => found.id = value,
                TagField::Name => found.name = value,
                TagField::ImageName => found.image_name = value,
                TagField::ImageId | TagField::ImageFullId => found.image_id = value,
                TagField::DaemonName => {}
            }
        }
        Some(found)
    }
}

/// What the template's tags look like: ids have their digits, names any bytes.
fn regex(parts: &[Part]) -> Result<Regex, String> {
    let mut source = "(?s-u)^".to_owned();
    for part in parts {
        match part {
            Part::Text(text) => source.push_str(&format!("(?u:{})", regex::escape(text))),
            Part::Field(TagField::Id) => source.push_str("([0-9a-f]{12})"),
            Part::Field(TagField::FullId) => source.push_str("([0-9a-f]{64})"),
            Part::Field(TagField::DaemonName) => source.push_str("docker"),
            Part::Field(_) => source.push_str("(.+)"),
        }
    }
    source.push('$');
    Regex::new(&source).map_err(|_| "is too long".to_owned())
}

impl PartialEq for DockerTag {
    fn eq(&self, other: &DockerTag) -> bool {
        self.text == other.text
    }
}

impl Eq for DockerTag {}

impl fmt::Display for DockerTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "d88c56f8195b";

    fn split<'t>(
        template: &str,
        tag: &'t str,
    ) -> Option<(Option<&'t str>, Option<&'t str>, Option<&'t str>)> {
        let text = |part: Option<&'t [u8]>| part.map(|part| std::str::from_utf8(part).unwrap());
        let parts = DockerTag::parse(template).unwrap().split(tag.as_bytes())?;
        Some((text(parts.id), text(parts.name), text(parts.image_name)))
    }

    #[test]
    fn tags_are_split_as_they_were_made() {
        let full = ID.repeat(6)[..64].to_owned();
        assert_eq!(split("{{.ID}}", ID), Some((Some(ID), None, None)));
        assert_eq!(split("{{.FullID}}", &full), Some((Some(&*full), None, None)));
        let slashed = format!("web/1.a/{ID}");
        assert_eq!(split("{{.Name}}/{{.ID}}", &slashed), Some((Some(ID), Some("web/1.a"), None)));
        let image = format!("docker.reg:5000/a/b:1|web|{ID}");
        assert_eq!(
            split("{{.DaemonName}}.{{.ImageName}}|{{.Name}}|{{ .ID }}", &image),
            Some((Some(ID), Some("web"), Some("reg:5000/a/b:1")))
        );
        for other in ["", "cron", "web/d88c56f8195", "web/d88c56f8195X", "d88c56f8195b/"] {
            assert_eq!(split("{{.Name}}/{{.ID}}", other), None, "{other}");
        }
        assert_eq!(split("{{.ID}}", "D88C56F8195B"), None);
    }

    #[test]
    fn tags_are_rendered() {
        let tag = DockerTag::parse("docker.{{.Name}}.{{.ID}}").unwrap();
        let mut out = Vec::new();
        tag.render(|field| if field == TagField::Name { b"web" } else { b"d88c" }, &mut out);
        assert_eq!(out, b"docker.web.d88c");
        for (wrong, what) in [("", "is empty"), ("{{.ID", "without }}"), ("{{.Hostname}}", "none of {{.ID}}")]
        {
            assert!(DockerTag::parse(wrong).unwrap_err().contains(what), "{wrong}");
        }
    }
}
