//! The values that XPaths find. Expected values follow the recommendation; no test covers behaviour that it leaves
//! open.

use super::XPath;
use crate::definition::mapping::{AnswerFormat, EntryText, PathFault, ResponseMap};

const DOCUMENT: &str = "<?xml version='1.0'?><!--before--><doc xmlns='' xmlns:p='urn:p' xml:lang='en'>\
<a id='1'>one</a><a id='2' p:id='3'>two<b>2.5</b></a><p:a>three</p:a>\
<?go fast?><!--note--><c xml:lang='de-AT'> x  y\n z </c><n>10</n><n>-3</n><n>x</n></doc>";

fn find(path: &str) -> Option<String> {
    let entries = [EntryText { path, mandatory: false }];
    let namespaces = [("p", "urn:p"), ("q", "urn:p")];
    let map = ResponseMap::parse(AnswerFormat::Xml, &entries, &namespaces);
    let map = map.unwrap_or_else(|faults| panic!("{path}: {}", faults[0].fault));
    map.apply(DOCUMENT.as_bytes()).unwrap().pop().map(|(_, value)| value)
}

/// Checks that each path finds the value beside it: JSON text, without quotes if it is a string.
fn check(cases: &[(&str, &str)]) {
    for (path, expected) in cases {
        let found = find(path).unwrap_or("nothing".to_owned());
        let text = serde_json::from_str::<String>(&found).unwrap_or(found);
        assert_eq!(text, *expected, "{path}");
    }
}

#[test]
fn paths_and_abbreviations_follow_the_recommendation() {
    check(&[
        ("/doc/a", "one"),
        ("doc/a[2]", "two2.5"),
        ("/doc/a[@id='2']/b", "2.5"),
        ("/doc/a[2]/text()", "two"),
        ("//b/..", "two2.5"),
        ("//b/../@id", "2"),
        ("/doc/a/@p:id", "3"),
        ("/doc/a/@q:*", "3"),
        ("//p:*", "three"),
        ("//q:a", "three"),
        ("//*[local-name()='a' and namespace-uri()='urn:p']", "three"),
        ("//comment()", "before"),
        ("/doc/comment()", "note"),
        ("//processing-instruction()", "fast"),
        ("//processing-instruction('go')", "fast"),
        ("//processing-instruction('stop')", "nothing"),
        ("/doc/node()[last()]", "x"),
        ("//a[last()]", "two2.5"),
        ("(//a | //p:a)[last()]", "three"),
        ("//n | //b", "2.5"),
        ("count(/ | /doc | //a | //a)", "4"),
        (".//b", "2.5"),
        ("./doc/./a", "one"),
        ("/doc/a[position() = last()]/b", "2.5"),
        ("/doc/a[b]/@id", "2"),
        ("/doc/*[3]", "three"),
        ("doc/*[self::n][2]", "-3"),
        ("//*[@id][2][@p:id]/b", "2.5"),
        ("/doc/a[1][2]", "nothing"),
        ("count(//*[1])", "3"),
        ("count(//*[position() = 1])", "3"),
        ("count(/descendant::*[1])", "1"),
        ("//@xml:lang", "en"),
        ("  / doc /\ta [ 1 ] ", "one"),
    ]);
    assert!(find("/").unwrap().starts_with("\"onetwo2.5three"));
}

#[test]
fn every_axis_follows_the_recommendation() {
    check(&[
        ("//b/ancestor::*[1]/@id", "2"),
        ("count(//b/ancestor::node())", "3"),
        ("//b/ancestor-or-self::*[2]/@id", "2"),
        ("/doc/child::a[2]/attribute::id", "2"),
        ("/descendant::a[2]/b", "2.5"),
        ("count(//a/descendant-or-self::node())", "6"),
        ("/doc/a[1]/following-sibling::*[1]/@id", "2"),
        ("/doc/p:a/preceding-sibling::a[1]/@id", "2"),
        ("//b/following::*[1]", "three"),
        ("//c/preceding::*[1]", "three"),
        ("//c/preceding::*[2]", "2.5"),
        ("count(//b/preceding::*)", "1"),
        ("count(//a[2]/@id/following::node()) - count(//a[2]/following::node())", "3"),
        ("count(//a[2]/@id/preceding::*)", "1"),
        ("//@p:id/parent::a/b", "2.5"),
        ("count(//@id/ancestor-or-self::node())", "6"),
        ("count(//@id/child::node() | //@id/following-sibling::node())", "0"),
        ("//a/self::a[@id=2]/b", "2.5"),
        ("//@id/self::*", "nothing"),
        ("count(//@id/self::node())", "2"),
        ("/doc/namespace::p", "urn:p"),
        ("count(/doc/namespace::*)", "2"),
        ("name(/doc/namespace::*[. = 'urn:p'])", "p"),
        ("local-name(/doc/namespace::xml/..)", "doc"),
        // Positions on a reverse axis count backwards from the node, and positions in a filter follow the document
        // order.
        ("//n[3]/preceding-sibling::n[1]", "-3"),
        ("(//n[3]/preceding-sibling::n)[1]", "10"),
    ]);
}

#[test]
fn functions_on_nodes_and_strings_follow_the_recommendation() {
    check(&[
        ("count(//a[last()])", "1"),
        ("local-name(//p:a)", "a"),
        ("name(//p:a)", "p:a"),
        ("name(//@p:id)", "p:id"),
        ("name(//@xml:lang)", "xml:lang"),
        ("namespace-uri(//p:a)", "urn:p"),
        ("local-name(//processing-instruction())", "go"),
        ("local-name()", ""),
        ("name(/none)", ""),
        ("count(id('1'))", "0"),
        ("string(//n)", "10"),
        ("concat('a', 1, true(), //b)", "a1true2.5"),
        ("starts-with('abc', 'ab')", "true"),
        ("starts-with('abc', '')", "true"),
        ("contains('abc', 'bc')", "true"),
        ("contains('abc', 'x')", "false"),
        ("substring-before('1999/04/01', '/')", "1999"),
        ("substring-after('1999/04/01', '/')", "04/01"),
        ("substring-after('1999/04/01', '19')", "99/04/01"),
        ("substring-before('abc', 'x')", ""),
        ("substring-after('abc', 'x')", ""),
        ("substring('12345', 2, 3)", "234"),
        ("substring('12345', 2)", "2345"),
        ("substring('12345', 1.5, 2.6)", "234"),
        ("substring('12345', 0, 3)", "12"),
        ("substring('12345', 0 div 0, 3)", ""),
        ("substring('12345', 1, 0 div 0)", ""),
        ("substring('12345', -42, 1 div 0)", "12345"),
        ("substring('12345', -1 div 0, 1 div 0)", ""),
        ("substring('é😀x', 2, 1)", "😀"),
        ("string-length('é😀x')", "3"),
        ("string-length(//b)", "3"),
        ("normalize-space(//c)", "x y z"),
        ("translate('bar', 'abc', 'AB')", "BAr"),
        ("translate('--aaa--', 'abc-', 'ABC')", "AAA"),
        ("translate('a', 'aa', 'xy')", "x"),
        ("count(//c[lang('de')])", "1"),
        ("count(//c[lang('DE-at')])", "1"),
        ("count(//c[lang('d')])", "0"),
        ("count(//b[lang('en')])", "1"),
    ]);
}

#[test]
fn numbers_and_booleans_follow_the_recommendation() {
    check(&[
        ("1 + 2 * 3 - 4 div 2", "5"),
        ("5 mod 2", "1"),
        ("5 mod -2", "1"),
        ("-5 mod 2", "-1"),
        ("1.5 mod .5", "0"),
        ("- - 3", "3"),
        ("--'4'", "4"),
        ("-//n[2]", "3"),
        ("2.", "2"),
        ("1000000 * 1000000 * 1000000 * 1000000", "1000000000000000000000000"),
        ("1 div 3", "0.3333333333333333"),
        ("number(' -10.50 ')", "-10.5"),
        ("number('1e3')", "nothing"),
        ("number('+1')", "nothing"),
        ("number('')", "nothing"),
        ("number(true())", "1"),
        ("number(//n)", "10"),
        ("sum(//n[. != 'x'])", "7"),
        ("sum(//n)", "nothing"),
        ("floor(-1.5)", "-2"),
        ("ceiling(-1.5)", "-1"),
        ("round(1.5)", "2"),
        ("round(-1.5)", "-1"),
        ("round(-0.2)", "0"),
        ("round(0.49999999999999994)", "0"),
        ("string(1 div 0)", "Infinity"),
        ("string(-1 div 0)", "-Infinity"),
        ("string(0 div 0)", "NaN"),
        ("boolean('false')", "true"),
        ("boolean('')", "false"),
        ("boolean(0 div 0)", "false"),
        ("boolean(//none)", "false"),
        ("not(//a)", "false"),
        ("true() and not(false())", "true"),
        ("false() or 1", "true"),
        // The words are operators where an operator is allowed, and names elsewhere.
        ("count(//and | //or | //div | //mod)", "0"),
        ("2*//b", "5"),
        ("//b*2", "5"),
        ("count(//*)*2", "18"),
        ("6 div 2 mod 2", "1"),
    ]);
}

#[test]
fn comparisons_follow_the_recommendation() {
    check(&[
        ("//n = 10", "true"),
        ("//n = '10'", "true"),
        ("//n != 10", "true"),
        ("//b != 2.5", "false"),
        ("//n = //b", "false"),
        ("//a = //a", "true"),
        ("//b != //b", "false"),
        ("//n != //b", "true"),
        ("//none != //b", "false"),
        ("//none = //none", "false"),
        ("//n < -2", "true"),
        ("//n < -3", "false"),
        ("-3 >= //n", "true"),
        ("//n > //b", "true"),
        ("//b > //n", "true"),
        ("//b < //n", "true"),
        ("//c <= //n", "false"),
        ("//n = true()", "true"),
        ("//none = false()", "true"),
        ("//none < true()", "true"),
        ("'a' = 'a'", "true"),
        ("'1' = 1.0", "true"),
        ("'a' < 'b'", "false"),
        ("'2' < '10'", "true"),
        ("1 = 1 = 1", "true"),
        ("3 > 2 > 1", "false"),
        ("1 < 2 = true()", "true"),
        ("0 div 0 = 0 div 0", "false"),
        ("0 div 0 != 0 div 0", "true"),
    ]);
}

fn fault(path: &str) -> PathFault {
    XPath::parse(path, &[("soap", "urn:s")]).map(|_| path).unwrap_err()
}

#[test]
fn faults_of_xpaths_say_where_and_how_to_correct_them() {
    for (path, column, problem, fix) in [
        ("", 1, "ends where a name is missing", "write a name"),
        ("/a/", 4, "ends where a name is missing", "leave the end out"),
        ("/a[", 4, "ends", "write a name"),
        ("/a[1", 5, "bracket of column 3", "`]`"),
        ("count(//a", 10, "parenthesis of column 6", "`)`"),
        ("/a)", 3, "not opened", "leave it out"),
        ("/a]", 3, "not opened", "leave it out"),
        ("/a /b c", 7, "operator or the end", "leave this out"),
        ("/a[0]", 4, "`[0]` never finds a node", "`[1]`"),
        ("data.a.b[0]", 10, "positions are 1", "`[1]`"),
        ("/a[1.5]", 4, "never", "`[1]`"),
        ("/a['x", 4, "quotes", "close"),
        ("/a[$x]", 4, "variable", "value itself"),
        ("/a[b == 1]", 6, "`==`", "write `=`"),
        ("/a[b && c]", 6, "`&`", "`and`"),
        ("/a[b || c]", 6, "`||`", "`or`"),
        ("/a[!b]", 4, "`!`", "not("),
        ("/é#", 3, "`#`", "leave it out"),
        ("/soup:a", 2, "prefix `soup`", "did you mean `soap`?"),
        ("//x:a", 3, "prefix `x`", "local-name()"),
        ("//x:*", 3, "prefix `x`", "local-name()"),
        ("/soap:", 6, "after the colon", "prefix:name"),
        ("strin(/a)", 1, "no function `strin`", "did you mean `string`?"),
        ("/a[lower-case(.)='x']", 4, "no function `lower-case`", "27"),
        ("soap:f(1)", 1, "no function `soap:f`", "27"),
        ("count()", 1, "does not take 0", "give it 1"),
        ("substring('a')", 1, "does not take 1", "2 to 3"),
        ("concat('a')", 1, "does not take 1", "2 or more"),
        ("count('a')", 7, "needs a node-set", "path"),
        ("sum(1)", 5, "needs a node-set", "path"),
        ("/a/b/string()", 6, "cannot be a step", "string("),
        ("/a/decendant::b", 4, "no axis `decendant`", "did you mean `descendant`?"),
        ("'a' | /b", 1, "joins node-sets", "path"),
        ("/b | 1", 6, "joins node-sets", "path"),
        ("'a'/b", 1, "need a node-set", "path"),
        ("'a'[1]", 1, "need a node-set", "path"),
        ("/a/.[1]", 5, "no predicate", "self::node()"),
        ("/a/text(b)", 9, "node type", "()"),
        ("/a + ", 6, "ends", "write a name"),
        ("/a/@", 5, "ends", "write a name"),
        ("1.2.3", 4, "operator", "leave"),
    ] {
        let fault = fault(path);
        assert_eq!(fault.column, column, "{path}: {fault}");
        assert!(fault.problem.contains(problem) && fault.fix.contains(fix), "{path}: {fault}");
    }
}

#[test]
fn an_xpath_has_limits() {
    for (open, close) in [("(", ")"), ("a[", "]"), ("not(", ")")] {
        let nested = |depth| open.repeat(depth) + "a" + &close.repeat(depth);
        assert!(XPath::parse(&nested(31), &[]).is_ok());
        assert!(fault(&nested(32)).problem.contains("nested deeper than 32"));
        assert!(fault(&nested(800)).problem.contains("nested"));
    }
    for operator in ["+", "|", "=", " or "] {
        let long = |count| "a".to_owned() + &format!("{operator}a").repeat(count);
        assert!(XPath::parse(&long(256), &[]).is_ok());
        assert!(fault(&long(257)).problem.contains("more than 256 operators"));
    }
    let minus = "-".repeat(4_000) + "1";
    assert_eq!(find(&minus).unwrap(), "1");
}
