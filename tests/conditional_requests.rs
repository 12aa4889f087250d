//! A client that knows the current version is not sent it again, and one that knows another version changes nothing.

use fleeting::{App, EntityTag, Error, Request, Response, Validators};
use fleeting_testkit::client::{Answer, Client};
use fleeting_testkit::server;
use std::cell::RefCell;
use std::rc::Rc;

/// A text that clients read, change and create. Its revision is its tag.
#[derive(Default)]
struct Page {
    revision: u32,
    text: Option<String>,
}

impl Page {
    fn check<'r>(&self, req: &Request<'r>) -> Result<(Validators<'r>, Option<Response<'r>>), Error> {
        let current = match self.text {
            Some(_) => {
                let revision = req.arena().format(format_args!("{}", self.revision));
                Validators::new().tag(EntityTag::strong(revision))
            }
            None => Validators::missing(),
        };
        Ok((current, req.preconditions(&current)?))
    }
}

fn app() -> App {
    let page = Rc::new(RefCell::new(Page::default()));
    let changed = page.clone();
    App::new()
        .get("/page", move |req| {
            let page = page.borrow();
            let (current, not_modified) = page.check(req)?;
            match (not_modified, &page.text) {
                (Some(not_modified), _) => Ok(not_modified),
                (None, Some(text)) => Response::text(text.clone()).validators(&current),
                (None, None) => Err(Error::not_found("There is no page yet.")),
            }
        })
        .put("/page", move |req| {
            let mut page = changed.borrow_mut();
            page.check(req)?;
            page.text = Some(String::from_utf8_lossy(req.body()).into_owned());
            page.revision += 1;
            Ok(Response::new(204))
        })
}

fn ask(client: &mut Client, method: &str, condition: &str, content: &str) -> Answer {
    let length = content.len();
    client.send(format!(
        "{method} /page HTTP/1.1\r\nHost: test\r\n{condition}\r\nContent-Length: {length}\r\n\r\n{content}"
    ));
    client.answer()
}

#[test]
fn a_page_is_created_read_and_changed_by_clients_that_know_its_version() {
    let server = server::run(|_| app());
    let mut client = Client::connect(server.addr);
    let mut check = |method: &str, condition: &str, content: &str, status: u16, text: &str| {
        let answer = ask(&mut client, method, condition, content);
        assert_eq!((answer.status, answer.text()), (status, text), "{method} {condition}");
        answer.field("etag").map(String::from)
    };
    let failed = "The resource does not meet the conditions of the request.";
    check("GET", "If-None-Match: \"1\"", "", 404, "There is no page yet.");
    check("PUT", "If-Match: *", "lost", 412, failed);
    check("PUT", "If-None-Match: *", "first", 204, "");
    check("PUT", "If-None-Match: *", "lost", 412, failed);
    let tag = check("GET", "X: y", "", 200, "first").expect("a tag");
    assert_eq!(tag, "\"1\"");
    let not_modified = check("GET", &format!("If-None-Match: {tag}"), "", 304, "");
    assert_eq!(not_modified.as_ref(), Some(&tag));
    check("PUT", &format!("If-Match: {tag}"), "second", 204, "");
    check("PUT", &format!("If-Match: {tag}"), "lost", 412, failed);
    check("GET", &format!("If-None-Match: {tag}"), "", 200, "second");
}
