//! Which groups of routes the program serves.
//!
//! It knows their names, not their routes. Its invariant: what is not asked for is not served.

use super::values::Settings;

/// A group of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// The directory of `--files`, at `/`.
    Files,
    /// The demo page, at `/`.
    Page,
    /// `/plaintext` and `/json`.
    Plain,
    /// `/echo` and `/ws`.
    Echo,
    /// `/hub` and `/topics`.
    Hub,
    /// `/clients`.
    Clients,
    /// `/lesson`.
    Lesson,
    /// `/metrics` and `/census`.
    Metrics,
    /// `/healthz`.
    Health,
}

impl Service {
    const ALL: [(&str, Service); 9] = [
        ("files", Service::Files),
        ("page", Service::Page),
        ("plain", Service::Plain),
        ("echo", Service::Echo),
        ("hub", Service::Hub),
        ("clients", Service::Clients),
        ("lesson", Service::Lesson),
        ("metrics", Service::Metrics),
        ("health", Service::Health),
    ];

    fn parse(name: &str) -> Result<Service, String> {
        let found = Service::ALL.iter().find(|(known, _)| *known == name.trim());
        found.map(|(_, service)| *service).ok_or_else(|| {
            let names = Service::ALL.map(|(name, _)| name).join(", ");
            format!("unknown group `{}`; expected some of {names}", name.trim())
        })
    }
}

impl Settings {
    /// Sets the groups of routes to serve.
    pub(super) fn set_services(&mut self, names: Vec<String>) -> Result<(), String> {
        let services = names.iter().flat_map(|names| names.split(',')).map(Service::parse);
        self.services = Some(services.collect::<Result<_, _>>()?);
        Ok(())
    }

    /// Whether the routes of this group are served on the addresses of `listen`.
    pub(crate) fn serves(&self, service: Service) -> bool {
        match (&self.services, service) {
            (_, Service::Metrics) if self.admin_listen.is_some() => false,
            (Some(services), _) => services.contains(&service),
            (None, Service::Page) => self.files.is_none(),
            (None, Service::Files) => self.files.is_some(),
            (None, _) => true,
        }
    }

    /// Checks that there is a directory if and only if it is to be served.
    pub(super) fn check_services(&self) -> Result<(), String> {
        let Some(services) = &self.services else { return Ok(()) };
        let has = |service| services.contains(&service);
        match (&self.files, has(Service::Files)) {
            (None, true) => {
                Err("`files` is to be served, but there is no directory; set it with --files DIR".into())
            }
            (Some(directory), false) => Err(format!(
                "the directory {} is not served, because `files` is not among the groups",
                directory.display()
            )),
            (Some(_), true) if has(Service::Page) => {
                Err("`files` and `page` are both served at /; leave one out".into())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(files: bool, services: Option<&str>, admin: bool) -> Settings {
        let mut settings = Settings { files: files.then(|| "public".into()), ..Settings::default() };
        if let Some(services) = services {
            settings.set_services(vec![services.into()]).unwrap();
        }
        settings.admin_listen = admin.then(|| "127.0.0.1:0".into());
        settings
    }

    #[test]
    fn only_what_is_asked_for_is_served() {
        fn check(files: bool, services: Option<&str>, admin: bool, expected: &str) {
            let settings = settings(files, services, admin);
            let served = Service::ALL.iter().filter(|(_, service)| settings.serves(*service));
            let served: Vec<_> = served.map(|(name, _)| *name).collect();
            assert_eq!(served.join(" "), expected, "{files} {services:?} {admin}");
            assert_eq!(settings.check_services(), Ok(()));
        }
        check(false, None, false, "page plain echo hub clients lesson metrics health");
        check(true, None, false, "files plain echo hub clients lesson metrics health");
        check(true, None, true, "files plain echo hub clients lesson health");
        check(true, Some("files"), false, "files");
        check(true, Some(" metrics, files"), false, "files metrics");
        check(true, Some("metrics,files"), true, "files");
        check(false, Some("hub,health"), false, "hub health");
    }

    #[test]
    fn a_directory_is_named_and_served_or_neither() {
        fn check(files: bool, services: &str, expected: &str) {
            let error = settings(files, Some(services), false).check_services().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        check(false, "files,hub", "no directory");
        check(true, "hub", "public is not served");
        check(true, "files,page", "both served at /");
        let unknown = Settings::default().set_services(vec!["hub".into(), "topics".into()]).unwrap_err();
        assert!(
            unknown.contains("unknown group `topics`") && unknown.contains("lesson, metrics, health"),
            "{unknown}"
        );
        assert!(Settings::default().set_services(vec![String::new()]).is_err());
    }
}
