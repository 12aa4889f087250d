//! Request methods.
//!
//! It knows their names and no semantics. Its invariant: a name that has a variant is never an
//! [`Extension`](Method::Extension).

use std::fmt;

macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)+) => {
        /// A request method (RFC 9110 §9). Methods are case-sensitive: `get` is an extension.
        ///
        /// A method equals its name as text, so `req.method() == "GET"` compares as expected.
        ///
        /// ```
        /// use fleeting::http1::Method;
        ///
        /// assert_eq!(Method::from("GET"), Method::Get);
        /// assert_eq!(Method::from("PROPFIND"), Method::Extension("PROPFIND"));
        /// assert!(Method::Get == "GET" && Method::Get != "get");
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Method<'r> {
            $($(#[$doc])* $variant,)+
            /// Any other token.
            Extension(&'r str),
        }

        impl<'r> Method<'r> {
            /// Returns the method's name.
            #[inline]
            pub const fn as_str(self) -> &'r str {
                match self {
                    $(Method::$variant => $name,)+
                    Method::Extension(name) => name,
                }
            }
        }

        impl Method<'static> {
            /// Returns the standard method with this name, if there is one.
            pub fn known(name: &str) -> Option<Method<'static>> {
                match name {
                    $($name => Some(Method::$variant),)+
                    _ => None,
                }
            }

            /// Returns the standard method that `input` begins with, if a space follows it.
            #[inline]
            pub(super) fn read(input: &[u8]) -> Option<Method<'static>> {
                $(if input.starts_with(concat!($name, " ").as_bytes()) {
                    return Some(Method::$variant);
                })+
                None
            }
        }

        impl<'r> From<&'r str> for Method<'r> {
            fn from(name: &'r str) -> Method<'r> {
                Method::known(name).unwrap_or(Method::Extension(name))
            }
        }

        #[cfg(test)]
        const KNOWN: &[Method<'static>] = &[$(Method::$variant,)+];
    };
}

methods! {
    /// RFC 9110 §9.3.1.
    Get = "GET";
    /// RFC 9110 §9.3.2.
    Head = "HEAD";
    /// RFC 9110 §9.3.3.
    Post = "POST";
    /// RFC 9110 §9.3.4.
    Put = "PUT";
    /// RFC 9110 §9.3.5.
    Delete = "DELETE";
    /// RFC 9110 §9.3.6.
    Connect = "CONNECT";
    /// RFC 9110 §9.3.7.
    Options = "OPTIONS";
    /// RFC 9110 §9.3.8.
    Trace = "TRACE";
    /// RFC 5789.
    Patch = "PATCH";
}

// Without these, the compiler suggests `Method::Extension("GET")`, which equals no GET.
impl PartialEq<str> for Method<'_> {
    fn eq(&self, name: &str) -> bool {
        self.as_str() == name
    }
}

impl PartialEq<&str> for Method<'_> {
    fn eq(&self, name: &&str) -> bool {
        self.as_str() == *name
    }
}

impl PartialEq<Method<'_>> for str {
    fn eq(&self, method: &Method<'_>) -> bool {
        self == method.as_str()
    }
}

impl PartialEq<Method<'_>> for &str {
    fn eq(&self, method: &Method<'_>) -> bool {
        *self == method.as_str()
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_methods_convert_both_ways() {
        for method in KNOWN {
            assert_eq!(Method::from(method.as_str()), *method);
        }
        assert_eq!(Method::from("get"), Method::Extension("get"));
        assert_eq!(Method::from("BREW").as_str(), "BREW");
    }

    #[test]
    fn a_method_equals_its_name() {
        fn check(method: Method<'_>, name: &str, expected: bool) {
            assert_eq!((method == *name, method == name), (expected, expected), "{method} {name}");
            assert_eq!((*name == method, name == method), (expected, expected), "{method} {name}");
        }
        KNOWN.iter().for_each(|method| check(*method, method.as_str(), true));
        check(Method::Get, "get", false);
        check(Method::Get, "HEAD", false);
        check(Method::from("BREW"), "BREW", true);
    }
}
