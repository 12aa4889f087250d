//! Opens files beneath a directory, and no others.
//!
//! It knows the file system, not requests. Its invariant: whatever links lie beneath the root, and however
//! they change meanwhile, it opens only regular files and directories beneath the root.
//!
//! The kernel ensures that in one call, `openat2` with `RESOLVE_BENEATH`: it follows links that stay beneath
//! the root, and fails for links that lead out and for absolute links. Where that call is missing or
//! forbidden, the path is walked directory by directory and no link is followed.

use super::version::Stamp;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// A directory that files are served from. It is opened once, so renaming it later does no harm.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    /// The kernel supports `openat2` with `RESOLVE_BENEATH`.
    resolves_beneath: bool,
}

/// What [`Root::open`] and `open_file` have opened.
#[derive(Debug)]
pub enum Opened {
    /// A regular file.
    File {
        /// The file, open for reading.
        file: File,
        /// Its length in bytes.
        bytes: u64,
        /// What is known about its changes.
        stamp: Stamp,
    },
    /// A directory.
    Directory,
}

/// Without `O_NONBLOCK`, opening a FIFO without a writer would block the worker.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
#[cfg(target_os = "linux")]
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY);
#[cfg(not(target_os = "linux"))]
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY);

/// How often a path is resolved if something beneath the root is renamed each time.
#[cfg(target_os = "linux")]
const RENAMES_MAX: usize = 16;

impl Root {
    /// Opens the directory at `path`. The path is trusted.
    ///
    /// # Errors
    /// Returns the system's error; `NotADirectory` if `path` is something else.
    pub fn new(path: impl AsRef<Path>) -> io::Result<Root> {
        let directory = openat(rustix::fs::CWD, path.as_ref(), DIRECTORY, Mode::empty())?;
        let resolves_beneath = resolves_beneath(&directory);
        Ok(Root { directory, resolves_beneath })
    }

    /// Returns the same root without `openat2`, for tests.
    #[doc(hidden)]
    pub fn without_openat2(self) -> Root {
        Root { resolves_beneath: false, ..self }
    }

    /// Opens the file or directory at `relative`, the path of a [`RelativePath`](super::RelativePath).
    ///
    /// # Errors
    /// - `NotFound` if nothing is there, if it is neither a regular file nor a directory, or if it does not
    ///   lie beneath the root;
    /// - `PermissionDenied` if the process may not read it;
    /// - other errors of the system.
    pub fn open(&self, relative: &str) -> io::Result<Opened> {
        if relative.is_empty() {
            return Ok(Opened::Directory);
        }
        let opened = if self.resolves_beneath { self.open_beneath(relative) } else { self.walk(relative) };
        match opened {
            Ok(descriptor) => classify(File::from(descriptor)),
            Err(errno) => Err(to_io_error(errno)),
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

    /// Opens the path directory by directory and follows no links.
    fn walk(&self, relative: &str) -> Result<OwnedFd, Errno> {
        let mut current: Option<OwnedFd> = None;
        let mut segments = relative.split('/').peekable();
        loop {
            let segment = segments.next().ok_or(Errno::NOENT)?;
            // `resolve` never returns these. They would let the walk leave the root.
            if matches!(segment, "" | "." | "..") {
                return Err(Errno::NOENT);
            }
            let from = current.as_ref().map_or(self.directory.as_fd(), |directory| directory.as_fd());
            let last = segments.peek().is_none();
            let flags = OFlags::NOFOLLOW | if last { FILE } else { DIRECTORY };
            let next = openat(from, segment, flags, Mode::empty())?;
            if last {
                return Ok(next);
            }
            current = Some(next);
        }
    }
}

/// Opens the file at `path`. The path is trusted: links are followed, wherever they lead.
///
/// # Errors
/// Those of [`Root::open`].
pub fn open_file(path: &Path) -> io::Result<Opened> {
    classify(File::from(openat(rustix::fs::CWD, path, FILE, Mode::empty()).map_err(to_io_error)?))
}

/// Returns whether opening failed for a reason that may pass: no descriptors, no memory, or constant renaming
/// beneath the root.
pub fn is_shortage(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::AGAIN, Errno::INTR];
    errno.is_some_and(|errno| shortages.contains(&errno))
}

/// Returns whether the kernel has `openat2` and the process may call it.
#[cfg(target_os = "linux")]
fn resolves_beneath(directory: &OwnedFd) -> bool {
    let resolve = rustix::fs::ResolveFlags::BENEATH;
    rustix::fs::openat2(directory, ".", DIRECTORY, Mode::empty(), resolve).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn resolves_beneath(_directory: &OwnedFd) -> bool {
    false
}

/// Returns what was opened. A FIFO, a device or the like is `NotFound`. The type is that of the open file,
/// because the path may lead elsewhere by now.
fn classify(file: File) -> io::Result<Opened> {
    let metadata: Metadata = file.metadata()?;
    if metadata.is_dir() {
        return Ok(Opened::Directory);
    }
    if !metadata.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(Opened::File { bytes: metadata.len(), stamp: Stamp::of(&metadata), file })
}

/// Converts an error. Paths that lead out, loop, end early, name a socket, or cannot be a file's name (with a NUL, or with
/// characters that the file system does not take) are reported as `NotFound`.
fn to_io_error(errno: Errno) -> io::Error {
    match errno {
        Errno::NOENT
        | Errno::NOTDIR
        | Errno::XDEV
        | Errno::LOOP
        | Errno::MLINK
        | Errno::NAMETOOLONG
        | Errno::INVAL
        | Errno::ILSEQ
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

    /// A directory for one test. It contains a root, and a secret beside it.
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
            assert!(fifo.expect("mkfifo(1) is installed").success());
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
            (Ok(Opened::File { mut file, bytes, .. }), Some(expected)) => {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                assert_eq!((text.as_str(), bytes), (expected, expected.len() as u64), "{relative}");
            }
            (Err(error), None) => assert_eq!(error.kind(), ErrorKind::NotFound, "{relative}"),
            (found, _) => panic!("{relative}: {found:?}"),
        }
    }

    /// Paths that must be refused with and without `openat2`.
    const REFUSED: &[&str] = &[
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
        "a/b/c.txt\0",
        "a\0/b/c.txt",
    ];

    #[test]
    #[cfg(target_os = "linux")]
    fn links_are_followed_beneath_the_root_only() {
        let scratch = Scratch::new("beneath");
        let root = Root::new(scratch.0.join("root")).unwrap();
        assert!(root.resolves_beneath, "openat2 is missing or forbidden here");
        check(&root, "a/b/c.txt", Some("content"));
        check(&root, "within", Some("content"));
        check(&root, "a/up/b/c.txt", Some("content"));
        for path in REFUSED {
            check(&root, path, None);
        }
        check(&root, &"x".repeat(300), None);
        assert!(matches!(root.open("a/b"), Ok(Opened::Directory)));
        assert!(matches!(root.open(""), Ok(Opened::Directory)));
    }

    #[test]
    fn without_openat2_no_link_is_followed() {
        let scratch = Scratch::new("walk");
        let root = Root::new(scratch.0.join("root")).unwrap().without_openat2();
        check(&root, "a/b/c.txt", Some("content"));
        for path in REFUSED.iter().chain(&["within", "a/up/b/c.txt", "a//b/c.txt", "a/./b/c.txt"]) {
            check(&root, path, None);
        }
        check(&root, &"x".repeat(300), None);
        assert!(matches!(root.open("a/b"), Ok(Opened::Directory)));
        assert!(matches!(root.open("a"), Ok(Opened::Directory)));
    }

    #[test]
    fn a_root_is_a_directory() {
        let scratch = Scratch::new("not");
        assert_eq!(Root::new(scratch.0.join("secret")).unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(Root::new(scratch.0.join("nothing")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_trusted_path_may_lead_anywhere_but_must_be_a_file() {
        let scratch = Scratch::new("trusted");
        assert!(matches!(open_file(&scratch.0.join("root/out")), Ok(Opened::File { bytes: 6, .. })));
        assert!(matches!(open_file(&scratch.0), Ok(Opened::Directory)));
        for path in ["root/fifo", "root/socket", "nothing", "root\0", "ro\0ot/out", "\0"] {
            assert_eq!(open_file(&scratch.0.join(path)).unwrap_err().kind(), ErrorKind::NotFound);
        }
    }
}
