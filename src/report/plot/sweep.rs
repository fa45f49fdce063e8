//! Many runs at a look: how the objective went, what each axis does, which values go together.

use plotters::chart::SeriesLabelPosition;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::style::{Area, Axes, BLUE, GREY, ORANGE, SIZE, chart, font, legend, line, picture, short};
use super::{Plot, PlotError};
use crate::store::RunSummary;

/// Values of an axis that stand side by side; more of them are numbers on a scale.
const CATEGORIES: usize = 12;
/// Axes that are drawn.
const AXES: usize = 8;

/// One axis of a sweep.
struct Axis {
    name: String,
    /// Text of its categories, or of the ends of its scale.
    ticks: Vec<(f64, String)>,
    /// Place of each run, from 0 to 1; `None` for a run without the axis.
    places: Vec<Option<f64>>,
}

/// The plots of several completed runs; none for fewer than two.
///
/// # Errors
/// [`PlotError`].
pub fn of_runs(runs: &[RunSummary]) -> Result<Vec<Plot>, PlotError> {
    let runs: Vec<&RunSummary> = runs.iter().filter(|run| run.accuracy.is_some()).collect();
    if runs.len() < 2 {
        return Ok(Vec::new());
    }
    let by_validation = runs.iter().all(|run| run.validation_auc.is_some());
    let name = if by_validation { "validation AUC" } else { "test accuracy" };
    let values: Vec<f64> = runs
        .iter()
        .map(|run| if by_validation { run.validation_auc } else { run.accuracy }.unwrap_or_default())
        .collect();
    let mut plots = vec![trials(&values, name)?];
    let axes = axes(&runs);
    if !axes.is_empty() {
        plots.push(effects(&axes, &values, name)?);
        plots.push(parallel(&axes, &values, name)?);
    }
    Ok(plots)
}

fn range(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let room = ((high - low) * 0.08).max(0.005);
    (low - room, high + room)
}

/// The objective of every run in the order they began, and the best so far.
fn trials(values: &[f64], name: &str) -> Result<Plot, PlotError> {
    let title = format!("{} runs, {name}", values.len());
    let (low, high) = range(values);
    let svg = picture(SIZE, &title, |area| {
        let axes = Axes {
            title: &title,
            x: (0.5..values.len() as f64 + 0.5, "run, in the order they began"),
            y: (low..high, name),
        };
        let mut chart = chart(area, axes)?;
        let points = values
            .iter()
            .enumerate()
            .map(|(run, &value)| Circle::new((run as f64 + 1.0, value), 3, BLUE.mix(0.6).filled()));
        chart.draw_series(points)?.label("a run").legend(|(x, y)| Circle::new((x + 9, y), 3, BLUE.filled()));
        let mut best = f64::NEG_INFINITY;
        let mut steps = Vec::new();
        for (run, &value) in values.iter().enumerate() {
            steps.extend((best > f64::NEG_INFINITY).then_some((run as f64 + 1.0, best)));
            best = best.max(value);
            steps.push((run as f64 + 1.0, best));
        }
        line(&mut chart, steps, ORANGE.stroke_width(2), "the best so far")?;
        legend(&mut chart, SeriesLabelPosition::LowerRight)
    })?;
    Ok(Plot { name: "trials", caption: format!("The {name} of every run in the order they began."), svg })
}

/// What each axis does: a panel with every run and the mean of each value.
fn effects(axes: &[Axis], values: &[f64], name: &str) -> Result<Plot, PlotError> {
    let columns = axes.len().min(3);
    let rows = axes.len().div_ceil(columns);
    let size = ((columns as u32 * 330).max(420), rows as u32 * 300);
    let (low, high) = range(values);
    let title = format!("What each axis does to the {name}");
    let svg = picture(size, &title, |area| {
        for (axis, panel) in axes.iter().zip(area.split_evenly((rows, columns))) {
            effect(&panel, axis, values, (low, high))?;
        }
        Ok(())
    })?;
    let caption = format!(
        "The {name} of every run by the value of each axis; lines join the means. Other axes vary within a value."
    );
    Ok(Plot { name: "effects", caption, svg })
}

fn effect(panel: &Area<'_>, axis: &Axis, values: &[f64], (low, high): (f64, f64)) -> Result<(), PlotError> {
    let mut chart = ChartBuilder::on(panel)
        .caption(short(&axis.name, 34), font(14))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(46)
        .build_cartesian_2d(-0.12..1.12, low..high)?;
    let number = |value: &f64| format!("{value:.2}");
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(WHITE).bold_line_style(RGBColor(228, 228, 228)).axis_style(GREY).disable_x_mesh();
    mesh.x_labels(0).y_labels(5).label_style(font(12)).y_label_formatter(&number).draw()?;
    let room = (60 / axis.ticks.len().max(1)).clamp(5, 18);
    let style = font(11).pos(Pos::new(HPos::Center, VPos::Top));
    for (place, text) in &axis.ticks {
        let (x, y) = chart.backend_coord(&(*place, low));
        let origin = panel.get_base_pixel();
        panel.draw(&Text::new(short(text, room), (x - origin.0, y - origin.1 + 6), style.clone()))?;
    }
    let points = || axis.places.iter().zip(values).filter_map(|(place, &value)| Some((((*place)?), value)));
    chart.draw_series(points().map(|point| Circle::new(point, 3, BLUE.mix(0.5).filled())))?;
    let means: Vec<(f64, f64)> = axis
        .ticks
        .iter()
        .filter_map(|&(place, _)| {
            let here: Vec<f64> = points().filter(|point| (point.0 - place).abs() < 1e-9).map(|point| point.1).collect();
            (!here.is_empty()).then(|| (place, here.iter().sum::<f64>() / here.len() as f64))
        })
        .collect();
    if axis.ticks.len() > 2 || means.len() == axis.ticks.len() {
        chart.draw_series(LineSeries::new(means, ORANGE.stroke_width(2)))?;
    }
    Ok(())
}

/// Every run as a line through its values; the better the objective, the darker.
fn parallel(axes: &[Axis], values: &[f64], name: &str) -> Result<Plot, PlotError> {
    let size = ((160 * (axes.len() as u32 + 1)).max(480), 420);
    let (low, high) = range(values);
    let title = format!("Which values go together, by {name}");
    let (top, bottom) = (84.0, size.1 as f64 - 36.0);
    let step = (f64::from(size.0) - 160.0) / axes.len() as f64;
    let at =
        |column: usize, place: f64| ((80.0 + step * column as f64) as i32, (bottom - (bottom - top) * place) as i32);
    let share = |value: f64| (value - low) / (high - low);
    let centred = |size| font(size).pos(Pos::new(HPos::Center, VPos::Center));
    let svg = picture(size, &title, |area| {
        area.draw(&Text::new(title.clone(), (size.0 as i32 / 2, 22), centred(17)))?;
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
        for run in order {
            let mut path: Vec<(i32, i32)> =
                axes.iter().enumerate().filter_map(|(column, axis)| Some(at(column, axis.places[run]?))).collect();
            path.push(at(axes.len(), share(values[run])));
            area.draw(&PathElement::new(path, shade(share(values[run])).stroke_width(2)))?;
        }
        for (column, axis) in axes.iter().enumerate() {
            vertical(area, (at(column, 0.0), at(column, 1.0)), &axis.name)?;
            for (place, text) in &axis.ticks {
                let (x, y) = at(column, *place);
                label(area, (x, y), &short(text, 18))?;
            }
        }
        let last = axes.len();
        vertical(area, (at(last, 0.0), at(last, 1.0)), name)?;
        for value in [low, f64::midpoint(low, high), high] {
            label(area, at(last, share(value)), &format!("{value:.3}"))?;
        }
        Ok(())
    })?;
    let caption = format!("Every run as a line through the values of its axes to its {name}; the darker, the higher.");
    Ok(Plot { name: "parallel", caption, svg })
}

fn vertical(area: &Area<'_>, (bottom, top): ((i32, i32), (i32, i32)), name: &str) -> Result<(), PlotError> {
    let style = font(13).pos(Pos::new(HPos::Center, VPos::Center));
    area.draw(&PathElement::new([bottom, top], GREY.stroke_width(1)))?;
    area.draw(&Text::new(short(name, 22), (top.0, top.1 - 22), style))
}

/// Text beside an axis, on white so that lines do not cross it.
fn label(area: &Area<'_>, (x, y): (i32, i32), text: &str) -> Result<(), PlotError> {
    let width = 7 * text.chars().count() as i32 + 4;
    area.draw(&Rectangle::new([(x + 5, y - 8), (x + 5 + width, y + 8)], WHITE.mix(0.8).filled()))?;
    area.draw(&Text::new(text.to_owned(), (x + 7, y), font(12).pos(Pos::new(HPos::Left, VPos::Center))))
}

/// From light to dark blue, which also reads without colours.
fn shade(share: f64) -> RGBAColor {
    let mix = |from: f64, to: f64| (from + (to - from) * share.clamp(0.0, 1.0)) as u8;
    RGBColor(mix(200.0, 8.0), mix(220.0, 48.0), mix(240.0, 107.0)).mix(0.8)
}

/// The axes in which runs differ.
fn axes(runs: &[&RunSummary]) -> Vec<Axis> {
    let points: Vec<Vec<(&str, &str)>> =
        runs.iter().map(|run| run.point.split(", ").filter_map(|part| part.split_once('=')).collect()).collect();
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in points.iter().flatten() {
        if !names.contains(name) && *name != "seed" && *name != "fold" {
            names.push(name);
        }
    }
    let axis = |name: &str| {
        let values: Vec<Option<&str>> =
            points.iter().map(|point| point.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)).collect();
        axis(name, &values)
    };
    names.into_iter().filter_map(axis).take(AXES).collect()
}

/// An axis with at least two values: side by side when they are few, else as numbers on a scale.
fn axis(name: &str, values: &[Option<&str>]) -> Option<Axis> {
    let mut distinct: Vec<&str> = values.iter().flatten().copied().collect();
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    distinct.sort_by(|a, b| match (number(a), number(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.cmp(b),
    });
    distinct.dedup();
    if distinct.len() < 2 {
        return None;
    }
    let numbers: Option<Vec<f64>> = distinct.iter().map(|text| number(text)).collect();
    if let Some(numbers) = numbers.filter(|numbers| numbers.len() > CATEGORIES) {
        let (low, high) = (numbers[0], numbers[numbers.len() - 1]);
        // Spread over more than a factor of fifty reads better by its logarithm.
        let logarithmic = low > 0.0 && high / low > 50.0;
        let scale = |value: f64| {
            if logarithmic { (value / low).ln() / (high / low).ln() } else { (value - low) / (high - low) }
        };
        let places = values.iter().map(|value| value.and_then(number).map(scale)).collect();
        let ticks = vec![(0.0, compact(low)), (1.0, compact(high))];
        return Some(Axis { name: name.to_owned(), ticks, places });
    }
    let place = |index: usize| index as f64 / (distinct.len() - 1) as f64;
    let find = |value: &str| distinct.iter().position(|other| *other == value).map(place);
    Some(Axis {
        name: name.to_owned(),
        ticks: distinct.iter().enumerate().map(|(index, text)| (place(index), (*text).to_owned())).collect(),
        places: values.iter().map(|value| value.and_then(find)).collect(),
    })
}

fn compact(value: f64) -> String {
    if value != 0.0 && (value.abs() < 0.01 || value.abs() >= 1e5) {
        format!("{value:.1e}")
    } else {
        format!("{value:.3}")
    }
}
