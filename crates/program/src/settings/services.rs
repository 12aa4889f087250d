//! Which groups of routes the program serves.
//!
//! It knows their names, not their routes. Its invariant: what is not asked for is not served.

use std::path::Path;

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

    /// What the page cannot do without.
    const OF_PAGE: [Service; 4] = [Service::Echo, Service::Hub, Service::Clients, Service::Lesson];

    fn parse(name: &str) -> Result<Service, String> {
        let found = Service::ALL.iter().find(|(known, _)| *known == name.trim());
        found.map(|(_, service)| *service).ok_or_else(|| {
            let names = Service::ALL.map(|(name, _)| name).join(", ");
            format!("unknown group `{}`; expected some of {names}", name.trim())
        })
    }
}

/// The groups that were asked for; without any, all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Services(Option<Vec<Service>>);

impl Services {
    /// Parses names of groups, each text with one or several of them.
    pub(crate) fn parse(names: &[String]) -> Result<Services, String> {
        let services = names.iter().flat_map(|names| names.split(',')).map(Service::parse);
        Ok(Services(Some(services.collect::<Result<_, _>>()?)))
    }

    /// Whether a group is served. `has_files` says whether there is a directory, which takes the place of the demo page.
    pub(super) fn contains(&self, service: Service, has_files: bool) -> bool {
        match (&self.0, service) {
            (Some(services), _) => services.contains(&service),
            (None, Service::Page) => !has_files,
            (None, Service::Files) => has_files,
            (None, _) => true,
        }
    }

    /// Checks that there is a directory if and only if it is to be served, and that the page can work.
    pub(super) fn check(&self, files: Option<&Path>) -> Result<(), String> {
        let Services(Some(services)) = self else { return Ok(()) };
        let has = |service| services.contains(&service);
        match (files, has(Service::Files)) {
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
            _ if has(Service::Page) && !Service::OF_PAGE.iter().all(|service| has(*service)) => {
                Err("`page` uses `echo`, `hub`, `clients` and `lesson`; serve them too".into())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(names: &str) -> Services {
        Services::parse(&[names.into()]).unwrap()
    }

    #[test]
    fn only_what_is_asked_for_is_served() {
        fn check(services: &Services, files: bool, expected: &str) {
            let served = Service::ALL.iter().filter(|(_, service)| services.contains(*service, files));
            let served: Vec<_> = served.map(|(name, _)| *name).collect();
            assert_eq!(served.join(" "), expected, "{files} {services:?}");
            assert_eq!(services.check(files.then(|| Path::new("public"))), Ok(()));
        }
        let all = Services::default();
        check(&all, false, "page plain echo hub clients lesson metrics health");
        check(&all, true, "files plain echo hub clients lesson metrics health");
        check(&services("files"), true, "files");
        check(&services(" metrics, files"), true, "files metrics");
        check(&Services::parse(&["hub".into(), "health".into()]).unwrap(), false, "hub health");
    }

    #[test]
    fn a_directory_is_named_and_served_or_neither() {
        fn check(files: bool, names: &str, expected: &str) {
            let error = services(names).check(files.then(|| Path::new("public"))).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        check(false, "files,hub", "no directory");
        check(true, "hub", "public is not served");
        check(true, "files,page", "both served at /");
        check(false, "page,health", "`page` uses `echo`, `hub`");
        assert_eq!(services("page,echo,hub,clients,lesson").check(None), Ok(()));
    }

    #[test]
    fn an_unknown_group_is_an_error_with_the_names_of_all() {
        let unknown = Services::parse(&["hub".into(), "topics".into()]).unwrap_err();
        assert!(
            unknown.contains("unknown group `topics`") && unknown.contains("lesson, metrics, health"),
            "{unknown}"
        );
        assert!(Services::parse(&[String::new()]).is_err());
    }
}
