//! Chooses media types by file extension.
//!
//! It knows names, not contents. An unknown extension is `application/octet-stream`, which browsers download.

/// The media type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaType {
    /// The value of Content-Type.
    pub name: &'static str,
    /// Files of this type shrink when compressed, so precompressed variants are looked for.
    pub compresses: bool,
}

/// Extensions in ascending order, their types, and whether such files shrink when compressed.
const TYPES: &[(&str, &str, bool)] = &[
    ("7z", "application/x-7z-compressed", false),
    ("aac", "audio/aac", false),
    ("atom", "application/atom+xml", true),
    ("avif", "image/avif", false),
    ("bmp", "image/bmp", true),
    ("bz2", "application/x-bzip2", false),
    ("css", "text/css; charset=utf-8", true),
    ("csv", "text/csv; charset=utf-8", true),
    ("eot", "application/vnd.ms-fontobject", true),
    ("epub", "application/epub+zip", false),
    ("flac", "audio/flac", false),
    ("gif", "image/gif", false),
    ("gz", "application/gzip", false),
    ("htm", "text/html; charset=utf-8", true),
    ("html", "text/html; charset=utf-8", true),
    ("ico", "image/x-icon", true),
    ("ics", "text/calendar; charset=utf-8", true),
    ("jpeg", "image/jpeg", false),
    ("jpg", "image/jpeg", false),
    // RFC 9239 §6
    ("js", "text/javascript; charset=utf-8", true),
    ("json", "application/json", true),
    ("jsonld", "application/ld+json", true),
    ("m4a", "audio/mp4", false),
    ("m4v", "video/mp4", false),
    ("map", "application/json", true),
    ("md", "text/markdown; charset=utf-8", true),
    ("mjs", "text/javascript; charset=utf-8", true),
    ("mp3", "audio/mpeg", false),
    ("mp4", "video/mp4", false),
    ("oga", "audio/ogg", false),
    ("ogg", "audio/ogg", false),
    ("ogv", "video/ogg", false),
    ("opus", "audio/ogg", false),
    ("otf", "font/otf", true),
    ("pdf", "application/pdf", false),
    ("png", "image/png", false),
    ("rss", "application/rss+xml", true),
    ("svg", "image/svg+xml", true),
    ("tar", "application/x-tar", false),
    ("tif", "image/tiff", false),
    ("tiff", "image/tiff", false),
    ("toml", "application/toml", true),
    ("ttf", "font/ttf", true),
    ("txt", "text/plain; charset=utf-8", true),
    ("vtt", "text/vtt; charset=utf-8", true),
    ("wasm", "application/wasm", true),
    ("wav", "audio/wav", false),
    ("weba", "audio/webm", false),
    ("webm", "video/webm", false),
    ("webmanifest", "application/manifest+json", true),
    ("webp", "image/webp", false),
    ("woff", "font/woff", false),
    ("woff2", "font/woff2", false),
    ("xhtml", "application/xhtml+xml", true),
    ("xml", "text/xml; charset=utf-8", true),
    ("yaml", "application/yaml", true),
    ("yml", "application/yaml", true),
    ("zip", "application/zip", false),
    ("zst", "application/zstd", false),
];

/// The length of the longest extension in the table.
const EXTENSION_BYTES_MAX: usize = 11;

/// Returns the media type of the file with this name or path.
pub fn media_type(name: &str) -> MediaType {
    find(name).unwrap_or(MediaType { name: "application/octet-stream", compresses: false })
}

fn find(name: &str) -> Option<MediaType> {
    let name = name.rsplit('/').next()?;
    let (stem, extension) = name.rsplit_once('.')?;
    let mut lower = [0; EXTENSION_BYTES_MAX];
    let lower = lower.get_mut(..extension.len())?;
    lower.copy_from_slice(extension.as_bytes());
    lower.make_ascii_lowercase();
    let at = TYPES.binary_search_by(|(known, ..)| known.as_bytes().cmp(lower)).ok()?;
    let (_, name, compresses) = TYPES[at];
    // `.js` is a hidden file, not a script.
    (!stem.is_empty()).then_some(MediaType { name, compresses })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_for_binary_search() {
        assert!(TYPES.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(TYPES.iter().map(|(extension, ..)| extension.len()).max(), Some(EXTENSION_BYTES_MAX));
        for (extension, name, _) in TYPES {
            assert_eq!(media_type(&format!("x.{extension}")).name, *name);
        }
    }

    #[test]
    fn the_last_extension_decides() {
        fn check(name: &str, expected: &str) {
            assert_eq!(media_type(name).name, expected, "{name}");
        }
        check("index.html", "text/html; charset=utf-8");
        check("a/b.c/INDEX.HTML", "text/html; charset=utf-8");
        check("a.tar.gz", "application/gzip");
        check("site.webmanifest", "application/manifest+json");
        for unknown in
            ["", "a", "a.", "html", ".html", "a.html/b", "a.htmlx", "a.verylongextension", "a.höml"]
        {
            check(unknown, "application/octet-stream");
        }
    }
}
