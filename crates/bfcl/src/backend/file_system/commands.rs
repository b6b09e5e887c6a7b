//! Commands that move through the tree and change it.

use python::{Dict, Exception, Value};

use super::super::{dict, error};
use super::FileSystem;
use super::tree::{ChildrenId, Node, NodeId};

/// Characters that no name may have.
const INVALID: &str = "|/\\?%*:\"><";

/// Moving and copying differ in their words and in what becomes of the source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transfer {
    Move,
    Copy,
}

impl FileSystem {
    pub(super) fn pwd(&self) -> Result<Value, Exception> {
        let mut names = Vec::new();
        let mut directory = Some(self.current);
        while let Some(id) = directory {
            names.push(self.tree.name(id).to_string());
            directory = self.tree.parent(id);
        }
        names.reverse();
        let path = format!("/{}", names.join("/"));
        Ok(dict([("current_working_directory", Value::Str(path))]))
    }

    pub(super) fn ls(&self, all: &Value) -> Result<Value, Exception> {
        let mut names = Vec::new();
        for name in self.tree.children(self.here()).keys() {
            if all.is_true() || !text_of(name, "startswith")?.starts_with('.') {
                names.push(name.clone());
            }
        }
        Ok(dict([("current_directory_content", Value::List(names))]))
    }

    pub(super) fn cd(&mut self, folder: &Value) -> Result<Value, Exception> {
        let folder = match text_of(folder, "rstrip")?.trim_end_matches('/') {
            "" => "/",
            folder => folder,
        };
        if folder != "/" && folder.contains('/') {
            return error(format!(
                "cd: {folder}: Unsupported path. Only one folder level at a time is supported."
            ));
        }
        if folder == ".." {
            let Some(parent) = self.tree.parent(self.current) else {
                return error("Current directory is already the root. Cannot go back.");
            };
            self.current = parent;
            return Ok(dict([]));
        }
        let Some(directory) = self.directory_at(folder) else {
            return error(format!("cd: '{folder}': No such file or directory"));
        };
        self.current = directory;
        let name = self.tree.name(directory).clone();
        Ok(dict([("current_working_directory", name)]))
    }

    /// The directory at a path: of names and `.`, from the root where it begins with `/`.
    fn directory_at(&self, path: &str) -> Option<NodeId> {
        let mut directory = if path.starts_with('/') {
            self.root
        } else {
            self.current
        };
        let names = path.trim_matches('/');
        if names.is_empty() {
            return Some(directory);
        }
        for name in names.split('/') {
            let children = self.tree.children_of(directory)?;
            if name != "." {
                let name = Value::from(name);
                directory = self
                    .tree
                    .child(children, &name)
                    .expect("text is hashable")?;
            }
        }
        self.tree.children_of(directory)?;
        Some(directory)
    }

    pub(super) fn mkdir(&mut self, name: &Value) -> Result<Value, Exception> {
        let refused = |reason| error(format!("mkdir: cannot create directory '{name}': {reason}"));
        if !is_valid(name)? {
            return refused("Invalid character");
        }
        let here = self.here();
        if self.tree.child(here, name)?.is_some() {
            return refused("File exists");
        }
        let children = self.tree.new_children(Dict::new());
        let directory = self
            .tree
            .new_directory(name.clone(), Some(self.current), children);
        self.tree.insert(here, name.clone(), directory)?;
        Ok(Value::None)
    }

    pub(super) fn touch(&mut self, name: &Value) -> Result<Value, Exception> {
        let refused = |reason| error(format!("touch: cannot touch '{name}': {reason}"));
        if !is_valid(name)? {
            return refused("Invalid character");
        }
        let here = self.here();
        if self.tree.child(here, name)?.is_some() {
            return refused("File exists");
        }
        self.new_file(here, name.clone(), Value::from(""))?;
        Ok(Value::None)
    }

    pub(super) fn echo(&mut self, content: &Value, name: &Value) -> Result<Value, Exception> {
        let terminal = || Ok(dict([("terminal_output", content.clone())]));
        if name.is_none() {
            return terminal();
        }
        if !is_valid(name)? {
            return error(format!("echo: cannot write to '{name}': Invalid character"));
        }
        if !name.is_true() {
            return terminal();
        }
        let Some(file) = self.tree.child(self.here(), name)? else {
            return error(format!("echo: cannot write to '{name}': No such file"));
        };
        self.tree.write(file, content.clone())?;
        Ok(Value::None)
    }

    pub(super) fn find(&self, path: &Value, name: &Value) -> Result<Value, Exception> {
        let method = if path.is_none() { "rstrip" } else { "strip" };
        let path_text = text_of(path, method)?;
        let directory = match path_text {
            "" => None,
            text => self.directory_at(text),
        };
        let Some(children) = directory.and_then(|id| self.tree.children_of(id)) else {
            return error(format!("find: '{path}': No such file or directory"));
        };
        let mut matches = Vec::new();
        let base = path_text.trim_end_matches('/');
        self.tree.walk(children, base, &mut |path, child, _| {
            if name.is_none() || child.contains(name)? {
                matches.push(Value::from(path));
            }
            Ok(())
        })?;
        Ok(dict([("matches", Value::List(matches))]))
    }

    pub(super) fn rm(&mut self, name: &Value) -> Result<Value, Exception> {
        let here = self.here();
        if self.tree.child(here, name)?.is_none() {
            return error(format!(
                "rm: cannot remove '{name}': No such file or directory"
            ));
        }
        self.tree.remove(here, name)?;
        Ok(removed(name))
    }

    pub(super) fn rmdir(&mut self, name: &Value) -> Result<Value, Exception> {
        let refused = |reason| error(format!("rmdir: cannot remove '{name}': {reason}"));
        let here = self.here();
        let Some(node) = self.tree.child(here, name)? else {
            return refused("No such file or directory");
        };
        let Some(children) = self.tree.children_of(node) else {
            return refused("Not a directory");
        };
        if !self.tree.children(children).is_empty() {
            return refused("Directory not empty");
        }
        self.tree.remove(here, name)?;
        Ok(removed(name))
    }

    pub(super) fn mv(&mut self, source: &Value, destination: &Value) -> Result<Value, Exception> {
        self.transfer(Transfer::Move, source, destination)
    }

    pub(super) fn cp(&mut self, source: &Value, destination: &Value) -> Result<Value, Exception> {
        self.transfer(Transfer::Copy, source, destination)
    }

    fn transfer(
        &mut self,
        transfer: Transfer,
        source: &Value,
        destination: &Value,
    ) -> Result<Value, Exception> {
        let (command, verb, done) = match transfer {
            Transfer::Move => ("mv", "move", "moved"),
            Transfer::Copy => ("cp", "copy", "copied"),
        };
        let here = self.here();
        let Some(node) = self.tree.child(here, source)? else {
            return error(format!(
                "{command}: cannot {verb} '{source}': No such file or directory"
            ));
        };
        if destination.contains(&Value::from("/"))? {
            return error(format!(
                "{command}: path not allowed in destination. \
                 Provide only a file or directory name."
            ));
        }
        let Some(target) = self.tree.child(here, destination)? else {
            if transfer == Transfer::Move {
                self.tree.remove(here, source)?;
            }
            self.place(transfer, node, self.current, destination)?;
            return Ok(result(format!("'{source}' {done} to '{destination}'")));
        };
        let Some(inside) = self.tree.children_of(target) else {
            return error(format!(
                "{command}: cannot {verb} '{source}' to '{destination}': Not a directory"
            ));
        };
        if self.tree.child(inside, source)?.is_some() {
            return match transfer {
                Transfer::Move => error(format!(
                    "mv: cannot move '{source}' to '{destination}/{source}': File exists"
                )),
                Transfer::Copy => Err(self.exists(node, source, target)),
            };
        }
        if transfer == Transfer::Move {
            self.tree.remove(here, source)?;
        }
        self.place(transfer, node, target, source)?;
        Ok(result(format!(
            "'{source}' {done} to '{destination}/{source}'"
        )))
    }

    /// A new node with what `node` holds. A moved directory keeps its map of children, which its
    /// old self has too. A copied one gets a map of its own with the same children, made after
    /// it has its place: copied into itself, a directory holds itself.
    fn place(
        &mut self,
        transfer: Transfer,
        node: NodeId,
        directory: NodeId,
        name: &Value,
    ) -> Result<(), Exception> {
        let into = self
            .tree
            .children_of(directory)
            .expect("things are put into directories");
        let children = match self.tree.node(node).clone() {
            Node::File { content, .. } => return self.new_file(into, name.clone(), content),
            Node::Directory { children, .. } => children,
        };
        let own = match transfer {
            Transfer::Move => children,
            Transfer::Copy => self.tree.new_children(Dict::new()),
        };
        let placed = self.tree.new_directory(name.clone(), Some(directory), own);
        self.tree.insert(into, name.clone(), placed)?;
        if transfer == Transfer::Copy {
            self.tree.copy_children(children, own);
        }
        Ok(())
    }

    /// The original looks for the wrong name before it copies, and then stumbles.
    fn exists(&self, node: NodeId, name: &Value, directory: NodeId) -> Exception {
        let kind = match self.tree.node(node) {
            Node::File { .. } => "File",
            Node::Directory { .. } => "Directory",
        };
        let directory = self.tree.name(directory);
        Exception::value_error(format!(
            "{kind} '{name}' already exists in directory '{directory}'."
        ))
    }

    fn new_file(
        &mut self,
        children: ChildrenId,
        name: Value,
        content: Value,
    ) -> Result<(), Exception> {
        let file = self.tree.new_node(Node::File {
            name: name.clone(),
            content,
        });
        self.tree.insert(children, name, file)
    }
}

/// Text, or the `AttributeError` of whatever else is asked for a method of text.
pub(super) fn text_of<'a>(value: &'a Value, method: &str) -> Result<&'a str, Exception> {
    value
        .as_str()
        .ok_or_else(|| Exception::attribute_error(value, method))
}

pub(super) fn is_valid(name: &Value) -> Result<bool, Exception> {
    for c in INVALID.chars() {
        if name.contains(&Value::Str(c.to_string()))? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn removed(name: &Value) -> Value {
    result(format!("'{name}' removed"))
}

fn result(text: String) -> Value {
    dict([("result", Value::Str(text))])
}
