//! A drawn face: everything that varies in it, and its pixels.
//!
//! Shapes are signed distances in the face's own coordinates (unit: the head's half width, y down), turned into soft
//! coverage one pixel wide.

use image::{Rgb, RgbImage};

use crate::random::Stream;

type Color = [f64; 3];

/// One face with its surroundings.
#[derive(Debug, Clone, PartialEq)]
pub struct Face {
    width: u32,
    height: u32,
    background: Background,
    /// Middle of the head in pixels.
    centre: [f64; 2],
    /// Half width of the head in pixels.
    scale: f64,
    /// Height of the head over its width.
    length: f64,
    /// Radians.
    tilt: f64,
    skin: Color,
    ink: Color,
    hair: Option<(Color, f64)>,
    eyes: Eyes,
    brows: Option<f64>,
    glasses: Option<f64>,
    mouth: Mouth,
    /// Light from the left (negative: right) and from above, as a share of the brightness over the whole picture.
    light: [f64; 2],
    /// Standard deviation of the noise, in grey levels.
    noise: f64,
}

#[derive(Debug, Clone, PartialEq)]
enum Background {
    Plain(Color),
    Gradient(Color, Color),
    Stripes(Color, Color, f64),
    Spots(Color, Color, f64),
}

#[derive(Debug, Clone, PartialEq)]
struct Eyes {
    distance: f64,
    size: f64,
    /// Half shut eyes are flat.
    open: f64,
    gaze: f64,
}

#[derive(Debug, Clone, PartialEq)]
struct Mouth {
    /// Half width.
    width: f64,
    /// How much lower the middle is than the corners: positive in a smile.
    bend: f64,
    thickness: f64,
    place: f64,
    /// A smile that shows the teeth.
    teeth: bool,
}

impl Face {
    /// A face, smiling or not, from a stream. Nothing but the mouth depends on `smiling`.
    pub fn draw(stream: &mut Stream, smiling: bool) -> Self {
        let width = 64 + stream.below(113) as u32;
        let height = (f64::from(width) * stream.range(0.9, 1.12)) as u32;
        let smaller = f64::from(width.min(height));
        let scale = smaller * stream.range(0.38, 0.46);
        let room = |side: u32| (f64::from(side) / 2.0, (f64::from(side) / 2.0 - scale).max(0.0) * 0.5);
        let mut place = |side: u32| {
            let (middle, room) = room(side);
            middle + stream.range(-1.0, 1.0) * room
        };
        let centre = [place(width), place(height)];
        let skin = skin(stream);
        let ink = [stream.range(10.0, 70.0), stream.range(10.0, 50.0), stream.range(10.0, 60.0)];
        let has_hair = stream.chance(0.7);
        let hair = (color(stream, 10.0, 200.0), stream.range(0.25, 0.7));
        let eyes = Eyes {
            distance: stream.range(0.32, 0.46),
            size: stream.range(0.09, 0.16),
            open: stream.range(0.35, 1.0),
            gaze: stream.range(-0.5, 0.5),
        };
        let (has_brows, brow_slope) = (stream.chance(0.7), stream.range(-0.3, 0.3));
        let (has_glasses, glasses) = (stream.chance(0.25), stream.range(0.22, 0.3));
        Self {
            width,
            height,
            background: background(stream),
            centre,
            scale,
            length: stream.range(1.0, 1.12),
            tilt: stream.range(-0.18, 0.18),
            skin,
            ink,
            hair: has_hair.then_some(hair),
            eyes,
            brows: has_brows.then_some(brow_slope),
            glasses: has_glasses.then_some(glasses),
            mouth: mouth(stream, smiling),
            light: [stream.range(-0.3, 0.3), stream.range(-0.2, 0.2)],
            noise: stream.range(0.0, 9.0),
        }
    }

    /// A near-duplicate: mirrored or not, a little moved, turned, brighter or darker.
    pub fn nearly(&self, stream: &mut Stream) -> Self {
        let mut copy = self.clone();
        if stream.chance(0.5) {
            copy.centre[0] = f64::from(copy.width) - copy.centre[0];
            copy.tilt = -copy.tilt;
            copy.eyes.gaze = -copy.eyes.gaze;
            copy.light[0] = -copy.light[0];
        }
        for middle in &mut copy.centre {
            *middle += stream.range(-2.0, 2.0);
        }
        copy.tilt += stream.range(-0.03, 0.03);
        let brighter = stream.range(0.92, 1.08);
        copy.skin = copy.skin.map(|value| value * brighter);
        copy
    }

    /// The picture. `stream` makes its noise.
    pub fn picture(&self, stream: &mut Stream) -> RgbImage {
        RgbImage::from_fn(self.width, self.height, |x, y| {
            let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
            let share = [x / f64::from(self.width) - 0.5, y / f64::from(self.height) - 0.5];
            let mut color = self.background.at(x, y, share);
            self.paint(x, y, &mut color);
            let light = 1.0 - share[0] * self.light[0] * 2.0 - share[1] * self.light[1] * 2.0;
            // Triangular: the sum of two uniform numbers, both out of one draw.
            let bits = stream.bits();
            let half = |bits: u64| bits as u32 as f64 / 4_294_967_296.0;
            let grain = (half(bits) + half(bits >> 32) - 1.0) * self.noise * 2.4;
            Rgb(color.map(|value| (value * light + grain).round().clamp(0.0, 255.0) as u8))
        })
    }

    /// Puts the face over a background colour.
    fn paint(&self, x: f64, y: f64, color: &mut Color) {
        let (dx, dy) = ((x - self.centre[0]) / self.scale, (y - self.centre[1]) / self.scale);
        let (sin, cos) = self.tilt.sin_cos();
        let (u, v) = (dx * cos + dy * sin, dy * cos - dx * sin);
        if u * u + v * v > 3.5 {
            return;
        }
        let mut cover = |distance: f64, paint: Color| {
            let share = (0.5 - distance * self.scale).clamp(0.0, 1.0);
            if share == 0.0 {
                return;
            }
            for (value, paint) in color.iter_mut().zip(paint) {
                *value += (paint - *value) * share;
            }
        };
        if let Some((hair, _)) = self.hair {
            cover(ellipse(u, v + 0.12, 1.1, self.length * 1.1).max(v - 0.1), hair);
        }
        cover(ellipse(u, v, 1.0, self.length), self.skin);
        if let Some((hair, line)) = self.hair {
            cover(ellipse(u, v, 1.0, self.length).max(v + self.length - line), hair);
        }
        self.paint_eyes(u, v, &mut cover);
        cover(stroke(u, v, [0.0, -0.05], [0.06, 0.2], 0.025), self.skin.map(|value| value * 0.75));
        self.paint_mouth(u, v, &mut cover);
    }

    fn paint_eyes(&self, u: f64, v: f64, cover: &mut impl FnMut(f64, Color)) {
        const WHITE: Color = [245.0, 245.0, 240.0];
        let eyes = &self.eyes;
        for side in [-1.0, 1.0] {
            let (a, b) = (u - side * eyes.distance, v + 0.22);
            cover(ellipse(a, b, eyes.size * 1.2, eyes.size * eyes.open), WHITE);
            cover(
                ellipse(a - eyes.gaze * eyes.size * 0.5, b, eyes.size * 0.55, eyes.size * 0.55 * eyes.open),
                self.ink,
            );
            if let Some(slope) = self.brows {
                let (inner, outer) = (-0.09 + slope * 0.3, -0.09 - slope * 0.3);
                cover(stroke(a * side, b + eyes.size + 0.06, [-0.13, inner], [0.14, outer], 0.035), self.ink);
            }
            if let Some(radius) = self.glasses {
                cover((length(a, b) - radius).abs() - 0.022, self.ink);
                cover(stroke(u, b, [-0.08, 0.0], [0.08, 0.0], 0.02), self.ink);
            }
        }
    }

    fn paint_mouth(&self, u: f64, v: f64, cover: &mut impl FnMut(f64, Color)) {
        const TEETH: Color = [250.0, 248.0, 240.0];
        let mouth = &self.mouth;
        let b = v - mouth.place;
        let lips = [self.ink[0] * 0.6 + 90.0, self.ink[1] * 0.6, self.ink[2] * 0.6 + 10.0];
        if mouth.teeth {
            // Between the straight upper edge and the bent lower one.
            let lower = mouth.bend * (1.0 - (u / mouth.width).powi(2));
            cover((b - lower).max(-b).max(u.abs() - mouth.width), TEETH);
            cover(stroke(u, b, [-mouth.width, 0.0], [mouth.width, 0.0], mouth.thickness * 0.6), lips);
        }
        let inside = u.clamp(-mouth.width, mouth.width);
        let curve = mouth.bend * (1.0 - (inside / mouth.width).powi(2));
        let slope = -2.0 * mouth.bend * inside / mouth.width.powi(2);
        let along = (u.abs() - mouth.width).max(0.0);
        let across = (b - curve).abs() / (1.0 + slope * slope).sqrt();
        cover(length(along, across) - mouth.thickness, lips);
    }
}

impl Background {
    fn at(&self, x: f64, y: f64, share: [f64; 2]) -> Color {
        let mix = |a: &Color, b: &Color, t: f64| [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * t.clamp(0.0, 1.0));
        match self {
            Self::Plain(color) => *color,
            Self::Gradient(a, b) => mix(a, b, share[1] + 0.5),
            Self::Stripes(a, b, period) => mix(a, b, ((x + y * 0.4) / period).sin() * 0.2 + 0.5),
            Self::Spots(a, b, period) => mix(a, b, (x / period).sin() * (y / period).sin() * 0.3),
        }
    }
}

fn background(stream: &mut Stream) -> Background {
    let (a, b) = (color(stream, 20.0, 240.0), color(stream, 20.0, 240.0));
    let period = stream.range(3.0, 12.0);
    match stream.below(4) {
        0 => Background::Plain(a),
        1 => Background::Gradient(a, b),
        2 => Background::Stripes(a, b, period),
        _ => Background::Spots(a, b, period),
    }
}

/// Skin tones, and now and then a colour from a comic.
fn skin(stream: &mut Stream) -> Color {
    let (tone, comic) = (stream.range(0.45, 1.0), stream.chance(0.25));
    let any = color(stream, 110.0, 245.0);
    if comic { any } else { [250.0 * tone, 205.0 * tone.powf(1.2), 170.0 * tone.powf(1.4)] }
}

fn mouth(stream: &mut Stream, smiling: bool) -> Mouth {
    let (width, thickness) = (stream.range(0.42, 0.58), stream.range(0.055, 0.09));
    let (smile, frown, straight) = (stream.range(0.26, 0.38), stream.range(-0.36, -0.22), stream.range(-0.08, 0.02));
    let (is_straight, shows_teeth) = (stream.chance(0.2), stream.chance(0.4));
    let bend = match (smiling, is_straight) {
        (true, _) => smile,
        (false, true) => straight,
        (false, false) => frown,
    };
    // The middle of the mouth's height stays where it is, whichever way it bends.
    Mouth { width, bend, thickness, place: 0.5 - bend / 2.0 + stream.range(-0.05, 0.05), teeth: smiling && shows_teeth }
}

fn color(stream: &mut Stream, low: f64, high: f64) -> Color {
    [stream.range(low, high), stream.range(low, high), stream.range(low, high)]
}

/// Length of a vector; several times faster than `hypot`, whose care about overflow is not needed here.
fn length(x: f64, y: f64) -> f64 {
    (x * x + y * y).sqrt()
}

/// Distance to an ellipse at the origin, near enough for a pixel's width: negative inside.
fn ellipse(u: f64, v: f64, a: f64, b: f64) -> f64 {
    let level = length(u / a, v / b);
    (level - 1.0) * a.min(b)
}

/// Distance to a line segment of a half thickness.
fn stroke(u: f64, v: f64, from: [f64; 2], to: [f64; 2], thickness: f64) -> f64 {
    let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
    let (px, py) = (u - from[0], v - from[1]);
    let t = ((px * dx + py * dy) / (dx * dx + dy * dy).max(1e-12)).clamp(0.0, 1.0);
    length(px - dx * t, py - dy * t) - thickness
}
