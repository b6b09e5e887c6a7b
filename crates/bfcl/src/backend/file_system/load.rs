//! The state that an `initial_config` describes.

use python::{Dict, Exception, Value, add};

use super::FileSystem;
use super::tree::{ChildrenId, Node, NodeId, Tree};
use crate::tables::Tables;

/// What long-context mode adds: text to files, and files to directories at the bottom.
struct Additions<'a> {
    /// Appended to each file's content.
    text: &'a Value,
    /// Files whose content stays as it is.
    unchanged_files: &'a [Value],
    /// Empty files for each directory whose config has no directory.
    files: &'a [Value],
}

impl FileSystem {
    pub(in super::super) fn open(
        config: &Dict,
        long_context: bool,
        tables: &Tables,
    ) -> Result<Self, Exception> {
        let mut tree = Tree::default();
        let additions = match long_context {
            true => Some(Additions {
                text: tables.long_context("FILE_CONTENT_EXTENSION")?,
                unchanged_files: list(tables, "FILES_TAIL_USED")?,
                files: list(tables, "POPULATE_FILE_EXTENSION")?,
            }),
            false => None,
        };
        let root = match config.get("root") {
            None => directory(&mut tree, Value::from("/"), None).0,
            Some(roots) => {
                let (name, contents) = first_root(roots)?;
                let (root, children) = directory(&mut tree, name.clone(), None);
                load(&mut tree, contents, root, children, additions.as_ref())?;
                root
            }
        };
        Ok(Self {
            long_context,
            tree,
            root,
            current: root,
        })
    }
}

fn list<'a>(tables: &'a Tables, name: &str) -> Result<&'a [Value], Exception> {
    let items = tables.long_context(name)?.as_list();
    items.ok_or_else(|| Exception::value_error(format!("`{name}` is no list")))
}

/// Of several roots, the first is meant.
fn first_root(roots: &Value) -> Result<(&Value, &Dict), Exception> {
    let first = roots.as_dict().and_then(|roots| roots.iter().next());
    let (name, root) = first.ok_or_else(|| Exception::value_error("`root` holds no directory"))?;
    Ok((name, contents(name, root)?))
}

/// The children that the config gives a directory.
fn contents<'a>(name: &Value, entry: &'a Value) -> Result<&'a Dict, Exception> {
    let contents = entry.as_dict().and_then(|entry| entry.get("contents"));
    contents
        .and_then(Value::as_dict)
        .ok_or_else(|| Exception::value_error(format!("directory `{name}` has no `contents`")))
}

fn directory(tree: &mut Tree, name: Value, parent: Option<NodeId>) -> (NodeId, ChildrenId) {
    let children = tree.new_children(Dict::new());
    (tree.new_directory(name, parent, children), children)
}

fn load(
    tree: &mut Tree,
    config: &Dict,
    parent: NodeId,
    children: ChildrenId,
    additions: Option<&Additions<'_>>,
) -> Result<(), Exception> {
    let mut is_bottom = true;
    for (name, entry) in config.iter() {
        let kind = entry.as_dict().and_then(|entry| entry.get("type"));
        let node = match kind.and_then(Value::as_str) {
            Some("directory") => {
                is_bottom = false;
                let (node, below) = directory(tree, name.clone(), Some(parent));
                load(tree, contents(name, entry)?, node, below, additions)?;
                node
            }
            Some("file") => tree.new_node(Node::File {
                name: name.clone(),
                content: content(name, entry, additions)?,
            }),
            _ => {
                return Err(Exception::value_error(format!(
                    "`{name}` has no `type` that is \"directory\" or \"file\""
                )));
            }
        };
        tree.insert(children, name.clone(), node)?;
    }
    for name in additions.filter(|_| is_bottom).map_or(&[][..], |a| a.files) {
        let node = tree.new_node(Node::File {
            name: name.clone(),
            content: Value::from(""),
        });
        tree.insert(children, name.clone(), node)?;
    }
    Ok(())
}

fn content(
    name: &Value,
    entry: &Value,
    additions: Option<&Additions<'_>>,
) -> Result<Value, Exception> {
    let content = entry.as_dict().and_then(|entry| entry.get("content"));
    let content =
        content.ok_or_else(|| Exception::value_error(format!("file `{name}` has no `content`")))?;
    match additions {
        Some(additions) if !additions.unchanged_files.contains(name) => {
            add(content, additions.text)
        }
        _ => Ok(content.clone()),
    }
}
