//! Opens files beneath a directory, and no others.
//!
//! It knows the file system, not requests. Its invariant: whatever links lie beneath the root, and however
//! they change meanwhile, it opens only regular files beneath the root, and hidden ones only if that is allowed.
//!
//! The kernel ensures the first part in one call, `openat2` with `RESOLVE_BENEATH`: it follows links that stay beneath
//! the root, and fails for links that lead out and for absolute links. Where that call is missing or
//! forbidden, the path is walked directory by directory and no link is followed.
//!
//! What a path leads to is looked at before it is opened (`O_PATH`): opening a FIFO lets its writer go on, and opening a
//! device may do anything.

use super::version::Stamp;
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// A directory that files are served from. It is kept open, so files are found even while it is being renamed. If it is
/// replaced by another directory at the same path, that one is opened.
#[derive(Debug)]
pub struct Root {
    /// Absolute, if the current directory was known.
    path: PathBuf,
    directory: RwLock<Arc<OwnedFd>>,
    /// When the path was last looked at, in seconds since 1970-01-01 UTC.
    looked_at_secs: AtomicU64,
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

/// How a path beneath the root is followed.
#[derive(Debug, Clone, Copy)]
enum Resolution {
    /// By the kernel; the flag says whether links are followed.
    #[cfg(target_os = "linux")]
    Beneath { links: bool },
    /// Directory by directory, without links.
    Walk,
}

/// Should another file have taken the place of the one that was looked at, `O_NONBLOCK` keeps a FIFO from blocking the
/// worker.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
#[cfg(target_os = "linux")]
const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
#[cfg(target_os = "linux")]
const DIRECTORY: OFlags = LOOK.union(OFlags::DIRECTORY);
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
        let path = path.as_ref();
        let directory = openat(rustix::fs::CWD, path, DIRECTORY, Mode::empty())?;
        Ok(Root {
            path: std::path::absolute(path).unwrap_or_else(|_| path.into()),
            resolves_beneath: resolves_beneath(&directory),
            directory: RwLock::new(Arc::new(directory)),
            looked_at_secs: AtomicU64::new(0),
        })
    }

    /// Returns the same root without `openat2`, for tests.
    #[doc(hidden)]
    pub fn without_openat2(self) -> Root {
        Root { resolves_beneath: false, ..self }
    }

    /// Looks whether another directory has taken the place of this one, at most once a second, and opens that one. If there is
    /// none, this one remains.
    pub fn refresh(&self, now_unix_secs: u64) {
        if self.looked_at_secs.load(Ordering::Relaxed) == now_unix_secs {
            return;
        }
        self.looked_at_secs.store(now_unix_secs, Ordering::Relaxed);
        if let (Ok(kept), Ok(there)) = (fstat(&*self.directory()), rustix::fs::stat(&self.path)) {
            if !is_same_file(&kept, &there) {
                self.renew();
            }
        }
    }

    /// Opens the directory again if it has been removed. Returns whether there is a new one.
    pub fn reopen_if_removed(&self) -> bool {
        fstat(&*self.directory()).is_ok_and(|kept| kept.st_nlink == 0) && self.renew()
    }

    fn renew(&self) -> bool {
        match openat(rustix::fs::CWD, &self.path, DIRECTORY, Mode::empty()) {
            Ok(directory) => {
                *self.directory.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
                true
            }
            Err(_) => false,
        }
    }

    fn directory(&self) -> Arc<OwnedFd> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens the file or directory at `relative`, the path of a [`RelativePath`](super::RelativePath). Unless `hidden` is
    /// set, no link leads to a file whose path has a name that begins with a dot. Names that begin with two dots may be on
    /// the way, because volumes of Kubernetes link to their files through such directories.
    ///
    /// # Errors
    /// - `NotFound` if nothing is there, if it is neither a regular file nor a directory, or if it does not
    ///   lie beneath the root;
    /// - `PermissionDenied` if the process may not read it;
    /// - other errors of the system.
    pub fn open(&self, relative: &str, hidden: bool) -> io::Result<Opened> {
        if relative.is_empty() {
            return Ok(Opened::Directory);
        }
        self.open_in(&self.directory(), relative, hidden).map_err(to_io_error)
    }

    #[cfg(target_os = "linux")]
    fn open_in(&self, root: &OwnedFd, relative: &str, hidden: bool) -> Result<Opened, Errno> {
        let mut resolution = match self.resolves_beneath {
            true => Resolution::Beneath { links: false },
            false => Resolution::Walk,
        };
        let mut looked = descend(root, relative, LOOK, resolution);
        // Without a link on the way, the path is the file's own, and has been checked already.
        if matches!((&looked, resolution), (Err(Errno::LOOP), Resolution::Beneath { .. })) {
            resolution = Resolution::Beneath { links: true };
            looked = descend(root, relative, LOOK, resolution);
            if !hidden && looked.as_ref().is_ok_and(|found| leads_to_hidden(root, found)) {
                return Err(Errno::NOENT);
            }
        }
        open_looked_at(&looked?, |flags| descend(root, relative, flags, resolution))
    }

    #[cfg(not(target_os = "linux"))]
    fn open_in(&self, root: &OwnedFd, relative: &str, _hidden: bool) -> Result<Opened, Errno> {
        classify(descend(root, relative, FILE, Resolution::Walk)?)
    }
}

/// Opens the path beneath `root` with these flags.
fn descend(root: &OwnedFd, relative: &str, flags: OFlags, resolution: Resolution) -> Result<OwnedFd, Errno> {
    match resolution {
        #[cfg(target_os = "linux")]
        Resolution::Beneath { links } => open_beneath(root, relative, flags, links),
        Resolution::Walk => walk(root, relative, flags),
    }
}

#[cfg(target_os = "linux")]
fn open_beneath(root: &OwnedFd, relative: &str, flags: OFlags, links: bool) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;
    let mut resolve = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
    resolve.set(ResolveFlags::NO_SYMLINKS, !links);
    for _ in 0..RENAMES_MAX {
        match rustix::fs::openat2(root, relative, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return opened,
        }
    }
    Err(Errno::AGAIN)
}

/// Opens the path directory by directory and follows no links.
fn walk(root: &OwnedFd, relative: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut current: Option<OwnedFd> = None;
    let mut segments = relative.split('/').peekable();
    loop {
        let segment = segments.next().ok_or(Errno::NOENT)?;
        // `resolve` never returns these. They would let the walk leave the root.
        if matches!(segment, "" | "." | "..") {
            return Err(Errno::NOENT);
        }
        let from = current.as_ref().map_or(root.as_fd(), |directory| directory.as_fd());
        if segments.peek().is_none() {
            // There is no O_PATH to look with.
            #[cfg(not(target_os = "linux"))]
            check_type(&rustix::fs::statat(from, segment, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?)?;
            return openat(from, segment, OFlags::NOFOLLOW | flags, Mode::empty());
        }
        let next = openat(from, segment, OFlags::NOFOLLOW | DIRECTORY, Mode::empty())?;
        current = Some(next);
    }
}

/// Returns whether a file that a link has led to lies below a hidden name, or is no longer beneath `root`.
#[cfg(target_os = "linux")]
fn leads_to_hidden(root: &OwnedFd, found: &OwnedFd) -> bool {
    let path = |of: &OwnedFd| {
        let path = rustix::fs::readlinkat(rustix::fs::CWD, OwnPath::of(of).bytes(), Vec::new());
        path.ok().and_then(|path| path.into_string().ok())
    };
    let (Some(root), Some(found)) = (path(root), path(found)) else { return true };
    let Some(below) = found.strip_prefix(root.trim_end_matches('/')) else { return true };
    if !below.is_empty() && !below.starts_with('/') {
        return true;
    }
    let mut names = below.split('/').skip(1).peekable();
    names.next_if_eq(&".well-known");
    names.any(|name| name.starts_with('.') && !name.starts_with(".."))
}

/// The path `/proc/self/fd/N` of a descriptor.
#[cfg(target_os = "linux")]
struct OwnPath([u8; 32], usize);

#[cfg(target_os = "linux")]
impl OwnPath {
    fn of(descriptor: &OwnedFd) -> OwnPath {
        use std::io::Write;
        use std::os::fd::AsRawFd;
        let mut text = [0; 32];
        let mut rest = &mut text[..];
        // It fits: a descriptor has ten digits at most.
        let _ = write!(rest, "/proc/self/fd/{}", descriptor.as_raw_fd());
        let length = 32 - rest.len();
        OwnPath(text, length)
    }

    fn bytes(&self) -> &[u8] {
        &self.0[..self.1]
    }
}

/// Opens for reading what has been looked at. `again` opens its path, for systems whose `/proc` is missing.
#[cfg(target_os = "linux")]
fn open_looked_at(
    looked: &OwnedFd,
    again: impl FnOnce(OFlags) -> Result<OwnedFd, Errno>,
) -> Result<Opened, Errno> {
    let seen = fstat(looked)?;
    if check_type(&seen)? == FileType::Directory {
        return Ok(Opened::Directory);
    }
    let file = match openat(rustix::fs::CWD, OwnPath::of(looked).bytes(), FILE, Mode::empty()) {
        Err(Errno::NOENT) => {
            let file = again(FILE)?;
            if !is_same_file(&fstat(&file)?, &seen) {
                return Err(Errno::NOENT);
            }
            file
        }
        opened => opened?,
    };
    Ok(opened_file(file, &seen))
}

/// Opens the file at `path`. The path is trusted: links are followed, wherever they lead.
///
/// # Errors
/// Those of [`Root::open`].
pub fn open_file(path: &Path) -> io::Result<Opened> {
    let open = |flags| openat(rustix::fs::CWD, path, flags, Mode::empty());
    #[cfg(target_os = "linux")]
    let opened = open(LOOK).and_then(|looked| open_looked_at(&looked, open));
    #[cfg(not(target_os = "linux"))]
    let opened =
        rustix::fs::stat(path).and_then(|seen| check_type(&seen)).and_then(|_| classify(open(FILE)?));
    opened.map_err(to_io_error)
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

fn is_same_file(a: &Stat, b: &Stat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}

/// Returns the type of a regular file or a directory.
fn check_type(stat: &Stat) -> Result<FileType, Errno> {
    match FileType::from_raw_mode(stat.st_mode) {
        known @ (FileType::RegularFile | FileType::Directory) => Ok(known),
        _ => Err(Errno::NOENT),
    }
}

/// Returns what was opened. The type is that of the open file, because the path may lead elsewhere by now.
#[cfg(not(target_os = "linux"))]
fn classify(file: OwnedFd) -> Result<Opened, Errno> {
    let stat = fstat(&file)?;
    match check_type(&stat)? {
        FileType::Directory => Ok(Opened::Directory),
        _ => Ok(opened_file(file, &stat)),
    }
}

fn opened_file(file: OwnedFd, stat: &Stat) -> Opened {
    Opened::File { file: file.into(), bytes: stat.st_size.try_into().unwrap_or(0), stamp: Stamp::of(stat) }
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
            std::fs::create_dir(root.join(".git")).unwrap();
            std::fs::write(root.join(".git/config"), "hidden").unwrap();
            std::fs::write(root.join(".env"), "hidden").unwrap();
            symlink(".env", root.join("env.txt")).unwrap();
            symlink(".git", root.join("git")).unwrap();
            symlink("../.git/config", root.join("a/config")).unwrap();
            symlink("env.txt", root.join("twice")).unwrap();
            std::fs::create_dir_all(root.join(".well-known")).unwrap();
            std::fs::write(root.join(".well-known/a"), "known").unwrap();
            symlink(".well-known/a", root.join("known")).unwrap();
            // A volume of Kubernetes.
            std::fs::create_dir_all(root.join("..2026_01_01")).unwrap();
            std::fs::write(root.join("..2026_01_01/page"), "page").unwrap();
            symlink("..2026_01_01", root.join("..data")).unwrap();
            symlink("..data/page", root.join("page")).unwrap();
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
        match (root.open(relative, false), expected) {
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
        // Finding D7.
        "env.txt",
        "git/config",
        "a/config",
        "twice",
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
        check(&root, "known", Some("known"));
        check(&root, "page", Some("page"));
        for path in REFUSED {
            check(&root, path, None);
        }
        check(&root, &"x".repeat(300), None);
        assert!(matches!(root.open("a/b", false), Ok(Opened::Directory)));
        assert!(matches!(root.open("", false), Ok(Opened::Directory)));
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
        assert!(matches!(root.open("a/b", false), Ok(Opened::Directory)));
        assert!(matches!(root.open("a", false), Ok(Opened::Directory)));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn links_lead_to_hidden_files_if_those_are_served() {
        let scratch = Scratch::new("hidden");
        let root = Root::new(scratch.0.join("root")).unwrap();
        for path in ["env.txt", "git/config", "a/config", "twice", ".env"] {
            assert!(matches!(root.open(path, true), Ok(Opened::File { bytes: 6, .. })), "{path}");
        }
    }

    /// Finding D7: opening a FIFO would let a program go on that waits to write into it.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_fifo_is_not_opened() {
        use rustix::fs::{OFlags, open};
        let scratch = Scratch::new("fifo");
        let root = Root::new(scratch.0.join("root")).unwrap();
        let fifo = scratch.0.join("root/fifo");
        let watch = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::NONBLOCK).unwrap();
        rustix::fs::inotify::add_watch(&watch, &fifo, rustix::fs::inotify::WatchFlags::OPEN).unwrap();
        let mut buffer = [std::mem::MaybeUninit::uninit(); 1024];
        let mut opened = || rustix::fs::inotify::Reader::new(&watch, &mut buffer).next().is_ok();
        check(&root, "fifo", None);
        assert!(open_file(&fifo).is_err());
        let walking = Root::new(scratch.0.join("root")).unwrap().without_openat2();
        check(&walking, "fifo", None);
        assert!(!opened(), "it was opened");
        // The watch sees what it is for.
        drop(open(&fifo, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap());
        assert!(opened());
    }

    /// Finding E11.
    #[test]
    fn a_directory_that_is_made_again_is_opened_again() {
        let scratch = Scratch::new("again");
        let at = scratch.0.join("root");
        let root = Root::new(&at).unwrap();
        assert!(!root.reopen_if_removed());
        std::fs::remove_dir_all(&at).unwrap();
        assert!(!root.reopen_if_removed(), "nothing is there");
        check(&root, "new.txt", None);
        std::fs::create_dir(&at).unwrap();
        std::fs::write(at.join("new.txt"), "new").unwrap();
        assert!(root.reopen_if_removed());
        check(&root, "new.txt", Some("new"));
        assert!(!root.reopen_if_removed());
    }

    /// Finding E11, its kind: a release that replaces the directory by a rename or a link.
    #[test]
    fn a_directory_that_is_replaced_is_opened_within_a_second() {
        let scratch = Scratch::new("replaced");
        let at = |name: &str| scratch.0.join(name);
        for release in ["one", "two"] {
            std::fs::create_dir(at(release)).unwrap();
            std::fs::write(at(release).join("version"), release).unwrap();
        }
        symlink("one", at("current")).unwrap();
        let root = Root::new(at("current")).unwrap();
        root.refresh(100);
        check(&root, "version", Some("one"));
        std::fs::remove_file(at("current")).unwrap();
        // While nothing is at the path, the files remain.
        root.refresh(101);
        check(&root, "version", Some("one"));
        symlink("two", at("current")).unwrap();
        root.refresh(101);
        check(&root, "version", Some("one"));
        root.refresh(102);
        check(&root, "version", Some("two"));
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
