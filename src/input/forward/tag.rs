//! The tag under which a message goes on, where the input rewrites it.
//!
//! ```text
//! tag             instead of the peer's                             Fluentd, Fluent Bit
//! add_tag_prefix  prefix "." tag, the tag already replaced          Fluentd
//! tag_prefix      prefix tag, without a dot, the peer's own tag     Fluent Bit, where it wins over `tag`
//! ```
//!
//! `add_tag_prefix` stands before what the others make. `${client}` in any of them is the name in the peer's certificate;
//! for a peer without one it is `unknown`. A longer tag than a peer may send is cut, not inside a character.

use crate::base::limits::TAG_BYTES;
use crate::config::plan::TagPlan;

const CLIENT: &str = "${client}";
const NO_CLIENT: &str = "unknown";

/// What one connection does to tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagRewrite {
    prefix: String,
    /// Instead of the peer's tag.
    tag: Option<String>,
}

impl TagRewrite {
    /// `client` is the name in the peer's certificate.
    pub fn new(plan: &TagPlan, client: Option<&str>) -> Self {
        let filled = |text: &String| text.replace(CLIENT, client.unwrap_or(NO_CLIENT));
        let mut rewrite = TagRewrite::default();
        if let Some(prefix) = &plan.add_tag_prefix {
            rewrite.prefix = filled(prefix);
            rewrite.prefix.push('.');
        }
        match &plan.tag_prefix {
            Some(prefix) => rewrite.prefix.push_str(&filled(prefix)),
            None => rewrite.tag = plan.tag.as_ref().map(filled),
        }
        rewrite
    }

    /// Tags stay as they come.
    pub fn is_nothing(&self) -> bool {
        self.prefix.is_empty() && self.tag.is_none()
    }

    /// The tag for a peer's `tag`: itself when nothing is rewritten, else written into `scratch`.
    pub fn apply<'a>(&self, tag: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
        if self.is_nothing() {
            return tag;
        }
        scratch.clear();
        scratch.extend_from_slice(self.prefix.as_bytes());
        scratch.extend_from_slice(self.tag.as_ref().map_or(tag, |tag| tag.as_bytes()));
        if scratch.len() > TAG_BYTES {
            let is_start = |at: &usize| scratch.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
            let end = (TAG_BYTES - 3..=TAG_BYTES).rev().find(is_start).unwrap_or(TAG_BYTES);
            scratch.truncate(end);
        }
        scratch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(tag: Option<&str>, add_tag_prefix: Option<&str>, tag_prefix: Option<&str>) -> TagPlan {
        let owned = |text: Option<&str>| text.map(str::to_string);
        TagPlan { tag: owned(tag), add_tag_prefix: owned(add_tag_prefix), tag_prefix: owned(tag_prefix) }
    }

    fn rewritten(plan: &TagPlan, client: Option<&str>, tag: &str) -> String {
        let mut scratch = b"what was there".to_vec();
        let rewrite = TagRewrite::new(plan, client);
        String::from_utf8(rewrite.apply(tag.as_bytes(), &mut scratch).to_vec()).unwrap()
    }

    #[test]
    fn tags_are_rewritten_as_fluentd_and_fluent_bit_do() {
        for (tag, add_prefix, prefix, expected) in [
            (None, None, None, "app.log"),
            (Some("all"), None, None, "all"),
            (None, Some("edge"), None, "edge.app.log"),
            (Some("all"), Some("edge"), None, "edge.all"),
            (None, None, Some("edge"), "edgeapp.log"),
            (Some("all"), None, Some("edge."), "edge.app.log"),
            (Some("all"), Some("a"), Some("b"), "a.bapp.log"),
        ] {
            assert_eq!(rewritten(&plan(tag, add_prefix, prefix), None, "app.log"), expected);
        }
        assert_eq!(rewritten(&plan(None, Some("edge"), None), None, ""), "edge.");
    }

    #[test]
    fn the_client_s_name_may_stand_anywhere() {
        let all = plan(Some("${client}.x"), Some("tls.${client}"), None);
        assert_eq!(rewritten(&all, Some("web1"), "t"), "tls.web1.web1.x");
        assert_eq!(rewritten(&all, None, "t"), "tls.unknown.unknown.x");
        assert_eq!(rewritten(&plan(None, None, Some("${client}/")), Some("web1"), "t"), "web1/t");
    }

    #[test]
    fn a_tag_that_is_not_rewritten_is_not_copied() {
        let mut scratch = Vec::new();
        assert!(TagRewrite::new(&TagPlan::default(), Some("web1")).is_nothing());
        let tag = b"app.log";
        let same = TagRewrite::default().apply(tag, &mut scratch);
        assert_eq!(same.as_ptr(), tag.as_ptr());
    }

    #[test]
    fn long_tags_are_cut_at_a_character() {
        let prefix = plan(None, None, Some("p"));
        assert_eq!(rewritten(&prefix, None, &"x".repeat(TAG_BYTES)).len(), TAG_BYTES);
        assert_eq!(rewritten(&prefix, None, &"日".repeat(TAG_BYTES / 3 + 1)).len(), TAG_BYTES);
        assert_eq!(rewritten(&plan(None, None, Some("pp")), None, &"日".repeat(1400)).len(), TAG_BYTES - 2);
        let mut scratch = Vec::new();
        let bytes = [0x80; TAG_BYTES];
        assert_eq!(TagRewrite::new(&prefix, None).apply(&bytes, &mut scratch).len(), TAG_BYTES);
    }
}
