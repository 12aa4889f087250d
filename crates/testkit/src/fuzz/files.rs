//! Checks how a request selects a file, by its path, and a part of it, by its range.
//!
//! Each is compared with a second implementation that is slow and works differently.

use fleeting::files::{Opened, PathError, RelativePath, Root, SelectedRange, resolve, select_range};
use std::cell::RefCell;
use std::collections::HashSet;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Selects by the value of a Range field. The first two bytes give the file's length: a number, and how far it is
/// shifted.
///
/// Panics unless the selection lies within the file and equals that of `naive_range`.
pub fn range(bytes: &[u8]) {
    let [low, shift, value @ ..] = bytes else { return };
    let length = u64::from(*low) << (shift % 64);
    let selected = select_range(value, length);
    if let SelectedRange::Part { first, last } = selected {
        assert!(first <= last && last < length, "{first}-{last} of {length}");
    }
    assert_eq!(selected, naive_range(value, length), "{:?} of {length}", value.escape_ascii().to_string());
}

/// RFC 9110 §14.1 with text and unbounded signed numbers.
fn naive_range(value: &[u8], length: u64) -> SelectedRange {
    let Ok(text) = std::str::from_utf8(value) else { return SelectedRange::Whole };
    let Some((unit, set)) = text.split_once('=') else { return SelectedRange::Whole };
    let blank = |c: char| c.is_ascii_whitespace();
    let members: Vec<&str> =
        set.split(',').map(|m| m.trim_matches(blank)).filter(|m| !m.is_empty()).collect();
    let [member] = members[..] else { return SelectedRange::Whole };
    let Some((first, last)) = member.split_once('-') else { return SelectedRange::Whole };
    let good = |digits: &str| digits.chars().all(|c| c.is_ascii_digit());
    if !unit.eq_ignore_ascii_case("bytes")
        || !good(first)
        || !good(last)
        || (first.is_empty() && last.is_empty())
    {
        return SelectedRange::Whole;
    }
    // A number with more digits than any length counts as beyond every length.
    let number = |digits: &str| {
        let digits = digits.trim_start_matches('0');
        if digits.len() > 30 { 10i128.pow(30) } else { format!("0{digits}").parse().expect("digits") }
    };
    let length = i128::from(length);
    let (from, to) = match (first, last) {
        ("", "0") => return SelectedRange::NotSatisfiable,
        ("", suffix) if number(suffix) == 0 => return SelectedRange::NotSatisfiable,
        ("", _) if length == 0 => return SelectedRange::Whole,
        ("", suffix) => ((length - number(suffix)).max(0), length - 1),
        (first, _) if length == 0 && number(first) == 0 => return SelectedRange::Whole,
        (first, "") => (number(first), length - 1),
        // All numbers beyond the largest length are equivalent.
        (first, last) => {
            let most = i128::from(u64::MAX);
            let (first, last) = (number(first).min(most), number(last).min(most));
            if last < first {
                return SelectedRange::Whole;
            }
            (first, last.min(length - 1))
        }
    };
    if from >= length {
        return SelectedRange::NotSatisfiable;
    }
    SelectedRange::Part { first: from as u64, last: to as u64 }
}

/// Resolves a path, and opens what is there below a folder that contains links leading out.
///
/// Panics unless the path is one below the root, equals that of `naive_resolve`, and the opened file is one of the
/// folder's own.
pub fn file_path(bytes: &[u8]) {
    let all = resolve(bytes, true);
    if let Ok(RelativePath { path, .. }) = &all {
        for segment in path.split('/').filter(|_| !path.is_empty()) {
            assert!(!matches!(segment, "" | "." | "..") && !segment.contains(['\0', '\\']), "{path:?}");
        }
    }
    match (&all, naive_resolve(bytes)) {
        (Ok(resolved), expected) => assert_eq!(Some(&resolved.path), expected.as_ref()),
        (Err(PathError::TooLong), _) => {}
        (Err(error), expected) => assert_eq!(expected, None, "{error:?}"),
    }
    let shown = resolve(bytes, false);
    if let Ok(resolved) = &shown {
        let mut segments = resolved.path.split('/');
        let first = segments.next().unwrap_or_default();
        assert!(!first.starts_with('.') || first == ".well-known", "{resolved:?}");
        assert!(segments.all(|segment| !segment.starts_with('.')), "{resolved:?}");
        assert_eq!(shown, all);
    }
    if let Ok(resolved) = all {
        FOLDER.with_borrow(|folder| folder.open(&resolved.path));
    }
}

/// Does the same with the standard library's paths, and decodes everything at once.
fn naive_resolve(bytes: &[u8]) -> Option<String> {
    let mut decoded = Vec::new();
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let digits = std::str::from_utf8(after.get(..2).unwrap_or_default()).unwrap_or_default();
        let hex = digits.len() == 2 && digits.chars().all(|c| c.is_ascii_hexdigit());
        let byte = if *first == b'%' && hex { u8::from_str_radix(digits, 16).expect("hex") } else { *first };
        let literal = !(*first == b'%' && hex);
        if byte == 0 || byte == b'\\' || (byte == b'/' && !literal) {
            return None;
        }
        decoded.push(byte);
        rest = if literal { after } else { &after[2..] };
    }
    let text = String::from_utf8(decoded).ok()?;
    let mut names = Vec::new();
    for component in Path::new(&text).components() {
        match component {
            Component::Normal(name) => names.push(name.to_str().expect("the path is text")),
            Component::ParentDir => drop(names.pop()?),
            Component::RootDir | Component::CurDir => {}
            Component::Prefix(_) => unreachable!("only paths of other systems have a prefix"),
        }
    }
    Some(names.join("/"))
}

thread_local! {
    static FOLDER: RefCell<Folder> = RefCell::new(Folder::new());
}

/// A folder with files in it, decoys next to it, and links from one to the other. Removed with its thread.
struct Folder {
    at: PathBuf,
    /// The folder opened by the kernel's rules, and by walking the path.
    roots: [Root; 2],
    /// Device and inode of each file that may be opened.
    own: HashSet<(u64, u64)>,
    /// Those of the hidden file among them.
    hidden: (u64, u64),
}

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let at = std::env::temp_dir().join(format!("fleeting-fuzz-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&at);
        let root = at.join("root");
        std::fs::create_dir_all(root.join("a/b")).expect("a folder");
        let write = |path: PathBuf| {
            std::fs::write(&path, "x").expect("a file");
            let metadata = path.metadata().expect("just written");
            (metadata.dev(), metadata.ino())
        };
        for decoy in ["secret", "a"] {
            write(at.join(decoy));
        }
        let hidden = write(root.join(".h"));
        let own = ["x", "a/x", "a/b/x"].into_iter().map(|name| write(root.join(name)));
        let own = own.chain([hidden]).collect();
        for (name, to) in [
            ("up", ".."),
            ("a/up", "../.."),
            ("out", "../secret"),
            ("l", "a/b"),
            ("abs", "/"),
            ("h", ".h"),
            ("a/h", "../h"),
        ] {
            symlink(to, root.join(name)).expect("a link");
        }
        let open = || Root::new(&root).expect("the folder was just created");
        Folder { roots: [open(), open().without_openat2()], own, hidden, at }
    }

    fn open(&self, relative: &str) {
        for root in &self.roots {
            for hidden in [true, false] {
                if let Ok(Opened::File { file, .. }) = root.open(relative, hidden) {
                    let metadata = file.metadata().expect("the file is open");
                    let id = (metadata.dev(), metadata.ino());
                    assert!(self.own.contains(&id), "{relative:?} leads out");
                    let may_show = hidden || relative.split('/').any(|name| name.starts_with('.'));
                    assert!(may_show || id != self.hidden, "{relative:?} leads to a hidden file");
                }
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_implementations_accept_and_reject_correctly() {
        assert_eq!(naive_range(b"bytes=2-3", 10), SelectedRange::Part { first: 2, last: 3 });
        assert_eq!(naive_range(b"bytes=-3", 10), SelectedRange::Part { first: 7, last: 9 });
        assert_eq!(naive_range(b"bytes=10-", 10), SelectedRange::NotSatisfiable);
        assert_eq!(naive_range(b"bytes=3-2", 10), SelectedRange::Whole);
        assert_eq!(naive_resolve(b"/a/%2e%2e/b%20c/."), Some("b c".into()));
        assert_eq!(naive_resolve(b"/a/../../b"), None);
        assert_eq!(naive_resolve(b"/a%2fb"), None);
    }

    #[test]
    #[should_panic(expected = "leads out")]
    fn opening_a_decoy_fails() {
        let mut folder = Folder::new();
        folder.own.clear();
        folder.open("x");
    }
}
