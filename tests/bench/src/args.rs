//! The command line: flags with a value, flags without, nothing else.

use std::{collections::BTreeMap, str::FromStr};

pub struct Args {
    values: BTreeMap<String, String>,
}

impl Args {
    /// Reads `--name value` for the names in `valued` and `--name` for those in `plain`.
    pub fn read(
        words: impl IntoIterator<Item = String>,
        valued: &[&str],
        plain: &[&str],
    ) -> Result<Args, String> {
        let mut values = BTreeMap::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").unwrap_or_default();
            let value = if valued.contains(&name) {
                words.next().ok_or_else(|| format!("--{name} wants a value"))?
            } else if plain.contains(&name) {
                String::new()
            } else {
                return Err(format!(
                    "`{word}` is no option; there are --{} --{}",
                    valued.join(" --"),
                    plain.join(" --")
                ));
            };
            values.insert(name.to_owned(), value);
        }
        Ok(Args { values })
    }

    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub fn parse<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("--{name} {text} cannot be read"))
    }

    /// A number of at least one, or `default`.
    pub fn count(&self, name: &str, default: u64) -> Result<u64, String> {
        match self.parse(name)?.unwrap_or(default) {
            0 => Err(format!("--{name} wants at least 1")),
            count => Ok(count),
        }
    }
}
