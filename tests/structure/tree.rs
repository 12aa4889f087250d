//! The modules of one crate and the paths they mention, read with `syn`.
//!
//! It knows no rule. The caller supplies a function that reads files, so a test can use a crate that exists only in
//! memory.

use crate::paths::normal;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

/// A crate. Module 0 is its root.
pub struct Tree {
    pub modules: Vec<Module>,
}

/// A module, in a file of its own or inline in its parent's.
pub struct Module {
    /// The module's path from the crate's root; empty for the root.
    pub path: Vec<String>,
    pub file: String,
    parent: usize,
    names: HashMap<String, Name>,
    globs: Vec<Vec<String>>,
    pub mentions: Vec<Mention>,
}

/// Returns a file's text, or `None` if there is no such file.
type ReadFile<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where a module stands in its crate.
struct Place {
    /// Its path from the crate's root.
    path: Vec<String>,
    /// The index of its parent.
    parent: usize,
    /// The folder of its children.
    folder: PathBuf,
    in_test: bool,
}

/// What a name in a module's scope refers to.
enum Name {
    Item,
    Module(usize),
    Import(Vec<String>),
}

/// A path that a module mentions.
pub struct Mention {
    pub path: Vec<String>,
    pub line: usize,
    /// Whether it occurs under `#[cfg(test)]` or `#[test]`.
    pub in_test: bool,
    /// Whether it is a `pub use`, which re-exports a name.
    pub is_reexport: bool,
}

/// What a path refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Module(usize),
    /// An item, identified by the module that defines it.
    ItemOf(usize),
}

/// Aliases may refer to each other. A chain longer than this is taken to be endless.
const ALIASES_MAX: usize = 16;

impl Tree {
    /// Reads the crate whose root is `root`. `read` returns a file's text, or `None` if there is no such file.
    pub fn read(root: &str, read: ReadFile<'_>) -> Tree {
        let mut tree = Tree { modules: Vec::new() };
        let text = read(root).unwrap_or_else(|| panic!("{root}: there is no such file"));
        let folder = Path::new(root).parent().expect("a file has a folder").to_path_buf();
        tree.add_file(root, &text, Place { path: Vec::new(), parent: 0, folder, in_test: false }, read);
        tree
    }

    fn add_file(&mut self, file: &str, text: &str, place: Place, read: ReadFile<'_>) -> usize {
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.add(file, &parsed.items, place, read)
    }

    fn add(&mut self, file: &str, items: &[Item], place: Place, read: ReadFile<'_>) -> usize {
        let Place { path, parent, folder, in_test } = place;
        let own = self.modules.len();
        let (names, globs, mentions) = Default::default();
        self.modules.push(Module { path: path.clone(), file: file.into(), parent, names, globs, mentions });
        for item in items {
            if let Some(name) = name_of(item) {
                self.modules[own].names.insert(name, Name::Item);
            }
            let Item::Mod(module) = item else { continue };
            let name = module.ident.to_string();
            let place = Place {
                path: [&path[..], std::slice::from_ref(&name)].concat(),
                parent: own,
                folder: folder.join(&name),
                in_test: in_test || is_test(&module.attrs),
            };
            let child = match &module.content {
                Some((_, items)) => self.add(file, items, place, read),
                None => {
                    let candidates = match path_of(&module.attrs) {
                        Some(path) => normal(&Path::new(file).with_file_name(path)).into_iter().collect(),
                        None => vec![folder.join(format!("{name}.rs")), place.folder.join("mod.rs")],
                    };
                    let (found, text) = candidates
                        .iter()
                        .find_map(|at| Some((at.to_str()?.to_string(), read(at.to_str()?)?)))
                        .unwrap_or_else(|| panic!("{file}: `mod {name}` has no file"));
                    // A file that an attribute names has its modules beside it, as `mod.rs` has.
                    let beside = path_of(&module.attrs).and(Path::new(&found).parent());
                    let folder = beside.map_or(place.folder, Path::to_path_buf);
                    self.add_file(&found, &text, Place { folder, ..place }, read)
                }
            };
            self.modules[own].names.insert(name, Name::Module(child));
        }
        let mut reader = Reader { module: &mut self.modules[own], in_test };
        items.iter().for_each(|item| reader.visit_item(item));
        own
    }

    /// Resolves `path` from `module`. Returns `None` if it begins with a name that the crate does not define.
    pub fn resolve(&self, module: usize, path: &[String]) -> Option<Found> {
        self.follow(module, path, 0)
    }

    fn follow(&self, module: usize, path: &[String], aliases: usize) -> Option<Found> {
        if aliases > ALIASES_MAX {
            return None;
        }
        let mut at = module;
        let mut rest = path;
        while let Some((first, tail)) = rest.split_first() {
            match first.as_str() {
                "crate" => at = 0,
                "self" => {}
                "super" => at = self.modules[at].parent,
                _ => break,
            }
            rest = tail;
        }
        let from_here = rest.len() == path.len();
        for (depth, name) in rest.iter().enumerate() {
            match self.look_up(at, name, aliases) {
                Some(Found::Module(module)) => at = module,
                Some(item) => return Some(item),
                None if from_here && depth == 0 => return None,
                // A macro may define the item.
                None => return Some(Found::ItemOf(at)),
            }
        }
        Some(Found::Module(at))
    }

    fn look_up(&self, module: usize, name: &str, aliases: usize) -> Option<Found> {
        match self.modules[module].names.get(name) {
            Some(Name::Item) => Some(Found::ItemOf(module)),
            Some(Name::Module(child)) => Some(Found::Module(*child)),
            // `use ahash::ahash` must not resolve to itself.
            Some(Name::Import(path)) if path[0] == name => None,
            Some(Name::Import(path)) => self.follow(module, path, aliases + 1),
            None => self.modules[module].globs.iter().find_map(|glob| {
                match self.follow(module, glob, aliases + 1)? {
                    Found::Module(other) if other != module && aliases < ALIASES_MAX => {
                        self.look_up(other, name, aliases + 1)
                    }
                    _ => None,
                }
            }),
        }
    }
}

/// Returns the name that an item adds to its module's scope.
fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Returns the value of `#[path = "..."]`.
fn path_of(attributes: &[Attribute]) -> Option<String> {
    let path = attributes.iter().find(|attribute| attribute.path().is_ident("path"))?;
    match &path.meta.require_name_value().ok()?.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

/// Returns whether `#[cfg(test)]` or `#[test]` is among the attributes.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let tests =
            |tokens: &TokenStream| tokens.clone().into_iter().any(|token| token.to_string() == "test");
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.meta.require_list().is_ok_and(|list| tests(&list.tokens)))
    })
}

/// Collects what one module imports and mentions.
struct Reader<'m> {
    module: &'m mut Module,
    in_test: bool,
}

impl Reader<'_> {
    fn mention(&mut self, path: Vec<String>, line: usize, is_reexport: bool) {
        self.module.mentions.push(Mention { path, line, in_test: self.in_test, is_reexport });
    }

    fn import(&mut self, prefix: &[String], tree: &UseTree, is_reexport: bool) {
        match tree {
            UseTree::Path(path) => {
                self.import(&[prefix, &[path.ident.to_string()]].concat(), &path.tree, is_reexport);
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(prefix, tree, is_reexport))
            }
            UseTree::Glob(glob) => {
                self.mention(prefix.to_vec(), glob.star_token.spans[0].start().line, is_reexport);
                self.module.globs.push(prefix.to_vec());
            }
            UseTree::Name(name) => {
                let own = [name.ident.to_string()];
                let (path, alias) = match prefix.last() {
                    Some(last) if name.ident == "self" => (prefix.to_vec(), last.clone()),
                    _ => ([prefix, &own].concat(), own[0].clone()),
                };
                self.alias(path, alias, name.ident.span().start().line, is_reexport);
            }
            UseTree::Rename(rename) => {
                let path = [prefix, &[rename.ident.to_string()]].concat();
                self.alias(path, rename.rename.to_string(), rename.ident.span().start().line, is_reexport);
            }
        }
    }

    fn alias(&mut self, path: Vec<String>, alias: String, line: usize, is_reexport: bool) {
        self.mention(path.clone(), line, is_reexport);
        self.module.names.entry(alias).or_insert(Name::Import(path));
    }

    /// Collects the paths in a macro call's tokens, which `syn` does not parse.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let (mut line, mut colons) = (0, 0);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end_path(&mut path, line);
                    }
                    line = ident.span().start().line;
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.end_path(&mut path, line);
                    self.tokens(group.stream());
                    colons = 0;
                }
                _ => {
                    self.end_path(&mut path, line);
                    colons = 0;
                }
            }
        }
        self.end_path(&mut path, line);
    }

    fn end_path(&mut self, path: &mut Vec<String>, line: usize) {
        if path.len() > 1 {
            self.mention(std::mem::take(path), line, false);
        }
        path.clear();
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let outer = self.in_test;
        self.in_test |= is_test(attributes(item));
        match item {
            // Each module gets a reader of its own.
            Item::Mod(_) => {}
            _ => visit::visit_item(self, item),
        }
        self.in_test = outer;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&[], &item.tree, !matches!(item.vis, Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.segments[0].ident.span().start().line;
        self.mention(names, line, false);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        self.tokens(item.mac.tokens.clone());
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}
