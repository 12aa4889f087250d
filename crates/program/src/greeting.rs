//! What the program prints when it serves: its addresses, and what to try.
//!
//! It starts nothing. Its invariant: it names only what is served.

use crate::settings::{Service, Settings};
use fleeting::{Io, ListenAddr};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Returns the greeting. The further addresses are those of `redirect_http` and `admin_listen`. `io` is how the server writes. `store` is a sentence about the store, if there is something to say.
pub(crate) fn greeting(
    settings: &Settings,
    addrs: &[ListenAddr],
    [redirect_addrs, admin_addrs]: [&[ListenAddr]; 2],
    io: Io,
    store: Option<&str>,
) -> String {
    let mut text = format!("fleeting {} is listening on\n", env!("CARGO_PKG_VERSION"));
    for addr in addrs {
        let _ = match addr {
            ListenAddr::Tcp(addr) => writeln!(text, "  {}://{addr}", settings.tls.scheme()),
            path => writeln!(text, "  {path}"),
        };
    }
    if let Some(store) = store {
        let _ = writeln!(text, "{store}");
    }
    if settings.io == Io::Auto && io != Io::Uring {
        text.push_str("io_uring is not available: each subscriber costs a system call of its own.\n");
    }
    if let Some(addr) = addrs.iter().find_map(ListenAddr::tcp) {
        push_routes(&mut text, settings, &authority(settings, addr));
    } else if let Some(ListenAddr::Unix(path)) = addrs.first() {
        let (path, scheme) = (path.display(), settings.tls.scheme());
        let _ = writeln!(text, "Try it: curl --unix-socket {path} {scheme}://localhost/");
    }
    for addr in redirect_addrs {
        let _ = match addr {
            ListenAddr::Tcp(addr) => writeln!(text, "Clients of http://{addr} are sent to https."),
            path => writeln!(text, "Clients of {path} are sent to https."),
        };
    }
    for addr in admin_addrs {
        let _ = match addr {
            ListenAddr::Tcp(addr) => {
                writeln!(text, "Metrics: http://{addr}/metrics and http://{addr}/census")
            }
            path => writeln!(text, "Metrics: /metrics and /census at {path}"),
        };
    }
    text.push_str("`fleeting help routes` lists what is served. Press Ctrl-C to stop.\n");
    text
}

/// Appends what is served at `at`, with commands to try.
fn push_routes(text: &mut String, settings: &Settings, at: &str) {
    let (scheme, ws) = (settings.tls.scheme(), if settings.tls.are_set() { "wss" } else { "ws" });
    let files = settings.files.as_ref().map(|directory| directory.display().to_string());
    let groups: [(Service, String); 7] = [
        (Service::Page, format!("A live page: {scheme}://{at}/ in a browser")),
        (Service::Files, format!("The files in {}: {scheme}://{at}/", files.unwrap_or_default())),
        (
            Service::Hub,
            format!(
                "The hub: publish and subscribe\n  \
                 curl -N '{scheme}://{at}/topics/prices.*', and in another terminal\n  \
                 curl {scheme}://{at}/topics/prices.eur -H 'Content-Type: text/plain' -d 1.08\n  \
                 {ws}://{at}/hub takes commands such as {{\"subscribe\": \"prices.*\"}}"
            ),
        ),
        (
            Service::Clients,
            format!(
                "The registry of clients\n  \
                 curl {scheme}://{at}/clients -H 'X-Id: alice' -H 'Content-Type: text/plain' -d hello\n  \
                 curl {scheme}://{at}/clients"
            ),
        ),
        (Service::Metrics, format!("Metrics: {scheme}://{at}/metrics and {scheme}://{at}/census")),
        (Service::Echo, format!("An echo: curl {scheme}://{at}/echo -d 'anything', or {ws}://{at}/ws")),
        (Service::Plain, format!("Plain answers: curl {scheme}://{at}/plaintext, curl {scheme}://{at}/json")),
    ];
    text.push('\n');
    for (_, line) in groups.into_iter().filter(|(service, _)| settings.serves(*service)) {
        let _ = writeln!(text, "{line}");
    }
}

/// Returns the host and port that requests may be sent to: if only named hosts are served at `addr`, the first of them.
fn authority(settings: &Settings, addr: SocketAddr) -> String {
    let any = addr.ip().is_loopback() || settings.hosts.iter().any(|host| host == "*");
    match settings.hosts.first().filter(|_| !any) {
        Some(host) if host.parse::<Ipv6Addr>().is_ok() => format!("[{host}]:{}", addr.port()),
        Some(host) => format!("{host}:{}", addr.port()),
        None => reachable(addr).to_string(),
    }
}

/// Returns an address at which this machine can reach `addr`.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => (Ipv4Addr::LOCALHOST, addr.port()).into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => (Ipv6Addr::LOCALHOST, addr.port()).into(),
        _ => addr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Services;

    /// Finding F7.
    #[test]
    fn the_greeting_lists_every_address_and_what_is_served_at_the_first() {
        let tcp = |addr: &str| ListenAddr::Tcp(addr.parse().unwrap());
        let addrs = [tcp("0.0.0.0:80"), tcp("[::1]:81"), ListenAddr::Unix("/run/a.sock".into())];
        let mut settings = Settings::default();
        let text = greeting(&settings, &addrs, [&[]; 2], Io::Uring, None);
        assert!(
            text.contains("\n  http://0.0.0.0:80\n  http://[::1]:81\n  unix:/run/a.sock\n\nA live page: http://127.0.0.1:80/"),
            "{text}"
        );
        for part in ["curl http://127.0.0.1:80/json\n", "The hub", "The registry", "/metrics"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        settings.hosts = vec!["chat.example".into()];
        let text = greeting(&settings, &addrs, [&[]; 2], Io::Uring, None);
        assert!(text.contains("curl http://chat.example:80/clients\n"), "{text}");
        let text = greeting(&settings, &addrs[1..], [&[]; 2], Io::Uring, None);
        assert!(text.contains("curl http://[::1]:81/clients\n"), "{text}");
        let text = greeting(&settings, &addrs[2..], [&[], &addrs[2..]], Io::Uring, None);
        assert!(
            text.contains("\n  unix:/run/a.sock\nTry it: curl --unix-socket /run/a.sock http://localhost/\n"),
            "{text}"
        );
        assert!(text.contains("\nMetrics: /metrics and /census at unix:/run/a.sock\n"), "{text}");
        settings.hosts.push("*".into());
        settings.files = Some("public".into());
        settings.services = Services::parse(&["files".into(), "hub".into()]).unwrap();
        settings.admin_listen = Some("127.0.0.1:9".into());
        let text = greeting(
            &settings,
            &addrs,
            [&[tcp("127.0.0.1:7")], &[tcp("127.0.0.1:9")]],
            Io::Uring,
            Some("Entries are elsewhere."),
        );
        assert!(text.contains("\n  unix:/run/a.sock\nEntries are elsewhere.\n\nThe files in public: http://127.0.0.1:80/\nThe hub"), "{text}");
        assert!(
            text.contains(
                "\nClients of http://127.0.0.1:7 are sent to https.\nMetrics: http://127.0.0.1:9/metrics and "
            ),
            "{text}"
        );
        for part in ["page", "registry", "echo", "/json", ":80/metrics"] {
            assert!(!text.contains(part), "{part} is in {text}");
        }
    }

    #[test]
    fn the_greeting_says_if_what_was_left_to_the_system_is_not_available() {
        let addrs = [ListenAddr::Tcp("127.0.0.1:80".parse().unwrap())];
        let says = |asked: Io, io: Io| {
            let settings = Settings { io: asked, ..Settings::default() };
            greeting(&settings, &addrs, [&[]; 2], io, None).contains("\nio_uring is not available: ")
        };
        assert!(says(Io::Auto, Io::Epoll));
        assert!(!says(Io::Auto, Io::Uring) && !says(Io::Epoll, Io::Epoll));
    }
}
