//! `builtin:emoji`: drawings of emoji, labelled by what people feel about them.
//!
//! The labels come from the Emoji Sentiment Ranking (Kralj Novak, Smailović, Sluban, Mozetič: *Sentiment of Emojis*,
//! PLoS ONE 10(12), 2015), the drawings from Twemoji; `assets/emoji/README.md` has the licences. An emoji is Positive when
//! its score, (positive - negative) / (negative + neutral + positive + 3) over the tweets it stands in, is above 0.27.

use twemoji_assets::png::codes;

/// One emoji.
#[derive(Debug)]
pub struct Emoji {
    /// Code point in hexadecimal.
    code: &'static str,
    /// Unicode's name in lower case: letters, digits, blanks and hyphens.
    name: &'static str,
    positive: bool,
    /// Twemoji's drawing, 72x72 pixels, transparent around.
    png: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/emoji_table.rs"));

impl Emoji {
    /// All emoji of the data set.
    pub fn all() -> &'static [Emoji] {
        &TABLE
    }

    /// Index of the class: 0 Negative, 1 Positive.
    pub fn label(&self) -> usize {
        usize::from(self.positive)
    }

    /// Such as "1f602 face with tears of joy.png".
    pub fn file_name(&self) -> String {
        format!("{} {}.png", self.code, self.name)
    }

    /// The drawing as a PNG file.
    pub fn png(&self) -> &'static [u8] {
        self.png
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn there_are_396_positive_and_360_negative_emoji() {
        let positive = Emoji::all().iter().filter(|emoji| emoji.label() == 1).count();
        assert_eq!((positive, Emoji::all().len() - positive), (396, 360));
    }

    #[test]
    fn names_are_different_and_safe_for_every_file_system() {
        let names: HashSet<String> = Emoji::all().iter().map(Emoji::file_name).collect();
        assert_eq!(names.len(), Emoji::all().len());
        let safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, ' ' | '-' | '.');
        assert!(names.iter().all(|name| name.chars().all(safe)));
        assert!(names.contains("1f602 face with tears of joy.png"));
    }

    #[test]
    fn every_drawing_has_72_by_72_pixels() {
        for emoji in Emoji::all() {
            let info = crate::data::decode::inspect(emoji.png()).unwrap();
            assert_eq!((info.width, info.height, &*info.format), (72, 72, "PNG"), "{}", emoji.file_name());
        }
    }
}
