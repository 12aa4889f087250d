//! Chooses media types by file extension.
//!
//! It knows names, not contents. Its invariant: an unknown extension is `application/octet-stream`, which browsers
//! download.

use std::borrow::Cow;
use std::sync::Arc;

/// The media type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// Type and subtype, or what the application has set, with its parameters.
    name: &'a str,
    /// The text is UTF-8.
    is_utf8: bool,
    /// Files of this type shrink when compressed, so precompressed variants are looked for.
    pub compresses: bool,
}

impl<'a> MediaType<'a> {
    /// Returns the value of Content-Type.
    pub fn content_type(&self) -> Cow<'a, str> {
        if self.is_utf8 {
            Cow::Owned(format!("{}; charset=utf-8", self.name))
        } else {
            Cow::Borrowed(self.name)
        }
    }
}

/// Types that an application has set itself, by extension. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MediaTypes(Arc<Vec<(Box<str>, Box<str>)>>);

impl MediaTypes {
    /// Sets the type of an extension, in place of an earlier one.
    pub fn set(&mut self, extension: &str, name: &str) {
        Arc::make_mut(&mut self.0).push((extension.into(), name.into()));
    }

    /// Returns the media type of the file with this name or path.
    pub fn of(&self, name: &str) -> MediaType<'_> {
        let Some(extension) = extension(name) else { return OCTET_STREAM };
        let own = self.0.iter().rev().find(|(known, _)| known.eq_ignore_ascii_case(extension));
        match own {
            Some((_, name)) => MediaType { name, is_utf8: false, compresses: compresses(name) },
            None => known(extension),
        }
    }
}

/// Returns the media type of the file with this name or path.
pub fn media_type(name: &str) -> MediaType<'static> {
    extension(name).map_or(OCTET_STREAM, known)
}

const OCTET_STREAM: MediaType<'static> =
    MediaType { name: "application/octet-stream", is_utf8: false, compresses: false };

/// Types that are registered or usual today, and that the table of `mime_guess` does not have or names as they were.
const NEWER: &[(&str, &str)] = &[
    // RFC 9239 §6
    ("cjs", "text/javascript"),
    // RFC 8216 §10
    ("m3u8", "application/vnd.apple.mpegurl"),
    // RFC 4337
    ("m4a", "audio/mp4"),
    ("m4s", "video/iso.segment"),
    ("m4v", "video/mp4"),
    ("m2ts", "video/mp2t"),
    // A source map.
    ("map", "application/json"),
    ("mid", "audio/midi"),
    ("midi", "audio/midi"),
    ("mjs", "text/javascript"),
    // RFC 8081
    ("otf", "font/otf"),
    ("rpm", "application/x-rpm"),
    ("toml", "application/toml"),
    ("ts", "video/mp2t"),
    ("woff", "font/woff"),
    // RFC 9512
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    // RFC 8878
    ("zst", "application/zstd"),
];

fn known(extension: &str) -> MediaType<'static> {
    let newer = NEWER.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension));
    let name = newer.map(|(_, name)| *name).or_else(|| mime_guess::from_ext(extension).first_raw());
    let Some(name) = name else { return OCTET_STREAM };
    MediaType { name, is_utf8: name.starts_with("text/"), compresses: compresses(name) }
}

/// Returns what follows the last dot of the name. `.js` is a hidden file, not a script.
fn extension(name: &str) -> Option<&str> {
    let (stem, extension) = name.rsplit('/').next()?.rsplit_once('.')?;
    (!stem.is_empty() && !extension.is_empty()).then_some(extension)
}

/// Types outside of `text/` that are text or hardly compressed.
const COMPRESSIBLE: &[&str] = &[
    "application/javascript",
    "application/json",
    "application/postscript",
    "application/rtf",
    "application/toml",
    "application/vnd.apple.mpegurl",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/xml",
    "application/yaml",
    "font/collection",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/x-icon",
];

fn compresses(name: &str) -> bool {
    let essence = name.split(';').next().unwrap_or_default().trim_end();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || COMPRESSIBLE.contains(&essence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_extension_decides() {
        fn check(name: &str, expected: &str) {
            assert_eq!(media_type(name).content_type(), expected, "{name}");
            assert_eq!(MediaTypes::default().of(name), media_type(name));
        }
        check("index.html", "text/html; charset=utf-8");
        check("a/b.c/INDEX.HTML", "text/html; charset=utf-8");
        check("app.js", "text/javascript; charset=utf-8");
        check("APP.MJS", "text/javascript; charset=utf-8");
        check("a.json", "application/json");
        check("a.svg", "image/svg+xml");
        check("a.wasm", "application/wasm");
        check("a.tar.gz", "application/gzip");
        check("site.webmanifest", "application/manifest+json");
        for unknown in
            ["", "a", "a.", "html", ".html", "a.html/b", "a.htmlx", "a.verylongextension", "a.höml"]
        {
            check(unknown, "application/octet-stream");
        }
    }

    #[test]
    fn an_application_sets_types_of_its_own() {
        let mut types = MediaTypes::default();
        types.set("gltf2", "model/gltf+json");
        types.set("html", "text/html; charset=latin1");
        let before = types.clone();
        types.set("HTML", "text/html");
        assert_eq!(types.of("a.GLTF2").content_type(), "model/gltf+json");
        assert!(types.of("a.gltf2").compresses);
        assert_eq!(types.of("a.html").content_type(), "text/html");
        assert_eq!(before.of("a.html").content_type(), "text/html; charset=latin1");
        assert_eq!(types.of("a.css").content_type(), "text/css; charset=utf-8");
    }

    #[test]
    fn text_is_looked_for_in_compressed_form() {
        for name in [
            "a.html",
            "a.js",
            "a.json",
            "a.svg",
            "a.wasm",
            "a.ttf",
            "a.ico",
            "a.map",
            "a.webmanifest",
            "a.rs",
        ] {
            assert!(media_type(name).compresses, "{name}");
        }
        for name in ["a.png", "a.jpg", "a.woff2", "a.mp4", "a.zip", "a.gz", "a.pdf", "a.bin", "a"] {
            assert!(!media_type(name).compresses, "{name}");
        }
    }

    /// Finding E12: the extensions of nginx 1.22's `mime.types`, with its types.
    const NGINX: &[(&str, &str)] = &[
        ("html", "text/html"),
        ("htm", "text/html"),
        ("shtml", "text/html"),
        ("css", "text/css"),
        ("xml", "text/xml"),
        ("gif", "image/gif"),
        ("jpeg", "image/jpeg"),
        ("jpg", "image/jpeg"),
        ("js", "application/javascript"),
        ("atom", "application/atom+xml"),
        ("rss", "application/rss+xml"),
        ("mml", "text/mathml"),
        ("txt", "text/plain"),
        ("jad", "text/vnd.sun.j2me.app-descriptor"),
        ("wml", "text/vnd.wap.wml"),
        ("htc", "text/x-component"),
        ("avif", "image/avif"),
        ("png", "image/png"),
        ("svg", "image/svg+xml"),
        ("svgz", "image/svg+xml"),
        ("tif", "image/tiff"),
        ("tiff", "image/tiff"),
        ("wbmp", "image/vnd.wap.wbmp"),
        ("webp", "image/webp"),
        ("ico", "image/x-icon"),
        ("jng", "image/x-jng"),
        ("bmp", "image/x-ms-bmp"),
        ("woff", "font/woff"),
        ("woff2", "font/woff2"),
        ("jar", "application/java-archive"),
        ("war", "application/java-archive"),
        ("ear", "application/java-archive"),
        ("json", "application/json"),
        ("hqx", "application/mac-binhex40"),
        ("doc", "application/msword"),
        ("pdf", "application/pdf"),
        ("ps", "application/postscript"),
        ("eps", "application/postscript"),
        ("ai", "application/postscript"),
        ("rtf", "application/rtf"),
        ("m3u8", "application/vnd.apple.mpegurl"),
        ("kml", "application/vnd.google-earth.kml+xml"),
        ("kmz", "application/vnd.google-earth.kmz"),
        ("xls", "application/vnd.ms-excel"),
        ("eot", "application/vnd.ms-fontobject"),
        ("ppt", "application/vnd.ms-powerpoint"),
        ("odg", "application/vnd.oasis.opendocument.graphics"),
        ("odp", "application/vnd.oasis.opendocument.presentation"),
        ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
        ("odt", "application/vnd.oasis.opendocument.text"),
        ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
        ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("wmlc", "application/vnd.wap.wmlc"),
        ("wasm", "application/wasm"),
        ("7z", "application/x-7z-compressed"),
        ("cco", "application/x-cocoa"),
        ("jardiff", "application/x-java-archive-diff"),
        ("jnlp", "application/x-java-jnlp-file"),
        ("run", "application/x-makeself"),
        ("pl", "application/x-perl"),
        ("pm", "application/x-perl"),
        ("prc", "application/x-pilot"),
        ("pdb", "application/x-pilot"),
        ("rar", "application/x-rar-compressed"),
        ("rpm", "application/x-redhat-package-manager"),
        ("sea", "application/x-sea"),
        ("swf", "application/x-shockwave-flash"),
        ("sit", "application/x-stuffit"),
        ("tcl", "application/x-tcl"),
        ("tk", "application/x-tcl"),
        ("der", "application/x-x509-ca-cert"),
        ("pem", "application/x-x509-ca-cert"),
        ("crt", "application/x-x509-ca-cert"),
        ("xpi", "application/x-xpinstall"),
        ("xhtml", "application/xhtml+xml"),
        ("xspf", "application/xspf+xml"),
        ("zip", "application/zip"),
        ("bin", "application/octet-stream"),
        ("exe", "application/octet-stream"),
        ("dll", "application/octet-stream"),
        ("deb", "application/octet-stream"),
        ("dmg", "application/octet-stream"),
        ("iso", "application/octet-stream"),
        ("img", "application/octet-stream"),
        ("msi", "application/octet-stream"),
        ("msp", "application/octet-stream"),
        ("msm", "application/octet-stream"),
        ("mid", "audio/midi"),
        ("midi", "audio/midi"),
        ("kar", "audio/midi"),
        ("mp3", "audio/mpeg"),
        ("ogg", "audio/ogg"),
        ("m4a", "audio/x-m4a"),
        ("ra", "audio/x-realaudio"),
        ("3gpp", "video/3gpp"),
        ("3gp", "video/3gpp"),
        ("ts", "video/mp2t"),
        ("mp4", "video/mp4"),
        ("mpeg", "video/mpeg"),
        ("mpg", "video/mpeg"),
        ("mov", "video/quicktime"),
        ("webm", "video/webm"),
        ("flv", "video/x-flv"),
        ("m4v", "video/x-m4v"),
        ("mng", "video/x-mng"),
        ("asx", "video/x-ms-asf"),
        ("asf", "video/x-ms-asf"),
        ("wmv", "video/x-ms-wmv"),
        ("avi", "video/x-msvideo"),
    ];

    /// Where the types differ, and why.
    const DIFFERENT: &[(&str, &str)] = &[
        // RFC 9239 §6
        ("js", "text/javascript"),
        ("bmp", "image/bmp"),
        ("prc", "application/x-mobipocket-ebook"),
        ("pdb", "application/vnd.palm"),
        ("rpm", "application/x-rpm"),
        // Browsers download both.
        ("sea", "application/octet-stream"),
        ("dll", "application/x-msdownload"),
        ("m4a", "audio/mp4"),
        ("m4v", "video/mp4"),
        ("ra", "audio/x-pn-realaudio"),
    ];

    #[test]
    fn every_type_that_nginx_knows_is_known() {
        assert!(NGINX.len() > 100);
        for (extension, nginx) in NGINX {
            let other = DIFFERENT.iter().find(|(known, _)| known == extension);
            let expected = other.map_or(*nginx, |(_, name)| *name);
            assert_eq!(media_type(&format!("a.{extension}")).name, expected, "{extension}");
        }
    }
}
