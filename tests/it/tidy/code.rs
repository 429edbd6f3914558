//! Rust source as the rules see it: without comments and literals, as paths and as functions.
//!
//! A reading by hand, not a parser: it is right for code that rustfmt has written.

use std::ops::Range;

/// The source with every comment and every literal blanked out; lines and columns stay.
pub(super) fn bare(source: &str) -> String {
    let mut bare = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (len, kept) = match opaque_len(rest, bare.chars().next_back()) {
            Some(len) => (len, None),
            None => (first.len_utf8(), Some(first)),
        };
        match kept {
            Some(kept) => bare.push(kept),
            None => bare.extend(rest[..len].chars().map(|c| if c == '\n' { c } else { ' ' })),
        }
        rest = &rest[len..];
    }
    bare
}

/// The length of the comment or literal that `rest` begins with, if it begins with one.
fn opaque_len(rest: &str, before: Option<char>) -> Option<usize> {
    let inside_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let to_end = |end: Option<usize>| end.unwrap_or(rest.len());
    if rest.starts_with("//") {
        return Some(to_end(rest.find('\n')));
    }
    if rest.starts_with("/*") {
        return Some(to_end(rest.find("*/").map(|at| at + 2)));
    }
    if rest.starts_with('"') {
        return Some(quoted_len(rest));
    }
    if rest.starts_with('\'') {
        return char_len(rest);
    }
    let raw = rest.strip_prefix('b').unwrap_or(rest).strip_prefix('r')?;
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    if inside_word || !raw[hashes..].starts_with('"') {
        return None;
    }
    let start = rest.len() - raw.len() + hashes + 1;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(to_end(rest[start..].find(&close).map(|at| start + at + close.len())))
}

fn quoted_len(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character, not a lifetime: `'a'` and `'\n'`, but not `'a`.
fn char_len(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    let (at, second) = chars.next()?;
    if first == '\\' {
        return rest[at + second.len_utf8()..]
            .find('\'')
            .map(|end| at + second.len_utf8() + end + 1);
    }
    (second == '\'').then_some(at + 1)
}

/// Where a path stands, and the whole of it: each leaf of a `use` group is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) line: usize,
    pub(super) text: String,
}

impl Path {
    /// Whether the path is `prefix`, or goes on below it.
    pub(super) fn is_below(&self, prefix: &str) -> bool {
        self.text.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.text.split("::")
    }
}

/// Every path of the bare source, single names included.
pub(super) fn paths(bare: &str) -> Vec<Path> {
    let tokens = tokens(bare);
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = path(&tokens, at, "", &mut paths).max(at + 1);
    }
    paths
}

/// Reads the path at `at`, below `prefix`, and all that is in its group. Returns where it ends.
fn path(tokens: &[Token<'_>], mut at: usize, prefix: &str, paths: &mut Vec<Path>) -> usize {
    let mut text = prefix.to_owned();
    let Some(line) = tokens.get(at).map(|token| token.line) else { return at };
    while let Some(name) = tokens.get(at).filter(|token| token.is_name()) {
        text = if text.is_empty() { name.text.into() } else { format!("{text}::{}", name.text) };
        at += 1;
        if tokens.get(at).is_none_or(|token| token.text != "::") {
            break;
        }
        at += 1;
        if tokens.get(at).is_some_and(|token| token.text == "{") {
            return group(tokens, at + 1, &text, paths);
        }
    }
    if !text.is_empty() {
        paths.push(Path { line, text });
    }
    at
}

fn group(tokens: &[Token<'_>], mut at: usize, prefix: &str, paths: &mut Vec<Path>) -> usize {
    while let Some(token) = tokens.get(at) {
        if token.text == "}" {
            return at + 1;
        }
        // A name that follows `as` is a new one, not a path.
        at = match token.text {
            "as" => at + 2,
            _ if token.is_name() => path(tokens, at, prefix, paths),
            _ => at + 1,
        };
    }
    at
}

struct Token<'a> {
    line: usize,
    text: &'a str,
}

impl Token<'_> {
    fn is_name(&self) -> bool {
        self.text.starts_with(is_name_char)
    }
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn tokens(bare: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (line, text) in (1..).zip(bare.lines()) {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let len = if is_name_char(first) {
                rest.find(|c| !is_name_char(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push(Token { line, text: &rest[..len] });
            rest = rest[len..].trim_start();
        }
    }
    tokens
}

/// The lines of each function that has a body, with its name, counted from 1.
pub(super) fn functions(bare: &str) -> Vec<(String, Range<usize>)> {
    let tokens = tokens(bare);
    let starts = (0..tokens.len()).filter(|at| tokens[*at].text == "fn");
    let function = |at: usize| {
        let name = tokens.get(at + 1).filter(|token| token.is_name())?;
        let end = body_end(&tokens[at..])?;
        Some((name.text.to_owned(), tokens[at].line..end + 1))
    };
    starts.filter_map(function).collect()
}

/// The line of the brace that closes the first body; nothing if a `;` comes before it.
fn body_end(tokens: &[Token<'_>]) -> Option<usize> {
    let (mut braces, mut brackets) = (0_u32, 0_u32);
    for token in tokens {
        match token.text {
            "(" | "[" => brackets += 1,
            ")" | "]" => brackets = brackets.saturating_sub(1),
            ";" if braces == 0 && brackets == 0 => return None,
            "{" => braces += 1,
            "}" => {
                braces = braces.saturating_sub(1);
                if braces == 0 {
                    return Some(token.line);
                }
            }
            _ => {}
        }
    }
    None
}

/// The lines before the tests that a file ends with.
pub(super) fn untested_len(bare: &str) -> usize {
    let lines: Vec<_> = bare.lines().collect();
    let begins = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {");
    lines.windows(2).rposition(begins).unwrap_or(lines.len())
}

#[test]
fn comments_and_literals_are_not_code() {
    let source = "a // b\n/* c\n */ \"d // \\\" e\" r#\"f \"g\"# 'h' '\\'' &'i str, b\"j\" k";
    let words: Vec<_> = bare(source).split_whitespace().map(ToOwned::to_owned).collect();
    assert_eq!(words, ["a", "&'i", "str,", "b", "k"]);
    assert_eq!(bare(source).lines().count(), source.lines().count());
}

#[test]
fn groups_are_read_as_whole_paths() {
    let source = "use a::{self as z, b::{C, D as E}, f};\nlet x: g::H<i::J> = k::l(m);";
    let found: Vec<_> = paths(source).into_iter().map(|path| path.text).collect();
    for path in ["a::self", "a::b::C", "a::b::D", "a::f", "g::H", "i::J", "k::l", "m"] {
        assert!(found.iter().any(|text| text == path), "{path} is not in {found:?}");
    }
    assert!(!found.iter().any(|text| text.ends_with('E') || text == "f"), "{found:?}");
}

#[test]
fn functions_end_with_their_body() {
    let source = "trait T {\n fn a();\n fn b(x: [u8; 2]) {\n  if x {}\n }\n}\nfn c() {}\n";
    assert_eq!(functions(source), [("b".into(), 3..6), ("c".into(), 7..8)]);
}

#[test]
fn tests_at_the_end_do_not_count() {
    assert_eq!(untested_len("a\nb\n#[cfg(test)]\nmod tests {\n}\n"), 2);
    assert_eq!(untested_len("a\n#[cfg(test)]\nmod memory;\n"), 3);
}
