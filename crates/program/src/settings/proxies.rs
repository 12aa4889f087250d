//! Which peers are proxies, and how they say who their clients are.
//!
//! It does not know what proxies send. Its invariant: no peer is a proxy unless a setting lists it.

use fleeting::{ForwardedFields, Networks, Proxies};

/// The proxies in front of the server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ProxySettings {
    /// Those that begin a connection with a PROXY header.
    announcing: Networks,
    /// Those whose fields are believed.
    trusted: Networks,
    /// The fields, if they are not the usual ones.
    fields: Option<ForwardedFields>,
}

impl ProxySettings {
    /// Returns them as the library takes them.
    pub(crate) fn proxies(&self) -> Proxies {
        let fields = self.fields.unwrap_or_default();
        Proxies::new().proxy_protocol(self.announcing.clone()).trust(self.trusted.clone(), fields)
    }

    /// Returns them for a listener that does not need the client's address: no fields are trusted.
    pub(crate) fn announcing(&self) -> Proxies {
        Proxies::new().proxy_protocol(self.announcing.clone())
    }

    /// Replaces those that begin a connection with a PROXY header.
    pub(super) fn set_announcing(&mut self, networks: &[String]) -> Result<(), String> {
        self.announcing = networks.join(",").parse()?;
        Ok(())
    }

    /// Replaces those whose fields are believed.
    pub(super) fn set_trusted(&mut self, networks: &[String]) -> Result<(), String> {
        self.trusted = networks.join(",").parse()?;
        Ok(())
    }

    /// Sets the fields in which they name their clients.
    pub(super) fn set_fields(&mut self, name: &str) -> Result<(), String> {
        self.fields = Some(name.parse()?);
        Ok(())
    }

    /// Checks that fields are only named together with trusted proxies. Its error begins with the flag.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.fields.is_some() && self.trusted.is_empty() {
            return Err("--trust-fields: no proxy is trusted; expected a --trust, too".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_fields_become_proxies() {
        let mut settings = ProxySettings::default();
        assert_eq!((settings.proxies(), settings.check()), (Proxies::new(), Ok(())));
        settings.set_fields("forwarded").unwrap();
        assert!(settings.check().unwrap_err().starts_with("--trust-fields: no proxy is trusted"));
        settings.set_trusted(&["10.0.0.0/8".into(), "unix, ::1".into()]).unwrap();
        settings.set_announcing(&["192.0.2.1".into()]).unwrap();
        assert_eq!(settings.check(), Ok(()));
        let expected = Proxies::new()
            .proxy_protocol("192.0.2.1".parse().unwrap())
            .trust("10.0.0.0/8,unix,::1".parse().unwrap(), ForwardedFields::Forwarded);
        assert_eq!(settings.proxies(), expected);
        assert!(
            settings
                .set_trusted(&["proxy.example".into()])
                .unwrap_err()
                .contains("`proxy.example` is no network")
        );
        assert!(settings.set_fields("x-real-ip").unwrap_err().contains("x-forwarded, forwarded"));
    }
}
