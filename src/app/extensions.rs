//! What the layers of a request pass on: values in the request's arena, found by their types.
//!
//! It knows nothing of the request. Its invariant: a value lives as long as the request, and nothing is allocated but in
//! the arena.

use crate::arena::Arena;
use std::any::{Any, TypeId};
use std::cell::Cell;

/// The values of one request.
#[derive(Default)]
pub(crate) struct Extensions<'r> {
    /// The value that was put in last.
    last: Cell<Option<&'r Entry<'r>>>,
}

struct Entry<'r> {
    value: Value<'r>,
    before: Option<&'r Entry<'r>>,
}

enum Value<'r> {
    Typed(&'r dyn Any),
    /// Text under the name of a type.
    Text(TypeId, &'r str),
}

impl<'r> Extensions<'r> {
    pub(super) fn insert<T: 'static>(&self, value: &'r T, arena: &'r Arena) {
        self.put(Value::Typed(value), arena);
    }

    pub(super) fn insert_text<K: 'static>(&self, text: &'r str, arena: &'r Arena) {
        self.put(Value::Text(TypeId::of::<K>(), text), arena);
    }

    pub(super) fn value<T: 'static>(&self) -> Option<&'r T> {
        self.find(|value| match value {
            Value::Typed(value) => value.downcast_ref(),
            Value::Text(..) => None,
        })
    }

    pub(super) fn text<K: 'static>(&self) -> Option<&'r str> {
        self.find(|value| match value {
            Value::Text(name, text) if *name == TypeId::of::<K>() => Some(*text),
            _ => None,
        })
    }

    fn put(&self, value: Value<'r>, arena: &'r Arena) {
        self.last.set(Some(arena.alloc(Entry { value, before: self.last.get() })));
    }

    /// Returns the first result of `find`, from the value put in last to the first one.
    fn find<T>(&self, find: impl Fn(&Value<'r>) -> Option<T>) -> Option<T> {
        std::iter::successors(self.last.get(), |entry| entry.before).find_map(|entry| find(&entry.value))
    }
}

#[cfg(test)]
mod tests {
    use crate::app::request::tests::with_request;

    struct Name;
    struct Role;

    #[test]
    fn values_are_found_by_their_types() {
        with_request("GET /path", "", b"", |req| {
            assert_eq!((req.extension::<u32>(), req.extension_text::<Name>()), (None, None));
            assert_eq!(*req.insert(7u32), 7);
            req.insert(8u64);
            req.insert_text::<Name>(req.path());
            req.insert_text::<Role>("admin");
            assert_eq!((req.extension::<u32>(), req.extension::<u64>()), (Some(&7), Some(&8)));
            assert_eq!(
                (req.extension_text::<Name>(), req.extension_text::<Role>()),
                (Some("/path"), Some("admin"))
            );
            assert!(req.extension::<Name>().is_none());
            req.insert(9u32);
            assert_eq!(req.extension::<u32>(), Some(&9));
        });
    }
}
