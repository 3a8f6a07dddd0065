//! Java's `.properties` format, as `java.util.Properties.load` reads it: comments, continued lines, escapes, three separators.
//!
//! Owns the text; knows no key. One difference: text is UTF-8, as every editor writes it today.

use std::collections::BTreeMap;

/// Keys and values as written. Of a key that is written twice, the last value counts.
pub type Properties = BTreeMap<String, String>;

/// Reads a whole file's text. Every text has a meaning: there is nothing to refuse.
pub fn parse(text: &str) -> Properties {
    logical_lines(text).iter().map(|line| split(line)).collect()
}

/// Natural lines without blanks in front, comments and empty ones left out, continued ones joined.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = vec![];
    let mut open: Option<String> = None;
    for natural in text.replace("\r\n", "\n").split(['\n', '\r']) {
        let natural = natural.trim_start_matches([' ', '\t', '\x0c']);
        if open.is_none() && (natural.is_empty() || natural.starts_with(['#', '!'])) {
            continue;
        }
        let mut line = open.take().unwrap_or_default();
        match natural.strip_suffix('\\') {
            Some(rest) if ends_in_escape(natural) => {
                line.push_str(rest);
                open = Some(line);
            }
            _ => {
                line.push_str(natural);
                lines.push(line);
            }
        }
    }
    lines.extend(open);
    lines
}

/// Whether the last backslash is not itself escaped.
fn ends_in_escape(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn split(line: &str) -> (String, String) {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && matches!(c, '=' | ':' | ' ' | '\t' | '\x0c');
        escaped = c == '\\' && !escaped;
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let blank = [' ', '\t', '\x0c'];
    let rest = rest.trim_start_matches(blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(blank);
    (unescape(key), unescape(value))
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match rest.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\x0c'),
            Some('u') => {
                let digits = rest.as_str().get(..4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
                if let Some(code) = digits {
                    plain.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    rest = rest.as_str()[4..].chars();
                }
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_java_reads_it() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("# a = 1\n! b = 2\n\n", &[]),
            ("a=1", &[("a", "1")]),
            ("a = 1 ", &[("a", "1 ")]),
            ("a: 1\r\nb 2", &[("a", "1"), ("b", "2")]),
            ("a=1,\\\r\n  2\r\nb=1", &[("a", "1,2"), ("b", "1")]),
            ("a=1\na=2", &[("a", "2")]),
            ("a", &[("a", "")]),
            ("a==b", &[("a", "=b")]),
            ("list=x,\\\n   y,\\\n# no comment\nb=1", &[("list", "x,y,# no comment"), ("b", "1")]),
            ("path=C:\\\\dir\\\\\nb=1", &[("path", "C:\\dir\\"), ("b", "1")]),
            ("a\\=b\\ c=d\\te\\u0041\\u00fc", &[("a=b c", "d\teAü")]),
            ("  a\t=\t1", &[("a", "1")]),
            ("a=1\\", &[("a", "1")]),
            ("a=\\uXYZ", &[("a", "XYZ")]),
        ];
        for (text, expected) in cases {
            let expected: Properties = expected.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
