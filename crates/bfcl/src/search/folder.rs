//! Search over a folder of documents, for work without a network.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tantivy::collector::TopDocs;
use tantivy::query::{Query as IndexQuery, QueryParser};
use tantivy::schema::{Field, STORED, STRING, Schema, TEXT, Value as _};
use tantivy::snippet::SnippetGenerator;
use tantivy::{Index, IndexReader, TantivyDocument, TantivyError, doc};

use super::{Hit, Query, SearchEngine, page};
use crate::BfclError;

/// How many hits a search gives at most.
const MAX_HITS: usize = 50;
/// Of the index's writer, in bytes: so much text becomes one segment.
const WRITER_MEMORY: usize = 256 << 20;
/// What is read as a document.
const ENDINGS: [&str; 5] = ["txt", "md", "markdown", "html", "htm"];

/// The documents of a folder and of the folders in it. A document's address is `file:///` and
/// its path within the folder; nothing else can be fetched.
pub struct DocumentFolder {
    documents: BTreeMap<String, PathBuf>,
    reader: IndexReader,
    parser: QueryParser,
    fields: Fields,
}

#[derive(Clone, Copy)]
struct Fields {
    address: Field,
    title: Field,
    body: Field,
}

impl DocumentFolder {
    /// Reads every document into an index in memory.
    pub fn open(folder: &Path) -> Result<Self, BfclError> {
        let mut paths = Vec::new();
        walk(folder, &mut paths)?;
        let documents: BTreeMap<_, _> = paths
            .into_iter()
            .map(|path| (address(folder, &path), path))
            .collect();
        if documents.is_empty() {
            return Err(BfclError::Option {
                option: "search.engine",
                problem: format!(
                    "`{}` holds no document\nhint: documents are files that end in .{}",
                    folder.display(),
                    ENDINGS.join(", .")
                ),
            });
        }
        let texts: Vec<(&str, String)> = documents
            .iter()
            .map(|(address, path)| Ok((address.as_str(), read(path)?)))
            .collect::<Result<_, BfclError>>()?;
        let (index, fields) = index(&texts).expect("an index in memory takes any text");
        let reader = index.reader().expect("an index in memory can be read");
        Ok(Self {
            parser: QueryParser::for_index(&index, vec![fields.title, fields.body]),
            documents,
            reader,
            fields,
        })
    }

    /// By BM25 over titles and texts; equally good documents come in the order of their paths.
    fn ranked(&self, keywords: &str) -> Result<Vec<Hit>, TantivyError> {
        let searcher = self.reader.searcher();
        // Keywords are an agent's: what is no query is read as far as it goes.
        let (query, _) = self.parser.parse_query_lenient(keywords);
        let top = TopDocs::with_limit(MAX_HITS).order_by_score();
        let found = searcher.search(&query, &top)?;
        let query: &dyn IndexQuery = &*query;
        let snippets = SnippetGenerator::create(&searcher, query, self.fields.body)?;
        found
            .into_iter()
            .map(|(_, place)| {
                let document: TantivyDocument = searcher.doc(place)?;
                let text = |field| {
                    let value = document.get_first(field)?;
                    value.as_str().map(str::to_owned)
                };
                let snippet = snippets.snippet_from_doc(&document);
                Ok(Hit {
                    title: text(self.fields.title),
                    href: text(self.fields.address),
                    body: Some(snippet.fragment().to_owned()),
                })
            })
            .collect()
    }
}

impl SearchEngine for DocumentFolder {
    fn search(&self, query: &Query) -> Result<Vec<Hit>, String> {
        self.ranked(&query.keywords)
            .map_err(|error| error.to_string())
    }

    fn fetch(&self, url: &str) -> Result<String, String> {
        let path = self.documents.get(url).ok_or("No such document.")?;
        read(path).map_err(|error| error.to_string())
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["file://"]
    }
}

/// One segment, written by one thread in the order of the documents, so that ties fall the
/// same way each time.
fn index(texts: &[(&str, String)]) -> Result<(Index, Fields), TantivyError> {
    let mut schema = Schema::builder();
    let fields = Fields {
        address: schema.add_text_field("address", STRING | STORED),
        title: schema.add_text_field("title", TEXT | STORED),
        body: schema.add_text_field("body", TEXT | STORED),
    };
    let index = Index::create_in_ram(schema.build());
    let mut writer = index.writer_with_num_threads(1, WRITER_MEMORY)?;
    for (address, text) in texts {
        let (title, body) = title_and_body(address, text);
        writer.add_document(doc!(
            fields.address => *address,
            fields.title => title,
            fields.body => body,
        ))?;
    }
    writer.commit()?;
    Ok((index, fields))
}

/// A document's title is its first line of text that says something.
fn title_and_body(address: &str, text: &str) -> (String, String) {
    let is_html = address.ends_with(".html") || address.ends_with(".htm");
    let body = match is_html {
        true => page::text(text),
        false => text.to_owned(),
    };
    let lines = body.lines().map(|line| line.trim_start_matches('#').trim());
    let title = lines.into_iter().find(|line| !line.is_empty());
    (title.unwrap_or(address).to_owned(), body)
}

fn address(folder: &Path, path: &Path) -> String {
    let within = path.strip_prefix(folder).unwrap_or(path);
    let parts = within.iter().map(|part| part.to_string_lossy());
    format!("file:///{}", parts.collect::<Vec<_>>().join("/"))
}

/// Bytes that are not UTF-8 are replaced.
fn read(path: &Path) -> Result<String, BfclError> {
    let bytes = fs::read(path).map_err(|source| BfclError::file(path, source))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Links to folders are not followed, so that none is walked twice.
fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), BfclError> {
    let failed = |source| BfclError::file(folder, source);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if entry.file_type().map_err(failed)?.is_dir() {
            walk(&path, paths)?;
        } else if is_document(&path) && path.is_file() {
            paths.push(path);
        }
    }
    Ok(())
}

fn is_document(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    ENDINGS.contains(&ending.to_ascii_lowercase().as_str())
}
