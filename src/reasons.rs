//! One table for each enum of reasons: why a request is refused, a handshake is rejected, or a WebSocket
//! fails.
//!
//! It knows no protocol. Its invariant: every variant has one line in its table, and its number, status or
//! close code, label and sentence all come from that line.

/// Declares an enum of reasons, and for each reason a code, a label and a sentence.
///
/// ```text
/// reasons! {
///     /// Why a request is refused.
///     pub enum Refusal;
///     /// Returns the status of the response.
///     fn status() -> u16;
///
///     /// Documentation of the variant.
///     BareLf = 400, "bare_lf", "A line ends in LF without CR.";
/// }
/// ```
///
/// The second item names the method that returns the status or close code. The table's columns are that
/// code, the label in metrics, and the sentence of `Display`.
macro_rules! reasons {
    (
        $(#[$enum_doc:meta])*
        pub enum $name:ident;
        $(#[$code_doc:meta])*
        fn $code:ident() -> $code_type:ty;

        $($(#[$doc:meta])* $variant:ident = $value:expr, $label:literal, $sentence:literal;)+
    ) => {
        $(#[$enum_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// All reasons, each at its own [`index`](Self::index).
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The number of reasons.
            pub const COUNT: usize = $name::ALL.len();

            /// Returns a number below [`COUNT`](Self::COUNT), different for each reason, so that counters can
            /// be an array.
            pub const fn index(self) -> usize {
                self as usize
            }

            $(#[$code_doc])*
            pub const fn $code(self) -> $code_type {
                match self {
                    $($name::$variant => $value,)+
                }
            }

            /// Returns the name of the reason in metrics, in snake case.
            pub const fn label(self) -> &'static str {
                match self {
                    $($name::$variant => $label,)+
                }
            }

            const fn sentence(self) -> &'static str {
                match self {
                    $($name::$variant => $sentence,)+
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.sentence())
            }
        }

        impl ::std::error::Error for $name {}
    };
}

pub(crate) use reasons;

/// Checks a table: numbers follow the order, labels are the variants' names in snake case, sentences differ.
#[cfg(test)]
#[track_caller]
pub(crate) fn check<R: Copy + std::fmt::Debug + std::fmt::Display>(
    all: &[R],
    index: fn(R) -> usize,
    label: fn(R) -> &'static str,
) {
    let mut sentences = std::collections::HashSet::new();
    for (expected, reason) in all.iter().copied().enumerate() {
        assert_eq!(index(reason), expected, "{reason:?}");
        let snake = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(label(reason).bytes().all(snake), "{reason:?}");
        assert_eq!(label(reason).replace('_', ""), format!("{reason:?}").to_lowercase());
        assert!(sentences.insert(reason.to_string()), "{reason:?} has another's sentence: {reason}");
    }
}
