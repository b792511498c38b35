//! Removes from Rust's text all that is not code.

/// Returns the text with comments, strings and characters replaced by spaces. Lines keep their numbers.
pub(crate) fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip(&chars, at);
        if end == at {
            out.extend(chars.get(at));
            at += 1;
            continue;
        }
        for skipped in chars.iter().take(end).skip(at) {
            out.push(if *skipped == '\n' { '\n' } else { ' ' });
        }
        at = end;
    }
    out
}

/// Returns the end of the comment, string or character that begins at `at`, or `at` if none begins there.
fn skip(chars: &[char], at: usize) -> usize {
    let is = |offset: usize, c: char| chars.get(at + offset) == Some(&c);
    if is(0, '/') && is(1, '/') {
        return find(chars, at, |c| c == '\n').unwrap_or(chars.len());
    }
    if is(0, '/') && is(1, '*') {
        return block_comment(chars, at);
    }
    let in_word = at.checked_sub(1).and_then(|i| chars.get(i)).is_some_and(|c| word(*c));
    if is(0, 'r') && !in_word || is(0, 'r') && at >= 1 && chars.get(at - 1) == Some(&'b') {
        let hashes = chars.iter().skip(at + 1).take_while(|c| **c == '#').count();
        if is(1 + hashes, '"') {
            return raw_string(chars, at + 2 + hashes, hashes);
        }
    }
    if is(0, '"') {
        return quoted(chars, at + 1, '"');
    }
    // A lifetime has no closing quote after one character.
    if is(0, '\'') && (is(1, '\\') || is(2, '\'')) {
        return quoted(chars, at + 1, '\'');
    }
    at
}

fn word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn find(chars: &[char], from: usize, which: impl Fn(char) -> bool) -> Option<usize> {
    (from..chars.len()).find(|at| chars.get(*at).is_some_and(|c| which(*c)))
}

fn block_comment(chars: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0_usize, from);
    while at < chars.len() {
        match (chars.get(at), chars.get(at + 1)) {
            (Some('/'), Some('*')) => (depth, at) = (depth + 1, at + 2),
            (Some('*'), Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn raw_string(chars: &[char], from: usize, hashes: usize) -> usize {
    let mut at = from;
    while let Some(quote) = find(chars, at, |c| c == '"') {
        at = quote + 1;
        if chars.iter().skip(at).take_while(|c| **c == '#').count() >= hashes {
            return at + hashes;
        }
    }
    chars.len()
}

fn quoted(chars: &[char], from: usize, quote: char) -> usize {
    let mut at = from;
    while let Some(c) = chars.get(at) {
        at += if *c == '\\' { 2 } else { 1 };
        if *c == quote {
            break;
        }
    }
    at.min(chars.len())
}

/// Like [`code`], without the items that only test builds contain.
pub(crate) fn shipped_code(path: &str, text: &str) -> String {
    const TEST: &str = "#[cfg(test)]";
    if is_test(path) {
        return String::new();
    }
    let mut code = code(text);
    while let Some(start) = code.find(TEST) {
        let rest = code.get(start..).unwrap_or_default();
        let length = item_length(rest);
        let blank: String =
            rest.chars().take(length).map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        let bytes: usize = rest.chars().take(length).map(char::len_utf8).sum();
        code.replace_range(start..start + bytes, &blank);
    }
    code
}

/// Returns whether the whole file belongs to tests.
pub(crate) fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Returns the length in characters of the item at the beginning of `rest`: up to its `;` or its closing brace.
fn item_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (index, c) in rest.chars().enumerate() {
        match c {
            ';' if depth == 0 => return index + 1,
            '{' => depth += 1,
            '}' if depth <= 1 => return index + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    rest.chars().count()
}

/// Returns the numbers of the lines that contain `wanted` as a whole word.
pub(crate) fn lines_with_word(code: &str, wanted: &str) -> Vec<usize> {
    let alone = |line: &str| {
        line.match_indices(wanted).any(|(at, found)| {
            let before = line.get(..at).and_then(|text| text.chars().next_back());
            let after = line.get(at + found.len()..).and_then(|text| text.chars().next());
            // A lifetime such as `'static` is another word.
            !before.is_some_and(|c| word(c) || c == '\'') && !after.is_some_and(word)
        })
    };
    (1..).zip(code.lines()).filter(|(_, line)| alone(line)).map(|(number, _)| number).collect()
}

#[test]
fn comments_strings_and_characters_are_removed_and_lifetimes_are_kept() {
    let text =
        "a /* x /* y */ z */ b // c\n\"d \\\" e\" f 'g' '\\'' h<'i> r#\"j \" k\"# br\"l\" m\n";
    let left: Vec<String> = code(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(left, ["a", "b", "f", "h<'i>", "b", "m"]);
    assert_eq!(code(text).lines().count(), text.lines().count());
}

#[test]
fn test_items_are_not_shipped_code() {
    let text = "a\n#[cfg(test)]\nmod tests;\nb\n#[cfg(test)]\nmod more { fn c() { d } }\ne\n";
    let left = shipped_code("src/x.rs", text);
    assert_eq!(left.split_whitespace().collect::<Vec<_>>(), ["a", "b", "e"]);
    assert_eq!(shipped_code("src/x/tests.rs", text), "");
    assert_eq!(shipped_code("src/x/tests/y.rs", text), "");
}

#[test]
fn only_whole_words_are_found() {
    assert_eq!(lines_with_word("unsafe_code\n&'unsafe\n unsafe {", "unsafe"), [3]);
}
