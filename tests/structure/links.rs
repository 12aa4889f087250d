//! Finds broken links in Markdown.

use crate::paths::normal;
use std::path::{Path, PathBuf};

/// Returns the targets of the links in a Markdown text, with their line numbers. Links in code are ignored.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        for (at, _) in prose.match_indices("](") {
            let target: String = prose[at + 2..].chars().take_while(|c| !matches!(c, ')' | ' ')).collect();
            found.push((number + 1, target));
        }
        let definition = prose.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        if let Some((_, target)) = definition {
            found.push((number + 1, target.split_whitespace().next().unwrap_or("").to_string()));
        }
    }
    found
}

/// Returns the links to files that do not exist. `exists` gets paths relative to the repository's root.
pub fn broken_links(path: &str, text: &str, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut violations = Vec::new();
    for (line, target) in links(text) {
        let file = target.trim_matches(['<', '>']).split('#').next().unwrap_or("").to_string();
        if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
            continue;
        }
        let folder = Path::new(path).parent().unwrap_or(Path::new(""));
        let resolved = match file.strip_prefix('/') {
            Some(from_root) => PathBuf::from(from_root),
            None => folder.join(&file),
        };
        if !normal(&resolved).is_some_and(|resolved| exists(&resolved)) {
            violations.push(format!("{path}:{line}: links to {target}, which does not exist"));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planted::expect_violations;

    #[test]
    fn a_broken_link_is_found() {
        let there = |resolved: &Path| [Path::new("a/b.md"), Path::new("c.rs")].contains(&resolved);
        let check =
            |text: &str, expected: &[&str]| expect_violations(broken_links("a/x.md", text, there), expected);
        check("[b](b.md) [c](../c.rs#L1) [d](/c.rs) [e](https://a.example/b) [f](#here)", &[]);
        check("one\n[b](c.md)", &["a/x.md:2: links to c.md"]);
        check("[out](../../c.rs)", &["links to ../../c.rs"]);
        check("[b]: b.md\n[c]: c.md", &["a/x.md:2"]);
        check("`[b](c.md)`\n```\n[b](c.md)\n```\n[b](d.md)", &["a/x.md:5"]);
    }
}
