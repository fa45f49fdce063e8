//! The frame of every page.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A whole page.
pub fn page(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    }
}

/// Colours that keep a contrast of 4.5 to 1 on light and on dark.
pub const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --faint: #595959; --line: #d6d6d6; --accent: #005a94; --warn: #8a3b00;
  font: 16px/1.5 system-ui, sans-serif }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --paper: #16181a; --faint: #b0b0b0; --line: #3d4144; --accent: #7cc4f5; --warn: #ffb266 } }
body { margin: 0; background: var(--paper); color: var(--ink) }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere } h2 { font-size: 1.15rem; margin: 2.25rem 0 .75rem }
.faint { color: var(--faint) } .warning { color: var(--warn); border-left: .25rem solid; padding-left: .75rem }
.verdict { font-size: 1.25rem; margin: .75rem 0 } .verdict, .warning, li { overflow-wrap: anywhere }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
.number { text-align: right } td.number { white-space: nowrap }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1.25rem }
figure { margin: 0 } figure svg { width: 100%; height: auto; border: 1px solid var(--line); background: #fff } figure.wide { grid-column: 1 / -1 }
figcaption { color: var(--faint); font-size: .875rem }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: .9rem; border: 1px solid var(--line); font-size: .85rem } code { font-size: .9em }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.25rem } dt { color: var(--faint) } dd { margin: 0; overflow-wrap: anywhere }
a { color: var(--accent) }
";
