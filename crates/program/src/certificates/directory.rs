//! The certificates in a directory, each with its key.
//!
//! It reads names and no files. Its invariant: a certificate without a key is an error, and is not left out.

use std::path::{Path, PathBuf};

/// Returns the certificates in `directory` with their keys, in the order of their names: `NAME.pem` or `NAME.crt` with
/// `NAME-key.pem` or `NAME.key`, and `NAME/fullchain.pem` with `NAME/privkey.pem`, as certbot keeps them. Names that begin
/// with a dot are left out.
///
/// # Errors
/// The directory cannot be read, a certificate has no key, or there is none.
pub(super) fn pairs(directory: &Path) -> Result<Vec<(PathBuf, PathBuf)>, String> {
    let entries = std::fs::read_dir(directory).map_err(|error| error.to_string())?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|error| error.to_string())?.path());
    }
    paths.sort();
    let mut pairs = Vec::new();
    for path in paths {
        pairs.extend(pair(&path)?);
    }
    if pairs.is_empty() {
        return Err("there is no NAME.pem or NAME.crt, and no NAME/fullchain.pem, in it".into());
    }
    Ok(pairs)
}

/// Returns the certificate and the key that `path` stands for, if it stands for a certificate.
fn pair(path: &Path) -> Result<Option<(PathBuf, PathBuf)>, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with('.') {
        return Ok(None);
    }
    let (chain, keys) = if path.is_dir() {
        (path.join("fullchain.pem"), vec![path.join("privkey.pem")])
    } else {
        let stem = match name.strip_suffix(".pem").or(name.strip_suffix(".crt")) {
            Some(stem) if !stem.ends_with("-key") => stem,
            _ => return Ok(None),
        };
        let named = |end: &str| path.with_file_name(format!("{stem}{end}"));
        (path.to_path_buf(), vec![named("-key.pem"), named(".key")])
    };
    if !chain.is_file() {
        return Ok(None);
    }
    match keys.iter().find(|key| key.is_file()) {
        Some(key) => Ok(Some((chain, key.clone()))),
        None => {
            let keys: Vec<_> = keys.iter().filter_map(|key| key.file_name()?.to_str()).collect();
            Err(format!("{} has no key: expected {} beside it", chain.display(), keys.join(" or ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_certificate_has_its_key_beside_it() {
        let folder = std::env::temp_dir().join(format!("fleeting-directory-{}", std::process::id()));
        fs::create_dir_all(folder.join("live")).unwrap();
        fs::create_dir_all(folder.join("other")).unwrap();
        let check = |expected: Result<&[(&str, &str)], &str>| match (pairs(&folder), expected) {
            (Ok(found), Ok(expected)) => {
                let expected: Vec<_> =
                    expected.iter().map(|(chain, key)| (folder.join(chain), folder.join(key))).collect();
                assert_eq!(found, expected);
            }
            (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        };
        check(Err("there is no NAME.pem"));
        for name in [
            "b.crt",
            "b.key",
            "a.pem",
            "a-key.pem",
            "live/fullchain.pem",
            "live/privkey.pem",
            ".x.pem",
            "notes.txt",
        ] {
            fs::write(folder.join(name), "").unwrap();
        }
        let all = [("a.pem", "a-key.pem"), ("b.crt", "b.key"), ("live/fullchain.pem", "live/privkey.pem")];
        check(Ok(&all));
        fs::remove_file(folder.join("b.key")).unwrap();
        check(Err("b.crt has no key: expected b-key.pem or b.key beside it"));
        fs::remove_dir_all(&folder).unwrap();
        check(Err("No such file"));
    }
}
