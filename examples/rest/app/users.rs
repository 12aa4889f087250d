//! Users, and the sessions of those who have logged in.
//!
//! It knows forms and cookies. Its invariant: a session ends after [`SESSION_LIFE`], at log-out, or when an
//! administrator ends all.

use fleeting::{Cookie, Error, Keep, Request, Response, SameSite};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const FORM: &str = "<!doctype html><title>Log in</title><form method=post>\
    <input name=name required> <input name=password type=password required> <button>Log in</button></form>";

/// Who has sent a request. A layer finds that out and passes it on to the handlers.
#[derive(Clone, Copy)]
pub struct User {
    pub name: &'static str,
    pub is_admin: bool,
}

/// A user's secrets. A real service has them in a database, and of a password only a slow hash such as Argon2's, which
/// it computes on the threads of an `Offload`.
struct Account {
    user: User,
    password: &'static str,
    token: &'static str,
}

const ACCOUNTS: [Account; 2] = [
    Account { user: User { name: "ada", is_admin: true }, password: "lovelace", token: "ada-token" },
    Account { user: User { name: "bob", is_admin: false }, password: "builder", token: "bob-token" },
];

impl User {
    pub fn with_token(token: &str) -> Option<User> {
        ACCOUNTS.iter().find(|account| account.token == token).map(|account| account.user)
    }

    fn with_password(name: &str, password: &str) -> Option<User> {
        let found = ACCOUNTS.iter().find(|account| account.user.name == name && account.password == password);
        found.map(|account| account.user)
    }

    /// Returns the user that the layer has found.
    ///
    /// # Panics
    /// If the route is outside of the layer. The client then gets 500.
    pub fn of<'r>(req: &Request<'r>) -> &'r User {
        req.extension().expect("the route is inside of the layer `users`")
    }
}

/// The name of a session's cookie.
pub const COOKIE: &str = "session";
const SESSION_LIFE: Duration = Duration::from_secs(8 * 3600);
const SESSIONS_MAX: usize = 10_000;
/// Behind a proxy that does TLS, it should also be `secure()` and be named `__Host-session`.
const SESSION: Cookie<'static> =
    Cookie::new(COOKIE, "").path("/").http_only().same_site(SameSite::Strict).max_age(SESSION_LIFE);

/// The sessions by their tokens. The workers share them.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<HashMap<Box<str>, Session>>>);

#[derive(Clone, Copy)]
struct Session {
    user: User,
    ends: Instant,
}

impl Sessions {
    /// Returns the user of a session that has not ended.
    pub fn user(&self, token: &str, now: Instant) -> Option<User> {
        let sessions = self.0.lock().expect("no thread panics while it holds the lock");
        sessions.get(token).filter(|session| session.ends > now).map(|session| session.user)
    }

    fn begin(&self, token: &str, user: User, now: Instant) -> Result<(), Error> {
        let mut sessions = self.0.lock().expect("no thread panics while it holds the lock");
        if sessions.len() >= SESSIONS_MAX {
            sessions.retain(|_, session| session.ends > now);
        }
        if sessions.len() >= SESSIONS_MAX {
            return Err(Error::unavailable("There are too many sessions.").header("retry-after", "60"));
        }
        // The token lies in the request's arena. Without `keep()` this does not compile.
        sessions.insert(token.keep(), Session { user, ends: now + SESSION_LIFE });
        Ok(())
    }

    fn end(&self, token: &str) {
        self.0.lock().expect("no thread panics while it holds the lock").remove(token);
    }

    /// Ends all sessions. Returns how many there were.
    pub fn end_all(&self) -> usize {
        self.0.lock().expect("no thread panics while it holds the lock").drain().count()
    }

    pub fn count(&self) -> usize {
        self.0.lock().expect("no thread panics while it holds the lock").len()
    }
}

/// Begins a session with the name and the password of a form.
pub fn log_in<'r>(sessions: &Sessions, req: &Request<'r>) -> Result<Response<'r>, Error> {
    let form = req.form_pairs()?;
    let (Some(name), Some(password)) = (form.value("name"), form.value("password")) else {
        return Err(Error::bad_request("The form needs a name and a password."));
    };
    let wrong = || Error::forbidden("The name or the password is wrong.");
    let user = User::with_password(name, password).ok_or_else(wrong)?;
    let mut random = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let token = req.arena().format(format_args!("{:032x}", u128::from_ne_bytes(random)));
    sessions.begin(token, user, Instant::now())?;
    Response::redirect(303, "/api/notes")?.cookie(&SESSION.value(token))
}

/// Ends the session of the client's cookie.
pub fn log_out<'r>(sessions: &Sessions, req: &Request<'r>) -> Result<Response<'r>, Error> {
    if let Some(token) = req.cookie(COOKIE) {
        sessions.end(token);
    }
    Response::redirect(303, "/login")?.cookie(&SESSION.removal())
}
