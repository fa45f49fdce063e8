//! SVG to PNG, with letters of our own: a server may have none.

use std::sync::{Arc, OnceLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};
use thiserror::Error;

/// Pixels of the picture for each of the SVG's.
const SCALE: f32 = 2.0;

/// Why an SVG cannot be made a PNG; a bug of ours, or a picture of enormous size.
#[derive(Debug, Error)]
pub enum PngError {
    /// The SVG.
    #[error("The plot cannot be read back: {0}. This is a bug.")]
    Svg(#[from] resvg::usvg::Error),
    /// The size.
    #[error("The plot is too large for a PNG file; use --format svg.")]
    Size,
    /// The encoder.
    #[error("The PNG file cannot be made: {0}.")]
    Encode(String),
}

/// The picture at twice its size.
///
/// # Errors
/// [`PngError`].
pub fn png(svg: &str) -> Result<Vec<u8>, PngError> {
    static FONTS: OnceLock<Arc<fontdb::Database>> = OnceLock::new();
    let fonts = FONTS.get_or_init(|| {
        let mut fonts = fontdb::Database::new();
        fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
        fonts.load_font_data(epaint_default_fonts::HACK_REGULAR.to_vec());
        fonts.set_sans_serif_family("Ubuntu");
        fonts.set_monospace_family("Hack");
        Arc::new(fonts)
    });
    let options = Options { fontdb: Arc::clone(fonts), font_family: "Ubuntu".to_owned(), ..Options::default() };
    let tree = Tree::from_str(svg, &options)?;
    let size = tree.size();
    let (width, height) = ((size.width() * SCALE).ceil() as u32, (size.height() * SCALE).ceil() as u32);
    let mut pixels = Pixmap::new(width, height).ok_or(PngError::Size)?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| PngError::Encode(error.to_string()))
}
