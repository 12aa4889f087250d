//! The notes: read, written and deleted as JSON.
//!
//! It knows users as authors, and nothing of how they log in. Its invariant: a client that has seen an older revision of a
//! note overwrites nothing, if it says which one.

use super::attachments::{Attach, download};
use super::changes::{self, Changes};
use super::state::with;
use super::store::{Note, Notes};
use super::users::User;
use fleeting::{App, EntityTag, Error, Handle, Request, Response, Validators};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

const TITLE_BYTES_MAX: usize = 200;
/// Notes of one page of the list.
const LIMIT: usize = 20;
const LIMIT_MAX: usize = 100;

/// A cache may keep a note for its user, but asks each time whether it is still the same.
const CACHING: &str = "private, no-cache";

/// A note as a client sends it. It borrows the request's content.
#[derive(Deserialize)]
struct Draft<'r> {
    #[serde(borrow)]
    title: Cow<'r, str>,
    #[serde(borrow)]
    text: Cow<'r, str>,
}

impl<'r> Draft<'r> {
    fn read(req: &Request<'r>) -> Result<Draft<'r>, Error> {
        let draft: Draft<'r> = req.json()?;
        if draft.title.is_empty() || draft.title.len() > TITLE_BYTES_MAX {
            return Err(Error::bad_request("A title has 1 to 200 bytes."));
        }
        Ok(draft)
    }
}

/// The routes. `/` is the path that they are nested under.
pub fn routes(notes: &Notes, handle: &Handle) -> App {
    let state = &(notes.clone(), handle.clone());
    App::new()
        .get("/", with(notes, list))
        .post("/", with(state, create))
        .get("/{id}", with(notes, read))
        .put("/{id}", with(state, replace))
        .delete("/{id}", with(state, delete))
        .multipart("POST", "/{id}/attachments", Attach(notes.clone()))
        .get("/{id}/attachments/{number}", with(notes, download))
        .get("/changes", with(handle, changes::events))
        .ws("/changes/ws", Changes)
}

/// Which part of the list a client wants.
#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
    after: Option<u64>,
}

#[derive(Serialize)]
struct List<'a> {
    notes: &'a [Entry<'a>],
    /// What to ask for after, if there are more notes.
    next: Option<u64>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: u64,
    author: &'a str,
    title: &'a str,
}

fn list<'r>(notes: &Notes, req: &Request<'r>) -> Result<Response<'r>, Error> {
    let page: Page = req.query_pairs().read()?;
    let limit = page.limit.unwrap_or(LIMIT).min(LIMIT_MAX);
    let store = notes.lock();
    let mut rest = store.after(page.after.unwrap_or(0));
    // A list in the request's arena, of what lies in the store. It is written as JSON before the lock is released.
    let mut entries = req.arena().list(limit);
    for Note { id, author, title, .. } in rest.by_ref().take(limit) {
        entries.push(Entry { id: *id, author, title });
    }
    let entries = entries.finish();
    let next = entries.last().filter(|_| rest.next().is_some()).map(|last| last.id);
    Response::json(req, &List { notes: entries, next })
}

fn create<'r>((notes, handle): &(Notes, Handle), req: &Request<'r>) -> Result<Response<'r>, Error> {
    let (draft, author) = (Draft::read(req)?, User::of(req).name);
    let mut store = notes.lock();
    let note = store.add(author, &draft.title, &draft.text)?;
    changes::publish(handle, req, "created", note.id);
    let location = req.arena().format(format_args!("{}/{}", req.path(), note.id));
    show(req, note)?.with_status(201).header("location", location)
}

fn read<'r>(notes: &Notes, req: &Request<'r>) -> Result<Response<'r>, Error> {
    let store = notes.lock();
    let note = store.note(req.param("id"))?;
    match req.preconditions(&version(req, note))? {
        Some(not_modified) => not_modified.header("cache-control", CACHING),
        None => show(req, note),
    }
}

fn replace<'r>((notes, handle): &(Notes, Handle), req: &Request<'r>) -> Result<Response<'r>, Error> {
    let draft = Draft::read(req)?;
    let mut store = notes.lock();
    let note = store.note(req.param("id"))?;
    req.preconditions(&version(req, note))?; // 412 if the client has seen another version
    let id = note.id;
    let note = store.replace(id, &draft.title, &draft.text)?;
    changes::publish(handle, req, "replaced", id);
    show(req, note)
}

fn delete<'r>((notes, handle): &(Notes, Handle), req: &Request<'r>) -> Result<Response<'r>, Error> {
    let mut store = notes.lock();
    let note = store.note(req.param("id"))?;
    req.preconditions(&version(req, note))?;
    let id = note.id;
    store.remove(id);
    changes::publish(handle, req, "deleted", id);
    Ok(Response::new(204))
}

/// Returns what tells a client whether it has this version of a note.
fn version<'r>(req: &Request<'r>, note: &Note) -> Validators<'r> {
    Validators::new().tag(EntityTag::strong(req.arena().format(format_args!("{}", note.revision))))
}

fn show<'r>(req: &Request<'r>, note: &Note) -> Result<Response<'r>, Error> {
    Response::json(req, note)?.validators(&version(req, note))?.header("cache-control", CACHING)
}
