//! The page at `/`: documents, a style sheet and scripts, compiled into the program.
//!
//! It knows no metric and no record: the scripts fetch them. Its invariants: the page works below any path, and the
//! browser runs and loads only what this server sends, whatever clients store or publish (Content-Security-Policy),
//! and revalidates each part.

use fleeting::{App, Body, EntityTag, Error, Request, Response, Validators};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
/// Browsers show Markdown as text.
const TEXT: &str = "text/plain; charset=utf-8";

/// Path, Content-Type and content of each part.
const PARTS: [(&str, &str, &str); 12] = [
    ("/", HTML, include_str!("index.html")),
    ("/tab.html", HTML, include_str!("tab.html")),
    ("/page.css", CSS, include_str!("page.css")),
    ("/clients.js", SCRIPT, include_str!("clients.js")),
    ("/common.js", SCRIPT, include_str!("common.js")),
    ("/figures.js", SCRIPT, include_str!("figures.js")),
    ("/guide.js", SCRIPT, include_str!("guide.js")),
    ("/lesson.js", SCRIPT, include_str!("lesson.js")),
    ("/page.js", SCRIPT, include_str!("page.js")),
    ("/record.js", SCRIPT, include_str!("record.js")),
    ("/tab.js", SCRIPT, include_str!("tab.js")),
    ("/topics.js", SCRIPT, include_str!("topics.js")),
];

/// The documents that the page links to, at their paths in the repository.
const DOCUMENTS: [(&str, &str, &str); 4] = [
    ("/README.md", TEXT, include_str!("../../../../README.md")),
    ("/docs/hub.md", TEXT, include_str!("../../../../docs/hub.md")),
    ("/docs/lesson.md", TEXT, include_str!("../../../../docs/lesson.md")),
    ("/docs/registry.md", TEXT, include_str!("../../../../docs/registry.md")),
];

/// Allows only the page's own parts, and connections to its origin.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; \
     img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors ";

/// Adds the routes.
pub(super) fn routes(mut app: App) -> App {
    for (path, media_type, content) in PARTS.into_iter().chain(DOCUMENTS) {
        // A hash of the content: the tag changes between versions of the program only if the content does.
        let tag = format!("{:016x}", hash(content.as_bytes()));
        // The page shows two tabs in frames. Nothing else may be framed, and by nobody else.
        let policy = format!("{POLICY}{}", if path == "/tab.html" { "'self'" } else { "'none'" });
        app = app.get(path, move |req| part(req, media_type, content, &tag, &policy));
    }
    app
}

fn part<'r>(
    req: &Request<'r>,
    media_type: &str,
    content: &'static str,
    tag: &str,
    policy: &str,
) -> Result<Response<'r>, Error> {
    let current = Validators::new().tag(EntityTag::strong(tag));
    let response = match req.preconditions(&current)? {
        Some(not_modified) => not_modified,
        None => Response::new(200)
            .body(Body::Static(content.as_bytes()))
            .content_type(media_type)?
            .validators(&current)?,
    };
    response
        .header("cache-control", "no-cache")?
        .header("content-security-policy", policy)?
        .header("referrer-policy", "no-referrer")?
        .header("x-content-type-options", "nosniff")
}

/// FNV-1a with 64 bits. Its result is the same in every run.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // From the published test vectors of FNV.
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere_and_writes_no_markup() {
        for (path, _, content) in PARTS {
            for (at, _) in content.match_indices("://") {
                // The SVG namespace is only a name. Nothing is loaded from it.
                assert!(
                    content[..at].ends_with("http") && content[at..].starts_with("://www.w3.org/2000/svg"),
                    "{path}"
                );
            }
            for risky in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                " style=",
                " onclick=",
            ] {
                assert!(!content.contains(risky), "{path}: {risky}");
            }
            // Finding F12: a path from the root leads elsewhere below a proxy's prefix.
            for absolute in [
                "href=\"/",
                "src=\"/",
                "fetch(\"/",
                "fetch(`/",
                "ask(\"/",
                "ask(`/",
                "from \"/",
                "openSocket(\"/",
            ] {
                assert!(!content.contains(absolute), "{path}: {absolute}");
            }
        }
    }
}
