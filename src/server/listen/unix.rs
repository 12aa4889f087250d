//! Unix sockets: a file that a process listens at, or a name in Linux's abstract namespace.
//!
//! It knows no worker. Its invariant: only the file of a socket that nobody listens on is replaced.

use super::address::UnixName;
use super::shared::share;
use crate::transport::{ListenAddr, Listener, SocketFile};
use rustix::fs::{FlockOperation, flock};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

/// Listens at `name` with one socket, of which each worker has a descriptor: the system has no way to spread clients over
/// several. Without a `mode` the process's umask decides who may connect.
///
/// # Errors
/// The name is in use, something else is in its place, or it cannot be listened on.
pub(super) fn listen(
    name: &UnixName<'_>,
    mode: Option<u32>,
    workers: usize,
    backlog: i32,
) -> io::Result<Vec<Listener>> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let (addr, file) = match name {
        UnixName::Abstract(name) => {
            if !cfg!(target_os = "linux") {
                return Err(ErrorKind::Unsupported.into());
            }
            socket.bind(&SockAddr::unix(format!("\0{name}"))?)?;
            socket.listen(backlog)?;
            (ListenAddr::Abstract(name.as_bytes().into()), None)
        }
        UnixName::Path(path) => {
            let path = Path::new(path);
            let _lock = lock_folder(path);
            let file = bind(&socket, path)?;
            if let Some(mode) = mode {
                // Before it listens, so nobody connects whom the mode keeps out.
                fs::set_permissions(path, Permissions::from_mode(mode))?;
            }
            socket.listen(backlog)?;
            (ListenAddr::Unix(file.path().into()), Some(Arc::new(file)))
        }
    };
    share(&socket, workers, |socket| Listener::unix(socket.into(), addr.clone(), file.clone()))
}

/// Keeps other servers from looking at the file until this one listens: a file to which a socket is bound that does not
/// listen yet looks like one that was left behind. Without permission to read the folder there is no lock.
fn lock_folder(path: &Path) -> Option<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new("."))).ok()?;
    flock(&folder, FlockOperation::LockExclusive).ok().map(|()| folder)
}

/// Binds a socket to `path`. The file of a socket that nobody listens on is replaced.
fn bind(socket: &Socket, path: &Path) -> io::Result<SocketFile> {
    let addr = SockAddr::unix(path)?;
    match socket.bind(&addr) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            check_left_behind(path, &addr)?;
            fs::remove_file(path)?;
            socket.bind(&addr)?;
        }
        bound => bound?,
    }
    SocketFile::new(path)
}

/// Checks that a file was left behind by a process that no longer listens.
fn check_left_behind(path: &Path, addr: &SockAddr) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "the file exists and is not a socket"));
    }
    let client = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A full backlog must not hold this up.
    client.set_nonblocking(true)?;
    match client.connect(addr) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(error),
        // Another kind of socket is in use too.
        Ok(()) | Err(_) => Err(ErrorKind::AddrInUse.into()),
    }
}
