//! Where settings come from, and what is printed: the help, and one line for each mistake.

use crate::program::{Running, Scratch, keep_alive, outcome, program, read_some, refused, status};
use std::net::TcpListener;
use std::thread;

/// Finding F4.
#[test]
fn all_addresses_and_one_worker_for_each_processor_are_served() {
    for listen in ["*:0", ":0"] {
        let running = Running::serve_on(&["--listen", listen, "--workers", "auto"]);
        assert_eq!(status(&running.get("/healthz")), 200, "{listen}, over IPv4");
        let processors = thread::available_parallelism().unwrap().get();
        let metrics = running.get("/metrics");
        let workers = metrics.lines().filter(|line| line.starts_with("fleeting_connections{")).count();
        assert_eq!(workers, processors, "{metrics}");
    }
}

#[test]
fn flags_override_the_environment_which_overrides_the_file_which_overrides_the_defaults() {
    let file = Scratch::new("precedence", "[limits]\nbody_bytes = 300\nheaders = 3\n");
    let run = |args: &[&str], environment: &[(&str, &str)]| {
        let mut command = program(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(args).envs(environment.iter().copied());
        Running::start(command)
    };
    let check = |running: Running, body_bytes: usize| {
        assert_eq!(running.status_of_content(body_bytes), 200, "{body_bytes}");
        assert_eq!(running.status_of_content(body_bytes + 1), 413, "{body_bytes}");
        running
    };
    let (flag, environment) = (["--limit", "body_bytes=100"], ("FLEETING_LIMIT_BODY_BYTES", "200"));
    check(run(&[], &[]), 1 << 20);
    let from_file = check(run(&["--config", file.path()], &[]), 300);
    // Settings that later sources do not name stay as in the file.
    assert_eq!(from_file.status("GET /healthz HTTP/1.1\r\nHost: a\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n"), 431);
    check(run(&[], &[("FLEETING_CONFIG", file.path())]), 300);
    let both = check(run(&["--config", file.path()], &[environment]), 200);
    assert_eq!(both.status("GET /healthz HTTP/1.1\r\nHost: a\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n"), 431);
    check(run(&[flag[0], flag[1], "--config", file.path()], &[environment]), 100);
    // The file of the flag replaces that of the environment, which is not even read.
    check(run(&["--config", file.path()], &[("FLEETING_CONFIG", "/nowhere/at.all")]), 300);
}

#[test]
fn addresses_and_workers_come_from_the_file_and_the_environment() {
    let file = Scratch::new("listen", "listen = '127.0.0.1:0'\nworkers = 2\n[timeouts]\nidle = '1m'\n");
    assert_eq!(Running::start(program(&["--config", file.path()])).addrs.len(), 1);
    let mut command = program(&["--config", file.path()]);
    command.env("FLEETING_LISTEN", "127.0.0.1:0,127.0.0.1:0").env("FLEETING_WORKERS", "1");
    let running = Running::start(command);
    assert_eq!(running.addrs.len(), 2);
    assert_eq!(status(&running.get("/healthz")), 200);
}

#[test]
fn a_timeout_takes_effect() {
    let running = Running::serve(&["--timeout", "idle=100ms"]);
    let mut stream = running.connect();
    keep_alive(&mut stream);
    assert_eq!(read_some(&mut stream, &mut [0; 16]), 0, "an idle connection is closed");
}

#[test]
fn a_taken_port_is_one_line_and_status_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for workers in ["1", "2"] {
        refused(program(&["--listen", &addr, "--workers", workers]), 1, &[&addr, "in use"]);
    }
}

#[test]
fn a_wrong_flag_is_one_line_and_status_2() {
    refused(program(&["serve", "--wrokers", "2"]), 2, &["--wrokers", "--workers"]);
    refused(program(&["sing"]), 2, &["sing"]);
    refused(program(&["--listen"]), 2, &["--listen"]);
    refused(program(&["--listen", "8080"]), 2, &["--listen", "`8080`", "HOST:PORT"]);
    refused(program(&["--workers", "0"]), 2, &["--workers", "`0`", "from 1"]);
    refused(program(&["--workers", "-1"]), 2, &["--workers", "`-1`"]);
    refused(program(&["--limit", "body_bytes"]), 2, &["--limit body_bytes", "NAME=VALUE"]);
    refused(program(&["--limit", "body=1"]), 2, &["unknown name `body`", "body_bytes"]);
    refused(program(&["--limit", "body_bytes=8Mb"]), 2, &["bad value `8Mb`", "8MiB"]);
    refused(program(&["--limit", "body_bytes=1\n2"]), 2, &["1\\n2"]);
    refused(program(&["--timeout", "idel=1s"]), 2, &["unknown name `idel`", "idle"]);
    refused(program(&["--timeout", "idle=10"]), 2, &["bad value `10`", "1.5s"]);
    // Findings F1, F2 and F4.
    refused(program(&["--client-life", "10"]), 2, &["bad value `10`", "above zero"]);
    refused(program(&["--listen", "127.0.0.1:99999"]), 2, &["`127.0.0.1:99999`", "the port is above 65535"]);
    refused(program(&["--listen", "fd:a"]), 2, &["`fd:a`", "the descriptor is not a number"]);
    refused(program(&["--listen", "unix:/a?mode=9"]), 2, &["`unix:/a?mode=9`", "octal", "unix:PATH"]);
    refused(program(&["--listen", "/run/a.sock"]), 2, &["a path begins with unix:"]);
    refused(program(&["--admin-listen", "localhost"]), 2, &["`localhost`", "there is no port"]);
    refused(
        program(&["--trust", "10.0.0.1/8"]),
        2,
        &["--trust: `10.0.0.1/8` has an address", "`10.0.0.0/8`"],
    );
    refused(program(&["--proxy-from", "lb"]), 2, &["--proxy-from: `lb` is no network", "`unix`"]);
    refused(program(&["--trust-fields", "forwarded"]), 2, &["--trust-fields: no proxy is trusted"]);
    refused(
        program(&["--trust", "::1", "--trust-fields", "x-real-ip"]),
        2,
        &["--trust-fields: `x-real-ip` is not one of"],
    );
    refused(program(&["--store", "memroy"]), 2, &["--store", "neither `memory`", "redis://HOST"]);
    refused(program(&["--store", "redis://user@host"]), 2, &["--store", "a user without a password"]);
    refused(program(&["--store", "rediss://host?cert=a"]), 2, &["--store", "`cert` and `key`"]);
    refused(
        program(&["--store", "rediss://host?ca=/nowhere/ca.pem"]),
        1,
        &["--store: /nowhere/ca.pem: ", "No such file"],
    );
    refused(program(&["--store", "redis://a", "--node", ""]), 2, &["--node", "1 to 64 bytes"]);
}

#[test]
fn a_wrong_file_is_one_line_with_the_line_number() {
    refused(program(&["--config", "/nowhere/at.all"]), 1, &["cannot read /nowhere/at.all"]);
    refused(program(&["--config", env!("CARGO_MANIFEST_DIR")]), 1, &["cannot read", "directory"]);
    let check = |name: &str, text: &str, expected: &[&str]| {
        let file = Scratch::new(name, text);
        refused(program(&["--config", file.path()]), 2, &[&[file.path()], expected].concat());
        let mut command = program(&[]);
        command.env("FLEETING_CONFIG", file.path());
        refused(command, 2, expected);
    };
    check("malformed", "workers = 1\nlisten = [\n", &[".toml:2: "]);
    check(
        "key",
        "port = 80\n",
        &[
            ".toml:1: port: unknown key",
            "expected one of listen, tls_cert, tls_key, redirect_http, hsts, proxy_from, trust, trust_fields, admin_listen, workers, spin, files, media_type, serve, host, origin, compression, slow_consumer, io, store",
        ],
    );
    check("limit", "[limits]\nbody = 80\n", &[".toml:2: limits.body: unknown name", "body_bytes"]);
    check("value", "[timeouts]\nidle = \"soon\"\n", &[".toml:2: timeouts.idle: bad value `soon`"]);
}

#[test]
fn a_wrong_variable_is_one_line_and_status_2() {
    let check = |name: &str, value: &str, expected: &[&str]| {
        let mut command = program(&[]);
        command.env(name, value);
        refused(command, 2, &[&[name], expected].concat());
    };
    check("FLEETING_WORKERS", "many", &["`many`"]);
    check("FLEETING_LISTEN", "127.0.0.1", &["`127.0.0.1`", "HOST:PORT"]);
    check("FLEETING_LIMIT_BODY_BYTES", "lots", &["`lots`"]);
    check("FLEETING_LIMIT_BODY", "1", &["FLEETING_LIMIT_BODY_BYTES"]);
    check("FLEETING_TIMEOUT_IDLE", "10", &["`10`", "1.5s"]);
    check("FLEETING_BOGUS", "1", &["unknown variable", "FLEETING_LISTEN"]);
    check("FLEETING_STORE", "redis://host:port", &["the port should be a number"]);
    check("FLEETING_NODE", "a\u{7}", &["no control characters"]);
}

#[test]
fn a_password_is_never_printed() {
    let secret = "redis://user:s3cret@host/x";
    let (code, _, stderr) = outcome(program(&["--store", secret]));
    assert!(code == Some(2) && !stderr.contains("s3cret"), "{stderr}");
    let file = Scratch::new("secret", &format!("store = '{secret}'\n"));
    let (code, _, stderr) = outcome(program(&["--config", file.path()]));
    assert!(code == Some(2) && !stderr.contains("s3cret"), "{stderr}");
    let mut running = Running::serve(&["--store", "redis://user:s3cret@nobody.invalid"]);
    let line = running.stderr_line();
    assert!(line.starts_with("redis://user:***@nobody.invalid:6379 is unavailable: "), "{line}");
    assert!(!line.contains("s3cret"), "{line}");
    assert_eq!(status(&running.get("/healthz")), 200, "the server works without Redis");
}

#[test]
fn help_and_version_are_printed() {
    let (status, stdout, stderr) = outcome(program(&["--version"]));
    assert_eq!(
        (status, stdout, stderr),
        (Some(0), format!("fleeting {}\n", env!("CARGO_PKG_VERSION")), String::new())
    );
    let printed = |args: &[&str]| {
        let (status, stdout, stderr) = outcome(program(args));
        assert_eq!((status, &*stderr), (Some(0), ""), "{args:?}");
        stdout
    };
    // Finding F3.
    for args in [&["version"][..], &["-V"]] {
        assert_eq!(printed(args), format!("fleeting {}\n", env!("CARGO_PKG_VERSION")));
    }
    assert_eq!(printed(&["help"]), printed(&["--help"]));
    let serve = printed(&["help", "serve"]);
    assert!(serve.contains("Usage: fleeting serve [OPTIONS]") && serve.contains("--client-life"), "{serve}");
    assert!(printed(&["help", "lesson"]).contains("Usage: fleeting lesson [OPTIONS]"));
    for (topic, names) in [("limits", fleeting::Limits::NAMES), ("timeouts", fleeting::Timeouts::NAMES)] {
        let text = printed(&["help", topic]);
        for name in names {
            assert!(text.contains(&format!("\n  {name} ")), "{name} is not in {text}");
        }
    }
    assert!(printed(&["help", "settings"]).contains("FLEETING_LIMIT_BODY_BYTES=8MiB"));
    assert!(printed(&["help", "signals"]).contains("SIGHUP"));
    refused(program(&["help", "limit"]), 2, &["limits", "signals"]);
}

/// Finding F7.
#[test]
fn the_help_is_short_and_names_what_there_is() {
    let (_, help, _) = outcome(program(&["--help"]));
    assert!(help.lines().count() <= 80, "{help}");
    for word in ["hub", "registry", "metrics", "files", "lesson", "fleeting help"] {
        assert!(help.contains(word), "{word} is not in {help}");
    }
    let (_, routes, _) = outcome(program(&["help", "routes"]));
    let running = Running::serve(&[]);
    for route in ["/topics", "/clients", "/metrics", "/census", "/plaintext", "/json", "/healthz"] {
        assert!(routes.contains(route), "{route} is not in {routes}");
        assert_eq!(status(&running.get(route)), 200, "{route}");
    }
}
