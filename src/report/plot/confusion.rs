//! The confusion matrix, each row as shares of its class.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::style::{INK, font, picture, short};
use super::{Plot, PlotError};
use crate::evaluate::Evaluation;
use crate::report::summary::percent;

const SIZE: (u32, u32) = (520, 420);
// Left and upper edge of the cells, and their width and height.
const LEFT: i32 = 150;
const TOP: i32 = 90;
const WIDTH: i32 = 170;
const HEIGHT: i32 = 140;

/// The matrix with counts and shares.
pub fn confusion(evaluation: &Evaluation, classes: &[String; 2]) -> Result<Plot, PlotError> {
    let c = &evaluation.confusion;
    let rows = [[c.true_negative, c.false_positive], [c.false_negative, c.true_positive]];
    let title = format!("Confusion matrix, {} of {} right", c.correct(), c.total());
    let centred = |size| font(size).pos(Pos::new(HPos::Center, VPos::Center));
    let svg = picture(SIZE, &title, |area| {
        area.draw(&Text::new(title.clone(), (SIZE.0 as i32 / 2, 24), centred(17)))?;
        area.draw(&Text::new("called", (LEFT + WIDTH, 54), centred(14)))?;
        for (row, counts) in rows.iter().enumerate() {
            let (name, support) = (short(&classes[row], 16), counts[0] + counts[1]);
            let middle = TOP + HEIGHT * row as i32 + HEIGHT / 2;
            area.draw(&Text::new(name.clone(), (LEFT + WIDTH * row as i32 + WIDTH / 2, 76), centred(14)))?;
            area.draw(&Text::new(name, (LEFT / 2, middle - 10), centred(14)))?;
            area.draw(&Text::new(format!("{support} images"), (LEFT / 2, middle + 12), centred(12)))?;
            for (column, &count) in counts.iter().enumerate() {
                cell(area, (row as i32, column as i32), count, count as f64 / support.max(1) as f64)?;
            }
        }
        Ok(())
    })?;
    let caption =
        "Test images by class (rows) and call (columns); a cell's colour and percentage are its share of the row.";
    Ok(Plot { name: "confusion", caption: caption.to_owned(), svg })
}

fn cell(area: &super::style::Area<'_>, place: (i32, i32), count: u64, share: f64) -> Result<(), PlotError> {
    let (left, top) = (LEFT + WIDTH * place.1, TOP + HEIGHT * place.0);
    let mix = |from: f64, to: f64| (from + (to - from) * share) as u8;
    let color = RGBColor(mix(247.0, 0.0), mix(251.0, 84.0), mix(255.0, 148.0));
    let ink = if share > 0.55 { WHITE } else { INK };
    let corners = [(left + 2, top + 2), (left + WIDTH - 2, top + HEIGHT - 2)];
    area.draw(&Rectangle::new(corners, color.filled()))?;
    area.draw(&Rectangle::new(corners, RGBColor(200, 210, 220)))?;
    let centred = |size| font(size).color(&ink).pos(Pos::new(HPos::Center, VPos::Center));
    let middle = (left + WIDTH / 2, top + HEIGHT / 2);
    area.draw(&Text::new(count.to_string(), (middle.0, middle.1 - 14), centred(28)))?;
    area.draw(&Text::new(percent(share), (middle.0, middle.1 + 20), centred(16)))
}
