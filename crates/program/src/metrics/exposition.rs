//! Metrics in Prometheus' text exposition format, version 0.0.4, and in JSON.
//!
//! It knows no particular metric. It is written by hand because it is small: a client library would mostly add a
//! registry of counters, which the workers already have. Its invariant: HELP and TYPE come once per family, before its
//! samples, and a label's value cannot end its line.

use super::families::{Family, Sample};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::fmt::Write;

/// Returns the text exposition of all families that have a sample.
pub(super) fn text(families: &[Family]) -> String {
    let mut text = String::with_capacity(16 << 10);
    for Family { name, kind, help, samples } in families.iter().filter(|family| !family.samples.is_empty()) {
        let _ = writeln!(text, "# HELP {name} {}", Escaped(help, false));
        let _ = writeln!(text, "# TYPE {name} {kind}");
        for sample in samples {
            text.push_str(name);
            for (at, (label, value)) in sample.labels.iter().enumerate() {
                let _ =
                    write!(text, "{}{label}=\"{}\"", if at == 0 { '{' } else { ',' }, Escaped(value, true));
            }
            let _ = writeln!(text, "{} {}", if sample.labels.is_empty() { "" } else { "}" }, sample.value);
        }
    }
    text
}

/// Text with line ends and backslashes escaped, and quotes as well if the flag is set, as the value of a label needs.
struct Escaped<'a>(&'a str, bool);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '"' if self.1 => f.write_str("\\\"")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Returns all families as JSON: `{"fleeting_requests_total": [{"labels": {"worker": "0"}, "value": 7}]}`
pub(super) fn json(families: &[Family]) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&AsMap(families))
}

struct AsMap<'a>(&'a [Family]);

impl Serialize for AsMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|family| (family.name, &family.samples)))
    }
}

impl Serialize for Sample {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("labels", &Labels(&self.labels))?;
        map.serialize_entry("value", &self.value)?;
        map.end()
    }
}

struct Labels<'a>(&'a [(&'static str, String)]);

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(label, value)| (label, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::families::{Kind, Value};
    use super::*;

    fn families() -> Vec<Family> {
        let worker = |number: &str| ("worker", number.to_string());
        let mut odd = Family::new("odd", Kind::Gauge, "Has \"odd\"\nlabels \\.");
        odd.push(vec![worker("0"), ("path", "a\"b\\c\nd".into())], Value::Seconds(0.25));
        odd.push(vec![], Value::Count(u64::MAX));
        vec![odd, Family::new("nothing", Kind::Counter, "Has no samples.")]
    }

    #[test]
    fn help_and_labels_are_escaped() {
        let expected = "# HELP odd Has \"odd\"\\nlabels \\\\.\n# TYPE odd gauge\n\
                        odd{worker=\"0\",path=\"a\\\"b\\\\c\\nd\"} 0.25\nodd 18446744073709551615\n";
        assert_eq!(text(&families()), expected);
    }

    #[test]
    fn json_has_the_same_samples() {
        let expected = r#"{"odd":[{"labels":{"worker":"0","path":"a\"b\\c\nd"},"value":0.25},{"labels":{},"value":18446744073709551615}],"nothing":[]}"#;
        assert_eq!(String::from_utf8(json(&families()).unwrap()).unwrap(), expected);
    }
}
