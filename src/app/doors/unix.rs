//! Unix sockets, of streams and of datagrams: a file with a mode and an owner.
//!
//! Nobody gets in before mode and owner are set, whatever the umask: the kernel refuses connections to a socket that is
//! bound and does not listen yet. A socket file that an earlier run left (nobody answers a connect) is removed;
//! whatever else stands at the path is somebody's and stays.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::libc::EPROTOTYPE;
use nix::unistd::{Gid, Group, Uid, User};
use std::os::unix::net::{UnixDatagram, UnixListener};
use tokio::net::{UnixSocket, UnixStream};

use super::BACKLOG;
use super::input::Opened;
use crate::app::inherited::Inherited;
use crate::config::plan::UnixPlan;
use crate::input::listener::{Outlive, Socket, SocketFile};
use crate::input::oneway::DatagramSocket;

/// What `sockaddr_un` holds, without its final zero.
const PATH_BYTES: usize = 107;
/// Who does not answer a connect for so long has its queue full of others: it lives.
const ANSWER: Duration = Duration::from_secs(1);

/// A bound socket at which nobody is let in yet.
pub(in crate::app) struct BoundFile {
    key: String,
    socket: Kind,
    file: SocketFile,
}

enum Kind {
    Stream(UnixSocket),
    /// Peers have been let in by others, and wait.
    Listening(UnixListener),
    Datagram(UnixDatagram),
}

impl BoundFile {
    /// A stream socket; `key` is the configuration's.
    pub(super) async fn stream(
        key: String,
        path: &Path,
        plan: &UnixPlan,
        (inherited, outlive): (&mut Inherited, &Outlive),
    ) -> Result<BoundFile> {
        let bind = || -> io::Result<Kind> {
            let socket = UnixSocket::new_stream()?;
            socket.bind(path)?;
            Ok(Kind::Stream(socket))
        };
        let open = inherited.unix(path).map(Kind::Listening);
        BoundFile::new(key, path, plan, outlive, open, bind).await
    }

    /// A datagram socket.
    pub(super) async fn datagram(
        key: String,
        path: &Path,
        plan: &UnixPlan,
        (inherited, outlive): (&mut Inherited, &Outlive),
    ) -> Result<BoundFile> {
        let open = inherited.unixgram(path).map(Kind::Datagram);
        BoundFile::new(key, path, plan, outlive, open, || UnixDatagram::bind(path).map(Kind::Datagram)).await
    }

    async fn new(
        key: String,
        path: &Path,
        plan: &UnixPlan,
        outlive: &Outlive,
        open: Option<Kind>,
        bind: impl FnOnce() -> io::Result<Kind>,
    ) -> Result<BoundFile> {
        let at = || format!("{key}: cannot listen on unix:{}", path.display());
        if let Some(socket) = open {
            let file = SocketFile::new(path, outlive.clone()).with_context(at)?;
            return Ok(BoundFile { key, socket, file });
        }
        if path.as_os_str().len() > PATH_BYTES {
            bail!(
                "{}: the path is longer than the {PATH_BYTES} bytes a socket may have; choose a shorter one",
                at()
            );
        }
        make_way(path).await.with_context(at)?;
        let socket = bind().map_err(|error| anyhow!("{}: {error}; {}", at(), advice(&error)))?;
        // From here on it is ours to remove.
        let file = SocketFile::new(path, outlive.clone()).with_context(at)?;
        fs::set_permissions(path, Permissions::from_mode(plan.mode)).with_context(at)?;
        own(path, plan).with_context(at)?;
        Ok(BoundFile { key, socket, file })
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(super) fn is_datagram(&self) -> bool {
        matches!(self.socket, Kind::Datagram(_))
    }

    /// Lets peers in.
    pub(super) fn open(self) -> Result<Opened> {
        let BoundFile { key, socket, file } = self;
        let opened = match socket {
            Kind::Stream(socket) => socket.listen(BACKLOG),
            Kind::Listening(listener) => {
                listener.set_nonblocking(true).and_then(|()| tokio::net::UnixListener::from_std(listener))
            }
            Kind::Datagram(socket) => {
                let socket =
                    socket.set_nonblocking(true).and_then(|()| tokio::net::UnixDatagram::from_std(socket));
                let socket = socket.with_context(|| format!("{key}: unixgram:{}", file.path().display()))?;
                return Ok(Opened::Datagrams(DatagramSocket::Unix(socket, file)));
            }
        };
        let listener =
            opened.with_context(|| format!("{key}: cannot listen on unix:{}", file.path().display()))?;
        Ok(Opened::Connections(Socket::Unix(listener, file)))
    }
}

/// Removes what an earlier run left, and nothing else.
async fn make_way(path: &Path) -> Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(file) => file.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !kind.is_socket() {
        let what = if kind.is_dir() {
            "a directory"
        } else if kind.is_symlink() {
            "a symbolic link"
        } else {
            "a file that is no socket"
        };
        bail!("{what} is there, and is left alone; choose another path or remove it");
    }
    let answer = async {
        match UnixStream::connect(path).await {
            // It takes datagrams.
            Err(error) if error.raw_os_error() == Some(EPROTOTYPE) => UnixDatagram::unbound()?.connect(path),
            answer => answer.map(drop),
        }
    };
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path)
                .context("a socket that nobody uses any more is there and cannot be removed")?;
            tracing::info!(path = %path.display(), "removed a socket file that nobody listened on");
            Ok(())
        }
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => Ok(()),
        Ok(Ok(_)) | Err(_) => bail!("another program listens there; stop it or choose another path"),
        Ok(Err(error)) => {
            bail!("a socket of another program is there ({error}); choose another path or remove it")
        }
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "its directory is not there; make it, or choose another path",
        ErrorKind::PermissionDenied => "this user may not make files in that directory; choose another path",
        ErrorKind::ReadOnlyFilesystem => "that file system is read-only; choose another path",
        ErrorKind::AddrInUse => "another program made a file there just now; choose another path",
        _ => "choose another path",
    }
}

fn own(path: &Path, plan: &UnixPlan) -> Result<()> {
    let user = plan.user.as_deref().map(user).transpose()?;
    let group = plan.group.as_deref().map(group).transpose()?;
    if user.is_none() && group.is_none() {
        return Ok(());
    }
    chown(path, user.map(Uid::as_raw), group.map(Gid::as_raw)).context(
        "its owner cannot be set; only root gives files to other users, and others only to groups they belong to",
    )
}

fn user(name: &str) -> Result<Uid> {
    match name.parse() {
        Ok(number) => Ok(Uid::from_raw(number)),
        Err(_) => {
            let user =
                User::from_name(name)?.with_context(|| format!("this machine has no user {name:?}"))?;
            Ok(user.uid)
        }
    }
}

fn group(name: &str) -> Result<Gid> {
    match name.parse() {
        Ok(number) => Ok(Gid::from_raw(number)),
        Err(_) => {
            let group =
                Group::from_name(name)?.with_context(|| format!("this machine has no group {name:?}"))?;
            Ok(group.gid)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: UnixPlan = UnixPlan { mode: 0o620, user: None, group: None };

    async fn bind_as(path: &Path, plan: &UnixPlan) -> Result<BoundFile> {
        let (mut inherited, outlive) = Default::default();
        BoundFile::stream("inputs.a.listen".to_owned(), path, plan, (&mut inherited, &outlive)).await
    }

    async fn bind(path: &Path) -> Result<BoundFile> {
        bind_as(path, &PLAN).await
    }

    async fn refusal(path: &Path) -> String {
        format!("{:#}", bind(path).await.err().unwrap())
    }

    #[tokio::test]
    async fn a_socket_has_its_mode_before_anybody_gets_in_and_goes_with_us() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let bound = bind(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o620);
        let early = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(early.kind(), ErrorKind::ConnectionRefused);
        let socket = bound.open().unwrap();
        UnixStream::connect(&path).await.unwrap();
        assert!(refusal(&path).await.contains("another program listens there"));
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_crash_left_makes_way_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let bound = bind(&path).await.unwrap();
        // Somebody put another one in its place: it is not ours to remove.
        fs::remove_file(&path).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(bound);
        assert!(path.exists());

        let file = dir.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert!(refusal(&file).await.contains("no socket"));
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(refusal(&link).await.contains("symbolic link"));
        assert!(refusal(dir.path()).await.contains("a directory"));
        let datagram = dir.path().join("datagram");
        let taken = UnixDatagram::bind(&datagram).unwrap();
        assert!(refusal(&datagram).await.contains("another program"));
        drop(taken);
        drop(bind(&datagram).await.unwrap());
        assert!(!datagram.exists());
    }

    #[tokio::test]
    async fn a_path_that_cannot_be_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(refusal(&dir.path().join("no/s")).await.contains("directory is not there"));
        assert!(refusal(&dir.path().join("a".repeat(120))).await.contains("107"));
        let nobody = UnixPlan { group: Some("no such group".to_owned()), ..PLAN };
        let path = dir.path().join("s");
        let error = bind_as(&path, &nobody).await.err().unwrap();
        assert!(format!("{error:#}").contains("no group"), "{error:#}");
        assert!(!path.exists());
        let own = UnixPlan {
            user: Some(Uid::current().to_string()),
            group: Some(Gid::current().to_string()),
            ..PLAN
        };
        bind_as(&path, &own).await.unwrap();
    }
}
