//! The page on which operators sign in with the token.

use super::layout;
use axum::response::Html;
use maud::html;

/// Returns the page. After the sign-in, the browser goes to `next`. `problem` says why an earlier try failed.
pub(in crate::console) fn form(next: &str, problem: Option<&str>) -> Html<String> {
    let body = html! {
        @if let Some(problem) = problem { p.problem role="alert" { (problem) } }
        form.card method="post" action="/sign-in" {
            input type="hidden" name="next" value=(next);
            label for="operator" { "Your name, for the events of your changes" }
            input #operator name="operator" autocomplete="username" required maxlength="64";
            label for="token" { "The token (" code { "[http] token" } " of the configuration)" }
            input #token name="token" type="password" autocomplete="current-password" required;
            button type="submit" { "Sign in" }
        }
    };
    layout::bare("Sign in", &body)
}
