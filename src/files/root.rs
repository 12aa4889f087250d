//! Opens files beneath a directory, and no others.
//!
//! It knows the file system, not requests. Its invariant: whatever links lie beneath the root, and
//! whatever happens to them meanwhile, what is opened is a regular file that lies beneath it too.
//!
//! The kernel sees to that in one call, `openat2` with `RESOLVE_BENEATH`: a link that stays beneath the
//! root is followed, one that leads out, and every absolute one, is not found. A kernel or a container
//! without it gets a walk from directory to directory that follows no links at all.

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A directory, opened once: it may be renamed while it is served from.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    /// The kernel resolves paths beneath a directory.
    resolves_beneath: bool,
}

/// What there is at a place.
#[derive(Debug)]
pub enum Found {
    /// A regular file.
    File {
        /// Open for reading.
        file: File,
        /// Its length, in bytes.
        bytes: u64,
        /// When it was last changed: seconds since 1970-01-01 UTC, nanoseconds.
        modified: (i64, u32),
    },
    /// A directory.
    Directory,
}

/// Without `O_NONBLOCK` a FIFO that nobody writes to would stop the worker.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
#[cfg(target_os = "linux")]
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY);
#[cfg(not(target_os = "linux"))]
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY);

/// Times that a path is resolved anew because something beneath the root was renamed meanwhile.
#[cfg(target_os = "linux")]
const RENAMES_MAX: usize = 16;

impl Root {
    /// Opens the directory at `path`, which is trusted.
    ///
    /// # Errors
    /// Those of the system; `NotADirectory` if it is something else.
    pub fn new(path: impl AsRef<Path>) -> io::Result<Root> {
        let directory = openat(rustix::fs::CWD, path.as_ref(), DIRECTORY, Mode::empty())?;
        let resolves_beneath = resolves_beneath(&directory);
        Ok(Root { directory, resolves_beneath })
    }

    /// The same without the kernel's help.
    #[doc(hidden)]
    pub fn walking(self) -> Root {
        Root { resolves_beneath: false, ..self }
    }

    /// Opens what is at `relative`: segments with `/` between them, none of them empty, `.` or `..`; empty
    /// for the root itself.
    ///
    /// # Errors
    /// `NotFound` if there is nothing, or neither a regular file nor a directory, or if it is not beneath the
    /// root; `PermissionDenied` if the system does not let it be read; others of the system.
    pub fn open(&self, relative: &str) -> io::Result<Found> {
        if relative.is_empty() {
            return Ok(Found::Directory);
        }
        let opened = if self.resolves_beneath { self.open_beneath(relative) } else { self.walk(relative) };
        match opened {
            Ok(descriptor) => look(File::from(descriptor)),
            Err(errno) => Err(told(errno)),
        }
    }

    #[cfg(target_os = "linux")]
    fn open_beneath(&self, relative: &str) -> Result<OwnedFd, Errno> {
        use rustix::fs::ResolveFlags;
        let resolve = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
        for _ in 0..RENAMES_MAX {
            match rustix::fs::openat2(&self.directory, relative, FILE, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                opened => return opened,
            }
        }
        Err(Errno::AGAIN)
    }

    #[cfg(not(target_os = "linux"))]
    fn open_beneath(&self, relative: &str) -> Result<OwnedFd, Errno> {
        self.walk(relative)
    }

    /// From directory to directory, each a name of the one before it and no link.
    fn walk(&self, relative: &str) -> Result<OwnedFd, Errno> {
        let mut at: Option<OwnedFd> = None;
        let mut segments = relative.split('/').peekable();
        loop {
            let segment = segments.next().ok_or(Errno::NOENT)?;
            // Checked by who made the place; without it this would not be a walk down.
            if matches!(segment, "" | "." | "..") {
                return Err(Errno::NOENT);
            }
            let from = at.as_ref().map_or(self.directory.as_fd(), |directory| directory.as_fd());
            let last = segments.peek().is_none();
            let flags = OFlags::NOFOLLOW | if last { FILE } else { DIRECTORY };
            let next = openat(from, segment, flags, Mode::empty())?;
            if last {
                return Ok(next);
            }
            at = Some(next);
        }
    }
}

/// Opens the file at `path`, which is trusted: links are followed, wherever they lead.
///
/// # Errors
/// As [`Root::open`].
pub fn open_file(path: &Path) -> io::Result<Found> {
    look(File::from(openat(rustix::fs::CWD, path, FILE, Mode::empty()).map_err(told)?))
}

/// Whether opening has failed for want of descriptors or memory, or because what is beneath the root is
/// renamed all the time: it may succeed later.
pub fn is_shortage(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN].contains(&errno))
}

/// Whether the kernel has `openat2` and whoever confines this process lets it be called.
#[cfg(target_os = "linux")]
fn resolves_beneath(directory: &OwnedFd) -> bool {
    let resolve = rustix::fs::ResolveFlags::BENEATH;
    rustix::fs::openat2(directory, ".", DIRECTORY, Mode::empty(), resolve).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn resolves_beneath(_directory: &OwnedFd) -> bool {
    false
}

/// What was opened; only now is it known that it was no FIFO and no device.
fn look(file: File) -> io::Result<Found> {
    let metadata: Metadata = file.metadata()?;
    if metadata.is_dir() {
        return Ok(Found::Directory);
    }
    if !metadata.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let modified = (metadata.mtime(), metadata.mtime_nsec() as u32);
    Ok(Found::File { bytes: metadata.len(), modified, file })
}

/// A path that leads out, loops, ends early or names a socket is one at which there is nothing.
fn told(errno: Errno) -> io::Error {
    match errno {
        Errno::NOENT
        | Errno::NOTDIR
        | Errno::XDEV
        | Errno::LOOP
        | Errno::MLINK
        | Errno::NAMETOOLONG
        | Errno::NXIO
        | Errno::NODEV => io::ErrorKind::NotFound.into(),
        errno => errno.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read};
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    /// A folder that is there for one test, with a root in it and a secret beside that.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let at = std::env::temp_dir().join(format!("fleeting-root-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&at);
            let root = at.join("root");
            std::fs::create_dir_all(root.join("a/b")).unwrap();
            std::fs::write(at.join("secret"), "secret").unwrap();
            std::fs::write(root.join("a/b/c.txt"), "content").unwrap();
            symlink("a/b/c.txt", root.join("within")).unwrap();
            symlink("../a", root.join("a/up")).unwrap();
            symlink("../secret", root.join("out")).unwrap();
            symlink("..", root.join("parent")).unwrap();
            symlink(at.join("secret"), root.join("absolute")).unwrap();
            symlink("loop", root.join("loop")).unwrap();
            symlink("/proc/self/root", root.join("magic")).unwrap();
            let fifo = std::process::Command::new("mkfifo").arg(root.join("fifo")).status();
            assert!(fifo.expect("there is mkfifo(1)").success());
            std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
            Scratch(at)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[track_caller]
    fn check(root: &Root, relative: &str, expected: Option<&str>) {
        match (root.open(relative), expected) {
            (Ok(Found::File { mut file, bytes, .. }), Some(expected)) => {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                assert_eq!((text.as_str(), bytes), (expected, expected.len() as u64), "{relative}");
            }
            (Err(error), None) => assert_eq!(error.kind(), ErrorKind::NotFound, "{relative}"),
            (found, _) => panic!("{relative}: {found:?}"),
        }
    }

    /// What both ways must refuse.
    const NOWHERE: &[&str] = &[
        "nothing",
        "a/nothing",
        "a/b/c.txt/d",
        "out",
        "parent/secret",
        "parent/root/a/b/c.txt",
        "absolute",
        "loop",
        "magic/etc/passwd",
        "fifo",
        "socket",
        "../secret",
        "a/../../secret",
        "/etc/passwd",
    ];

    #[test]
    #[cfg(target_os = "linux")]
    fn links_are_followed_beneath_the_root_only() {
        let scratch = Scratch::new("beneath");
        let root = Root::new(scratch.0.join("root")).unwrap();
        assert!(root.resolves_beneath, "this kernel has no openat2, or it may not be called");
        check(&root, "a/b/c.txt", Some("content"));
        check(&root, "within", Some("content"));
        check(&root, "a/up/b/c.txt", Some("content"));
        for nowhere in NOWHERE {
            check(&root, nowhere, None);
        }
        check(&root, &"x".repeat(300), None);
        assert!(matches!(root.open("a/b"), Ok(Found::Directory)));
        assert!(matches!(root.open(""), Ok(Found::Directory)));
    }

    #[test]
    fn without_the_kernels_help_no_link_is_followed() {
        let scratch = Scratch::new("walk");
        let root = Root::new(scratch.0.join("root")).unwrap().walking();
        check(&root, "a/b/c.txt", Some("content"));
        for nowhere in NOWHERE.iter().chain(&["within", "a/up/b/c.txt", "a//b/c.txt", "a/./b/c.txt"]) {
            check(&root, nowhere, None);
        }
        check(&root, &"x".repeat(300), None);
        assert!(matches!(root.open("a/b"), Ok(Found::Directory)));
        assert!(matches!(root.open("a"), Ok(Found::Directory)));
    }

    #[test]
    fn a_root_is_a_directory() {
        let scratch = Scratch::new("not");
        assert_eq!(Root::new(scratch.0.join("secret")).unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(Root::new(scratch.0.join("nothing")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_trusted_path_may_lead_anywhere_but_is_a_file() {
        let scratch = Scratch::new("trusted");
        assert!(matches!(open_file(&scratch.0.join("root/out")), Ok(Found::File { bytes: 6, .. })));
        assert!(matches!(open_file(&scratch.0), Ok(Found::Directory)));
        for nowhere in ["root/fifo", "root/socket", "nothing"] {
            assert_eq!(open_file(&scratch.0.join(nowhere)).unwrap_err().kind(), ErrorKind::NotFound);
        }
    }
}
