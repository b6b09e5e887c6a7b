//! The page's files, which the binary carries.

/// A file of the page: its path, its type and its text.
pub(crate) const ASSETS: [(&str, &str, &str); 11] = [
    ("/", HTML, include_str!("page/index.html")),
    (
        "/style.css",
        "text/css; charset=utf-8",
        include_str!("page/style.css"),
    ),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/main.js", SCRIPT, include_str!("page/main.js")),
    ("/address.js", SCRIPT, include_str!("page/address.js")),
    (
        "/conversation.js",
        SCRIPT,
        include_str!("page/conversation.js"),
    ),
    ("/elements.js", SCRIPT, include_str!("page/elements.js")),
    ("/group.js", SCRIPT, include_str!("page/group.js")),
    ("/list.js", SCRIPT, include_str!("page/list.js")),
    ("/server.js", SCRIPT, include_str!("page/server.js")),
    ("/tokens.js", SCRIPT, include_str!("page/tokens.js")),
];

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What the page may do: load from here, and nothing else from anywhere. No markup of a text can
/// run, be fetched or be sent.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
