//! The one look of all plots.

use std::ops::Range;

use plotters::chart::{ChartBuilder, ChartContext, SeriesLabelPosition};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::PlotError;

/// Width and height of a plot.
pub const SIZE: (u32, u32) = (640, 420);

/// Class 1, and what was trained on.
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
/// Class 0, and what was held out.
pub const ORANGE: RGBColor = RGBColor(213, 94, 0);
/// A third thing.
pub const GREEN: RGBColor = RGBColor(0, 158, 115);
/// What something is held against.
pub const GREY: RGBColor = RGBColor(110, 110, 110);
/// Text.
pub const INK: RGBColor = RGBColor(30, 30, 30);

/// Where plots are drawn.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// A chart with two axes of numbers.
pub type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Text of a size.
pub fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// A picture that `draw` fills, as SVG with its title for screen readers.
pub fn picture(
    size: (u32, u32),
    title: &str,
    draw: impl FnOnce(&Area<'_>) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    let label = format!("<svg role=\"img\" aria-label=\"{}\" ", escape(title));
    Ok(svg.replacen("<svg ", &label, 1))
}

/// Text that stands in XML as it is.
pub fn escape(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text that keeps to its place: at most so many characters.
pub fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Title, range and name of each axis.
pub struct Axes<'a> {
    /// Above the plot.
    pub title: &'a str,
    /// Range and name.
    pub x: (Range<f64>, &'a str),
    /// Range and name.
    pub y: (Range<f64>, &'a str),
}

/// A chart whose axes are drawn.
pub fn chart<'a, 'b>(area: &'a Area<'b>, axes: Axes<'_>) -> Result<Chart<'a, 'b>, PlotError> {
    let mut chart = ChartBuilder::on(area)
        .caption(axes.title, font(17))
        .margin(14)
        .x_label_area_size(42)
        .y_label_area_size(58)
        .build_cartesian_2d(axes.x.0, axes.y.0)?;
    let number = |value: &f64| tick(*value);
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(228, 228, 228))
        .axis_style(GREY)
        .x_desc(axes.x.1)
        .y_desc(axes.y.1)
        .label_style(font(13))
        .axis_desc_style(font(14))
        .x_labels(8)
        .y_labels(8)
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .draw()?;
    Ok(chart)
}

/// A number at an axis: no more digits than it has.
fn tick(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A line with its entry in the legend.
pub fn line(
    chart: &mut Chart<'_, '_>,
    points: Vec<(f64, f64)>,
    style: impl Into<ShapeStyle>,
    label: &str,
) -> Result<(), PlotError> {
    let style = style.into();
    let drawn = chart.draw_series(LineSeries::new(points, style))?;
    if !label.is_empty() {
        drawn.label(label).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    Ok(())
}

/// The legend, in a corner.
pub fn legend<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>, place: SeriesLabelPosition) -> Result<(), PlotError> {
    chart
        .configure_series_labels()
        .position(place)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(228, 228, 228))
        .label_font(font(13))
        .draw()
}
