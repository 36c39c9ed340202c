//! How a picture looks: colours for light and dark screens, and texts that fit.

/// Of the picture, whether it stands alone or on a page.
pub(super) const PICTURE: &str = "\
.net{--page:#f6f7f9;--card:#fff;--line:#d5dae1;--ink:#182230;--soft:#5b6675;--band:#eceff3;--sat:62%;--deep:36%;--pale:95%;--bad:#b42318;\
font:13px/1.4 system-ui,-apple-system,\"Segoe UI\",\"Noto Sans\",\"DejaVu Sans\",sans-serif}\
@media (prefers-color-scheme:dark){.net{--page:#11161d;--card:#1a212b;--line:#323c4a;--ink:#e7ecf3;--soft:#9aa7b8;--band:#161c25;--sat:55%;--deep:68%;--pale:17%;--bad:#f97066}}\
.net text{fill:var(--ink)}.net .soft{fill:var(--soft)}.net .mono{font-family:ui-monospace,\"DejaVu Sans Mono\",monospace;font-size:11.5px}\
.net .big{font-size:20px;font-weight:650}.net .name{font-size:16px;font-weight:650}.net .strong{font-weight:600}.net .small{font-size:11.5px}\
.net .mid{text-anchor:middle}.net .page{fill:var(--page)}.net .band{fill:var(--band)}.net .bad{fill:var(--bad)}\
.net .card{fill:var(--card);stroke:var(--line)}.net .tone{fill:hsl(var(--h) var(--sat) var(--deep))}\
.net .wash{fill:hsl(var(--h) var(--sat) var(--pale));stroke:hsl(var(--h) var(--sat) var(--deep));stroke-opacity:.45}\
.net .wire{stroke:hsl(var(--h) var(--sat) var(--deep));stroke-width:2;fill:none}.net .on{fill:var(--card)}\
.net .tag{fill:none;stroke:var(--line)}.net .out{stroke:var(--soft);stroke-width:1.5;fill:none}.net .tip{fill:var(--soft)}\
.net .peer{stroke:var(--soft);stroke-width:2;fill:none;stroke-linejoin:round}";

/// Of the page around it.
pub(super) const PAGE: &str = "\
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--line:#d5dae1;--ink:#182230;--soft:#5b6675;--bad:#b42318}\
@media (prefers-color-scheme:dark){:root{--page:#11161d;--card:#1a212b;--line:#323c4a;--ink:#e7ecf3;--soft:#9aa7b8;--bad:#f97066}}\
body{margin:0;background:var(--page);color:var(--ink);font:14px/1.5 system-ui,-apple-system,\"Segoe UI\",\"Noto Sans\",\"DejaVu Sans\",sans-serif}\
main{max-width:1500px;margin:0 auto;padding:16px}figure{margin:0;overflow-x:auto}figure svg{display:block;margin:0 auto;max-width:100%;height:auto}\
h2{font-size:17px;margin:28px 0 8px}.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:10px;background:var(--card)}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:7px 12px;border-bottom:1px solid var(--line);vertical-align:top}\
tr:last-child td{border-bottom:0}th{color:var(--soft);font-weight:600;white-space:nowrap}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
code{font-family:ui-monospace,\"DejaVu Sans Mono\",monospace;font-size:12.5px}.bad{color:var(--bad)}.soft{color:var(--soft)}";

/// The hues of VPCs, far apart.
const HUES: [u16; 8] = [160, 28, 275, 338, 190, 96, 52, 230];

/// Colours that people call VPCs by. A VPC `blue` that is green would mislead.
const NAMED: [(&str, u16); 9] = [
    ("blue", 215),
    ("green", 145),
    ("red", 4),
    ("orange", 28),
    ("yellow", 48),
    ("purple", 275),
    ("violet", 265),
    ("pink", 330),
    ("cyan", 188),
];

/// The colour of a VPC in a row, as properties. The default one has hardly any.
pub(super) fn colour(name: &str, row: usize) -> String {
    if row == 0 {
        return "--h:215;--sat:14%".to_owned();
    }
    let named = NAMED
        .iter()
        .find(|(colour, _)| name.split('-').any(|word| word == *colour));
    format!("--h:{}", named.map_or(HUES[(row - 1) % HUES.len()], |(_, hue)| *hue))
}

/// A text in markup.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            _ => safe.push(c),
        }
    }
    safe
}

/// As much of a text as has room, in markup. The middle goes, because names differ at both ends.
pub(super) fn fit(text: &str, most: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= most {
        return escape(text);
    }
    let head = (most - 1).div_ceil(2);
    let tail = most - 1 - head;
    let short: String = chars[..head]
        .iter()
        .chain(&['…'])
        .chain(&chars[chars.len() - tail..])
        .collect();
    escape(&short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_and_are_no_markup() {
        assert_eq!(fit("short", 5), "short");
        assert_eq!(fit("vpc-blue.node-1", 9), "vpc-…de-1");
        assert_eq!(escape("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
