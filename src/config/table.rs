//! The tables of settings. Each setting has a name, a default, one line of help, and its documentation.
//!
//! It knows no setting. Its invariant: the name of a setting is the name of its field, and `set` reads the
//! text of every default back.

use super::ConfigError;

/// A limit or a timeout, as a program's `--help` lists it: [`Limits::describe`](super::Limits::describe)
/// and [`Timeouts::describe`](super::Timeouts::describe).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// Its name, which `set` takes.
    pub name: &'static str,
    /// Its default as text, which `set` takes: `100`, `16KiB`, `10s`.
    pub default: String,
    /// Its largest value as text.
    pub max: String,
    /// What it bounds, in one line without a full stop.
    pub help: &'static str,
}

/// The value of a setting.
pub(super) trait Value: Sized + PartialOrd {
    /// The texts that [`read`](Value::read) accepts, for an error message.
    const EXPECTED: &'static str;

    fn read(text: &str) -> Option<Self>;

    /// Writes the value so that [`read`](Value::read) returns it again. `name` is the name of the setting.
    fn write(&self, name: &str) -> String;
}

/// Reads the new value of the setting `name`, which may be `max` at most, into its `field`.
pub(super) fn set<V: Value>(
    field: &mut V,
    max: V,
    name: &'static str,
    value: &str,
) -> Result<(), ConfigError> {
    let new = V::read(value).ok_or_else(|| ConfigError::BadValue(value.into(), V::EXPECTED))?;
    check_max(&new, &max, name)?;
    *field = new;
    Ok(())
}

pub(super) fn check_max<V: Value>(value: &V, max: &V, name: &'static str) -> Result<(), ConfigError> {
    if value <= max { Ok(()) } else { Err(ConfigError::TooLarge(name, value.write(name), max.write(name))) }
}

/// Splits `value` into the number at its start and the unit behind it.
pub(super) fn number_and_unit(value: &str) -> (&str, &str) {
    let value = value.trim();
    let digits = value.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    (&value[..digits], value[digits..].trim())
}

/// Returns `number`, a decimal number, times `scale`. Returns `None` if it is no number, or the result is not whole.
pub(super) fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (number, ""),
    };
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    if fraction.is_empty() {
        return Some(whole);
    }
    let part = fraction.parse::<u64>().ok()?.checked_mul(scale)?;
    let divisor = 10_u64.checked_pow(fraction.len().try_into().ok()?)?;
    if part % divisor == 0 { whole.checked_add(part / divisor) } else { None }
}

/// Declares a struct of settings that have the same type, unless one states its own.
///
/// ```text
/// settings! {
///     /// Documentation of the struct.
///     pub struct Limits of usize;
///     /// Documentation of `set`.
///     fn set;
///     /// Documentation of `check`.
///     fn check;
///
///     /// Documentation of the field.
///     headers = 100, max 1000, "one line of help";
///     /// Documentation of a field with a type of its own.
///     memory: Option<usize> = None, max Some(1000), "one line of help";
/// }
/// ```
macro_rules! settings {
    (
        $(#[$struct_doc:meta])*
        pub struct $name:ident of $value:ty;
        $(#[$set_doc:meta])*
        fn set;
        $(#[$check_doc:meta])*
        fn check;

        $($(#[$doc:meta])* $field:ident $(: $own:ty)? = $default:expr, max $max:expr, $help:literal;)+
    ) => {
        $(#[$struct_doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $(
                $(#[$doc])*
                #[doc = concat!("\n\nThe default is `", stringify!($default), "`.")]
                pub $field: $crate::config::table::field_type!($value $(, $own)?),
            )+
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($field: $default,)+ }
            }
        }

        impl $name {
            /// The names that [`set`](Self::set) takes, in the order of the fields.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field),)+];

            $(#[$set_doc])*
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
                use $crate::config::table::set;
                match name {
                    $(stringify!($field) => set(&mut self.$field, $max, stringify!($field), value),)+
                    _ => Err(ConfigError::UnknownName(name.into(), Self::NAMES)),
                }
            }

            $(#[$check_doc])*
            pub fn check(&self) -> Result<(), ConfigError> {
                $($crate::config::table::check_max(&self.$field, &$max, stringify!($field))?;)+
                Ok(())
            }

            /// Lists the settings in the order of [`NAMES`](Self::NAMES), each with its default and a line of
            /// help: for a program's `--help`.
            pub fn describe() -> impl Iterator<Item = Setting> {
                use $crate::config::table::Value;
                let defaults = $name::default();
                let settings = [$(Setting {
                    name: stringify!($field),
                    default: defaults.$field.write(stringify!($field)),
                    max: Value::write(&$max, stringify!($field)),
                    help: $help,
                },)+];
                settings.into_iter()
            }
        }
    };
}

/// The type of a setting's field: its own if it states one.
macro_rules! field_type {
    ($common:ty) => {
        $common
    };
    ($common:ty, $own:ty) => {
        $own
    };
}

pub(super) use {field_type, settings};

/// Checks a table: every name sets its own field, every default is read back, nothing `beyond` a largest value is set, and
/// every line of help fits.
#[cfg(test)]
#[track_caller]
pub(super) fn check<S: Clone + Default + PartialEq + std::fmt::Debug>(
    described: impl Iterator<Item = Setting>,
    set: fn(&mut S, &str, &str) -> Result<(), ConfigError>,
    names: &'static [&'static str],
    other_value: &str,
    beyond: impl Fn(&str) -> String,
) {
    let described: Vec<_> = described.collect();
    assert!(described.iter().map(|setting| setting.name).eq(names.iter().copied()));
    let mut seen = Vec::new();
    for Setting { name, default, max, help } in &described {
        let mut settings = S::default();
        set(&mut settings, name, other_value).unwrap();
        assert_ne!(settings, S::default(), "{name}");
        assert!(!seen.contains(&settings), "{name} sets the field of another");
        seen.push(settings.clone());
        set(&mut settings, name, default).unwrap();
        assert_eq!(settings, S::default(), "{name}: {default}");
        set(&mut settings, name, max).unwrap();
        let largest = settings.clone();
        let error = set(&mut settings, name, &beyond(max)).unwrap_err();
        assert!(
            matches!(&error, ConfigError::TooLarge(of, _, at_most) if of == name && at_most == max),
            "{error}"
        );
        assert_eq!(settings, largest, "{name}");
        assert!(help.len() <= 53 && !help.ends_with('.'), "{name}: {help}");
    }
    let unknown = set(&mut S::default(), "nope", other_value);
    assert_eq!(unknown, Err(ConfigError::UnknownName("nope".into(), names)));
    // The README has the same tables.
    let readme = include_str!("../../README.md");
    for Setting { name, default, help, .. } in &described {
        let row = format!("\n| `{name}` | {default} | {help} |\n");
        assert!(readme.contains(&row), "README.md lacks the row {row}");
    }
}
