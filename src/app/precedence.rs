//! Which of two paths with parameters says more about a request's path: a route, or the prefix of a nested application.
//!
//! It knows text only, and no router.

/// Whether a path that both match belongs to `prefix` rather than to `route`, because at the first segment where they
/// differ only the prefix is fixed. A route that goes on where the prefix ends takes precedence.
pub(super) fn prefix_precedes(prefix: &str, route: &str) -> bool {
    let is_fixed = |segment: &str| !segment.contains('{');
    let (mut of_prefix, mut of_route) = (prefix.split('/'), route.split('/'));
    loop {
        let (Some(ours), Some(theirs)) = (of_prefix.next(), of_route.next()) else { return false };
        match (is_fixed(ours), is_fixed(theirs)) {
            (true, true) if ours == theirs => {}
            (true, true) | (false, true) => return false,
            (true, false) => return true,
            (false, false) if theirs.starts_with("{*") => return true,
            (false, false) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fixed_first_takes_precedence() {
        for (prefix, route, expected) in [
            ("/admin", "/{*path}", true),
            ("/admin", "/{kind}/{id}", true),
            ("/admin", "/adm{rest}/x", true),
            ("/admin", "/{kind}", true),
            ("/admin", "/admin", false),
            ("/admin", "/admin/{*path}", false),
            ("/admin", "/other/{id}", false),
            ("/api/v1", "/api/{*path}", true),
            ("/api/v1", "/api", false),
            ("/{user}", "/{user}/{id}", false),
            ("/{user}", "/{*path}", true),
            ("/{user}", "/files/{*path}", false),
            ("/{user}/of", "/{user}/{id}", true),
            ("/{user}/of", "/x/{id}", false),
        ] {
            assert_eq!(prefix_precedes(prefix, route), expected, "{prefix} {route}");
        }
    }
}
