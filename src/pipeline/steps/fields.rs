//! The processors that change fields: add, remove, keep, rename. A rename swaps the key's span, a removal drops a table
//! entry, an added value goes to the arena.

use crate::config::plan::Step;
use crate::record::{Batch, Span};

/// Applies a step to one record. `scratch` is a reused buffer for rendered values.
pub(super) fn apply(step: &Step, batch: &mut Batch, record: usize, scratch: &mut Vec<u8>) {
    match step {
        Step::Add(fields) => {
            for (key, template) in fields {
                let current = batch.records[record];
                scratch.clear();
                template.render(
                    batch.tag(),
                    |name| batch.value_of(&current, name).map(|v| batch.bytes(v)),
                    scratch,
                );
                batch.retain(record, |name| name != key.as_bytes());
                let key = batch.keep(key.as_bytes());
                let value = batch.keep(scratch);
                batch.extend(record, key, value);
            }
        }
        Step::Remove(keys) => batch.retain(record, |name| !keys.iter().any(|key| key.as_bytes() == name)),
        Step::Keep(keys) => batch.retain(record, |name| keys.iter().any(|key| key.as_bytes() == name)),
        Step::Rename(pairs) => {
            for (from, to) in pairs {
                rename(batch, record, from.as_bytes(), to.as_bytes());
            }
        }
        Step::Parse(_) | Step::Time(_) | Step::Filter(_) | Step::Drop(_) | Step::Mask(_) => {}
    }
}

/// Gives a field another name. A field that already has the new name gives way, as in Fluentd's `record_modifier`.
fn rename(batch: &mut Batch, record: usize, from: &[u8], to: &[u8]) {
    let current = batch.records[record];
    if from == to || batch.value_of(&current, from).is_none() {
        return;
    }
    batch.retain(record, |name| name != to);
    let new_key: Span = batch.keep(to);
    for at in batch.records[record].range() {
        if batch.bytes(batch.fields[at].key) == from {
            batch.fields[at].key = new_key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Timestamp;

    fn after(steps: &[Step]) -> String {
        let mut batch = Batch::default();
        batch.begin(Timestamp::default());
        for (key, value) in [("a", "1"), ("b", "2"), ("c", "3"), ("a", "4")] {
            let (key, value) = (batch.keep(key.as_bytes()), batch.keep(value.as_bytes()));
            batch.push(key, value);
        }
        for step in steps {
            apply(step, &mut batch, 0, &mut Vec::new());
        }
        let text = |span| String::from_utf8_lossy(batch.bytes(span)).into_owned();
        let fields = batch.fields_of(&batch.records[0]).iter();
        fields.map(|field| format!("{}={} ", text(field.key), text(field.value))).collect()
    }

    #[test]
    fn fields_are_kept_removed_and_renamed() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(after(&[Step::Keep(names(&["c", "a", "missing"]))]), "a=1 c=3 a=4 ");
        assert_eq!(after(&[Step::Keep(names(&[]))]), "");
        assert_eq!(after(&[Step::Remove(names(&["a", "missing"]))]), "b=2 c=3 ");
        let rename = |from: &str, to: &str| Step::Rename(vec![(from.to_owned(), to.to_owned())]);
        assert_eq!(after(&[rename("b", "c")]), "a=1 c=2 a=4 ");
        assert_eq!(after(&[rename("missing", "c"), rename("c", "c")]), "a=1 b=2 c=3 a=4 ");
        assert_eq!(after(&[Step::Keep(names(&["b"])), rename("b", "a")]), "a=2 ");
    }
}
