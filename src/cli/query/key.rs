//! The embedded service's key, read from its file. The file is for the gateway's user alone, so most of this says who
//! that is and what to type instead.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};

use crate::output::credentials::{AccessKey, Credentials};
use crate::store::{AccessKey as StoredKey, StoreError};

pub(super) fn read(file: &Path) -> Result<Credentials> {
    let StoredKey { id, secret } = stored(file)?;
    Ok(Credentials::Static(Arc::new(AccessKey { id, secret, security_token: None })))
}

pub(in crate::cli) fn stored(file: &Path) -> Result<StoredKey> {
    match StoredKey::load(file) {
        Ok(key) => Ok(key),
        Err(StoreError::Path { cause, .. }) if cause.kind() == ErrorKind::PermissionDenied => {
            // A file in a directory that may not be entered has no owner to see; then it is the directory that counts.
            let (path, owner) = file
                .ancestors()
                .find_map(|path| Some((path, std::fs::metadata(path).ok()?.uid())))
                .unwrap_or((file, 0));
            let owner = user(&std::fs::read_to_string("/etc/passwd").unwrap_or_default(), owner);
            Err(anyhow!("{}", refusal(file, path, &owner, std::env::args())))
        }
        Err(error) => Err(anyhow::Error::new(error).context("the embedded Log Service's key")),
    }
}

/// `path` is the file, or the directory above it that may not be entered.
fn refusal(file: &Path, path: &Path, owner: &str, arguments: impl Iterator<Item = String>) -> String {
    let whose = if path == file {
        format!("belongs to {owner}")
    } else {
        format!("lies in {}, which belongs to {owner}", path.display())
    };
    let command: Vec<String> = arguments.map(|argument| quoted(&argument)).collect();
    format!(
        "the key of the embedded Log Service, {}, {whose}, and you may not read it; run: sudo {}",
        file.display(),
        command.join(" ")
    )
}

/// The name of a user in the text of /etc/passwd (`name:password:uid:...`), or else the number.
fn user(passwd: &str, uid: u32) -> String {
    let uid = uid.to_string();
    let named = |line: &str| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)? == uid).then(|| name.to_owned())
    };
    passwd.lines().find_map(named).map_or_else(|| format!("user {uid}"), |name| format!("user {name}"))
}

/// An argument as a shell takes it.
pub(in crate::cli) fn quoted(argument: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    if !argument.is_empty() && argument.bytes().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_run_survives_a_shell() {
        let arguments = ["sluicegate", "query", "a b", "it's", "*", "--from=-15m", "$(x)", ""];
        let file = Path::new("/d/log-service/access-key");
        let text = refusal(file, file, "user log", arguments.into_iter().map(str::to_owned));
        assert_eq!(
            text,
            "the key of the embedded Log Service, /d/log-service/access-key, belongs to user log, and you may not read it; \
             run: sudo sluicegate query 'a b' 'it'\\''s' '*' --from=-15m '$(x)' ''"
        );
        let text = refusal(file, Path::new("/d"), "user 7", std::iter::empty());
        assert!(text.contains("access-key, lies in /d, which belongs to user 7, and"), "{text}");
    }

    #[test]
    fn users_have_names() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n\nbroken\nlog:x:100:101::/:/bin/false\n";
        assert_eq!(user(passwd, 0), "user root");
        assert_eq!(user(passwd, 100), "user log");
        assert_eq!(user(passwd, 101), "user 101");
    }

    #[test]
    fn a_key_file_is_read_or_says_what_it_lacks() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("access-key");
        let text = |error: anyhow::Error| format!("{error:#}");
        let missing = text(read(&file).unwrap_err());
        assert!(missing.starts_with("the embedded Log Service's key: cannot use /"), "{missing}");
        std::fs::write(&file, "id\n").unwrap();
        assert!(text(read(&file).unwrap_err()).contains("is no access key: the second line is empty"));
        std::fs::write(&file, "id\nsecret\n").unwrap();
        let Credentials::Static(key) = read(&file).unwrap() else { panic!() };
        assert_eq!((key.id.as_str(), key.secret.expose()), ("id", "secret"));
    }
}
